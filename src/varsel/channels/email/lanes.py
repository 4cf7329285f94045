"""How many handoffs an e-mail channel has open at once, and who must wait for whom."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from varsel.channels.model import MOST_OPEN_HANDOFFS, EmailMessage, Message


class Lanes:
    """`slots` lanes, of which a tenth is kept for batches of one message, for which a caller may be waiting."""

    def __init__(self, slots: int) -> None:
        if not 1 <= slots <= MOST_OPEN_HANDOFFS:
            raise ValueError(f"slots must be from 1 to {MOST_OPEN_HANDOFFS}")
        self._for_many = max(1, slots - max(1, slots // 10))
        self._bulk = asyncio.Semaphore(self._for_many)
        self._all = asyncio.Semaphore(slots)

    def needed(self, messages: int) -> int:
        """Lanes that a batch is worked on in."""
        return min(messages, self._for_many)

    async def run(self, messages: int, lane: Callable[[], Awaitable[None]]) -> None:
        """Run `lane` in as many lanes as the batch needs, until all have ended; what one failed with is raised then."""
        if messages == 1:
            async with self._all:
                await lane()
            return

        async def among_many() -> None:
            async with self._bulk, self._all:
                await lane()

        ends = await asyncio.gather(
            *(among_many() for _ in range(self.needed(messages))), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end


def emails(messages: Sequence[Message]) -> deque[EmailMessage]:
    """The messages of a batch; a channel for e-mail takes nothing else."""
    waiting: deque[EmailMessage] = deque()
    for message in messages:
        if not isinstance(message, EmailMessage):
            raise TypeError("an e-mail channel takes e-mail")
        waiting.append(message)
    return waiting
