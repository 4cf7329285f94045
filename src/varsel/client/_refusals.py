"""An answer that is not a success, as an error that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._answers import problem
from ._errors import (
    ApiError,
    Conflict,
    Forbidden,
    InvalidRequest,
    MissingServiceOwner,
    NotFound,
    RecipientUnreachable,
    ServerError,
    TemporarilyDown,
    TooManyRequests,
    Unauthorized,
)
from ._flow import Answer
from ._retry import retry_after
from ._tokens import claims_of

_KINDS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: RecipientUnreachable,
    429: TooManyRequests,
    503: TemporarilyDown,
}
_ADVICE: dict[int, str] = {
    401: "The token is missing, expired, or of another environment; a Maskinporten token must be exchanged first.",
    404: "It does not exist, or belongs to another organisation.",
    409: "It is too late: the order is on its way.",
    415: "Something between here and the API changed the request.",
    422: "Nothing was stored; find another way to the recipient, or a channel for which there is an address.",
    429: "Slow down.",
    503: "Nothing was stored; try again with the same idempotency id.",
}


#: The scope of each part of the API, by the beginning of its path (docs/reference/identity.md 6.3); everything else needs the last.
_SCOPES: tuple[tuple[str, str], ...] = (
    ("/future/orders/composed-email", "altinn:serviceowner/notifications.composedemail.create"),
    ("/future/dashboard", "altinn:notifications.support.admin"),
    ("", "altinn:serviceowner/notifications.create"),
)


def refusal(answer: Answer, sent: Mapping[str, str], wall: float, path: str = "") -> ApiError:
    """`sent`: the credentials' headers, read only to tell what a refused token lacks; `path`: what was asked, below the base."""
    body = problem(answer)
    kind = _KINDS.get(answer.status, ServerError if answer.status >= 500 else ApiError)
    advice = _ADVICE.get(answer.status, "")
    if answer.status == 403:
        kind, advice = _forbidden(sent, path)
    return kind(
        answer.status,
        title=_line(body.get("title")),
        code=_line(body.get("code")) or None,
        errors=_errors(body.get("errors")),
        trace_id=_line(body.get("traceId")) or None,
        retry_after=retry_after(answer, wall),
        advice=advice,
    )


def _forbidden(sent: Mapping[str, str], path: str) -> tuple[type[Forbidden], str]:
    claims = claims_of(sent.get("authorization", "").removeprefix("Bearer "))
    if not claims:
        return Forbidden, "The credentials may not do this."
    scope = claims.get("scope")
    needed = next(name for begin, name in _SCOPES if path.startswith(begin))
    if needed not in (scope.split() if isinstance(scope, str) else ()):
        return Forbidden, f"The token lacks the scope {needed}; ask for it, and add it to the integration."
    if not claims.get("urn:altinn:org"):
        return MissingServiceOwner, (
            "The token names no service owner; its organisation must be registered as one in this environment."
        )
    return Forbidden, "The token has the scope, but its organisation may not do this."


def _errors(found: Any) -> dict[str, list[str]]:
    if not isinstance(found, dict):
        return {}
    return {
        _line(key): [_line(text) for text in texts]
        for key, texts in list(found.items())[:100]
        if isinstance(texts, list)
    }


def _line(value: Any) -> str:
    return " ".join(value.split())[:300] if isinstance(value, str) else ""
