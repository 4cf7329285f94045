"""What every channel speaks: a message, an outcome, and the two calls around the point of no return.

A channel hands messages to one provider. It knows the provider's protocol and nothing of orders, leases or
the database: the engine gives it `intend` (write down that this is about to leave) and `settle` (write down
what became of it). The order of the two is promise 5 of the design, "handoff is written down before it
happens", and the conformance suite in `tests/unit/channels/conformance.py` holds every channel to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

MOST_OPEN_HANDOFFS = 32
"""Handoffs that one worker may have open at once over one channel (design 4.1): what a crash can leave unknown."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of a composed e-mail, already fetched (docs/reference/delivery.md 7.8)."""

    filename: str = field(repr=False)
    mime_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EmailMessage:
    """One e-mail to one recipient, ready to leave. Texts are final: keywords are already replaced.

    `sender` is an address, or a name with an address in angle brackets. `expires_at` is calendar time; the
    engine judges it when it answers `intend`, so that a message never waits its life out inside a channel.
    """

    attempt_id: UUID
    notification_id: UUID
    sender: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)
    html: bool
    expires_at: datetime
    attachments: tuple[Attachment, ...] = ()

    @property
    def weight(self) -> int:
        """Characters and octets of it all: how much work it is to put together."""
        files = sum(len(file.content) for file in self.attachments)
        return len(self.subject) + len(self.body) + files


@dataclass(frozen=True, slots=True)
class SmsMessage:
    """One SMS to one number. `validity` is what is left of its life; the gateway counts whole minutes, at least 1."""

    attempt_id: UUID
    notification_id: UUID
    sender: str
    to: str = field(repr=False)
    body: str = field(repr=False)
    validity: timedelta


Message: TypeAlias = EmailMessage | SmsMessage


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has taken it. `reference` is what its reports will name (empty when it gave none).

    `evidence` is the provider's own sentence, without addresses.
    """

    reference: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Permanent:
    """The provider will never take it. `result` is a stored result name of docs/reference/delivery.md 2.2 or 2.3."""

    result: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Temporary:
    """Not sent, and worth another try. `after` is seconds to wait, or None when the provider did not say.

    Scope "provider" says that the fault is the provider's (down, throttled, log-on refused), never the message's.
    `stopped` says that nobody is at fault: this program broke off before the message was handed over.
    """

    after: float | None
    code: str
    detail: str
    scope: Literal["message", "provider"] = "message"
    stopped: bool = False

    @property
    def pauses_provider(self) -> bool:
        """Whether the provider must be left alone for a while."""
        return self.scope == "provider" and not self.stopped


@dataclass(frozen=True, slots=True)
class Unknown:
    """Handed over, and no answer came: it may or may not have been taken. Never resent blindly (design 4.1).

    `after` is seconds for which the provider is left alone, where too much that it got became unknown.
    """

    detail: str
    after: float | None = None


Outcome: TypeAlias = Accepted | Permanent | Temporary | Unknown

Intend: TypeAlias = Callable[[Sequence[Message]], Awaitable[frozenset[UUID]]]
"""Commit the intent of these attempts just before the point of no return; answers the attempt ids that may go."""

Settle: TypeAlias = Callable[[Message, Outcome], None]
"""Called exactly once for each message that was granted, or refused before the intent; never for one not granted."""


class Channel(Protocol):
    """One provider of one kind of message."""

    @property
    def name(self) -> str:
        """Provider name, unique in this installation and without secrets, as `smtp:mail.example.org:25`."""

    @property
    def kind(self) -> Literal["Email", "Sms"]:
        """Which messages it takes."""

    @property
    def slots(self) -> int:
        """How many handoffs it may have open at once, at most `MOST_OPEN_HANDOFFS`."""

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        """Hand over a batch; returns when every message is settled or was not granted.

        Cancelled before the intent of a message means that it was not sent; after it, the message is settled
        as `Unknown` (or as `Temporary` where it certainly never left). An exception from `intend` comes out
        here: the messages of that call were not sent and not settled. A batch of one message may use the
        connections that are kept for instant messages. A message of the other kind is a TypeError.
        """

    async def close(self) -> None:
        """Let go of every connection. A send under way is the caller's to finish or cancel first."""
