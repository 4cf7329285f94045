"""What reviews look like from outside (docs/reference/notifications-api.md 2.4, 2.5, 2.8, 2.9, 2.15–2.18, 2.24)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from varsel.store.order_status import ChannelName, Link

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


class OrderRecipient(msgspec.Struct, rename="camel", omit_defaults=True):
    """A recipient as it was ordered; addresses that were looked up are not added. Empty for an external identity."""

    email_address: Annotated[str | None, Meta(examples=["kari@example.org"])] = None
    mobile_number: Annotated[str | None, Meta(examples=["+4799999999"])] = None
    organization_number: Annotated[str | None, Meta(examples=["312345609"])] = None
    national_identity_number: Annotated[str | None, Meta(examples=["12839010182"])] = None


class EmailTemplate(msgspec.Struct, rename="camel"):
    """The e-mail as ordered; keywords stand unreplaced."""

    from_address: Annotated[
        str, Meta(description="Sender, the configured default where the order named none.")
    ]
    subject: str
    body: str
    content_type: Literal["Plain", "Html"]


class SmsTemplate(msgspec.Struct, rename="camel"):
    """The SMS as ordered; keywords stand unreplaced."""

    body: str
    sender_number: Annotated[
        str, Meta(description="Sender, the configured default where the order named none.")
    ]


class OrderLinks(msgspec.Struct):
    """Where an order and its status are."""

    self: Link
    status: Link


class Order(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A stored order; v2 shipments are shown in this shape too."""

    id: Identifier
    senders_reference: Annotated[str | None, Meta(description="The caller's own reference.")] = None
    requested_send_time: WireTime
    creator: Annotated[str, Meta(description="Short name of the ordering organisation.", examples=["ttd"])]
    created: WireTime
    notification_channel: ChannelName
    ignore_reservation: bool | None = None
    resource_id: str | None = None
    resource_action: str | None = None
    recipients: Annotated[
        list[OrderRecipient],
        Meta(description="As ordered; empty when their retention time is over."),
    ]
    condition_endpoint: str | None = None
    email_template: EmailTemplate | None = None
    sms_template: SmsTemplate | None = None
    links: OrderLinks


class OrderList(msgspec.Struct):
    """Orders with one reference."""

    count: Annotated[int, Meta(ge=0)]
    orders: list[Order]


class SendStatus(msgspec.Struct, rename="camel"):
    """Result of one notification."""

    status: Annotated[
        str,
        Meta(
            description="v1 result name; a message whose time to live ran out is `Failed`.",
            examples=["Delivered"],
        ),
    ]
    description: Annotated[
        str, Meta(description="A sentence for people.", examples=["Delivered to the recipient."])
    ]
    last_update: WireTime


class EmailResultRecipient(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """To whom; the identifier where the order named one."""

    email_address: Annotated[str, Meta(description="Empty when reserved or not identified.")]
    national_identity_number: str | None = None
    organization_number: str | None = None


class SmsResultRecipient(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """To whom; the identifier where the order named one."""

    mobile_number: Annotated[str, Meta(description="Empty when reserved or not identified.")]
    national_identity_number: str | None = None
    organization_number: str | None = None


class EmailResult(msgspec.Struct, rename="camel"):
    """One e-mail notification."""

    id: Identifier
    succeeded: Annotated[bool, Meta(description="`Succeeded` or `Delivered`.")]
    recipient: EmailResultRecipient
    send_status: SendStatus


class SmsResult(msgspec.Struct, rename="camel"):
    """One SMS notification."""

    id: Identifier
    succeeded: Annotated[bool, Meta(description="`Accepted` or `Delivered`.")]
    recipient: SmsResultRecipient
    send_status: SendStatus


class EmailResults(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The e-mail notifications of an order."""

    order_id: Identifier
    senders_reference: str | None = None
    generated: Annotated[int, Meta(ge=0)]
    succeeded: Annotated[int, Meta(ge=0)]
    notifications: list[EmailResult]


class SmsResults(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The SMS notifications of an order."""

    order_id: Identifier
    senders_reference: str | None = None
    generated: Annotated[int, Meta(ge=0)]
    succeeded: Annotated[int, Meta(ge=0)]
    notifications: list[SmsResult]


class DeliveryAttempt(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One notification to the recipient that was searched for."""

    national_identity_number: str | None = None
    organization_number: str | None = None
    channel: Literal["email", "sms"]
    email_address: str | None = None
    mobile_number: str | None = None
    result: Annotated[str, Meta(description="Result name, as stored.", examples=["Failed_TTL"])]
    result_time: WireTime


class FoundOrder(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """An order that generated notifications for the recipient."""

    shipment_id: Identifier
    creator_name: Annotated[str, Meta(examples=["ttd"])]
    resource_id: str | None = None
    senders_reference: str | None = None
    requested_send_time: WireTime
    notification_channel: ChannelName | None = None
    notification_type: Literal["Notification", "Reminder", "Instant", "Composed"]
    delivery_attempts: list[DeliveryAttempt]


class LogEntry(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One line of the notification log: a message of an order that has ended."""

    notification_id: Identifier
    dialog_id: Annotated[str | None, Meta(description="As the order gave it.")] = None
    transmission_id: Annotated[str | None, Meta(description="As the order gave it.")] = None
    type: Literal["Notification", "Reminder", "Instant", "Composed"]
    channel: Literal["Email", "Sms"]
    destination: Annotated[str, Meta(description="Address or number; empty when reserved or not identified.")]
    status: LifecycleStatus
    requested_send_time: WireTime
    last_update_time: WireTime


class ConditionAnswer(msgspec.Struct, rename="camel"):
    """What a condition endpoint answers."""

    send_notification: bool
