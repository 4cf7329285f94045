"""Which provider takes the next message: the first of the settings' order that is not paused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from varsel.channels.model import Channel
from varsel.delivery.model import Kind
from varsel.runtime.clock import Machine


class Providers:
    """The channels of this worker with their pauses, as all workers know them (table provider_state)."""

    def __init__(self, channels: Sequence[Channel], machine: Machine) -> None:
        self._channels = tuple(channels)
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

    def choose(self, kind: Kind, pinned: str | None = None) -> Channel | None:
        """The channel for a message now; None while none may be used. A pin names the only one that is right.

        A pinned provider that is no longer configured gives way to the others: nobody could settle it there.
        """
        mine = [channel for channel in self._channels if channel.kind == kind]
        if pinned is not None:
            mine = [channel for channel in mine if channel.name == pinned] or mine
        now = self._machine.monotonic()
        for channel in mine:
            if self._until.get(channel.name, 0.0) <= now:
                return channel
        return None

    def wait(self, kind: Kind) -> float:
        """Seconds until some channel of a kind may be used again."""
        ends = [self._until.get(channel.name, 0.0) for channel in self._channels if channel.kind == kind]
        return max(0.0, min(ends, default=0.0) - self._machine.monotonic())

    def rest(self, provider: str) -> float:
        """Seconds until one provider may be used again."""
        return max(0.0, self._until.get(provider, 0.0) - self._machine.monotonic())
