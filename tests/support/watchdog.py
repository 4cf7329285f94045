"""How long the event loop of a test was away from its work, at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Watchdog:
    """The longest stretch between two turns of the event loop, in seconds.

    `busy` is the processor time of the loop's own thread: what Varsel itself held it for, whatever else the machine does. `wall`
    is time that passed; it also holds waiting for the interpreter lock, and for other processes.
    """

    def __init__(self) -> None:
        self.busy = 0.0
        self.wall = 0.0

    async def watch(self) -> None:
        busy, wall = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(0)
            busy_now, wall_now = time.thread_time(), time.perf_counter()
            self.busy = max(self.busy, busy_now - busy)
            self.wall = max(self.wall, wall_now - wall)
            busy, wall = busy_now, wall_now


@asynccontextmanager
async def watchdog() -> AsyncIterator[Watchdog]:
    """Watch the running loop for as long as the block lasts."""
    watching = Watchdog()
    task = asyncio.create_task(watching.watch())
    await asyncio.sleep(0)
    yield watching
    # Once more around, so that what happened last is counted too.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
