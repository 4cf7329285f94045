"""A clock that moves when told; pauses take no time."""

from __future__ import annotations

import asyncio
import time


class ManualClock:
    """Put it into `Http(clock=…)`. `pauses` lists what the client would have slept, in seconds."""

    def __init__(self, wall: float | None = None) -> None:
        self._wall = time.time() if wall is None else wall
        self._steady = 1000.0
        self.pauses: list[float] = []

    def steady(self) -> float:
        return self._steady

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Both clocks go forward."""
        self._steady += seconds
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Only the clock on the wall is moved, as somebody would who sets it."""
        self._wall = wall

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)
