"""A provider whose outcomes all become unknown is left alone (docs/reference/delivery.md 7.11)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from tests.unit.channels.conformance import NOW, email
from varsel.channels.model import Accepted, Intend, Message, Outcome, Permanent, Settle, Temporary, Unknown
from varsel.delivery.pauses import DOUBTS, Providers, Watched
from varsel.runtime.clock import ManualClock

LOST = Unknown("HTTP 502")


class Gateway:
    """All messages of a batch in one call, or each in one of its own."""

    name = "smtp:gateway:25"
    kind: Literal["Email"] = "Email"
    slots = 8

    def __init__(self, *, together: bool = False) -> None:
        self.together = together
        self.answer: Outcome = LOST
        self.got: list[UUID] = []

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        for call in [messages] if self.together else [[message] for message in messages]:
            granted = await intend(call)
            await asyncio.sleep(0)
            for message in call:
                if message.attempt_id in granted:
                    self.got.append(message.attempt_id)
                    settle(message, self.answer)

    async def close(self) -> None:
        pass


class Desk:
    """What the engine does with the outcomes."""

    def __init__(self, gateway: Gateway) -> None:
        self.clock = ManualClock(NOW)
        self.gateway = gateway
        self.watched = Watched(gateway, self.clock)
        self.rests: list[float] = []

    async def send(self, number: int) -> int:
        """How many of so many messages left."""
        before = len(self.gateway.got)
        await self.watched.send([email() for _ in range(number)], self.grant, self.settle)
        return len(self.gateway.got) - before

    async def grant(self, messages: Sequence[Message]) -> frozenset[UUID]:
        return frozenset(message.attempt_id for message in messages)

    def settle(self, _message: Message, outcome: Outcome) -> None:
        if isinstance(outcome, Unknown) and outcome.after is not None:
            self.rests.append(outcome.after)


async def test_a_provider_rests_longer_each_time_until_it_answers() -> None:
    desk = Desk(Gateway())
    assert await desk.send(20) == DOUBTS
    assert desk.rests == [5.0]
    assert await desk.send(20) == 0
    for rest in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0):
        desk.clock.advance(timedelta(seconds=rest - 1))
        assert await desk.send(20) == 0
        desk.clock.advance(timedelta(seconds=1))
        assert await desk.send(20) == 1, "one on trial"
    assert desk.rests == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0]

    desk.clock.advance(timedelta(seconds=900))
    desk.gateway.answer = Permanent("Failed", "550", "no")
    assert await desk.send(20) == 20
    desk.gateway.answer = LOST
    assert await desk.send(20) == DOUBTS
    assert desk.rests[-1] == 5.0


async def test_an_answer_in_between_is_enough() -> None:
    desk = Desk(Gateway())
    for answer in (Accepted("ref"), Permanent("Failed", "550", "no"), Temporary(None, "451", "later")):
        desk.gateway.answer = LOST
        assert await desk.send(DOUBTS - 1) == DOUBTS - 1
        desk.gateway.answer = answer
        assert await desk.send(1) == 1
    assert desk.rests == []
    desk.gateway.answer = LOST
    assert await desk.send(DOUBTS - 1) == DOUBTS - 1
    desk.gateway.answer = Temporary(1.0, "", "no connection", "provider")  # nothing that it said
    assert await desk.send(1) == 1
    desk.gateway.answer = LOST
    await desk.send(1)
    assert desk.rests == [5.0]


async def test_one_lost_call_is_no_reason_to_rest() -> None:
    desk = Desk(Gateway(together=True))
    assert await desk.send(20) == 20
    assert desk.rests == []
    assert await desk.send(20) == 1, "one on trial"
    assert desk.rests == [5.0]


async def test_nothing_else_leaves_while_one_is_on_trial() -> None:
    desk = Desk(Gateway(together=True))
    await desk.send(DOUBTS)
    providers = Providers([], desk.clock)
    providers._channels = (desk.watched,)
    asked = asyncio.Event()
    go = asyncio.Event()

    async def slowly(messages: Sequence[Message]) -> frozenset[UUID]:
        asked.set()
        await go.wait()
        return await desk.grant(messages)

    desk.gateway.answer = Accepted("ref")
    trial = asyncio.create_task(desk.watched.send([email(), email()], slowly, desk.settle))
    await asked.wait()
    assert providers.choose("Email") is None
    assert providers.wait("Email") > 0
    assert await desk.send(1) == 0
    go.set()
    await trial
    assert providers.choose("Email") is desk.watched
    assert await desk.send(20) == 20


async def test_what_this_program_breaks_off_says_nothing_of_the_provider() -> None:
    desk = Desk(Gateway())

    class Silent(Gateway):
        async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
            await intend(messages)
            try:
                await asyncio.Event().wait()
            finally:
                settle(messages[0], Unknown("stopped"))

    desk.watched = Watched(Silent(), desk.clock)
    for _ in range(2 * DOUBTS):
        task = asyncio.create_task(desk.send(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert desk.rests == []
    assert desk.watched.left == 0.0
