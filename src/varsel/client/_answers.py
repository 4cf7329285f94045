"""What the API answers, as typed objects (docs/reference/notifications-api.md 2 and 3.6).

Statuses are plain texts, because a server may learn new ones; `is_final` and friends tell what they mean. Unknown members are
ignored. Times are UTC. Addresses stay out of `repr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from ._errors import UnexpectedAnswer
from ._flow import Answer

#: Where an order ends (v2 names).
FINAL_ORDER = frozenset({"Order_Completed", "Order_SendConditionNotMet", "Order_Cancelled"})
#: Where a message has not ended.
OPEN_MESSAGE = frozenset(
    {
        *("Email_New", "Email_Sending", "Email_Succeeded", "SMS_New", "SMS_Sending", "SMS_Accepted"),
        *("New", "Sending", "Succeeded", "Accepted"),
    }
)

T = TypeVar("T")


class _Wire(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """JSON member names are those of the attributes, in camelCase."""


# ---- v2 ----


class ReminderReceipt(_Wire, frozen=True, kw_only=True):
    """The shipment of one reminder."""

    shipment_id: UUID
    senders_reference: str | None = None


class _Notification(_Wire, frozen=True, kw_only=True):
    shipment_id: UUID
    senders_reference: str | None = None
    reminders: tuple[ReminderReceipt, ...] = ()


class _Receipt(_Wire, frozen=True, kw_only=True):
    notification_order_id: UUID
    notification: _Notification


@dataclass(frozen=True, slots=True)
class Receipt:
    """The order is stored, on disk.

    order_id: of the whole chain. shipment_id: of the main notification; follow it with `shipment`, cancel it with `cancel`.
    created: False when this idempotency id was known and this is the receipt of then. body_differs: the order of then was another
    one (Varsel only). warnings: what the server wants known, such as `sms-truncated` (Varsel only).
    """

    order_id: UUID
    shipment_id: UUID
    senders_reference: str | None = None
    reminders: tuple[ReminderReceipt, ...] = ()
    created: bool = True
    body_differs: bool = False
    warnings: tuple[str, ...] = ()


def receipt(answer: Answer) -> Receipt:
    found = decoded(answer, _Receipt)
    return Receipt(
        found.notification_order_id,
        found.notification.shipment_id,
        found.notification.senders_reference,
        found.notification.reminders,
        created=answer.status == 201,
        body_differs=answer.headers.get("varsel-idempotency", "") == "body-differs",
        warnings=_words(answer.headers),
    )


def _words(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word.strip() for word in headers.get("varsel-warning", "").split(",") if word.strip())


class Delivery(_Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a shipment. `type` is `Email` or `SMS`; `destination` is empty for who is reserved or unknown."""

    type: str = ""
    destination: str = ""
    status: str
    last_update: datetime

    @property
    def is_final(self) -> bool:
        return self.status not in OPEN_MESSAGE

    @property
    def is_delivered(self) -> bool:
        return self.status.endswith("_Delivered")

    @property
    def is_failed(self) -> bool:
        return "_Failed" in self.status

    def __repr__(self) -> str:
        return f"{type(self).__name__}(type={self.type!r}, status={self.status!r})"


class Shipment(_Wire, frozen=True, kw_only=True):
    """Where an order and each of its messages stand. `type`: Notification, Reminder, Instant or Composed."""

    shipment_id: UUID
    senders_reference: str | None = None
    type: str = ""
    status: str
    last_update: datetime
    recipients: tuple[Delivery, ...] = ()

    @property
    def is_final(self) -> bool:
        """Nothing will change any more."""
        return self.status in FINAL_ORDER

    @property
    def is_delivered(self) -> bool:
        """Every message has reached its recipient, and there was at least one."""
        return bool(self.recipients) and all(one.is_delivered for one in self.recipients)


class FeedEntry(_Wire, frozen=True, kw_only=True):
    """An order that has come to its end. `sequence_number` only grows; gaps are normal."""

    sequence_number: int
    shipment_id: UUID
    senders_reference: str | None = None
    recipients: tuple[Delivery, ...] = ()
    status: str
    last_update: datetime
    shipment_type: str | None = None


# ---- v1 ----


class RecipientLookup(_Wire, frozen=True, kw_only=True):
    """What the contact registers said. `status`: Success, PartialSuccess or Failed."""

    status: str
    is_reserved: tuple[str, ...] = ()
    missing_contact: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"RecipientLookup(status={self.status!r}, reserved: {len(self.is_reserved)}, "
            f"missing: {len(self.missing_contact)})"
        )


class ClassicReceipt(_Wire, frozen=True, kw_only=True):
    """The order is stored. `recipient_lookup` is None when nobody had to be looked up."""

    order_id: UUID
    recipient_lookup: RecipientLookup | None = None


class ProcessingStatus(_Wire, frozen=True, kw_only=True):
    """`status`: Registered, Processing, Completed, SendConditionNotMet or Cancelled."""

    status: str
    description: str = ""
    last_update: datetime


class Links(_Wire, frozen=True, kw_only=True):
    self: str = ""
    status: str = ""


class Summary(_Wire, frozen=True, kw_only=True):
    """Counts of one channel."""

    generated: int
    succeeded: int
    links: Links = Links()


class StatusSummary(_Wire, frozen=True, kw_only=True):
    email: Summary | None = None
    sms: Summary | None = None


class _StoredOrder(_Wire, frozen=True, kw_only=True):
    id: UUID
    senders_reference: str | None = None
    requested_send_time: datetime
    creator: str
    created: datetime
    notification_channel: str
    ignore_reservation: bool | None = None
    resource_id: str | None = None
    resource_action: str | None = None
    condition_endpoint: str | None = None


class OrderStatus(_StoredOrder, frozen=True, kw_only=True):
    """A stored order with how far it has come."""

    processing_status: ProcessingStatus
    notifications_status_summary: StatusSummary = StatusSummary()


class StoredRecipient(_Wire, frozen=True, kw_only=True):
    email_address: str | None = None
    mobile_number: str | None = None
    organization_number: str | None = None
    national_identity_number: str | None = None
    is_reserved: bool | None = None

    def __repr__(self) -> str:
        return "StoredRecipient(…)"


class StoredEmail(_Wire, frozen=True, kw_only=True):
    from_address: str = ""
    subject: str = ""
    body: str = ""
    content_type: str = "Plain"


class StoredSms(_Wire, frozen=True, kw_only=True):
    sender_number: str = ""
    body: str = ""


class StoredOrder(_StoredOrder, frozen=True, kw_only=True):
    """An order as it was stored."""

    recipients: tuple[StoredRecipient, ...] = ()
    email_template: StoredEmail | None = None
    sms_template: StoredSms | None = None
    links: Links = Links()


class _StoredOrders(_Wire, frozen=True, kw_only=True):
    count: int
    orders: tuple[StoredOrder, ...]


class SendStatus(_Wire, frozen=True, kw_only=True):
    status: str
    description: str = ""
    last_update: datetime


class MessageResult(_Wire, frozen=True, kw_only=True):
    """One message of an order."""

    id: UUID
    succeeded: bool
    recipient: StoredRecipient
    send_status: SendStatus


class Results(_Wire, frozen=True, kw_only=True):
    """The messages of an order on one channel."""

    order_id: UUID
    senders_reference: str | None = None
    generated: int
    succeeded: int
    notifications: tuple[MessageResult, ...] = ()


# ---- support ----


class Attempt(_Wire, frozen=True, kw_only=True):
    """One message to the person or organisation that was searched for."""

    channel: str
    result: str
    result_time: datetime
    national_identity_number: str | None = None
    organization_number: str | None = None
    email_address: str | None = None
    mobile_number: str | None = None

    def __repr__(self) -> str:
        return f"Attempt(channel={self.channel!r}, result={self.result!r})"


class SupportEntry(_Wire, frozen=True, kw_only=True):
    """One order that a person or organisation was a recipient of, whoever ordered it."""

    shipment_id: UUID
    creator_name: str
    resource_id: str | None = None
    senders_reference: str | None = None
    requested_send_time: datetime
    notification_channel: str | None = None
    notification_type: str = ""
    delivery_attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class DailyFile:
    """Yesterday's finished messages as a Parquet file."""

    name: str
    content: bytes = field(repr=False)
    rows: int
    environment: str


def decoded(answer: Answer, kind: type[T]) -> T:
    """The body as this type; UnexpectedAnswer when it is something else."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A validation error names the place, not the value; other parsers' texts are not passed on.
        where = f" ({error})" if isinstance(error, msgspec.ValidationError) else ""
        raise UnexpectedAnswer(
            f"The API answered {answer.status} with a body that the contract does not know{where}; is this the right address?"
        ) from None


def problem(answer: Answer) -> dict[str, Any]:
    """Members of a problem object; empty when the body is none."""
    try:
        found = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
