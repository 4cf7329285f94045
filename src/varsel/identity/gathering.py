"""Sharing commits: what arrives while one write is under way goes together into the next.

No timer: an idle gatherer writes at once, a busy one takes along whatever came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Calls `write(items)` with at most `most` items; it answers one result per item, in order.

    A caller that goes away does not stop the write; an error of the write reaches every caller of that group.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int = 200) -> None:
        self._write = write
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """The result for this item, once it is written."""
        return await self._add(item)

    def note(self, item: T) -> None:
        """Write this item when it can be; nobody waits, an error is dropped."""
        if len(self._waiting) < 50 * self._most:
            self._add(item).add_done_callback(lambda future: future.cancelled() or future.exception())

    def _add(self, item: T) -> asyncio.Future[R]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._drain())
        return future

    async def _drain(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                results = await self._write([item for item, _ in group])
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), result in zip(group, results, strict=True):
                    if not future.done():
                        future.set_result(result)

    async def close(self) -> None:
        """Wait until everything handed in is written."""
        if self._task is not None:
            await self._task
