"""The endpoint table: method, path, policy, types and problems of every operation in one place.

Rooms declare `ENDPOINTS`; the router, the authorization check, the OpenAPI document and the tests all read the same rows, so
an endpoint without a policy or a schema cannot exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from varsel.runtime.trace import Trace

#: The ASGI extension by which our server takes a whole response at once: `respond(status, headers, body)` answers whether it did.
RESPOND: Final = "varsel.respond"
#: What the paths of the public API begin with.
BASE: Final = "/notifications/api/v1"


class Policy(StrEnum):
    """Who may call (docs/reference/notifications-api.md 1.8.2)."""

    CREATE = "create"  # scope …notifications.create, or a verified platform access token
    COMPOSED = "composed"  # scope …notifications.composedemail.create
    SUPPORT = "support"  # scope altinn:notifications.support.admin
    PERSON = "person"  # an end user's Altinn token (notification log)
    METRICS_KEY = "metrics-key"  # header X-API-Key
    SMS_REPORT = "sms-report"  # Basic credentials of the gateway
    EMAIL_REPORT = "email-report"  # shared secret of the e-mail provider's events
    INTERNAL = "internal"  # the internal listener, or the sandbox
    OPEN = "open"


#: policy -> the scope that its tokens hold (docs/reference/identity.md 6.4).
SCOPES: Final[Mapping[Policy, str]] = {
    Policy.CREATE: "altinn:serviceowner/notifications.create",
    Policy.COMPOSED: "altinn:serviceowner/notifications.composedemail.create",
    Policy.SUPPORT: "altinn:notifications.support.admin",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, from verified credentials only.

    `creator` is the service owner's short name, None when the credential carries none. `via` tells which credential counted:
    bearer, cookie, platform, key, basic or none.
    """

    creator: str | None = None
    scopes: frozenset[str] = frozenset()
    via: str = "none"
    pid: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS = Caller()


@dataclass(slots=True)
class Call:
    """One request as a handler sees it. Header names are lower-case bytes; a repeated header keeps every value."""

    method: str
    path: str
    params: Mapping[str, str]  # of the path template
    query: bytes
    headers: Mapping[bytes, list[bytes]]
    body: bytes
    caller: Caller
    trace: Trace
    scope: Mapping[str, Any]  # ASGI scope
    disconnected: Callable[[], Awaitable[None]]  # returns when the caller has gone away

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, None when absent."""
        values = self.headers.get(name)
        return values[0] if values else None


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer. `body` is sent as it is; `content_type` None sends none."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes | None = b"application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table.

    `operation` names the method of the room's routes object that answers. `consumes` are the declared content types (None: the
    endpoint declares none and ignores the header). `body_name` is the second key of parse errors.
    """

    method: str
    path: str  # full template, e.g. /notifications/api/v1/orders/{id}
    operation: str
    policy: Policy
    summary: str
    consumes: tuple[str, ...] | None = None
    body_name: str | None = None
    request: Any = None
    responses: Mapping[int, Any] = field(default_factory=dict)
    problems: tuple[int | str, ...] = ()  # statuses and NOT- codes
    missing_is_told: bool = False  # its 404 has a body (1.7.3); those of others are empty (1.7.4)
    deprecated: bool = False
    internal: bool = False
    indented: bool = (
        True  # whether refusals are laid out (1.4); the SMS and e-mail services write theirs in one line
    )
    typed: Mapping[str, str] = field(
        default_factory=dict
    )  # path parameters with a routing constraint, e.g. {"id": "uuid"}
    description: str = ""
    #: Query and header parameters as OpenAPI parameter objects, for the document.
    parameters: tuple[Mapping[str, Any], ...] = ()
    #: Examples for the document: "request", or a status such as "201", to a JSON value.
    examples: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""  # group in the document; the path's first own segment when empty

    @property
    def needs_type(self) -> bool:
        """Whether a missing Content-Type is refused, after authentication (1.3)."""
        return self.consumes is not None and (self.body_name is not None or self.request is not None)


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Bound:
    """An endpoint together with the function that answers it."""

    endpoint: Endpoint
    handler: Handler


def bind(endpoints: tuple[Endpoint, ...], routes: object) -> tuple[Bound, ...]:
    """Tie each endpoint to the method of `routes` that carries its operation's name; a missing one is an AttributeError."""
    return tuple(Bound(endpoint, getattr(routes, endpoint.operation)) for endpoint in endpoints)


class Authorizer(Protocol):
    """Decides on credentials; implemented by `varsel.identity`."""

    async def authorize(self, policy: Policy, call: Call) -> Caller:
        """The caller, or EmptyProblem 401/403 (metrics key: 401 with its own body). `call.body` is not read yet."""
        ...


def trigger(name: str, operation: str, summary: str, description: str) -> Endpoint:
    """The row of a trigger that operators' schedulers call (docs/reference/notifications-api.md 2.22)."""
    return Endpoint(
        "POST",
        f"{BASE}/trigger/{name}",
        operation,
        Policy.INTERNAL,
        summary,
        consumes=("application/json",),
        responses={200: None, 500: "text/plain"},
        problems=(415,),
        internal=True,
        description=description,
        tag="trigger",
    )
