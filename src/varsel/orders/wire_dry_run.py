"""What a dry run answers: an addition of Varsel's (docs/design.md, decisions)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from varsel.orders.wire import ContentType, Reference
from varsel.orders.wire_v1 import RecipientLookup

#: Orders of a chain, and recipients of an order, that one dry run looks at.
MOST: Final = 100

Time = Annotated[
    str,
    Meta(
        description="UTC, ISO 8601 with `Z`.",
        examples=["2031-03-14T08:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Sender = Annotated[
    str, Meta(description="As it would be stored, the default filled in.", examples=["Varsel"])
]
Template = Annotated[
    str,
    Meta(
        description="As it would be stored, before keywords.",
        examples=["Hei $recipientName$, du har en ny melding."],
    ),
]
Replaced = Annotated[
    str,
    Meta(
        description="After keywords, where the text has some; names are masked.",
        examples=["Hei K… N…, du har en ny melding."],
    ),
]


class WouldBeMessage(msgspec.Struct, rename="camel", omit_defaults=True):
    """One message that would be made."""

    channel: Annotated[
        Literal["Email", "Sms"], Meta(description="Channel of the message.", examples=["Email"])
    ]
    destination: Annotated[
        str,
        Meta(description="Masked address or number; empty when there is none.", examples=["ka…@example.org"]),
    ]
    status: Annotated[str, Meta(description="Lifecycle value it would begin with.", examples=["Email_New"])]
    sends_at: Annotated[
        Time, Meta(description="Earliest time it may leave: send time, or opening of the daytime window.")
    ]
    expires_at: Annotated[Time, Meta(description="When it would be given up.")]
    national_identity_number: Annotated[
        str | None, Meta(description="The recipient, as ordered.", examples=["12839010182"])
    ] = None
    organization_number: Annotated[
        str | None, Meta(description="The recipient, as ordered.", examples=["312345609"])
    ] = None
    external_identity: Annotated[
        str | None,
        Meta(
            description="The recipient, as ordered.",
            examples=["urn:altinn:person:idporten-email:kari@example.org"],
        ),
    ] = None
    subject: Replaced | None = None
    body: Replaced | None = None
    parts: Annotated[
        int | None, Meta(description="SMS parts of the text that would be sent.", examples=[1])
    ] = None


class WouldBeEmail(msgspec.Struct, rename="camel"):
    """The e-mail as it would be stored."""

    sender: Annotated[
        str,
        Meta(description="As it would be stored, the default filled in.", examples=["noreply@example.org"]),
    ]
    subject: Template
    body: Template
    content_type: Annotated[ContentType, Meta(description="How the body is written.", examples=["Plain"])]


class WouldBeSms(msgspec.Struct, rename="camel"):
    """The SMS as it would be stored."""

    sender: Sender
    body: Template
    encoding: Annotated[
        Literal["GSM-7", "UCS-2"], Meta(description="Alphabet that the text needs.", examples=["GSM-7"])
    ]
    parts: Annotated[int, Meta(description="SMS parts of the text before keywords.", examples=[1])]
    truncated: Annotated[bool, Meta(description="Whether the gateway would cut it.", examples=[False])]


class WouldBeOrder(msgspec.Struct, rename="camel", omit_defaults=True):
    """One order that would be stored."""

    type: Annotated[
        Literal["Notification", "Reminder", "Instant", "Composed"],
        Meta(description="Kind of the order.", examples=["Notification"]),
    ]
    channel: Annotated[str, Meta(description="Channel as ordered.", examples=["EmailPreferred"])]
    requested_send_time: Annotated[Time, Meta(description="Send time; of a reminder, after its delay.")]
    recipient_count: Annotated[int, Meta(description="Recipients of the order.", examples=[1])]
    messages: Annotated[list[WouldBeMessage], Meta(description=f"Messages to the first {MOST} recipients.")]
    senders_reference: Reference | None = None
    email: Annotated[WouldBeEmail | None, Meta(description="The e-mail, where the order has one.")] = None
    sms: Annotated[WouldBeSms | None, Meta(description="The SMS, where the order has one.")] = None


class DryRun(msgspec.Struct, rename="camel", omit_defaults=True):
    """What would happen; nothing was stored."""

    dry_run: Annotated[bool, Meta(description="Always true.", examples=[True])]
    order_count: Annotated[int, Meta(description="Orders that would be stored.", examples=[1])]
    orders: Annotated[
        list[WouldBeOrder],
        Meta(description=f"The first {MOST} of them, the main order first."),
    ]
    repeat: Annotated[
        bool | None,
        Meta(
            description="Whether the idempotency id is taken, so that nothing new would be made; absent for v1 orders.",
            examples=[False],
        ),
    ] = None
    recipient_lookup: Annotated[
        RecipientLookup | None, Meta(description="As the receipt of a v1 order would say it.")
    ] = None
