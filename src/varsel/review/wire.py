"""What reviews look like from outside (docs/reference/notifications-api.md 2.15, 2.16)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LifecycleStatus = Annotated[
    str, Meta(description="Lifecycle value: `Order_…`, `Email_…` or `SMS_…`.", examples=["Email_Delivered"])
]
WireTime = Annotated[
    str,
    Meta(
        description="UTC, ISO 8601 with `Z`.",
        examples=["2031-03-14T08:00:41.5Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Identifier = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]


class ShipmentRecipient(msgspec.Struct, rename="camel"):
    """One message of a shipment."""

    type: Annotated[Literal["Email", "SMS"], Meta(description="Channel of the message.")]
    destination: Annotated[
        str,
        Meta(
            description="Address or number; empty when the recipient is reserved or not identified.",
            examples=["kari@example.org"],
        ),
    ]
    status: LifecycleStatus
    last_update: WireTime


class Shipment(msgspec.Struct, rename="camel", omit_defaults=True):
    """Delivery manifest: where an order and each of its messages stand."""

    shipment_id: Identifier
    type: Annotated[
        Literal["Notification", "Reminder", "Instant", "Composed"],
        Meta(description="Kind of the order; v1 orders are `Notification`."),
    ]
    status: LifecycleStatus
    last_update: WireTime
    recipients: Annotated[
        list[ShipmentRecipient],
        Meta(description="One entry per message, e-mail before SMS; empty until the order is processed."),
    ]
    senders_reference: Annotated[str | None, Meta(description="The caller's own reference.")] = None


class FeedRecipient(msgspec.Struct, rename="camel"):
    """One message of an order that has ended."""

    destination: Annotated[
        str, Meta(description="Address or number; empty when the recipient was reserved or not identified.")
    ]
    status: LifecycleStatus
    last_update: WireTime


class FeedEntry(msgspec.Struct, rename="camel", omit_defaults=True):
    """An order that has reached its final status; written once."""

    sequence_number: Annotated[
        int,
        Meta(
            description="Cursor: strictly increasing in commit order, one series for all creators, so gaps are normal.",
            ge=1,
        ),
    ]
    shipment_id: Identifier
    recipients: list[FeedRecipient]
    status: Annotated[
        Literal["Order_Completed", "Order_SendConditionNotMet"], Meta(description="The final status.")
    ]
    last_update: WireTime
    senders_reference: str | None = None
    shipment_type: Annotated[
        Literal["Notification", "Reminder", "Instant", "Composed"] | None,
        Meta(description="Kind of the order."),
    ] = None
