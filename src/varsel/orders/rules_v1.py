"""What an order of the first generation must satisfy (docs/reference/notifications-api.md 2.1 to 2.3). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET

from varsel.orders.findings import Findings
from varsel.orders.oddities import find_odd_texts
from varsel.orders.reading import Request
from varsel.orders.rules import (
    CHANNELS,
    CONTENT_TYPES,
    NEEDS_EMAIL,
    NEEDS_SMS,
    RuleBook,
    check_action,
    check_condition,
    check_send_time,
    check_sms_length,
    digits,
)
from varsel.orders.urls import dotted_url_is_valid
from varsel.orders.wire import Channel
from varsel.orders.wire_v1 import (
    ChannelOrder,
    Common,
    EmailOrder,
    EmailTemplate,
    Recipient,
    SmsOrder,
    SmsTemplate,
)
from varsel.recipients.addresses import blank, email_is_valid, phone_is_valid

#: How late an order may come.
GRACE: Final = timedelta(minutes=5)


def check_email_order(request: Request[EmailOrder], now: datetime, book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule of 2.1."""
    order, found = request.value, Findings()
    if blank(order.subject):
        found.declared("Subject", "A subject is required.")
    if blank(order.body):
        found.declared("Body", "A body is required.")
    if order.content_type is not None and order.content_type not in CONTENT_TYPES:
        found.business("ContentType", "Not a content type.")
    _finish(found, request, Channel.EMAIL, now, book)


def check_sms_order(request: Request[SmsOrder], now: datetime, book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule of 2.2."""
    order, found = request.value, Findings()
    if blank(order.body):
        found.declared("Body", "A body is required.")
    else:
        check_sms_length(found, "Body", order.body, book)
    _finish(found, request, Channel.SMS, now, book)


def check_channel_order(request: Request[ChannelOrder], now: datetime, book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule of 2.3; `EmailAndSms` is checked as the preferred channels are."""
    order, found = request.value, Findings()
    channel = order.notification_channel
    if channel is None:
        found.declared("NotificationChannel", "A channel is required.")
    elif channel not in CHANNELS:
        found.business("NotificationChannel", "Not a channel.")
    _email_template(found, order.email_template, needed=channel in NEEDS_EMAIL)
    _sms_template(found, order.sms_template, needed=channel in NEEDS_SMS, book=book)
    _finish(found, request, channel, now, book)


def _email_template(found: Findings, template: EmailTemplate | None, *, needed: bool) -> None:
    if template is None:
        if needed:
            found.business("EmailTemplate", "This channel needs an e-mail template.")
        return
    for name, text in (("Subject", template.subject), ("Body", template.body)):
        _template_text(found, f"EmailTemplate.{name}", text)
    _not_null(found, "EmailTemplate.FromAddress", template.from_address)
    if template.content_type not in CONTENT_TYPES:
        found.business("EmailTemplate.ContentType", "Not a content type.")


def _sms_template(found: Findings, template: SmsTemplate | None, *, needed: bool, book: RuleBook) -> None:
    if template is None:
        if needed:
            found.business("SmsTemplate", "This channel needs an SMS template.")
        return
    if _template_text(found, "SmsTemplate.Body", template.body):
        check_sms_length(found, "SmsTemplate.Body", template.body, book)
    _not_null(found, "SmsTemplate.SenderNumber", template.sender_number)


def _template_text(found: Findings, key: str, text: str | None) -> bool:
    _not_null(found, key, text)
    if text is not None and blank(text):
        found.business(key, "A text is required.")
    return not blank(text)


def _not_null(found: Findings, key: str, text: str | None) -> None:
    if text is None:
        found.declared(key, "Null is not allowed; leave it out.")


def _finish(
    found: Findings,
    request: Request[EmailOrder] | Request[SmsOrder] | Request[ChannelOrder],
    channel: Channel | None,
    now: datetime,
    book: RuleBook,
) -> None:
    order: Common = request.value
    _recipients(found, order.recipients, channel)
    if order.requested_send_time is not UNSET:
        check_send_time(found, "RequestedSendTime", order.requested_send_time, now, GRACE)
    check_condition(found, "ConditionEndpoint", order.condition_endpoint, book, dotted_url_is_valid)
    check_action(found, "ResourceAction", order.resource_id, order.resource_action)
    if request.odd:
        find_odd_texts(found, order)
    found.raise_any()


def _recipients(found: Findings, recipients: list[Recipient] | None, channel: Channel | None) -> None:
    if recipients is None:
        found.declared("Recipients", "Recipients are required.")
        return
    if not recipients:
        found.business("Recipients", "At least one recipient is required.")
    for number, recipient in enumerate(recipients):
        _recipient(found, f"Recipients[{number}]", recipient, channel)


def _recipient(found: Findings, key: str, recipient: Recipient | None, channel: Channel | None) -> None:
    if recipient is None:
        found.business(key, "A recipient is required.")
        return
    email, mobile = recipient.email_address, recipient.mobile_number
    person, organization = recipient.national_identity_number, recipient.organization_number
    if person and (email or mobile or organization):
        found.business(key, "A national identity number stands alone.")
    if organization and (email or mobile or person):
        found.business(key, "An organization number stands alone.")
    # Each single channel ignores the other's address, and does not count it.
    email = None if channel == Channel.SMS else email
    mobile = None if channel == Channel.EMAIL else mobile
    if not (email or mobile or person or organization):
        found.business(key, "An address, a national identity number or an organization number is required.")
    if email and not email_is_valid(email):
        found.business(f"{key}.EmailAddress", "Not a valid e-mail address.")
    if mobile and not phone_is_valid(mobile):
        found.business(f"{key}.MobileNumber", "Not a valid international phone number.")
    if person and not digits(person, 11):
        found.business(f"{key}.NationalIdentityNumber", "Exactly 11 digits are required.")
    if organization and not digits(organization, 9):
        found.business(f"{key}.OrganizationNumber", "Exactly 9 digits are required.")
