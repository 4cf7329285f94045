"""From a valid request to what is stored: resolved senders, absolute times, rows, receipt. Pure but for fresh ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import UNSET

from varsel.orders.model import Entry, Family, Key, NewOrder
from varsel.orders.rules import reminder_time, sms_is_too_long
from varsel.orders.wire import (
    ChainOrder,
    ChainReceipt,
    Channel,
    ContentType,
    EmailSettings,
    NotificationReceipt,
    RecipientContainer,
    Reminder,
    ReminderReceipt,
    SendingTimePolicy,
    SmsSettings,
)
from varsel.recipients.addresses import blank, trimmed
from varsel.runtime.problems import pretty
from varsel.store.content import EmailText, OrderContent, Recipient, SmsText, encode
from varsel.store.ids import uuid7
from varsel.store.long_texts import LONG, MANY, pretty_in_slices

#: Longer subjects are worked on in slices, so that one call never holds the interpreter for long.
_SLICE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Defaults:
    """Senders for orders that name none, and the creators whose persons are always reached at stale addresses too."""

    email_from: str
    sms_sender: str
    stale_creators: frozenset[str] = frozenset()  # casefolded


def one_line(subject: str) -> str:
    """Each CR LF, CR or LF becomes one space (docs/reference/notifications-api.md 5, item 24)."""
    if "\n" not in subject and "\r" not in subject:
        return subject
    if len(subject) > _SLICE:
        cut = _SLICE - 1 if subject[_SLICE - 1] == "\r" else _SLICE
        return one_line(subject[:cut]) + one_line(subject[cut:])
    return subject.replace("\r\n", " ").replace("\r", " ").replace("\n", " ")


def email_text(settings: EmailSettings | None, defaults: Defaults) -> EmailText | None:
    if settings is None:
        return None
    sender = settings.sender_email_address
    return EmailText(
        defaults.email_from if sender is None else trimmed(sender),
        one_line(settings.subject),
        settings.body,
        settings.content_type == ContentType.HTML,
    )


def sms_text(settings: SmsSettings | None, defaults: Defaults) -> SmsText | None:
    if settings is None:
        return None
    sender = settings.sender
    return SmsText(defaults.sms_sender if sender is None or blank(sender) else trimmed(sender), settings.body)


class Aim(msgspec.Struct, gc=False):
    """To whom, how and under which right one order goes."""

    recipient: Recipient
    channel: Channel
    email: EmailSettings | None = None
    sms: SmsSettings | None = None
    resource_id: str | None = None
    resource_action: str | None = None
    ignore_reservation: bool | None = None
    use_stale: bool = False


def aim_of(container: RecipientContainer) -> Aim:
    """The one recipient of a container that has passed the rules."""
    if (email := container.recipient_email) is not None:
        return Aim(Recipient(email=email.email_address), Channel.EMAIL, email=email.email_settings)
    if (sms := container.recipient_sms) is not None:
        return Aim(Recipient(mobile=sms.phone_number), Channel.SMS, sms=sms.sms_settings)
    if (person := container.recipient_person) is not None:
        return Aim(
            Recipient(person=person.national_identity_number),
            person.channel_schema,
            person.email_settings,
            person.sms_settings,
            person.resource_id,
            person.resource_action or None,
            person.ignore_reservation,
            person.use_stale_contact_information,
        )
    if (organization := container.recipient_organization) is not None:
        return Aim(
            Recipient(organization=organization.org_number),
            organization.channel_schema,
            organization.email_settings,
            organization.sms_settings,
            organization.resource_id,
            organization.resource_action or None,
        )
    identity = container.recipient_external_identity
    assert identity is not None
    return Aim(
        Recipient(identity=identity.external_identity),
        identity.channel_schema,
        identity.email_settings,
        identity.sms_settings,
        identity.resource_id,
        identity.resource_action or None,
    )


class ChainDraft:
    """A chain as it will be stored. `entry` is ready to be stored; `contents` stand in the order of `entry.orders`.

    `needs_registers`: some recipient is named by an identity instead of an address. `cut`: some SMS is longer than the gateway takes.
    """

    __slots__ = ("contents", "cut", "entry", "needs_registers")

    def __init__(
        self, order: ChainOrder, body_mac: bytes, creator: str, now: datetime, defaults: Defaults
    ) -> None:
        chain_id = uuid7()
        send_at = now if order.requested_send_time is UNSET else order.requested_send_time.at
        dialog = order.dialogporten_association
        stale = creator.casefold() in defaults.stale_creators
        orders: list[NewOrder] = []
        self.contents: list[OrderContent] = []
        self.needs_registers = self.cut = False
        parts: list[ChainOrder | Reminder] = [order, *(order.reminders or ())]
        for position, part in enumerate(parts):
            aim = aim_of(part.recipient)
            if aim.recipient.email is None and aim.recipient.mobile is None:
                self.needs_registers = True
            content = OrderContent(
                recipients=(aim.recipient,),
                email=email_text(aim.email, defaults),
                sms=sms_text(aim.sms, defaults),
                condition_endpoint=part.condition_endpoint,
                ignore_reservation=aim.ignore_reservation,
                use_stale=aim.use_stale or (stale and aim.recipient.person is not None),
                fallback_on_failure=part.fallback_on_failure,
            )
            self.contents.append(content)
            self.cut = self.cut or (aim.sms is not None and sms_is_too_long(aim.sms.body))
            orders.append(
                NewOrder(
                    id=uuid7(),
                    chain_id=chain_id,
                    position=position,
                    creator=creator,
                    kind="Reminder" if position else "Notification",
                    channel=aim.channel.value,
                    sending_policy=SendingTimePolicy.ANYTIME.value
                    if aim.sms is None
                    else aim.sms.sending_time_policy.value,
                    senders_reference=part.senders_reference,
                    resource_id=aim.resource_id,
                    resource_action=aim.resource_action,
                    dialog_id=dialog.dialog_id if dialog else None,
                    transmission_id=dialog.transmission_id if dialog else None,
                    requested_at=reminder_time(part, send_at) if type(part) is Reminder else send_at,
                    created_at=now,
                    content=encode(content),
                )
            )
        self.entry = Entry(orders, key_of(order.idempotency_id, "chain", body_mac, orders))


def receipt_of(orders: list[NewOrder]) -> ChainReceipt:
    """The receipt of a chain of these orders, the main one first."""
    main = orders[0]
    reminders = [ReminderReceipt(str(order.id), order.senders_reference) for order in orders[1:]]
    return ChainReceipt(
        str(main.chain_id), NotificationReceipt(str(main.id), main.senders_reference, reminders or None)
    )


def _digest(text: str) -> bytes:
    digest = sha256()
    for start in range(0, len(text), LONG):
        digest.update(text[start : start + LONG].encode())
    return digest.digest()


def key_of(idempotency_id: str, family: Family, body_mac: bytes, orders: list[NewOrder]) -> Key:
    """The key under which a repeat finds the receipt of these orders."""
    chain_id = orders[0].chain_id
    assert chain_id is not None
    receipt = receipt_of(orders)
    is_long = len(orders) > MANY or any(len(order.senders_reference or "") > LONG for order in orders)
    return Key(
        creator=orders[0].creator,
        family=family,
        hash=_digest(idempotency_id),
        mac=body_mac,
        receipt=pretty_in_slices(receipt) if is_long else pretty(receipt),
        chain_id=chain_id,
    )
