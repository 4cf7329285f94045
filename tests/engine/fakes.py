"""A channel under a test's hand: the protocol of varsel.channels.model, and whatever outcome an address asks for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal
from uuid import UUID

from varsel.channels.model import (
    Accepted,
    Intend,
    Message,
    Outcome,
    Permanent,
    Settle,
    Temporary,
    Unknown,
)


class FakeChannel:
    """`judge(message, count of earlier handoffs)` gives the outcome; a Temporary or Permanent whose code is
    "before" is settled before the intent."""

    def __init__(
        self,
        kind: Literal["Email", "Sms"] = "Email",
        name: str = "smtp:fake:25",
        slots: int = 8,
        judge: Callable[[Message, int], Outcome] | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.slots = slots
        self.judge = judge or (lambda message, count: Accepted(f"ref-{message.notification_id}"))
        self.handed: list[Message] = []
        self.times: Counter[UUID] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_gate = 0

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        waiting = list(messages)

        async def lane() -> None:
            while waiting:
                message = waiting.pop(0)
                outcome = self.judge(message, self.times[message.notification_id])
                if isinstance(outcome, Temporary | Permanent) and outcome.code == "before":
                    self.times[message.notification_id] += 1
                    settle(message, outcome)
                    continue
                if message.attempt_id not in await intend([message]):
                    continue
                self.times[message.notification_id] += 1
                self.handed.append(message)
                self.at_gate += 1
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    settle(message, Unknown("stopped"))
                    raise
                settle(message, outcome)

        ends = await asyncio.gather(*(lane() for _ in range(self.slots)), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def close(self) -> None:
        pass

    def to(self) -> list[str]:
        return [message.to for message in self.handed]


class NoOutbound:
    """Nobody outside answers."""

    async def get(self, url: str, **_: Any) -> Any:
        raise OSError("nobody there")


class NoResolver:
    """No register at all."""

    async def resolve(self, order: Any, content: Any) -> Any:
        raise AssertionError("no register in this test")
