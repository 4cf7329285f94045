"""What can be ordered. Objects that exist are valid: a wrong one raises InvalidOrder where it is written.

    Order                      a notification now or later, with reminders
      to: ToEmail | ToPhone                       straight to an address
          ToPerson | ToOrganization | ToIdentity  found through the contact registers, by a channel:
            EmailOnly | SmsOnly | EmailPreferred | SmsPreferred | EmailAndSms
      reminders: Reminder …
    ComposedEmail              an e-mail with attachments
    InstantSms, InstantEmail   sent while the caller waits

Addresses, numbers and texts stay out of `repr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from . import _rules as rules
from ._errors import InvalidOrder
from ._rules import wire_time

INSTANT_LIFE = (60, 172_800)  # seconds
LONGEST_DELAY_MINUTES = 525_600


class ContentType(StrEnum):
    """How the body of an e-mail is read."""

    PLAIN = "Plain"
    HTML = "Html"


class SendingTime(StrEnum):
    """Day and night, or in the daytime window alone (SMS)."""

    ANYTIME = "Anytime"
    DAYTIME = "Daytime"


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Email:
    """Content of an e-mail. `sender` is an address; without one the server's default is used. `$recipientName$` and
    `$recipientNumber$` are replaced for persons and organisations.
    """

    subject: str = field(repr=False)
    body: str = field(repr=False)
    content_type: ContentType | None = None
    sender: str | None = None
    sending_time: SendingTime | None = None

    def __post_init__(self) -> None:
        rules.text(self.subject, "subject")
        rules.text(self.body, "body")
        if self.sender is not None:
            rules.email(self.sender, "sender")
        rules.member(self.content_type, ContentType, "content_type")
        rules.member(self.sending_time, SendingTime, "sending_time")
        if self.sending_time == SendingTime.DAYTIME:
            raise InvalidOrder("sending_time", "of an e-mail can only be ANYTIME")

    def wire(self) -> dict[str, Any]:
        return _present(
            senderEmailAddress=self.sender,
            subject=self.subject,
            body=self.body,
            contentType=self.content_type,
            sendingTimePolicy=self.sending_time,
        )


@dataclass(frozen=True, slots=True)
class Sms:
    """Content of an SMS. `sender` is a number or a short name; without one the server's default is used. Sent in the daytime
    window unless `sending_time` says otherwise.
    """

    body: str = field(repr=False)
    sender: str | None = None
    sending_time: SendingTime | None = None

    def __post_init__(self) -> None:
        rules.text(self.body, "body")
        rules.member(self.sending_time, SendingTime, "sending_time")

    def wire(self) -> dict[str, Any]:
        return _present(sender=self.sender, body=self.body, sendingTimePolicy=self.sending_time)


@dataclass(frozen=True, slots=True)
class EmailOnly:
    """By e-mail."""

    email: Email

    def __post_init__(self) -> None:
        rules.kind(self.email, Email, "email")

    def wire(self) -> dict[str, Any]:
        return {"channelSchema": "Email", "emailSettings": self.email.wire()}


@dataclass(frozen=True, slots=True)
class SmsOnly:
    """By SMS."""

    sms: Sms

    def __post_init__(self) -> None:
        rules.kind(self.sms, Sms, "sms")

    def wire(self) -> dict[str, Any]:
        return {"channelSchema": "Sms", "smsSettings": self.sms.wire()}


@dataclass(frozen=True, slots=True)
class _Both:
    email: Email
    sms: Sms

    def __post_init__(self) -> None:
        rules.kind(self.email, Email, "email")
        rules.kind(self.sms, Sms, "sms")

    def wire(self) -> dict[str, Any]:
        return {
            "channelSchema": type(self).__name__,
            "emailSettings": self.email.wire(),
            "smsSettings": self.sms.wire(),
        }


class EmailPreferred(_Both):
    """By e-mail; by SMS to those who have no e-mail address."""

    __slots__ = ()


class SmsPreferred(_Both):
    """By SMS; by e-mail to those who have no number."""

    __slots__ = ()


class EmailAndSms(_Both):
    """By both."""

    __slots__ = ()


Channel: TypeAlias = EmailOnly | SmsOnly | EmailPreferred | SmsPreferred | EmailAndSms


@dataclass(frozen=True, slots=True)
class ToEmail:
    """One e-mail address."""

    address: str = field(repr=False)
    email: Email

    def __post_init__(self) -> None:
        rules.email(self.address, "address")
        rules.kind(self.email, Email, "email")

    def wire(self) -> dict[str, Any]:
        return {"recipientEmail": {"emailAddress": self.address, "emailSettings": self.email.wire()}}


@dataclass(frozen=True, slots=True)
class ToPhone:
    """One mobile number, with its country code: `+4799999999`."""

    number: str = field(repr=False)
    sms: Sms

    def __post_init__(self) -> None:
        rules.phone(self.number, "number")
        rules.kind(self.sms, Sms, "sms")

    def wire(self) -> dict[str, Any]:
        return {"recipientSms": {"phoneNumber": self.number, "smsSettings": self.sms.wire()}}


@dataclass(frozen=True, slots=True)
class ToPerson:
    """A person by national identity number.

    ignore_reservation: send even to who is reserved against digital contact. use_stale_contact: also use contact details that
    have not been confirmed for 18 months. resource, resource_action: what the message is about (`urn:altinn:resource:…`).
    """

    national_identity_number: str = field(repr=False)
    by: Channel
    ignore_reservation: bool | None = field(default=None, kw_only=True)
    use_stale_contact: bool | None = field(default=None, kw_only=True)
    resource: str | None = field(default=None, kw_only=True)
    resource_action: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.digits(self.national_identity_number, 11, "national_identity_number")
        rules.kind(self.by, Channel, "by")
        rules.resource(self.resource, self.resource_action)

    def wire(self) -> dict[str, Any]:
        channel = self.by.wire()
        return {
            "recipientPerson": _present(
                nationalIdentityNumber=self.national_identity_number,
                channelSchema=channel.pop("channelSchema"),
                resourceId=self.resource,
                resourceAction=self.resource_action,
                ignoreReservation=self.ignore_reservation,
                useStaleContactInformation=self.use_stale_contact,
                **channel,
            )
        }


@dataclass(frozen=True, slots=True)
class ToOrganization:
    """An organisation by its number: all its official addresses, and with `resource` those that its authorized users registered."""

    number: str
    by: Channel
    resource: str | None = field(default=None, kw_only=True)
    resource_action: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.digits(self.number, 9, "number")
        rules.kind(self.by, Channel, "by")
        rules.resource(self.resource, self.resource_action)

    def wire(self) -> dict[str, Any]:
        channel = self.by.wire()
        return {
            "recipientOrganization": _present(
                orgNumber=self.number,
                channelSchema=channel.pop("channelSchema"),
                resourceId=self.resource,
                resourceAction=self.resource_action,
                **channel,
            )
        }


@dataclass(frozen=True, slots=True)
class ToIdentity:
    """A self-identified user by URN, such as `urn:altinn:person:idporten-email:kari@example.org`."""

    identity: str = field(repr=False)
    by: Channel
    resource: str | None = field(default=None, kw_only=True)
    resource_action: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.identity(self.identity)
        rules.kind(self.by, Channel, "by")
        rules.resource(self.resource, self.resource_action)

    def wire(self) -> dict[str, Any]:
        channel = self.by.wire()
        return {
            "recipientExternalIdentity": _present(
                externalIdentity=self.identity,
                channelSchema=channel.pop("channelSchema"),
                resourceId=self.resource,
                resourceAction=self.resource_action,
                **channel,
            )
        }


Recipient: TypeAlias = ToEmail | ToPhone | ToPerson | ToOrganization | ToIdentity


@dataclass(frozen=True, slots=True)
class Dialog:
    """The dialog in Dialogporten that the order belongs to."""

    dialog_id: UUID | str | None = None
    transmission_id: UUID | str | None = None

    def wire(self) -> dict[str, Any]:
        ids = {"dialogId": self.dialog_id, "transmissionId": self.transmission_id}
        return {name: str(value) for name, value in ids.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """Sent later, to the same recipient or another, unless its condition says no.

    Exactly one of: delay_days after the main order's send time, `at` a moment, or delay_minutes after it (Varsel only).
    """

    to: Recipient
    delay_days: int | None = None
    at: datetime | None = None
    delay_minutes: int | None = None
    senders_reference: str | None = None
    condition: str | None = None

    def __post_init__(self) -> None:
        if [self.delay_days, self.at, self.delay_minutes].count(None) != 2:
            raise InvalidOrder("reminder", "needs exactly one of delay_days, at and delay_minutes")
        rules.kind(self.to, Recipient, "to")
        if self.delay_days is not None:
            rules.whole(self.delay_days, 1, None, "delay_days")
        if self.delay_minutes is not None:
            rules.whole(self.delay_minutes, 1, LONGEST_DELAY_MINUTES, "delay_minutes")
        rules.moment(self.at, "at")
        rules.condition(self.condition)

    def wire(self) -> dict[str, Any]:
        return _present(
            sendersReference=self.senders_reference,
            delayDays=self.delay_days,
            delayMinutes=self.delay_minutes,
            requestedSendTime=None if self.at is None else wire_time(self.at),
            conditionEndpoint=self.condition,
            recipient=self.to.wire(),
        )


@dataclass(frozen=True, slots=True)
class Order:
    """One notification to one recipient, and its reminders.

    idempotency_id: yours; the same id never makes a second order, however often it is sent. send_at: at once when left out.
    condition: address that is asked just before sending. fallback_on_failure: the other channel when the first fails (Varsel only).
    """

    idempotency_id: str
    to: Recipient
    senders_reference: str | None = field(default=None, kw_only=True)
    send_at: datetime | None = field(default=None, kw_only=True)
    condition: str | None = field(default=None, kw_only=True)
    dialog: Dialog | None = field(default=None, kw_only=True)
    reminders: Sequence[Reminder] = field(default=(), kw_only=True)
    fallback_on_failure: bool | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.text(self.idempotency_id, "idempotency_id")
        rules.kind(self.to, Recipient, "to")
        rules.kinds(self.reminders, Reminder, "reminders")
        rules.kind(self.dialog, Dialog | None, "dialog")
        rules.moment(self.send_at, "send_at")
        rules.condition(self.condition)

    def wire(self) -> dict[str, Any]:
        return _present(
            **_common(self.idempotency_id, self.senders_reference, self.send_at, self.condition, self.dialog),
            fallbackOnFailure=self.fallback_on_failure,
            recipient=self.to.wire(),
            reminders=[one.wire() for one in self.reminders] or None,
        )


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that is fetched from a pre-signed link when the e-mail is sent. The link is a secret."""

    filename: str
    mime_type: str
    sas_url: str = field(repr=False)

    def __post_init__(self) -> None:
        rules.filename(self.filename)
        rules.mime_type(self.mime_type)
        rules.sas_url(self.sas_url)

    def wire(self) -> dict[str, Any]:
        return {"filename": self.filename, "mimeType": self.mime_type, "sasUrl": self.sas_url}


@dataclass(frozen=True, slots=True)
class ComposedEmail:
    """One e-mail to one address, with attachments. Needs the scope `altinn:serviceowner/notifications.composedemail.create`."""

    idempotency_id: str
    address: str = field(repr=False)
    email: Email
    attachments: Sequence[Attachment] = ()
    senders_reference: str | None = field(default=None, kw_only=True)
    send_at: datetime | None = field(default=None, kw_only=True)
    condition: str | None = field(default=None, kw_only=True)
    dialog: Dialog | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.text(self.idempotency_id, "idempotency_id")
        rules.email(self.address, "address")
        rules.kind(self.email, Email, "email")
        rules.kinds(self.attachments, Attachment, "attachments")
        rules.kind(self.dialog, Dialog | None, "dialog")
        rules.moment(self.send_at, "send_at")
        rules.condition(self.condition)
        for attachment in self.attachments:
            rules.lives_long_enough(rules.sas_url(attachment.sas_url), self.send_at)

    def wire(self) -> dict[str, Any]:
        settings = self.email.wire()
        if self.attachments:
            settings["attachments"] = [one.wire() for one in self.attachments]
        return {
            **_common(self.idempotency_id, self.senders_reference, self.send_at, self.condition, self.dialog),
            "recipient": {"emailAddress": self.address, "emailSettings": settings},
        }


@dataclass(frozen=True, slots=True)
class InstantSms:
    """An SMS sent at once, at any time of day. `time_to_live`: seconds, 60 to 172,800, that the gateway may try."""

    idempotency_id: str
    number: str = field(repr=False)
    sms: Sms
    time_to_live: int = 172_800
    senders_reference: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.text(self.idempotency_id, "idempotency_id")
        rules.phone(self.number, "number")
        rules.kind(self.sms, Sms, "sms")
        rules.whole(self.time_to_live, *INSTANT_LIFE, "time_to_live")
        if self.sms.sending_time is not None:
            raise InvalidOrder("sending_time", "has no place in an instant order")

    def wire(self) -> dict[str, Any]:
        return _present(
            idempotencyId=self.idempotency_id,
            sendersReference=self.senders_reference,
            recipientSms={
                "phoneNumber": self.number,
                "timeToLiveInSeconds": self.time_to_live,
                "smsSettings": self.sms.wire(),
            },
        )


@dataclass(frozen=True, slots=True)
class InstantEmail:
    """An e-mail sent at once."""

    idempotency_id: str
    address: str = field(repr=False)
    email: Email
    senders_reference: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        rules.text(self.idempotency_id, "idempotency_id")
        rules.email(self.address, "address")
        rules.kind(self.email, Email, "email")
        if self.email.sending_time is not None:
            raise InvalidOrder("sending_time", "has no place in an instant order")

    def wire(self) -> dict[str, Any]:
        return _present(
            idempotencyId=self.idempotency_id,
            sendersReference=self.senders_reference,
            recipientEmail={
                "emailAddress": self.address,
                "emailSettings": _present(
                    subject=self.email.subject,
                    body=self.email.body,
                    contentType=self.email.content_type,
                    senderEmailAddress=self.email.sender,
                ),
            },
        )


def _common(
    idempotency_id: str,
    senders_reference: str | None,
    send_at: datetime | None,
    condition: str | None,
    dialog: Dialog | None,
) -> dict[str, Any]:
    return _present(
        idempotencyId=idempotency_id,
        sendersReference=senders_reference,
        requestedSendTime=None if send_at is None else wire_time(send_at),
        conditionEndpoint=condition,
        dialogportenAssociation=None if dialog is None else dialog.wire(),
    )
