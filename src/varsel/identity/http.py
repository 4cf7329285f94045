"""What the identity routes share of HTTP: bounded bodies, answers that nobody caches, problem bodies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from varsel.runtime.clock import Machine
from varsel.runtime.times import OSLO
from varsel.runtime.trace import Trace

SMALL_BODY: Final = 64 * 1024
#: For every page that shows tokens, keys or a login (docs/reference/identity.md 10.5, line 77).
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_TITLES: Final = {
    400: ("section-15.5.1", "Bad Request"),
    401: ("section-15.5.2", "Unauthorized"),
    403: ("section-15.5.4", "Forbidden"),
    404: ("section-15.5.5", "Not Found"),
    409: ("section-15.5.10", "Conflict"),
    429: ("section-15.5", "Too Many Requests"),
    503: ("section-15.6.4", "Service Unavailable"),
}


def json(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None, *, cache: int | None = None
) -> Response:
    """A JSON answer; kept by nobody unless `cache` seconds are given."""
    control = "no-store" if cache is None else f"public, max-age={cache}"
    return Response(
        body,
        status,
        {"Cache-Control": control, "X-Content-Type-Options": "nosniff", **(headers or {})},
        media_type="application/json",
    )


def trace(request: Request) -> Trace:
    """The trace of this request."""
    found = request.scope.get("varsel.trace")
    if not isinstance(found, Trace):
        sent = request.headers.get("traceparent")
        found = request.scope["varsel.trace"] = Trace(sent.encode("latin-1") if sent else None)
    return found


def problem(
    request: Request, status: int, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """A problem body (RFC 9457)."""
    section, title = _TITLES[status]
    body = {
        "type": "https://tools.ietf.org/html/rfc9110#" + section,
        "title": title,
        "status": status,
        **members,
        "traceId": trace(request).traceparent,
    }
    answer = json(msgspec.json.encode(body), status, headers)
    answer.headers["Content-Type"] = "application/problem+json; charset=utf-8"
    return answer


def address(request: Request) -> str:
    """Where the connection comes from; `unknown` on a Unix socket."""
    return request.client.host if request.client else "unknown"


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body(request: Request, limit: int) -> bytes | None:
    """The body when it is at most `limit` bytes, else None; never more than that is held."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        return None
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit:
            return None
    return bytes(found)


def bearer(request: Request) -> bytes | None:
    """The one bearer token of the Authorization header; None when there is none, or several (identity.md 10.4, line 51)."""
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(values) != 1 or values[0][:7].lower() != b"bearer ":
        return None
    token: bytes = values[0][7:].strip(b" \t")
    return token or None


def timestamp(machine: Machine) -> str:
    """Now in Norway, in ISO 8601 with milliseconds and offset."""
    return datetime.fromtimestamp(machine.time(), OSLO).isoformat(timespec="milliseconds")
