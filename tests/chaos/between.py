"""What stands between Varsel and the far ends in a storm: a relay that cuts and slows, and a postman who repeats and reorders."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Literal

from varsel.runtime.errors import Unavailable

Mode = Literal["whole", "cut", "slow"]


class Relay:
    """A TCP relay to a port of this machine. While it is cut, connections break and new ones are refused at once."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "whole"
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._break_all()

    def become(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "cut":
            self._break_all()

    def _break_all(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "cut":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                if self._mode == "slow":
                    await asyncio.sleep(0.1)
                writer.write(chunk)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


class Postman:
    """Brings every report at least once, some of them again, in no order; comes back until it is taken."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._bag: list[Callable[[], Awaitable[None]]] = []
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.repeated = 0

    def take(self, deliver: Callable[[], Awaitable[None]]) -> None:
        self._bag.append(deliver)
        self._filled.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._walk())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def idle(self) -> bool:
        return not self._bag

    async def _walk(self) -> None:
        while True:
            await self._filled.wait()
            deliver = self._bag.pop(self._random.randrange(len(self._bag)))
            try:
                await deliver()
            except Unavailable:
                self._bag.append(deliver)
                await asyncio.sleep(0.05)
                continue
            if self._random.random() < 0.3:
                self.repeated += 1
                self._bag.append(deliver)
            if not self._bag:
                self._filled.clear()
