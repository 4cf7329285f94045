"""From a valid order of the first generation to what is stored. Pure but for a fresh id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET

from varsel.orders.drafts import Defaults, one_line
from varsel.orders.model import Entry, NewOrder
from varsel.orders.wire import Channel, ContentType
from varsel.orders.wire_v1 import ChannelOrder, Common, EmailOrder, SmsOrder
from varsel.orders.wire_v1 import Recipient as WireRecipient
from varsel.store.content import EmailText, OrderContent, Recipient, SmsText, encode
from varsel.store.ids import uuid7


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """One order as it will be stored."""

    entry: Entry
    content: OrderContent
    needs_registers: bool  # some recipient is named by an identity instead of an address

    @property
    def order(self) -> NewOrder:
        return self.entry.orders[0]


def draft_order(
    request: EmailOrder | SmsOrder | ChannelOrder, creator: str, now: datetime, defaults: Defaults
) -> OrderDraft:
    """What is stored of a valid order. An e-mail order keeps no numbers, an SMS order no e-mail addresses."""
    match request:
        case EmailOrder():
            channel = Channel.EMAIL
            email: EmailText | None = EmailText(
                defaults.email_from,
                one_line(request.subject),
                request.body,
                request.content_type == ContentType.HTML,
            )
            sms: SmsText | None = None
            recipients = tuple(_recipient(each, mobile=False) for each in request.recipients)
        case SmsOrder():
            channel = Channel.SMS
            email, sms = None, SmsText(request.sender_number or defaults.sms_sender, request.body)
            recipients = tuple(_recipient(each, email=False) for each in request.recipients)
        case ChannelOrder():
            assert request.notification_channel is not None
            channel = request.notification_channel
            email, sms = _templates(request, defaults)
            recipients = tuple(_recipient(each) for each in request.recipients)
    content = OrderContent(
        recipients=recipients,
        email=email,
        sms=sms,
        condition_endpoint=request.condition_endpoint,
        ignore_reservation=request.ignore_reservation,
    )
    needs_registers = any(one.person or one.organization for one in recipients)
    return OrderDraft(Entry([_row(request, channel, content, creator, now)]), content, needs_registers)


def _row(request: Common, channel: Channel, content: OrderContent, creator: str, now: datetime) -> NewOrder:
    sent = request.requested_send_time
    return NewOrder(
        id=uuid7(),
        chain_id=None,
        position=0,
        creator=creator,
        kind="Notification",
        channel=channel.value,
        sending_policy=None,
        senders_reference=request.senders_reference,
        resource_id=request.resource_id,
        resource_action=request.resource_action or None,
        dialog_id=None,
        transmission_id=None,
        requested_at=now if sent is UNSET else sent.at,
        created_at=now,
        content=encode(content),
    )


def _templates(request: ChannelOrder, defaults: Defaults) -> tuple[EmailText | None, SmsText | None]:
    email, sms = request.email_template, request.sms_template
    return (
        None
        if email is None
        else EmailText(
            email.from_address or defaults.email_from,
            one_line(email.subject),
            email.body,
            email.content_type == ContentType.HTML,
        ),
        None if sms is None else SmsText(sms.sender_number or defaults.sms_sender, sms.body),
    )


def _recipient(sent: WireRecipient, *, email: bool = True, mobile: bool = True) -> Recipient:
    return Recipient(
        email=sent.email_address or None if email else None,
        mobile=sent.mobile_number or None if mobile else None,
        person=sent.national_identity_number or None,
        organization=sent.organization_number or None,
    )
