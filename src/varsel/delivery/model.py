"""What delivery thinks in: orders whose time has come, planned messages, and messages in hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from varsel.store.content import OrderContent

Kind = Literal["Email", "Sms"]

#: How long a claim holds before it must be renewed; the worker renews at a third of it (design 4.1, leases).
LEASE: Final = timedelta(seconds=30)
RENEW_SECONDS: Final = 10.0

LANE_INSTANT: Final = 0
LANE_ORDINARY: Final = 1
LANE_COMPOSED: Final = 2


@dataclass(frozen=True, slots=True)
class DueOrder:
    """An order whose time has come; `content` is None while its texts are too large to be read with the claim."""

    id: UUID
    creator: str
    kind: str
    channel: str
    sending_policy: str | None
    requested_at: datetime
    resource_id: str | None
    resource_action: str | None
    due_at: datetime
    tries: int
    asked: bool
    content: OrderContent | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Addressee:
    """One message to make: an address on a channel, or the reason why there is none (`status` set, address empty).

    `recipient` is the identity as stored (None for a direct address); `name` and `number` fill keywords.
    """

    channel: Kind
    recipient_kind: Literal["direct", "person", "organization", "identity"]
    recipient: str | None = field(default=None, repr=False)
    address: str = field(default="", repr=False)
    status: str | None = None
    name: str = field(default="", repr=False)
    number: str = field(default="", repr=False)


@dataclass(slots=True)
class Planned:
    """One row of `notification`, and of `ready` while it is not final."""

    order_id: UUID
    id: UUID
    creator: str
    channel: Kind
    position: int
    recipient_kind: str
    recipient: str | None = field(repr=False)
    recipient_key: bytes | None = field(repr=False)
    address: str = field(repr=False)
    custom_subject: str | None = field(repr=False)
    custom_body: str | None = field(repr=False)
    sms_parts: int | None
    body_length: int | None
    status: str
    rank: int
    expires_at: datetime
    lane: int
    domain: str | None
    ready_at: datetime
    daytime: bool
    owner: UUID | None = None


@dataclass(slots=True)
class Parcel:
    """One message that this worker holds: a row of `ready` with its words. `tries` counts attempts so far."""

    notification_id: UUID
    order_id: UUID
    creator: str
    channel: Kind
    lane: int
    domain: str | None
    ready_at: datetime
    expires_at: datetime
    tries: int
    daytime: bool
    address: str = field(repr=False)
    custom_subject: str | None = field(repr=False)
    custom_body: str | None = field(repr=False)
    content: OrderContent = field(repr=False)
    pinned: str | None = None
    attempt_id: UUID | None = None
    provider: str = ""
    granted: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A message that has come to its end: what `raise_status` takes. `settled_by` names who ended an open handoff."""

    order_id: UUID
    notification_id: UUID
    status: str
    rank: int
    settled_by: str | None = None


DSN: Final = "dsn"
ACS: Final = "acs"

FIRST_POLL: Final = timedelta(seconds=8)
"""After which a provider that decides later is first asked (docs/reference/delivery.md 7.7)."""


def reference_family(provider: str) -> str:
    """Which reports will name a message that `provider` took: bounce mail (by the notification itself), or the
    provider's own, by its reference.
    """
    family = provider.partition(":")[0]
    return DSN if family == "smtp" else family


def due_order(waiting: Any, order: Any) -> DueOrder:
    """From rows of `claim_due` and `lock_due_orders`."""
    return DueOrder(
        order["id"],
        order["creator"],
        order["kind"],
        order["channel"],
        order["sending_policy"],
        order["requested_at"],
        order["resource_id"],
        order["resource_action"],
        waiting["due_at"],
        waiting["tries"],
        waiting["asked"],
        None,
    )
