"""Providers that take a message first and decide later: asked again until they know.

A channel that also satisfies `Polled` is asked by the engine. Asking never hands a message over, so it may be repeated
freely, and what goes wrong with it says nothing about the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from varsel.channels.model import Permanent, Temporary


@dataclass(frozen=True, slots=True)
class Underway:
    """Not decided. `after` is the least number of seconds to wait before the next question, None when not said."""

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """Sent on by the provider; a delivery report may follow."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The provider knows no such message: it never took it, or has forgotten it."""


Standing: TypeAlias = Underway | Passed | Permanent | Missing | Temporary
"""`Temporary`: the question could not be answered now."""


@runtime_checkable
class Polled(Protocol):
    """A channel whose provider decides after it accepted."""

    @property
    def name(self) -> str:
        """As `Channel.name`."""

    async def stand(self, reference: str) -> Standing:
        """Where the message with this reference stands. The reference of an attempt is its id, so that a message can be
        asked about also when no answer to its submission was read.
        """
