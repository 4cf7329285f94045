"""Requests and receipts of the first generation (docs/reference/notifications-api.md 2.1 to 2.3)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from varsel.orders.wire import (
    V1,
    Body,
    Channel,
    ContentType,
    NationalIdentityNumber,
    OrganizationNumber,
    Reference,
    SendTime,
    Subject,
    Url,
)
from varsel.store.order_status import Identifier

AnyResourceId = Annotated[
    str,
    Meta(
        description="Resource whose access decides which users of an organization are reached; any text.",
        examples=["urn:altinn:resource:example-resource"],
    ),
]
AnyAction = Annotated[str, Meta(description="Action on the resource; needs `resourceId`.", examples=["read"])]
DottedUrl = Annotated[
    Url,
    Meta(description="Asked with GET before sending; absolute, http or https, and a host name with a dot."),
]
RecentTime = Annotated[
    SendTime,
    Meta(description="ISO 8601 with `T` and a zone; at most 5 minutes in the past. Absent means now."),
]


class Recipient(V1):
    """A recipient: e-mail address and mobile number may stand together, the other two stand alone. Empty strings count as absent."""

    email_address: Annotated[
        str | None, Meta(description="One e-mail address.", examples=["kari@example.org"])
    ] = None
    mobile_number: Annotated[
        str | None, Meta(description="With country prefix.", examples=["+4799999999"])
    ] = None
    organization_number: OrganizationNumber | None = None
    national_identity_number: NationalIdentityNumber | None = None
    is_reserved: Annotated[bool | None, Meta(description="Ignored.")] = None


Recipients = Annotated[
    list[Recipient],
    Meta(min_length=1, description="At least one.", examples=[[{"nationalIdentityNumber": "12839010182"}]]),
]


class Common(V1, kw_only=True):
    """What all orders of the first generation have."""

    recipients: Recipients
    senders_reference: Reference | None = None
    requested_send_time: RecentTime | UnsetType = UNSET
    condition_endpoint: DottedUrl | None = None
    ignore_reservation: Annotated[
        bool | None, Meta(description="Send even to persons who are reserved against digital contact.")
    ] = None
    resource_id: AnyResourceId | None = None
    resource_action: AnyAction | None = None


class EmailOrder(Common, kw_only=True):
    """One e-mail to one or more recipients."""

    subject: Subject
    body: Body
    content_type: ContentType | None = None


class SmsOrder(Common, kw_only=True):
    """One SMS to one or more recipients."""

    body: Body
    sender_number: Annotated[
        str | None,
        Meta(description="Name or number; empty means the configured default.", examples=["Varsel"]),
    ] = None


class EmailTemplate(V1):
    """Content of an e-mail."""

    subject: Subject
    body: Body
    from_address: Annotated[
        str, Meta(description="Sender; empty means the configured default.", examples=["noreply@example.org"])
    ] = ""
    content_type: ContentType = ContentType.PLAIN


class SmsTemplate(V1):
    """Content of an SMS."""

    body: Body
    sender_number: Annotated[
        str, Meta(description="Name or number; empty means the configured default.", examples=["Varsel"])
    ] = ""


class ChannelOrder(Common, kw_only=True):
    """Notifications on a chosen channel or channel preference."""

    notification_channel: Annotated[
        Channel | None, Meta(description="Required.", examples=["EmailPreferred"])
    ]
    email_template: Annotated[
        EmailTemplate | None, Meta(description="Required for every channel but `Sms`.")
    ] = None
    sms_template: Annotated[
        SmsTemplate | None, Meta(description="Required for every channel but `Email`.")
    ] = None


class RecipientLookup(msgspec.Struct, rename="camel"):
    """What the contact registers said about recipients without an address of their own."""

    status: Annotated[
        Literal["Success", "PartialSuccess", "Failed"],
        Meta(description="Whether all, some or none of the recipients that were looked up have an address."),
    ]
    is_reserved: Annotated[
        list[NationalIdentityNumber], Meta(description="Persons reserved against digital contact.")
    ]
    missing_contact: Annotated[
        list[str],
        Meta(
            description="Persons and organizations without an address for the channel.",
            examples=[["312345609"]],
        ),
    ]


class OrderReceipt(msgspec.Struct, rename="camel", omit_defaults=True):
    """What was accepted."""

    order_id: Identifier
    recipient_lookup: Annotated[
        RecipientLookup | None, Meta(description="Absent when no recipient needed a lookup.")
    ] = None
