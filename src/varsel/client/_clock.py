"""Time as the client sees it; tests put another one in."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """Seconds. `steady` never jumps and counts while the machine sleeps; `wall` is UTC since 1970."""

    def steady(self) -> float: ...
    def wall(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    async def sleep_async(self, seconds: float) -> None: ...


#: A token must not look fresh because the laptop was closed: Linux's monotonic clock stands still meanwhile.
_steady = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


class SystemClock:
    """The clock of the machine."""

    def steady(self) -> float:
        return _steady()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM = SystemClock()
