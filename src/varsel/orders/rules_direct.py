"""What composed e-mail and instant messages must satisfy (docs/reference/notifications-api.md 2.11 to 2.14). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import UNSET

from varsel.orders.findings import Findings
from varsel.orders.mime_types import ACCEPTED
from varsel.orders.oddities import find_odd_texts
from varsel.orders.reading import Request
from varsel.orders.rules import (
    RuleBook,
    check_condition,
    check_email_address,
    check_email_settings,
    check_phone_number,
    check_send_time,
    check_sms_length,
)
from varsel.orders.urls import judge_file_url
from varsel.orders.wire import Wire
from varsel.orders.wire_direct import (
    LEAST_TTL,
    MOST_TTL,
    Attachment,
    ComposedOrder,
    ComposedSettings,
    InstantEmail,
    InstantEmailRecipient,
    InstantSms,
    InstantSmsRecipient,
    InstantSmsSettings,
    WrappedInstantSms,
    WrappedRecipient,
)
from varsel.recipients.addresses import blank

_SLASHES: Final = frozenset("/\\")


def check_composed(request: Request[ComposedOrder], now: datetime, book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule of 2.11."""
    order, found = request.value, Findings()
    _idempotency_id(found, order.idempotency_id)
    send_at = now
    if order.requested_send_time is not UNSET:
        check_send_time(found, "RequestedSendTime", order.requested_send_time, now)
        send_at = order.requested_send_time.at
    check_condition(found, "ConditionEndpoint", order.condition_endpoint, book)
    if _present(found, "Recipient", order.recipient):
        check_email_address(found, "Recipient.EmailAddress", order.recipient.email_address)
        _composed_settings(found, order.recipient.email_settings, send_at, book)
    _finish(found, request.odd, order)


def _composed_settings(
    found: Findings, settings: ComposedSettings | None, send_at: datetime, book: RuleBook
) -> None:
    check_email_settings(found, "Recipient.Settings", settings)
    if settings is not None:
        for number, attachment in enumerate(settings.attachments or ()):
            _attachment(found, f"Recipient.Settings.Attachments[{number}]", attachment, send_at, book)


def _attachment(
    found: Findings, key: str, attachment: Attachment | None, send_at: datetime, book: RuleBook
) -> None:
    if attachment is None:
        found.business(key, "An attachment is required.")
        return
    if blank(attachment.filename):
        found.declared(f"{key}.Filename", "A file name is required.")
    elif not _SLASHES.isdisjoint(attachment.filename) or not _has_extension(attachment.filename):
        found.business(f"{key}.Filename", "A file name has an extension and no slash.")
    if blank(attachment.mime_type):
        found.declared(f"{key}.MimeType", "A MIME type is required.")
    elif attachment.mime_type.lower() not in ACCEPTED:
        found.business(f"{key}.MimeType", "This kind of file is not accepted.")
    if blank(attachment.sas_url):
        found.declared(f"{key}.SasUrl", "An address is required.")
        return
    judged = judge_file_url(attachment.sas_url, book.blob_hosts)
    for fault in judged.faults:
        found.business(f"{key}.SasUrl", fault)
    if judged.too_short_for(send_at):
        found.business(key, "The address must stay readable for 15 minutes after the send time.")


def _has_extension(filename: str) -> bool:
    _, dot, extension = filename.rpartition(".")
    return bool(dot and extension)


def check_instant_sms(request: Request[InstantSms], book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule of 2.12."""
    order, found = request.value, Findings()
    _idempotency_id(found, order.idempotency_id)
    _instant_number(found, "RecipientSms", order.recipient_sms, book)
    _finish(found, request.odd, order)


def check_wrapped_instant_sms(request: Request[WrappedInstantSms], book: RuleBook) -> None:
    """ValidationProblem unless the order keeps every rule of 2.14."""
    order, found = request.value, Findings()
    _idempotency_id(found, order.idempotency_id)
    recipient: WrappedRecipient | None = order.recipient
    if recipient is None:
        found.declared("InstantNotificationRecipient", "A recipient is required.")
    else:
        key = "InstantNotificationRecipient.ShortMessageDeliveryDetails"
        _instant_number(found, key, recipient.recipient_sms, book)
    _finish(found, request.odd, order)


def check_instant_email(request: Request[InstantEmail]) -> None:
    """ValidationProblem unless the order keeps every rule of 2.13."""
    order, found = request.value, Findings()
    _idempotency_id(found, order.idempotency_id)
    recipient: InstantEmailRecipient | None = order.recipient_email
    if recipient is None:
        found.declared("InstantEmailDetails", "A recipient is required.")
    else:
        check_email_address(found, "InstantEmailDetails.EmailAddress", recipient.email_address)
        check_email_settings(found, "InstantEmailDetails.EmailSettings", recipient.email_settings)
    _finish(found, request.odd, order)


def _instant_number(found: Findings, key: str, recipient: InstantSmsRecipient | None, book: RuleBook) -> None:
    if recipient is None:
        found.declared(key, "A recipient is required.")
        return
    check_phone_number(found, f"{key}.PhoneNumber", recipient.phone_number)
    if not LEAST_TTL <= recipient.time_to_live_in_seconds <= MOST_TTL:
        found.business(
            f"{key}.TimeToLiveInSeconds", f"Between {LEAST_TTL} and {MOST_TTL} seconds are required."
        )
    settings: InstantSmsSettings | None = recipient.sms_settings
    if settings is None:
        found.declared(f"{key}.ShortMessageContent", "SMS settings are required.")
    elif blank(settings.body):
        found.declared(f"{key}.ShortMessageContent.Body", "A body is required.")
    else:
        check_sms_length(found, f"{key}.ShortMessageContent.Body", settings.body, book)


def _idempotency_id(found: Findings, value: str | None) -> None:
    if blank(value):
        found.declared("IdempotencyId", "An idempotency id is required.")


def _present(found: Findings, key: str, value: object) -> bool:
    if value is None:
        found.declared(key, "A value is required.")
    return value is not None


def _finish(found: Findings, odd: bool, order: Wire) -> None:
    if odd:
        find_odd_texts(found, order)
    found.raise_any()
