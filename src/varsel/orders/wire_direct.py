"""Requests of composed e-mail and of instant messages (docs/reference/notifications-api.md 2.11 to 2.14)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from varsel.orders.wire import (
    ContentType,
    DialogportenAssociation,
    EmailAddress,
    EmailSettings,
    IdempotencyId,
    PhoneNumber,
    Reference,
    SendTime,
    Url,
    Wire,
)
from varsel.store.order_status import Identifier

LEAST_TTL = 60
MOST_TTL = 172_800

TimeToLive = Annotated[
    int,
    Meta(
        ge=LEAST_TTL, le=MOST_TTL, description="Seconds that the message may be delivered in.", examples=[360]
    ),
]
InstantBody = Annotated[
    str,
    Meta(
        min_length=1,
        description="Text of the message, not blank.",
        examples=["Engangskode: 482913"],
        extra_json_schema={"pattern": r"\S"},
    ),
]


# Composed e-mail (2.11)


class Attachment(Wire):
    """A file, fetched from its pre-signed address when the e-mail is sent."""

    filename: Annotated[
        str,
        Meta(
            min_length=1,
            description="With an extension, without slashes.",
            examples=["avtale.pdf"],
            extra_json_schema={"pattern": r"^[^/\\]*\.[^/\\.]+$"},
        ),
    ]
    mime_type: Annotated[
        str,
        Meta(
            min_length=1,
            description="One of the accepted types, in any case.",
            examples=["application/pdf"],
        ),
    ]
    sas_url: Annotated[
        str,
        Meta(
            min_length=1,
            description="Pre-signed https address of one blob that may be read until at least 15 minutes after the send time. Never shown again.",
            examples=[
                "https://example.blob.core.windows.net/out/avtale.pdf?se=2031-03-15T08%3A00%3A00Z&sr=b&sp=r&sig=…"
            ],
            extra_json_schema={"format": "uri"},
        ),
    ]


class ComposedSettings(EmailSettings, kw_only=True):
    """Content of an e-mail with files."""

    attachments: Annotated[list[Attachment] | None, Meta(description="The files, in order.")] = None


class ComposedRecipient(Wire):
    """One e-mail address."""

    KEYS: ClassVar = {"email_settings": "Settings"}

    email_address: EmailAddress
    email_settings: ComposedSettings


class ComposedOrder(Wire):
    """One e-mail to one address, with files."""

    idempotency_id: IdempotencyId
    recipient: ComposedRecipient
    senders_reference: Reference | None = None
    requested_send_time: SendTime | UnsetType = UNSET
    condition_endpoint: Url | None = None
    dialogporten_association: DialogportenAssociation | None = None


# Instant messages (2.12 to 2.14)


class InstantSmsSettings(Wire):
    """Content of an instant SMS."""

    body: InstantBody
    sender: Annotated[
        str | None,
        Meta(description="Name or number; blank means the configured default.", examples=["Varsel"]),
    ] = None


class InstantSmsRecipient(Wire):
    """One mobile number, and how long the message may take."""

    KEYS: ClassVar = {"sms_settings": "ShortMessageContent"}

    phone_number: PhoneNumber
    time_to_live_in_seconds: TimeToLive
    sms_settings: InstantSmsSettings


class InstantSms(Wire):
    """One SMS, sent while the caller waits."""

    idempotency_id: IdempotencyId
    recipient_sms: InstantSmsRecipient
    senders_reference: Reference | None = None


class WrappedRecipient(Wire):
    """The recipient of the deprecated shape."""

    KEYS: ClassVar = {"recipient_sms": "ShortMessageDeliveryDetails"}

    recipient_sms: InstantSmsRecipient


class WrappedInstantSms(Wire):
    """One SMS, sent while the caller waits; the deprecated shape."""

    KEYS: ClassVar = {"recipient": "InstantNotificationRecipient"}

    idempotency_id: IdempotencyId
    recipient: WrappedRecipient
    senders_reference: Reference | None = None


class InstantEmailSettings(Wire):
    """Content of an instant e-mail."""

    subject: Annotated[
        str,
        Meta(
            min_length=1,
            description="Not blank; kept as it is.",
            examples=["Kvittering"],
            extra_json_schema={"pattern": r"\S"},
        ),
    ]
    body: InstantBody
    sender_email_address: Annotated[
        str | None,
        Meta(
            description="Sender address; absent means the configured default.",
            examples=["noreply@example.org"],
        ),
    ] = None
    content_type: ContentType = ContentType.PLAIN


class InstantEmailRecipient(Wire):
    """One e-mail address."""

    email_address: EmailAddress
    email_settings: InstantEmailSettings


class InstantEmail(Wire):
    """One e-mail, sent while the caller waits."""

    KEYS: ClassVar = {"recipient_email": "InstantEmailDetails"}

    idempotency_id: IdempotencyId
    recipient_email: InstantEmailRecipient
    senders_reference: Reference | None = None


class DirectNotificationReceipt(msgspec.Struct, rename="camel", omit_defaults=True):
    """The order that was accepted."""

    shipment_id: Identifier
    senders_reference: Reference | None = None


class DirectReceipt(msgspec.Struct, rename="camel", omit_defaults=True):
    """What was accepted, with the ids to follow it by."""

    notification_order_id: Identifier
    notification: DirectNotificationReceipt
