"""What reviews look like from outside (docs/reference/notifications-api.md 2.4, 2.5, 2.8, 2.9, 2.15–2.18, 2.24)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from varsel.store.order_status import (
    ChannelName,
    Condition,
    Identifier,
    IgnoreReservation,
    Link,
    Moment,
    Reference,
    ResourceAction,
    ResourceId,
)

LifecycleStatus = Annotated[
    str, Meta(description="Lifecycle value: `Order_…`, `Email_…` or `SMS_…`.", examples=["Email_Delivered"])
]
WireTime = Moment
Address = Annotated[str, Meta(description="E-mail address.", examples=["kari@example.org"])]
Number = Annotated[str, Meta(description="Mobile number.", examples=["+4799999999"])]
Person = Annotated[str, Meta(description="National identity number, 11 digits.", examples=["12839010182"])]
Organization = Annotated[str, Meta(description="Organization number, 9 digits.", examples=["312345609"])]
OrderKind = Annotated[
    Literal["Notification", "Reminder", "Instant", "Composed"], Meta(description="Kind of the order.")
]
Generated = Annotated[
    int, Meta(ge=0, description="Notifications created, also those that failed at once.", examples=[2])
]


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


class Shipment(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Delivery manifest: where an order and each of its messages stand."""

    shipment_id: Identifier
    senders_reference: Reference | None = None
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


class FeedRecipient(msgspec.Struct, rename="camel"):
    """One message of an order that has ended."""

    destination: Annotated[
        str,
        Meta(
            description="Address or number; empty when the recipient was reserved or not identified.",
            examples=["+4799999999"],
        ),
    ]
    status: LifecycleStatus
    last_update: WireTime


class FeedEntry(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """An order that has reached its final status; written once."""

    sequence_number: Annotated[
        int,
        Meta(
            description="Cursor: strictly increasing in commit order, one series for all creators, so gaps are normal.",
            ge=1,
            examples=[1742],
        ),
    ]
    shipment_id: Identifier
    senders_reference: Reference | None = None
    recipients: Annotated[list[FeedRecipient], Meta(description="One entry per message.")]
    status: Annotated[
        Literal["Order_Completed", "Order_SendConditionNotMet"], Meta(description="The final status.")
    ]
    last_update: WireTime
    shipment_type: OrderKind | None = None


class OrderRecipient(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """A recipient as it was ordered; addresses that were looked up are not added. Empty for an external identity."""

    email_address: Address | None = None
    mobile_number: Number | None = None
    organization_number: Organization | None = None
    national_identity_number: Person | None = None


class OrderedEmail(msgspec.Struct, rename="camel"):
    """The e-mail as ordered; keywords stand unreplaced."""

    from_address: Annotated[
        str,
        Meta(
            description="Sender, the configured default where the order named none.",
            examples=["noreply@example.org"],
        ),
    ]
    subject: Annotated[str, Meta(description="Subject, in one line.", examples=["Ny melding"])]
    body: Annotated[str, Meta(description="Text.", examples=["Hei $recipientName$, du har en ny melding."])]
    content_type: Annotated[Literal["Plain", "Html"], Meta(description="How the text is written.")]


class OrderedSms(msgspec.Struct, rename="camel"):
    """The SMS as ordered; keywords stand unreplaced."""

    body: Annotated[str, Meta(description="Text.", examples=["Du har en ny melding."])]
    sender_number: Annotated[
        str,
        Meta(description="Sender, the configured default where the order named none.", examples=["Varsel"]),
    ]


class OrderLinks(msgspec.Struct):
    """Where an order and its status are."""

    self: Link
    status: Link


class Order(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A stored order; v2 shipments are shown in this shape too."""

    id: Identifier
    senders_reference: Reference | None = None
    requested_send_time: WireTime
    creator: Annotated[str, Meta(description="Short name of the ordering organisation.", examples=["ttd"])]
    created: WireTime
    notification_channel: ChannelName
    ignore_reservation: IgnoreReservation | None = None
    resource_id: ResourceId | None = None
    resource_action: ResourceAction | None = None
    recipients: Annotated[
        list[OrderRecipient],
        Meta(description="As ordered; empty when their retention time is over."),
    ]
    condition_endpoint: Condition | None = None
    email_template: OrderedEmail | None = None
    sms_template: OrderedSms | None = None
    links: OrderLinks


class OrderList(msgspec.Struct):
    """Orders with one reference."""

    count: Annotated[int, Meta(ge=0, description="How many there are.", examples=[1])]
    orders: Annotated[list[Order], Meta(description="Each of them.")]


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

    email_address: Annotated[
        str, Meta(description="Empty when reserved or not identified.", examples=["kari@example.org"])
    ]
    national_identity_number: Person | None = None
    organization_number: Organization | None = None


class SmsResultRecipient(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """To whom; the identifier where the order named one."""

    mobile_number: Annotated[
        str, Meta(description="Empty when reserved or not identified.", examples=["+4799999999"])
    ]
    national_identity_number: Person | None = None
    organization_number: Organization | None = None


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
    senders_reference: Reference | None = None
    generated: Generated
    succeeded: Annotated[int, Meta(ge=0, description="`Succeeded` and `Delivered`.", examples=[1])]
    notifications: Annotated[list[EmailResult], Meta(description="One entry per e-mail.")]


class SmsResults(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The SMS notifications of an order."""

    order_id: Identifier
    senders_reference: Reference | None = None
    generated: Generated
    succeeded: Annotated[int, Meta(ge=0, description="`Accepted` and `Delivered`.", examples=[1])]
    notifications: Annotated[list[SmsResult], Meta(description="One entry per SMS.")]


class DeliveryAttempt(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One notification to the recipient that was searched for."""

    national_identity_number: Person | None = None
    organization_number: Organization | None = None
    channel: Annotated[Literal["email", "sms"], Meta(description="Channel of the notification.")]
    email_address: Address | None = None
    mobile_number: Number | None = None
    result: Annotated[str, Meta(description="Result name, as stored.", examples=["Failed_TTL"])]
    result_time: WireTime


class FoundOrder(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """An order that generated notifications for the recipient."""

    shipment_id: Identifier
    creator_name: Annotated[
        str, Meta(description="Short name of the ordering organisation.", examples=["ttd"])
    ]
    resource_id: ResourceId | None = None
    senders_reference: Reference | None = None
    requested_send_time: WireTime
    notification_channel: ChannelName | None = None
    notification_type: OrderKind
    delivery_attempts: Annotated[
        list[DeliveryAttempt], Meta(description="The notifications to the recipient that was searched for.")
    ]


DialogPart = Annotated[
    str, Meta(description="As the order gave it.", examples=["0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"])
]


class LogEntry(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One line of the notification log: a message of an order that has ended."""

    notification_id: Identifier
    dialog_id: DialogPart | None = None
    transmission_id: DialogPart | None = None
    type: OrderKind
    channel: Annotated[Literal["Email", "Sms"], Meta(description="Channel of the message.")]
    destination: Annotated[
        str,
        Meta(
            description="Address or number; empty when reserved or not identified.",
            examples=["kari@example.org"],
        ),
    ]
    status: LifecycleStatus
    requested_send_time: WireTime
    last_update_time: WireTime


class ConditionAnswer(msgspec.Struct, rename="camel"):
    """What a condition endpoint answers."""

    send_notification: Annotated[bool, Meta(description="Whether the order may be sent.")]
