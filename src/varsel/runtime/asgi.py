"""The router: an ASGI application over the endpoint table.

Stages run in the order of docs/reference/notifications-api.md 1.6: route, method and declared content type (404, 405, 415 with an
empty body, no credential asked), credential, missing content type, body, handler. It works on the raw ASGI messages: at the rate
of an order service a request object per call is a third of the cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from hashlib import blake2b
from time import perf_counter
from typing import Any, Final, Protocol

import msgspec
import structlog

from varsel.runtime import trace as traces
from varsel.runtime.endpoints import ANONYMOUS, RESPOND, SCOPES, Authorizer, Bound, Call, Policy, Reply
from varsel.runtime.errors import BodyProblem, EmptyProblem, PlainProblem, Problem, Unavailable
from varsel.runtime.problems import render
from varsel.runtime.routing import Route, RouteTable, media_type_allowed
from varsel.runtime.trace import Trace

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Largest request body in bytes (1.3).
BODY_LIMIT: Final = 30_000_000
#: Status under which a request counts whose caller went away before it was read.
CALLER_GONE: Final = 499
#: Octets of a body whose digest is made on the event loop: less than a millisecond of work.
_TAGGED_AT_ONCE: Final = 500_000
#: Octets of a body that are given to the transport at once.
_SENT_AT_ONCE: Final = 1_000_000

JSON: Final = b"application/json; charset=utf-8"
_TYPE: Final = b"content-type"
_LENGTH: Final = b"content-length"
_ZERO: Final = (_LENGTH, b"0")

#: What a 403 names outside strict imitation.
_SCOPES: Final = {policy: scope.encode() for policy, scope in SCOPES.items()}

log = structlog.get_logger("varsel.http")


class Meter(Protocol):
    """Counts requests; `varsel.runtime.metrics.RequestMeter`."""

    def of(self, operation: str) -> Callable[[int, float, int, int], None]:
        """A function that takes status, seconds, bytes received and bytes sent of one request."""
        ...


class _CallerGoneError(Exception):
    """The caller went away while its body was read."""


def _uncounted(status: int, seconds: float, received: int, sent: int) -> None:
    del status, seconds, received, sent


class Api:
    """Serves bound endpoints; paths that none of them has go to `fallback`, or get 404.

    `strict` leaves 401 and 403 without headers and bodies, as the public API does (1.7.4). Lifespan events are not answered here:
    whoever composes opens and closes the rooms.
    """

    def __init__(
        self,
        bound: Sequence[Bound],
        authorizer: Authorizer,
        *,
        telemetry: Meter | None = None,
        fallback: ASGIApp | None = None,
        strict: bool = True,
        access_log: bool = False,
    ) -> None:
        self._authorize = authorizer.authorize
        self._fallback = fallback
        self._strict = strict
        self._access_log = access_log
        self._unrouted = telemetry.of("unrouted") if telemetry else _uncounted
        self._table = RouteTable(_prepare(item, telemetry) for item in bound)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._not_http(scope, receive, send)
            return
        began = perf_counter()
        method: str = scope["method"]
        raw: bytes | None = scope.get("raw_path")
        path: str = scope["path"] if raw is None else raw.decode("latin-1")
        route, parameters, allowed = self._table.find(method, path)
        if route is None:
            if not allowed and self._fallback is not None:
                await self._fallback(scope, receive, send)
                return
            status = 405 if allowed else 404
            extra = ((b"allow", ", ".join(allowed).encode()),) if allowed else ()
            self._unrouted(status, perf_counter() - began, 0, 0)
            await _send_empty(send, status, extra)
            return

        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in headers:
                headers[name].append(value)
            else:
                headers[name] = [value]
        declared = headers.get(_TYPE)
        if declared is not None and declared == [b""]:
            declared = None
        if (
            declared is not None
            and route.consumes is not None
            and not media_type_allowed(declared, route.consumes)
        ):
            route.observe(415, perf_counter() - began, 0, 0)
            await _send_empty(send, 415)
            return

        incoming = headers.get(b"traceparent")
        trace = Trace(incoming[0] if incoming else None)
        traces.CURRENT.set(trace)
        call = Call(
            method,
            path,
            parameters,
            scope["query_string"],
            headers,
            b"",
            ANONYMOUS,
            trace,
            scope,
            partial(_gone, receive),
        )
        reply = await self._answer(route, call, declared is None, receive)
        if self._access_log:
            log.info(
                "request answered",
                action="http.request",
                operation=route.bound.endpoint.operation,
                status=reply.status,
                milliseconds=round((perf_counter() - began) * 1000, 2),
                trace=trace.trace_id,
            )
        route.observe(reply.status, perf_counter() - began, len(call.body), len(reply.body))
        await _send(scope, send, reply)

    async def _answer(self, route: Route, call: Call, undeclared: bool, receive: Receive) -> Reply:
        endpoint = route.bound.endpoint
        try:
            if endpoint.policy is not Policy.OPEN:
                try:
                    call.caller = await self._authorize(endpoint.policy, call)
                except EmptyProblem as problem:
                    return self._unauthorized(problem, endpoint.policy, call)
            if undeclared and route.needs_type:
                raise PlainProblem(415)
            if route.reads_body:
                call.body = await _read_body(call.headers, receive)
            return await route.bound.handler(call)
        except Problem as problem:
            return _refusal(problem, call.trace, endpoint.indented)
        except Unavailable as outage:
            log.warning(
                "a dependency does not answer",
                action="http.unavailable",
                operation=endpoint.operation,
                error=type(outage).__name__,
                trace=call.trace.trace_id,
            )
            return Reply(503, b"", ((b"retry-after", b"%d" % outage.retry_after),), None)
        except _CallerGoneError:
            return Reply(CALLER_GONE, b"", (), None)
        except asyncio.CancelledError:
            # The process stops and its time is up. The caller gets a complete answer and may repeat with the same idempotency id.
            return Reply(503, b"", ((b"retry-after", b"5"), (b"connection", b"close")), None)
        except Exception:
            log.exception(
                "request failed",
                action="http.failed",
                operation=endpoint.operation,
                trace=call.trace.trace_id,
            )
            return Reply(500, b"", (), None)

    def _unauthorized(self, problem: EmptyProblem, policy: Policy, call: Call) -> Reply:
        status = problem.status
        if self._strict or status not in (401, 403):
            return Reply(status, b"", problem.headers, None)
        headers = problem.headers
        if not any(name.lower() == b"www-authenticate" for name, _ in headers):
            headers = (*headers, (b"www-authenticate", _challenge(status, policy)))
        return Reply(status, render(PlainProblem(status), call.trace)[1], headers)

    async def _not_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise RuntimeError(f"the router does not serve {scope['type']}")


def _prepare(bound: Bound, telemetry: Meter | None) -> Route:
    endpoint = bound.endpoint
    return Route(
        bound=bound,
        consumes=None
        if endpoint.consumes is None
        else frozenset(kind.lower().encode() for kind in endpoint.consumes),
        needs_type=endpoint.needs_type,
        reads_body=endpoint.method not in ("GET", "HEAD"),
        observe=telemetry.of(endpoint.operation) if telemetry else _uncounted,
    )


def _challenge(status: int, policy: Policy) -> bytes:
    if policy is Policy.SMS_REPORT:
        return b'Basic realm="varsel"'
    if status == 401:
        return b'Bearer error="invalid_token"'
    scope = _SCOPES.get(policy)
    return b'Bearer error="insufficient_scope"' + (b', scope="' + scope + b'"' if scope else b"")


def _refusal(problem: Problem, trace: Trace, indented: bool) -> Reply:
    status, body = render(problem, trace)
    if not body:
        return Reply(status, b"", problem.headers, None)
    if not indented:
        body = msgspec.json.format(body, indent=-1)
    return Reply(
        status, body, problem.headers, problem.content_type if isinstance(problem, BodyProblem) else JSON
    )


async def _read_body(headers: Mapping[bytes, list[bytes]], receive: Receive) -> bytes:
    """The whole body, at most BODY_LIMIT; a length announced beyond it is refused before a byte is read."""
    length = headers.get(_LENGTH)
    if length is None:
        if b"transfer-encoding" not in headers:
            return b""
    elif int(length[0]) > BODY_LIMIT:  # the server has checked that it is a number
        raise PlainProblem(413)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _CallerGoneError
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_LIMIT:
            raise PlainProblem(413)
        parts.append(part)
    return b"".join(parts)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(scope: Scope, send: Send, reply: Reply) -> None:
    body = reply.body
    status = reply.status
    if status in (204, 304):
        headers = list(reply.headers)
    elif reply.content_type is not None:
        headers = [(_TYPE, reply.content_type), (_LENGTH, b"%d" % len(body)), *reply.headers]
    else:
        headers = [(_LENGTH, b"%d" % len(body)), *reply.headers]
    extensions = scope.get("extensions")
    if len(body) > _SENT_AT_ONCE:
        # Piece by piece, as the caller takes them: the transport copies what it cannot send, and 30 MB hold the event loop.
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for start in range(0, len(body), _SENT_AT_ONCE):
            end = start + _SENT_AT_ONCE
            piece = body[start:end]
            await send({"type": "http.response.body", "body": piece, "more_body": end < len(body)})
        return
    if extensions is not None and RESPOND in extensions and extensions[RESPOND](status, headers, body):
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_empty(send: Send, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [_ZERO, *headers]})
    await send({"type": "http.response.body", "body": b""})


async def tagged(call: Call, reply: Reply) -> Reply:
    """As `with_etag`; the digest of a large body is made in a thread, so that the event loop goes on."""
    if len(reply.body) <= _TAGGED_AT_ONCE:
        return with_etag(call, reply)
    return await asyncio.to_thread(with_etag, call, reply)


def with_etag(call: Call, reply: Reply) -> Reply:
    """The reply of a read with a strong ETag of its body; 304 without a body when If-None-Match has it (RFC 9110 13.1.2).

    Other statuses than 200 pass unchanged.
    """
    if reply.status != 200:
        return reply
    tag = b'"' + blake2b(reply.body, digest_size=16).hexdigest().encode() + b'"'
    headers = (*reply.headers, (b"etag", tag))
    for value in call.headers.get(b"if-none-match", ()):
        # Weak comparison: W/"x" and "x" are the same here.
        known = [part.strip().removeprefix(b"W/") for part in value.split(b",")]
        if tag in known or b"*" in known:
            return Reply(304, b"", headers, None)
    return Reply(200, reply.body, headers, reply.content_type)
