"""The internal send endpoints: one message to one address, at once (docs/reference/notifications-api.md 2.26.2 and 2.27.1).

They take the way of instant messages: the intent is on disk before anything leaves, reports find the message, and an id that comes
again sends nothing again. Such messages belong to no service owner; the id that the caller gave is their reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from varsel.orders import examples
from varsel.orders.drafts import key_of
from varsel.orders.drafts_direct import EMAIL_LIFE, InstantDraft, instant_row
from varsel.orders.findings import Findings
from varsel.orders.instant import Instants
from varsel.orders.model import Digest
from varsel.orders.oddities import find_odd_texts
from varsel.orders.reading import Request, RequestReader, normalised
from varsel.orders.rules import CONTENT_TYPES, RuleBook, check_sms_length
from varsel.orders.wire import ContentType
from varsel.orders.wire_internal import LEAST_LIFE, MOST_LIFE, InternalEmail, InternalSms
from varsel.recipients.addresses import blank
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import Call, Endpoint, Policy, Reply
from varsel.runtime.errors import BodyProblem, CodedProblem
from varsel.runtime.problems import titled
from varsel.store.content import EmailText, OrderContent, Recipient, SmsText
from varsel.store.ids import uuid7
from varsel.store.long_texts import LONG

#: Owner of these messages: no name that a credential can carry.
NOBODY: Final = "(internal)"
_MAC: Final = "internal-body"
_GONE: Final = 499


def _either(*names: str) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        "/notifications/sms/api/v1/instantmessage/send",
        "send_internal_sms",
        Policy.INTERNAL,
        "Send an SMS for another service",
        consumes=("application/json",),
        body_name="request",
        request=InternalSms,
        examples=examples.INTERNAL_SMS,
        responses={
            200: None,
            400: _either("ValidationProblem", "PlainProblem"),
            _GONE: _either("PlainProblem"),
        },
        problems=(413, 415),
        internal=True,
        indented=False,
        description=(
            "200 once the gateway has been asked, also when it refused: what became of the message is its result. 400 `Invalid SMS "
            "request` when no gateway can be used. The same `notificationId` again sends nothing again."
        ),
    ),
    Endpoint(
        "POST",
        "/notifications/email/api/v1/instantemail",
        "send_internal_email",
        Policy.INTERNAL,
        "Send an e-mail for another service",
        consumes=("application/json",),
        body_name="request",
        request=InternalEmail,
        examples=examples.INTERNAL_EMAIL,
        responses={
            202: None,
            400: _either("ValidationProblem", "PlainProblem"),
            _GONE: _either("PlainProblem"),
        },
        problems=(413, 415),
        internal=True,
        indented=False,
        description=(
            "202 once the provider has been asked, also when it refused: what became of the message is its result. 400 `Invalid email "
            "request` when no provider can be used. The same `notificationId` again sends nothing again."
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _Service:
    """How one of the two services answers."""

    done: int
    invalid: str


_SMS: Final = _Service(200, "Invalid SMS request")
_EMAIL: Final = _Service(202, "Invalid email request")


def check_internal_sms(request: Request[InternalSms], book: RuleBook) -> None:
    """ValidationProblem unless the request keeps every rule of 2.26.2."""
    value, found = request.value, Findings()
    for key, text in (("Sender", value.sender), ("Recipient", value.recipient), ("Message", value.message)):
        _not_blank(found, key, text)
    if not LEAST_LIFE <= value.time_to_live <= MOST_LIFE:
        found.business("TimeToLive", f"Between {LEAST_LIFE} and {MOST_LIFE} seconds are required.")
    if not blank(value.message):
        check_sms_length(found, "Message", value.message, book)
    _finish(found, request)


def check_internal_email(request: Request[InternalEmail]) -> None:
    """ValidationProblem unless the request keeps every rule of 2.27.1."""
    value, found = request.value, Findings()
    for key, text in (
        ("Sender", value.sender),
        ("Recipient", value.recipient),
        ("Subject", value.subject),
        ("Body", value.body),
    ):
        _not_blank(found, key, text)
    if not blank(value.recipient):
        local, at, domain = value.recipient.partition("@")
        if not (local and at and domain) or "@" in domain:
            found.business("Recipient", "Not an e-mail address.")
    if value.content_type not in CONTENT_TYPES:
        found.business("ContentType", "Not a content type.")
    _finish(found, request)


def _not_blank(found: Findings, key: str, text: str | None) -> None:
    if blank(text):
        found.declared(key, "A value is required.")


def _finish(found: Findings, request: Request[InternalSms] | Request[InternalEmail]) -> None:
    if request.odd:
        find_odd_texts(found, request.value)
    found.raise_any()


class InternalRoutes:
    """Answers of the endpoints above."""

    def __init__(self, instants: Instants, calendar: Calendar, digest: Digest, book: RuleBook) -> None:
        self._instants = instants
        self._calendar = calendar
        self._digest = digest
        self._book = book
        self._sms = RequestReader(InternalSms, "request")
        self._email = RequestReader(InternalEmail, "request")

    async def send_internal_sms(self, call: Call) -> Reply:
        return await self._send(call, self._draft_sms, _SMS)

    async def send_internal_email(self, call: Call) -> Reply:
        return await self._send(call, self._draft_email, _EMAIL)

    async def _send(
        self, call: Call, draft: Callable[[bytes, datetime], InstantDraft], service: _Service
    ) -> Reply:
        # In a thread, as all large bodies: the event loop goes on. These calls are few.
        drafted = await asyncio.to_thread(draft, call.body, self._calendar.now())
        placing = asyncio.ensure_future(self._instants.place(drafted))
        gone = asyncio.ensure_future(call.disconnected())
        try:
            await asyncio.wait((placing, gone), return_when=asyncio.FIRST_COMPLETED)
            if not placing.done():
                # What has been stored is sent all the same.
                raise _problem(call, _GONE, "Request terminated")
            placing.result()
        except CodedProblem:
            raise _problem(call, 400, service.invalid) from None
        finally:
            gone.cancel()
            placing.cancel()
        return Reply(service.done, content_type=None)

    def _draft_sms(self, body: bytes, now: datetime) -> InstantDraft:
        request = self._sms.read(body)
        check_internal_sms(request, self._book)
        value = request.value
        content = OrderContent(
            recipients=(Recipient(mobile=value.recipient),),
            sms=SmsText(value.sender, value.message),
            time_to_live=value.time_to_live,
        )
        life = timedelta(seconds=value.time_to_live)
        return self._draft("Sms", value, content, now, life)

    def _draft_email(self, body: bytes, now: datetime) -> InstantDraft:
        request = self._email.read(body)
        check_internal_email(request)
        value = request.value
        html = value.content_type == ContentType.HTML
        content = OrderContent(
            recipients=(Recipient(email=value.recipient),),
            email=EmailText(value.sender, value.subject, value.body, html),
        )
        return self._draft("Email", value, content, now, EMAIL_LIFE)

    def _draft(
        self,
        channel: Literal["Email", "Sms"],
        value: InternalSms | InternalEmail,
        content: OrderContent,
        now: datetime,
        life: timedelta,
    ) -> InstantDraft:
        identifier = value.notification_id.lower()
        order = instant_row(identifier, channel, content, NOBODY, now)
        mac = self._digest.mac(_MAC, normalised(value, LONG + 1))
        # One id, one message: the two services have ids apart.
        key = key_of(f"{channel}:{identifier}", "instant", mac, [order])
        return InstantDraft(order, key, content, channel, value.recipient, uuid7(), now + life)


def _problem(call: Call, status: int, title: str) -> BodyProblem:
    section = "section-15.5.1" if status == 400 else "section-15.5"
    return BodyProblem(status, titled(status, section, title, call.trace))
