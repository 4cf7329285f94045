"""What a v2 order must satisfy: stages 4 and 5 of docs/reference/notifications-api.md 1.6, limits of 2.10. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from urllib.parse import unquote

from msgspec import UNSET

from varsel.channels.sms.parts import LINK, will_be_truncated
from varsel.orders.findings import Findings
from varsel.orders.moments import Moment
from varsel.orders.oddities import find_odd_texts
from varsel.orders.reading import Request
from varsel.orders.urls import url_is_valid
from varsel.orders.wire import (
    ChainOrder,
    Channel,
    ContentType,
    EmailSettings,
    RecipientContainer,
    RecipientExternalIdentity,
    RecipientOrganization,
    RecipientPerson,
    Reminder,
    SendingTimePolicy,
    SmsSettings,
)
from varsel.orders.wire_direct import InstantEmailSettings
from varsel.recipients.addresses import blank, email_is_valid, phone_is_valid
from varsel.recipients.registers import RESOURCE_PREFIX
from varsel.runtime.times import LATEST

EMAIL_IDENTITY: Final = "urn:altinn:person:idporten-email:"
#: Prefixes of external identities (3.3).
IDENTITIES: Final = (
    EMAIL_IDENTITY,
    "urn:altinn:person:legacy-selfidentified:",
    "urn:altinn:username:",
    "urn:altinn:party:username:",
)
#: Channels whose orders need e-mail settings, and those that need SMS settings.
NEEDS_EMAIL: Final = frozenset(Channel) - {Channel.SMS}
NEEDS_SMS: Final = frozenset(Channel) - {Channel.EMAIL}
CHANNELS: Final = frozenset(Channel)
CONTENT_TYPES: Final = frozenset(ContentType)
POLICIES: Final = frozenset(SendingTimePolicy)
MOST_MINUTES: Final = 525_600

#: An SMS of at most so many characters cannot need more than the gateway's parts, whatever the characters.
_SURELY_FITS: Final = LINK.most * LINK.ucs2_part // 2

LookedUp: TypeAlias = RecipientPerson | RecipientOrganization | RecipientExternalIdentity


@dataclass(frozen=True, slots=True)
class RuleBook:
    """What the rules know of this installation. `forbidden_url` tells URLs whose host is a literal private address."""

    forbidden_url: Callable[[str], bool]
    blob_hosts: Sequence[str]
    refuse_long_sms: bool = False


def digits(text: str, length: int) -> bool:
    """Exactly `length` ASCII digits."""
    return len(text) == length and text.isascii() and text.isdigit()


def sms_is_too_long(body: str) -> bool:
    """Whether the gateway would cut the text (16 parts)."""
    return len(body) > _SURELY_FITS and will_be_truncated(body)


def check_chain(request: Request[ChainOrder], now: datetime, book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule. `now` is calendar time."""
    order = request.value
    found = Findings()
    if blank(order.idempotency_id):
        found.declared("IdempotencyId", "An idempotency id is required.")
    send_at = now
    if order.requested_send_time is not UNSET:
        check_send_time(found, "RequestedSendTime", order.requested_send_time, now)
        send_at = order.requested_send_time.at
    check_condition(found, "ConditionEndpoint", order.condition_endpoint, book)
    _container(found, "Recipient", order.recipient, book)
    for number, reminder in enumerate(order.reminders or ()):
        _reminder(found, f"Reminders[{number}]", reminder, send_at=send_at, now=now, book=book)
    if request.odd:
        find_odd_texts(found, order)
    found.raise_any()


def check_send_time(
    found: Findings, key: str, moment: Moment, now: datetime, grace: timedelta = timedelta(0)
) -> None:
    """A zone is required, and the time may lie at most `grace` in the past."""
    if not moment.zoned:
        found.business(key, "A time zone is required.")
    if moment.at < now - grace:
        found.business(key, "The send time has passed.")


def check_condition(
    found: Findings,
    key: str,
    url: str | None,
    book: RuleBook,
    valid: Callable[[str], bool] = url_is_valid,
) -> None:
    """A condition endpoint must be a URL that may be called."""
    if url is None:
        return
    if not valid(url):
        found.business(key, "An absolute http or https address is required.")
    elif book.forbidden_url(url):
        found.business(key, "The address is not a public one.")


def reminder_time(reminder: Reminder, send_at: datetime) -> datetime:
    """When a reminder leaves; OverflowError beyond the year 9999."""
    if reminder.requested_send_time is not None:
        return reminder.requested_send_time.at
    if reminder.delay_days is not None:
        return min(send_at + timedelta(days=reminder.delay_days), LATEST)
    return min(send_at + timedelta(minutes=reminder.delay_minutes or 0), LATEST)


def _reminder(
    found: Findings, key: str, reminder: Reminder | None, *, send_at: datetime, now: datetime, book: RuleBook
) -> None:
    if reminder is None:
        found.business(key, "A reminder is required.")
        return
    delays = (
        ("RequestedSendTime", reminder.requested_send_time),
        ("DelayDays", reminder.delay_days),
        ("DelayMinutes", reminder.delay_minutes),
    )
    given = [name for name, value in delays if value is not None]
    if len(given) != 1:
        found.business(key, "Exactly one of delayDays, requestedSendTime and delayMinutes is required.")
    if len(given) > 1:
        for name in given:
            found.business(f"{key}.{name}", "Only one way to tell the send time may be given.")
    if reminder.requested_send_time is not None:
        check_send_time(found, f"{key}.RequestedSendTime", reminder.requested_send_time, now)
    if reminder.delay_days is not None and reminder.delay_days < 1:
        found.business(f"{key}.DelayDays", "At least 1 day is required.")
    if reminder.delay_minutes is not None and not 1 <= reminder.delay_minutes <= MOST_MINUTES:
        found.business(f"{key}.DelayMinutes", f"Between 1 and {MOST_MINUTES} minutes are required.")
    if len(given) == 1:
        try:
            reminder_time(reminder, send_at)
        except OverflowError:
            found.business(f"{key}.{given[0]}", "The reminder would lie after the year 9999.")
    check_condition(found, f"{key}.ConditionEndpoint", reminder.condition_endpoint, book)
    _container(found, f"{key}.Recipient", reminder.recipient, book)


def _container(found: Findings, key: str, recipient: RecipientContainer | None, book: RuleBook) -> None:
    if recipient is None:
        found.declared(key, "A recipient is required.")
        return
    email, sms = recipient.recipient_email, recipient.recipient_sms
    person, organization = recipient.recipient_person, recipient.recipient_organization
    identity = recipient.recipient_external_identity
    if (email, sms, person, organization, identity).count(None) != 4:
        found.business(key, "Exactly one kind of recipient is required.")
    if email is not None:
        path = f"{key}.RecipientEmail"
        check_email_address(found, f"{path}.EmailAddress", email.email_address)
        check_email_settings(found, f"{path}.Settings", email.email_settings)
    if sms is not None:
        path = f"{key}.RecipientSms"
        check_phone_number(found, f"{path}.PhoneNumber", sms.phone_number)
        _sms_settings(found, f"{path}.Settings", sms.sms_settings, book)
    if person is not None:
        path = f"{key}.RecipientPerson"
        check_digits(found, f"{path}.NationalIdentityNumber", person.national_identity_number, 11)
        _looked_up(found, path, person, book)
    if organization is not None:
        path = f"{key}.RecipientOrganization"
        check_digits(found, f"{path}.OrgNumber", organization.org_number, 9)
        _looked_up(found, path, organization, book)
    if identity is not None:
        path = f"{key}.RecipientExternalIdentity"
        _identity(found, f"{path}.ExternalIdentity", identity.external_identity)
        _looked_up(found, path, identity, book)


def check_email_address(found: Findings, key: str, address: str | None) -> None:
    """Required, and one valid address."""
    if address is None or blank(address):
        found.declared(key, "An e-mail address is required.")
    elif not email_is_valid(address):
        found.business(key, "Not a valid e-mail address.")


def check_phone_number(found: Findings, key: str, number: str | None) -> None:
    """Required, and a valid number with country prefix."""
    if number is None or blank(number):
        found.declared(key, "A phone number is required.")
    elif not phone_is_valid(number):
        found.business(key, "Not a valid international phone number.")


def check_digits(found: Findings, key: str, number: str | None, length: int) -> None:
    """Required, and exactly so many digits; check digits are not looked at (3.4)."""
    if number is None or blank(number):
        found.declared(key, "A number is required.")
    elif not digits(number, length):
        found.business(key, f"Exactly {length} digits are required.")


def _identity(found: Findings, key: str, urn: str | None) -> None:
    if urn is None or blank(urn):
        found.declared(key, "An identity is required.")
        return
    for prefix in IDENTITIES:
        if urn.startswith(prefix):
            value = unquote(urn[len(prefix) :])
            if not blank(value) and (prefix != EMAIL_IDENTITY or email_is_valid(value)):
                return
            break
    found.business(key, "Not an identity that can be reached.")


def _looked_up(found: Findings, path: str, recipient: LookedUp, book: RuleBook) -> None:
    channel = recipient.channel_schema
    if channel not in CHANNELS:
        found.business(f"{path}.ChannelSchema", "Not a channel.")
    if recipient.email_settings is not None:
        check_email_settings(found, f"{path}.EmailSettings", recipient.email_settings)
    elif channel in NEEDS_EMAIL:
        found.business(f"{path}.EmailSettings", "This channel needs e-mail settings.")
    if recipient.sms_settings is not None:
        _sms_settings(found, f"{path}.SmsSettings", recipient.sms_settings, book)
    elif channel in NEEDS_SMS:
        found.business(f"{path}.SmsSettings", "This channel needs SMS settings.")
    resource = recipient.resource_id
    if resource is not None and not (
        resource.startswith(RESOURCE_PREFIX) and len(resource) > len(RESOURCE_PREFIX)
    ):
        found.business(
            f"{path}.ResourceId", f"A resource id begins with {RESOURCE_PREFIX} and names a resource."
        )
    check_action(found, f"{path}.ResourceAction", resource, recipient.resource_action)


def check_action(found: Findings, key: str, resource: str | None, action: str | None) -> None:
    """An action needs a resource; the empty string counts as none, white space does not."""
    if not action:
        return
    if blank(action):
        found.business(key, "An action is more than white space.")
    elif blank(resource):
        found.business(key, "An action needs a resource id.")


def check_email_settings(
    found: Findings, key: str, settings: EmailSettings | InstantEmailSettings | None
) -> None:
    """Subject and body, sender, content type; e-mail has no daytime."""
    if settings is None:
        found.declared(key, "E-mail settings are required.")
        return
    if blank(settings.subject):
        found.declared(f"{key}.Subject", "A subject is required.")
    if blank(settings.body):
        found.declared(f"{key}.Body", "A body is required.")
    sender = settings.sender_email_address
    if sender is not None and not email_is_valid(sender):
        found.business(f"{key}.SenderEmailAddress", "Not a valid e-mail address.")
    if settings.content_type not in CONTENT_TYPES:
        found.business(f"{key}.ContentType", "Not a content type.")
    if isinstance(settings, EmailSettings) and settings.sending_time_policy != SendingTimePolicy.ANYTIME:
        found.business(f"{key}.SendingTimePolicy", "E-mail is sent at any time.")


def _sms_settings(found: Findings, key: str, settings: SmsSettings | None, book: RuleBook) -> None:
    if settings is None:
        found.declared(key, "SMS settings are required.")
        return
    if blank(settings.body):
        found.declared(f"{key}.Body", "A body is required.")
    else:
        check_sms_length(found, f"{key}.Body", settings.body, book)
    if settings.sending_time_policy not in POLICIES:
        found.business(f"{key}.SendingTimePolicy", "Not a sending time policy.")


def check_sms_length(found: Findings, key: str, body: str, book: RuleBook) -> None:
    """Where the installation refuses texts that the gateway would cut."""
    if book.refuse_long_sms and sms_is_too_long(body):
        found.business(key, f"The text needs more than {LINK.most} parts.")
