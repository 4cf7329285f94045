"""Which provider takes the next message: the first of the settings' order that is not paused."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from varsel.channels.model import Accepted, Channel, Intend, Message, Outcome, Settle, Unknown
from varsel.delivery.model import Kind
from varsel.runtime.clock import Machine

DOUBTS: Final = 5
"""Outcomes in a row that became unknown, after which a provider is in doubt."""
_FIRST_REST: Final = 5.0
_LONGEST_REST: Final = 300.0
_PROBE: Final = 1.0  # seconds after which somebody looks again what became of a message on trial


class Watched:
    """A channel whose provider is left alone when whatever it gets becomes unknown.

    A gateway that answers 502 to everything refuses nothing, so no pause would ever begin, and all messages would end
    up where nobody may send them again. Five unknown outcomes in a row put the provider in doubt: it rests, 5 s and then
    twice as long each time, at most 5 minutes, and between rests it gets one message at a time, until it answers. What
    one call lost came to light in one turn of the event loop: however many messages that were, nothing rests for it alone.
    """

    def __init__(self, channel: Channel, machine: Machine) -> None:
        self._channel = channel
        self._machine = machine
        self._unknown = 0
        self._turns = 0
        self._same_turn = False
        self._rests = 0
        self._until = float("-inf")
        self._probe: UUID | None = None

    @property
    def name(self) -> str:
        return self._channel.name

    @property
    def kind(self) -> Literal["Email", "Sms"]:
        return self._channel.kind

    @property
    def slots(self) -> int:
        return self._channel.slots

    @property
    def left(self) -> float:
        """Seconds until it may get a message; an estimate while one is on trial."""
        return max(0.0, self._until - self._machine.monotonic(), _PROBE if self._probe else 0.0)

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        """See `Channel.send`. What is not granted any more goes back to where it waited."""

        async def granted(asked: Sequence[Message]) -> frozenset[UUID]:
            if self._unknown < DOUBTS:
                return await intend(asked)
            if self.left:
                return frozenset()
            self._probe = asked[0].attempt_id
            gone: frozenset[UUID] = frozenset()
            try:
                gone = await intend(asked[:1])
            finally:
                if not gone:
                    self._probe = None
            return gone

        def weighed(message: Message, outcome: Outcome) -> None:
            settle(message, self._weigh(message, outcome))

        try:
            await self._channel.send(messages, granted, weighed)
        finally:
            if any(message.attempt_id == self._probe for message in messages):
                self._probe = None

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._channel.close()

    def _weigh(self, message: Message, outcome: Outcome) -> Outcome:
        if message.attempt_id == self._probe:
            self._probe = None
        if isinstance(outcome, Unknown):
            return self._doubted(outcome)
        # Without a code it is nothing that the provider said: no connection, or an address that cannot be.
        if isinstance(outcome, Accepted) or outcome.code:
            self._unknown = self._turns = self._rests = 0
            self._until = float("-inf")
        return outcome

    def _doubted(self, outcome: Unknown) -> Unknown:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return outcome  # broken off by this program
        now = self._machine.monotonic()
        if now < self._until:
            return outcome  # it left before the rest began
        self._unknown += 1
        if not self._same_turn:
            self._same_turn = True
            self._turns += 1
            asyncio.get_running_loop().call_soon(self._turn)
        if self._unknown < DOUBTS or self._turns == 1:
            return outcome
        rest = min(_FIRST_REST * 2**self._rests, _LONGEST_REST)
        self._rests = min(self._rests + 1, 10)
        self._until = now + rest
        return replace(outcome, after=rest)

    def _turn(self) -> None:
        self._same_turn = False


class Providers:
    """The channels of this worker with their pauses, as all workers know them (table provider_state)."""

    def __init__(self, channels: Sequence[Channel], machine: Machine) -> None:
        self._channels = tuple(Watched(channel, machine) for channel in channels)
        self._machine = machine
        self._until: dict[str, float] = {}

    def pause(self, provider: str, pause: timedelta) -> None:
        until = self._machine.monotonic() + pause.total_seconds()
        self._until[provider] = max(until, self._until.get(provider, 0.0))

    def learn(self, left: Mapping[str, float]) -> None:
        """Pauses read from the database, in seconds that are left."""
        now = self._machine.monotonic()
        for provider, seconds in left.items():
            self._until[provider] = max(self._until.get(provider, 0.0), now + seconds)

    def has(self, kind: Kind) -> bool:
        return any(channel.kind == kind for channel in self._channels)

    def choose(
        self, kind: Kind, pinned: str | None = None, *, without: Collection[str] = ()
    ) -> Channel | None:
        """The channel for a message now; None while none may be used. A pin names the only one that is right.

        A pinned provider that is no longer configured gives way to the others: nobody could settle it there.
        """
        mine = [channel for channel in self._channels if channel.kind == kind and channel.name not in without]
        if pinned is not None:
            mine = [channel for channel in mine if channel.name == pinned] or mine
        for channel in mine:
            if not self._left(channel):
                return channel
        return None

    def wait(self, kind: Kind) -> float:
        """Seconds until some channel of a kind may be used again."""
        return min((self._left(channel) for channel in self._channels if channel.kind == kind), default=0.0)

    def rest(self, provider: str) -> float:
        """Seconds until one provider may be used again."""
        return max(
            (self._left(channel) for channel in self._channels if channel.name == provider), default=0.0
        )

    def _left(self, channel: Watched) -> float:
        pause = self._until.get(channel.name, 0.0) - self._machine.monotonic()
        return max(0.0, pause, channel.left)
