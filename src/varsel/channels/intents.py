"""Grouped intents: connections that reach their point of no return together share one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from varsel.channels.model import MOST_OPEN_HANDOFFS, Intend, Message, Settle, Temporary

M = TypeVar("M", bound=Message)


class IntentGroup(Generic[M]):
    """Asks for the intents of connections, those of the same moment together.

    It holds nobody back while a commit is under way: who grants knows every connection of every channel, and gathers
    (`varsel.delivery.handoff`). A connection asks for one message at a time.
    """

    def __init__(self, intend: Intend, settle: Settle) -> None:
        self._intend = intend
        self._settle = settle
        self._waiting: list[tuple[M, asyncio.Future[bool]]] = []
        self._flushing: set[asyncio.Task[None]] = set()

    async def ask(self, message: M) -> bool:
        """True when the intent is committed and the message may go.

        Cancelled while it still waits for its turn: it is withdrawn, no intent is written. Cancelled while the
        commit is under way: the commit is waited for, since it cannot be called back, and a message that got
        its grant is settled as certainly not sent. So no intent stays open that nothing stands behind.
        """
        entry = (message, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._flush())
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)
        try:
            return await asyncio.shield(entry[1])
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif await entry[1]:
                self._settle(message, Temporary(0.0, "", "stopped before it was handed over"))
            raise

    async def _flush(self) -> None:
        group, self._waiting = self._waiting[:MOST_OPEN_HANDOFFS], self._waiting[MOST_OPEN_HANDOFFS:]
        if self._waiting:
            task = asyncio.create_task(self._flush())
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)
        if not group:
            return  # withdrawn
        try:
            granted = await self._intend([message for message, _ in group])
        except Exception as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # someone may have left meanwhile; not an unseen error then
        else:
            for message, future in group:
                if not future.done():
                    future.set_result(message.attempt_id in granted)


async def intend_together(intend: Intend, settle: Settle, messages: Sequence[M]) -> list[M]:
    """One intent for messages that leave in one call; answers those that may go, in their order.

    Cancelled while the commit is under way: see `IntentGroup.ask`.
    """
    commit = asyncio.ensure_future(intend(messages))
    try:
        granted = await asyncio.shield(commit)
    except asyncio.CancelledError:
        if not commit.cancelled():
            granted = await commit
            for message in messages:
                if message.attempt_id in granted:
                    settle(message, Temporary(0.0, "", "stopped before it was handed over"))
        raise
    return [message for message in messages if message.attempt_id in granted]
