"""HTTP of delivery: reports of the SMS gateway and of the e-mail provider (docs/reference/notifications-api.md 2.26.1, 2.27.2)."""

from __future__ import annotations

from email.message import Message
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from varsel.channels.email.acs_reports import EventError, read_events
from varsel.channels.sms.reports import ACKNOWLEDGED, Report, ReportError, read_reports
from varsel.delivery.model import ACS
from varsel.delivery.reports import RawReport, ReportStore
from varsel.runtime.endpoints import Call, Endpoint, Policy, Reply
from varsel.runtime.problems import pretty

_XML: Final = b"application/xml; charset=utf-8"
_TEXT: Final = b"text/plain; charset=utf-8"


class EventsTaken(msgspec.Struct, rename="camel", omit_defaults=True):
    """The events are stored."""

    validation_response: Annotated[
        str | None,
        Meta(
            description="Code of the handshake, when the events held one.",
            examples=["512d38b6-c7b8-40c8-89fe"],
        ),
    ] = None


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        "/notifications/sms/api/v1/reports",
        "sms_reports",
        Policy.SMS_REPORT,
        "Delivery reports of the SMS gateway",
        consumes=("application/xml", "text/plain"),
        responses={200: "application/xml", 400: "text/plain"},
        problems=(401, 415),
        description=(
            "PSWin XML, one MSGLST with up to 5,000 MSG. Every report is stored as it came before the answer; what "
            "cannot be matched or understood waits for the operator and is no error to the gateway."
        ),
    ),
    Endpoint(
        "POST",
        "/notifications/email/api/v1/reports",
        "email_reports",
        Policy.EMAIL_REPORT,
        "Delivery reports of the e-mail provider",
        responses={200: EventsTaken, 400: "text/plain"},
        problems=(401,),
        description=(
            "Events of Azure Event Grid, one or a list, in its own schema or as CloudEvents; the handshake of a new subscription "
            "in its own schema is answered. Every event is stored as it came before the answer; a body of more than 5,000 events "
            "or 2 MB is refused, and stored all the same."
        ),
    ),
    Endpoint(
        "OPTIONS",
        "/notifications/email/api/v1/reports",
        "email_handshake",
        Policy.EMAIL_REPORT,
        "Handshake of the e-mail provider's events",
        responses={200: None, 400: "text/plain"},
        problems=(401,),
        parameters=(
            {
                "name": "WebHook-Request-Origin",
                "in": "header",
                "required": True,
                "description": "Who asks to send events.",
                "schema": {"type": "string"},
                "example": "eventgrid.azure.net",
            },
        ),
        description=(
            "How a subscription that sends CloudEvents begins (CloudEvents 1.0, HTTP webhooks, 4): the answer names the origin that "
            "asked in `WebHook-Allowed-Origin`, and any rate in `WebHook-Allowed-Rate`."
        ),
    ),
)


class DeliveryRoutes:
    """Answers providers as soon as their reports are on disk."""

    def __init__(self, store: ReportStore) -> None:
        self._store = store

    async def sms_reports(self, call: Call) -> Reply:
        """200 with the gateway's acknowledgement; 400 with a sentence when the body is no list of whole reports."""
        try:
            reports = read_reports(call.body, _charset(call.header(b"content-type")))
        except ReportError as error:
            await self._store.store(
                [
                    *map(_raw, error.reports),
                    RawReport("link", None, None, None, call.body, reason="MALFORMED"),
                ]
            )
            return Reply(error.status, str(error).encode(), content_type=_TEXT)
        await self._store.store([_raw(report) for report in reports])
        return Reply(200, ACKNOWLEDGED, content_type=_XML)

    async def email_reports(self, call: Call) -> Reply:
        """200 with a JSON object that holds the code of the handshake when one was sent; 400 with a sentence when the body holds no events."""
        try:
            events = read_events(call.body)
        except EventError as error:
            await self._store.store([RawReport(ACS, None, None, None, call.body, reason="MALFORMED")])
            return Reply(400, str(error).encode(), content_type=_TEXT)
        await self._store.store(
            [
                RawReport(ACS, one.operation_id, one.word, one.result, one.raw, reason=one.reason)
                for one in events.reports
            ]
        )
        if events.validation is not None:
            return Reply(200, pretty(EventsTaken(events.validation)))
        return Reply(200, b"{}")

    async def email_handshake(self, call: Call) -> Reply:
        """200 that lets whoever knows the secret send at any rate; 400 with a sentence when the request does not say who asks."""
        origin = call.header(b"webhook-request-origin")
        if not origin:
            return Reply(400, b"The header WebHook-Request-Origin is missing.", content_type=_TEXT)
        allowed = (
            (b"allow", b"OPTIONS, POST"),
            (b"webhook-allowed-origin", origin),
            (b"webhook-allowed-rate", b"*"),
        )
        return Reply(200, b"", allowed, None)


def _raw(report: Report) -> RawReport:
    return RawReport("link", report.reference or None, report.state, report.result, report.raw.encode())


def _charset(content_type: bytes | None) -> str | None:
    if content_type is None:
        return None
    header = Message()
    header["Content-Type"] = content_type.decode("latin-1").replace("\r", " ").replace("\n", " ")
    charset = header.get_param("charset")
    return charset if isinstance(charset, str) else None
