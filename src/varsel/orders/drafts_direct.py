"""From valid composed and instant orders to what is stored. Pure but for fresh ids, and for sealing file addresses."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from msgspec import UNSET

from varsel.orders.drafts import Defaults, email_text, key_of
from varsel.orders.model import Digest, Entry, Key, NewOrder
from varsel.orders.wire import ContentType, SendingTimePolicy
from varsel.orders.wire_direct import (
    ComposedOrder,
    InstantEmail,
    InstantSmsRecipient,
)
from varsel.recipients.addresses import blank
from varsel.store.content import Attachment, EmailText, OrderContent, Recipient, SmsText, encode
from varsel.store.ids import uuid7

#: How long an instant e-mail may take (docs/reference/notifications-api.md 2.13).
EMAIL_LIFE: Final = timedelta(hours=48)


def draft_composed(
    order: ComposedOrder, body_mac: bytes, creator: str, now: datetime, *, defaults: Defaults, digest: Digest
) -> Entry:
    """One e-mail with files. The addresses of files are sealed: each carries its own credential."""
    settings = order.recipient.email_settings
    content = OrderContent(
        recipients=(Recipient(email=order.recipient.email_address),),
        email=email_text(settings, defaults),
        condition_endpoint=order.condition_endpoint,
        attachments=tuple(
            Attachment(
                file.filename, file.mime_type, base64.b64encode(digest.seal(file.sas_url.encode())).decode()
            )
            for file in settings.attachments or ()
        ),
    )
    dialog = order.dialogporten_association
    row = NewOrder(
        id=uuid7(),
        chain_id=uuid7(),
        position=0,
        creator=creator,
        kind="Composed",
        channel="Email",
        sending_policy=SendingTimePolicy.ANYTIME.value,
        senders_reference=order.senders_reference,
        resource_id=None,
        resource_action=None,
        dialog_id=dialog.dialog_id if dialog else None,
        transmission_id=dialog.transmission_id if dialog else None,
        requested_at=now if order.requested_send_time is UNSET else order.requested_send_time.at,
        created_at=now,
        content=encode(content),
    )
    return Entry([row], key_of(order.idempotency_id, "composed", body_mac, [row]))


@dataclass(frozen=True, slots=True)
class InstantDraft:
    """An instant message as it will be stored and sent."""

    order: NewOrder
    key: Key
    content: OrderContent
    channel: Literal["Email", "Sms"]
    address: str
    notification_id: UUID
    expires_at: datetime


def draft_instant_sms(
    idempotency_id: str,
    reference: str | None,
    recipient: InstantSmsRecipient,
    *,
    body_mac: bytes,
    creator: str,
    now: datetime,
    defaults: Defaults,
) -> InstantDraft:
    """An SMS that lives as long as the caller says; its sender is not trimmed."""
    sender = recipient.sms_settings.sender
    seconds = recipient.time_to_live_in_seconds
    content = OrderContent(
        recipients=(Recipient(mobile=recipient.phone_number),),
        sms=SmsText(
            defaults.sms_sender if sender is None or blank(sender) else sender, recipient.sms_settings.body
        ),
        time_to_live=seconds,
    )
    order = instant_row(reference, "Sms", content, creator, now)
    return InstantDraft(
        order,
        key_of(idempotency_id, "instant", body_mac, [order]),
        content,
        "Sms",
        recipient.phone_number,
        uuid7(),
        now + timedelta(seconds=seconds),
    )


def draft_instant_email(
    request: InstantEmail, *, body_mac: bytes, creator: str, now: datetime, defaults: Defaults
) -> InstantDraft:
    """An e-mail; its subject is kept as it is."""
    recipient = request.recipient_email
    settings = recipient.email_settings
    content = OrderContent(
        recipients=(Recipient(email=recipient.email_address),),
        email=EmailText(
            defaults.email_from if settings.sender_email_address is None else settings.sender_email_address,
            settings.subject,
            settings.body,
            settings.content_type == ContentType.HTML,
        ),
    )
    order = instant_row(request.senders_reference, "Email", content, creator, now)
    return InstantDraft(
        order,
        key_of(request.idempotency_id, "instant", body_mac, [order]),
        content,
        "Email",
        recipient.email_address,
        uuid7(),
        now + EMAIL_LIFE,
    )


def instant_row(
    reference: str | None, channel: str, content: OrderContent, creator: str, now: datetime
) -> NewOrder:
    """The order of a message that is sent at once."""
    return NewOrder(
        id=uuid7(),
        chain_id=uuid7(),
        position=0,
        creator=creator,
        kind="Instant",
        channel=channel,
        sending_policy=SendingTimePolicy.ANYTIME.value,
        senders_reference=reference,
        resource_id=None,
        resource_action=None,
        dialog_id=None,
        transmission_id=None,
        requested_at=now,
        created_at=now,
        content=encode(content),
    )
