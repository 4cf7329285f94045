"""What every channel must do, whatever its protocol. A channel's test file subclasses `Conformance`.

The subclass gives a fixture `far`: a provider on loopback that fails on purpose, and the channel that talks to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID, uuid4

import pytest

from tests.support.polling import until
from varsel.channels.model import (
    Accepted,
    Channel,
    EmailMessage,
    Message,
    Outcome,
    Permanent,
    SmsMessage,
    Temporary,
    Unknown,
)

NOW = datetime(2031, 3, 14, 8, 0, tzinfo=UTC)
Fate = Literal["ordinary", "permanent", "temporary", "drop", "slow", "lost"]


def email(to: str = "kari@example.org", **values: object) -> EmailMessage:
    given: dict[str, object] = {
        "attempt_id": uuid4(),
        "notification_id": uuid4(),
        "sender": "noreply@varsel.example.org",
        "to": to,
        "subject": "Hei",
        "body": "Du har fått post.",
        "html": False,
        "expires_at": NOW + timedelta(days=2),
    }
    return EmailMessage(**(given | values))


def sms(to: str = "+4740000000", **values: object) -> SmsMessage:
    given: dict[str, object] = {
        "attempt_id": uuid4(),
        "notification_id": uuid4(),
        "sender": "Varsel",
        "to": to,
        "body": "Du har fått post.",
        "validity": timedelta(hours=48),
    }
    return SmsMessage(**(given | values))


def start(sending: Coroutine[None, None, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(sending)


class Far(Protocol):
    """The provider's side of a test."""

    channel: Channel
    held: asyncio.Event  # set while the far end holds back an answer to a slow message

    def message(self, fate: Fate) -> Message: ...

    def taken(self) -> list[str]:
        """The addressees of what the far end has taken, in order."""

    def other_kind(self) -> Message: ...

    def unreachable(self) -> Channel:
        """A channel of the same kind whose provider is not there."""

    def unknown_user(self) -> Channel:
        """A channel of the same kind whose log-on is refused."""


@dataclass
class Engine:
    """Stands for the delivery engine: grants, settles, remembers."""

    refuse: set[UUID] = field(default_factory=set)
    intended: list[UUID] = field(default_factory=list)
    outcomes: dict[UUID, list[Outcome]] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    asking: int = 0
    open: set[UUID] = field(default_factory=set)
    most_open: int = 0
    error: Exception | None = None
    before: Callable[[Sequence[Message]], None] | None = None

    async def intend(self, messages: Sequence[Message]) -> frozenset[UUID]:
        self.asking += 1
        if self.before is not None:
            self.before(messages)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        granted = frozenset(message.attempt_id for message in messages) - self.refuse
        self.intended.extend(granted)
        self.open |= granted
        self.most_open = max(self.most_open, len(self.open))
        return granted

    def settle(self, message: Message, outcome: Outcome) -> None:
        self.open.discard(message.attempt_id)
        self.outcomes.setdefault(message.attempt_id, []).append(outcome)

    def outcome(self, message: Message) -> Outcome:
        (one,) = self.outcomes[message.attempt_id]
        return one


class Conformance:
    async def test_accepted_once_with_a_reference(self, far: Far) -> None:
        engine, message = Engine(), far.message("ordinary")
        await far.channel.send([message], engine.intend, engine.settle)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Accepted)
        assert outcome.reference
        assert far.taken() == [message.to]
        assert engine.intended == [message.attempt_id]

    async def test_the_intent_comes_before_anything_arrives(self, far: Far) -> None:
        seen: list[int] = []
        engine = Engine(before=lambda messages: seen.append(len(far.taken())))
        await far.channel.send([far.message("ordinary")], engine.intend, engine.settle)
        assert seen == [0]
        assert len(far.taken()) == 1

    async def test_refused_for_good(self, far: Far) -> None:
        engine, message = Engine(), far.message("permanent")
        await far.channel.send([message], engine.intend, engine.settle)
        assert isinstance(engine.outcome(message), Permanent)
        assert far.taken() == []

    async def test_refused_for_now(self, far: Far) -> None:
        engine, message = Engine(), far.message("temporary")
        await far.channel.send([message], engine.intend, engine.settle)
        assert isinstance(engine.outcome(message), Temporary)
        assert far.taken() == []

    @pytest.mark.parametrize("fate", ["drop", "lost"])
    async def test_no_answer_after_the_handover_is_unknown(self, far: Far, fate: Fate) -> None:
        engine, message = Engine(), far.message(fate)
        await far.channel.send([message], engine.intend, engine.settle)
        assert isinstance(engine.outcome(message), Unknown)

    async def test_each_of_a_mixed_batch_is_settled_once(self, far: Far) -> None:
        messages = [far.message("permanent" if number % 3 == 0 else "ordinary") for number in range(60)]
        engine = Engine()
        await far.channel.send(messages, engine.intend, engine.settle)
        outcomes = [engine.outcome(message) for message in messages]
        assert [isinstance(outcome, Permanent) for outcome in outcomes] == [
            number % 3 == 0 for number in range(60)
        ]
        assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 40
        references = [outcome.reference for outcome in outcomes if isinstance(outcome, Accepted)]
        assert len(set(references)) == 40
        assert len(far.taken()) == 40
        assert engine.most_open <= far.channel.slots

    async def test_a_batch_goes_on_after_a_connection_is_lost(self, far: Far) -> None:
        messages = [far.message("drop" if number == 5 else "ordinary") for number in range(40)]
        engine = Engine()
        await far.channel.send(messages, engine.intend, engine.settle)
        outcomes = [engine.outcome(message) for message in messages]
        assert isinstance(outcomes[5], Unknown)
        # Only what shared the call of the lost one may be unknown with it.
        assert sum(isinstance(outcome, Accepted) for outcome in outcomes) >= 32
        assert not any(isinstance(outcome, (Temporary, Permanent)) for outcome in outcomes)

    async def test_what_is_not_granted_never_leaves(self, far: Far) -> None:
        messages = [far.message("ordinary") for _ in range(20)]
        engine = Engine(refuse={message.attempt_id for message in messages[::2]})
        await far.channel.send(messages, engine.intend, engine.settle)
        assert set(engine.outcomes) == {message.attempt_id for message in messages[1::2]}
        assert all(isinstance(engine.outcome(message), Accepted) for message in messages[1::2])
        await until(lambda: len(far.taken()) == 10)

    async def test_an_error_of_the_intent_comes_out_and_nothing_leaves(self, far: Far) -> None:
        for count in (1, 10):
            engine = Engine(error=RuntimeError("no database"))
            with pytest.raises(RuntimeError, match="no database"):
                await far.channel.send(
                    [far.message("ordinary") for _ in range(count)], engine.intend, engine.settle
                )
            assert engine.outcomes == {}
        assert far.taken() == []
        again, message = Engine(), far.message("ordinary")
        await far.channel.send([message], again.intend, again.settle)
        assert isinstance(again.outcome(message), Accepted)

    async def test_cancelled_while_waiting_for_a_slot(self, far: Far) -> None:
        gate = asyncio.Event()
        first = Engine(gate=gate)
        busy = start(
            far.channel.send([far.message("ordinary") for _ in range(100)], first.intend, first.settle)
        )
        await until(lambda: first.asking)
        second = Engine()
        waiting = start(
            far.channel.send([far.message("ordinary") for _ in range(2)], second.intend, second.settle)
        )
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert second.intended == []
        assert second.outcomes == {}
        gate.set()
        await busy
        assert len(far.taken()) == 100

    async def test_cancelled_while_the_intent_is_committed(self, far: Far) -> None:
        gate = asyncio.Event()
        engine, message = Engine(gate=gate), far.message("ordinary")
        task = start(far.channel.send([message], engine.intend, engine.settle))
        await until(lambda: engine.asking)
        task.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The intent stands, so something must stand behind it: certainly not sent.
        assert engine.intended == [message.attempt_id]
        assert isinstance(engine.outcome(message), Temporary)
        assert far.taken() == []

    async def test_cancelled_after_the_handover_is_unknown(self, far: Far) -> None:
        engine, message = Engine(), far.message("slow")
        task = start(far.channel.send([message], engine.intend, engine.settle))
        await asyncio.wait_for(far.held.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(engine.outcome(message), Unknown)

    async def test_an_instant_message_passes_a_large_send(self, far: Far) -> None:
        gate = asyncio.Event()
        large = Engine(gate=gate)
        busy = start(
            far.channel.send([far.message("ordinary") for _ in range(200)], large.intend, large.settle)
        )
        await until(lambda: large.asking)
        instant, message = Engine(), far.message("ordinary")
        await asyncio.wait_for(far.channel.send([message], instant.intend, instant.settle), 10)
        assert isinstance(instant.outcome(message), Accepted)
        assert large.outcomes == {}
        gate.set()
        await busy

    async def test_a_provider_that_is_not_there_is_never_unknown(self, far: Far) -> None:
        channel = far.unreachable()
        for count in (1, 10):
            engine = Engine()
            messages = [far.message("ordinary") for _ in range(count)]
            await channel.send(messages, engine.intend, engine.settle)
            for message in messages:
                outcome = engine.outcome(message)
                assert isinstance(outcome, Temporary)
                assert outcome.scope == "provider"
                assert outcome.after is not None
                assert outcome.after > 0
        await channel.close()

    async def test_a_refused_log_on_is_the_providers_fault(self, far: Far) -> None:
        channel = far.unknown_user()
        engine, message = Engine(), far.message("ordinary")
        await channel.send([message], engine.intend, engine.settle)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Temporary)
        assert outcome.scope == "provider"
        assert "hemmelig" not in repr(outcome)
        await channel.close()

    async def test_nothing_to_send(self, far: Far) -> None:
        engine = Engine()
        await far.channel.send([], engine.intend, engine.settle)
        assert engine.asking == 0

    async def test_a_message_of_the_other_kind_is_refused(self, far: Far) -> None:
        engine = Engine()
        with pytest.raises(TypeError):
            await far.channel.send([far.other_kind()], engine.intend, engine.settle)
        assert engine.intended == []

    async def test_outcomes_and_messages_hide_addresses(self, far: Far) -> None:
        for fate in ("ordinary", "permanent", "temporary", "drop"):
            engine, message = Engine(), far.message(fate)
            await far.channel.send([message], engine.intend, engine.settle)
            for text in (repr(message), repr(engine.outcome(message))):
                assert message.to not in text
                assert message.to.lstrip("+") not in text

    async def test_usable_again_after_close(self, far: Far) -> None:
        first, message = Engine(), far.message("ordinary")
        await far.channel.send([message], first.intend, first.settle)
        await far.channel.close()
        await far.channel.close()
        second, message = Engine(), far.message("ordinary")
        await far.channel.send([message], second.intend, second.settle)
        assert isinstance(second.outcome(message), Accepted)
