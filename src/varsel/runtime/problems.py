"""The exact bodies of refusals (docs/reference/notifications-api.md 1.7 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from varsel.runtime.errors import BodyProblem, CodedProblem, PlainProblem, Problem, ValidationProblem
from varsel.runtime.trace import Trace

RFC = "https://tools.ietf.org/html/rfc9110#"

#: status -> (section of RFC 9110, title) of plain status problems.
PLAIN: dict[int, tuple[str, str]] = {
    401: ("section-15.5.2", "Unauthorized"),
    403: ("section-15.5.4", "Forbidden"),
    404: ("section-15.5.5", "Not Found"),
    409: ("section-15.5.10", "Conflict"),
    413: ("section-15.5.14", "Content Too Large"),
    415: ("section-15.5.16", "Unsupported Media Type"),
    429: ("section-15.5", "Too Many Requests"),
    503: ("section-15.6.4", "Service Unavailable"),
}


@dataclass(frozen=True, slots=True)
class Code:
    """One coded problem: its status, exact title, and reason phrase (None for the non-standard 499)."""

    status: int
    title: str
    reason: str | None


CODES: dict[str, Code] = {
    "NOT-00001": Code(422, "Missing contact information for recipient(s)", "Unprocessable Entity"),
    "NOT-00002": Code(
        499,
        "The client disconnected or cancelled the request before the server could complete processing",
        None,
    ),
    "NOT-00003": Code(404, "Shipment not found", "Not Found"),
    "NOT-00004": Code(503, "A temporary network failure occurred", "Service Unavailable"),
}


def pretty(value: Any) -> bytes:
    """JSON as the Notifications API writes it: two spaces of indentation, UTF-8 unescaped."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def titled(status: int, section: str, title: str, trace: Trace) -> bytes:
    """A plain status problem with a title of its own, in one line as the SMS and e-mail services write theirs (2.26.2)."""
    return msgspec.json.encode(
        {"type": RFC + section, "title": title, "status": status, "traceId": trace.traceparent}
    )


def render(problem: Problem, trace: Trace) -> tuple[int, bytes]:
    """Status and body of a refusal; an empty body where the contract has none."""
    match problem:
        case ValidationProblem():
            body: dict[str, Any] = {
                "type": RFC + "section-15.5.1",
                "title": "One or more validation errors occurred.",
                "status": 400,
                "errors": problem.errors,
                "traceId": trace.traceparent,
            }
            return 400, pretty(body)
        case CodedProblem(code=code):
            entry = CODES[code]
            body = {
                "type": f"urn:altinn:error:{code}",
                "title": entry.title,
                "status": entry.status,
                "code": code,
                "traceId": trace.traceparent,
            }
            if entry.reason is not None:
                body["statusDescription"] = entry.reason
            return entry.status, pretty(body)
        case PlainProblem(status=status):
            section, title = PLAIN[status]
            body = {"type": RFC + section, "title": title, "status": status, "traceId": trace.traceparent}
            return status, pretty(body)
        case BodyProblem(status=status, body=body_as_given):
            return status, body_as_given
        case _:
            return problem.status, b""
