"""What can go wrong for a caller. Every message is one sentence on what is wrong and one on what to do.

ClientError
├── ConfigurationError            a setting, a key or an environment is wrong; nothing was sent
│   └── KeyRefused                the key cannot be used; the message never shows it
├── InvalidOrder (ValueError)     the order breaks a rule of the API; nothing was sent
├── TransportError                no answer: network, TLS or name
│   └── TimedOut                  no answer in time
├── UnexpectedAnswer              an answer that the contract does not know
├── TokenError                    no token
│   ├── MaskinportenRefused       error, error_description, error_uri, mp_code, trace_id, status
│   │   ├── ScopeNotRegistered    MP-200, the integration lacks the scope
│   │   ├── ScopeNotGranted       MP-250, the organisation was never given the scope
│   │   ├── NotDelegated          MP-251, the consumer has not delegated it
│   │   ├── KeyExpired            MP-121
│   │   └── ClockSkew             MP-130, or "Issue time is after now"
│   ├── ExchangeRefused           the Altinn token exchange said no
│   └── LoginRefused              the login at ID-porten ended without a token
├── ApiError                      status, title, code, errors, trace_id, retry_after
│   ├── InvalidRequest            400, `errors` names the fields
│   ├── Unauthorized              401
│   ├── Forbidden                 403
│   │   └── MissingServiceOwner   403, the token names no service owner
│   ├── NotFound                  404
│   ├── Conflict                  409, too late to cancel
│   ├── RecipientUnreachable      422, NOT-00001
│   ├── TooManyRequests           429
│   └── ServerError               5xx
│       └── TemporarilyDown       503, NOT-00004
└── NotFinal (TimeoutError)       `wait_until_final` gave up; `shipment` is the last one seen
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

_MP_CODE = re.compile(r"MP-[0-9]{3}")
_TRACE_ID = re.compile(r"\(trace_id: ([0-9a-f]{32})\)\s*\Z")


class ClientError(Exception):
    """Everything that `varsel.client` raises on purpose."""


class ConfigurationError(ClientError):
    """A setting, a key or an environment is wrong; nothing was sent."""


class KeyRefused(ConfigurationError):
    """The key cannot be used."""


class InvalidOrder(ClientError, ValueError):
    """The order breaks a rule of the API. `field` is its name in Python; values are never shown."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field


class TransportError(ClientError):
    """No answer. `sent` is False only when it is certain that nothing of the request left this machine."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class TimedOut(TransportError):
    """No answer in time."""


class UnexpectedAnswer(ClientError):
    """An answer that the contract does not know."""


class TokenError(ClientError):
    """No token could be had."""


class MaskinportenRefused(TokenError):
    """Maskinporten said no (docs/reference/identity.md 2.9)."""

    #: What to do, shown after what Maskinporten said.
    advice: ClassVar[str] = ""

    def __init__(
        self, status: int, error: str, error_description: str = "", error_uri: str = "", *, date: str = ""
    ) -> None:
        self.status = status
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri
        #: `MP-NNN`, or None where Maskinporten gave no number.
        self.mp_code = mp_code(error_uri)
        trace = _TRACE_ID.search(error_description)
        self.trace_id = trace[1] if trace else None
        #: The `Date` header of the answer.
        self.date = date
        code = f"{self.mp_code}, " if self.mp_code else ""
        said = error_description.strip() or "no description"
        text = f"Maskinporten refused the token request ({code}{error}): {said}"
        advice = self.advice or _advice(self.mp_code, error, error_description)
        super().__init__(f"{text}{'' if text.endswith('.') else '.'} {advice}".strip())


class ScopeNotRegistered(MaskinportenRefused):
    """MP-200: the scope was never added to the integration."""

    advice = "Add the scope to the integration in the self-service portal, or correct its spelling."


class ScopeNotGranted(MaskinportenRefused):
    """MP-250: the organisation was never given the scope by its owner."""

    advice = "Ask the owner of the scope to grant it to your organisation."


class NotDelegated(MaskinportenRefused):
    """MP-251: the consumer has not delegated the scope to its supplier."""

    advice = "Ask the consumer organisation to delegate the scope to yours in Altinn."


class KeyExpired(MaskinportenRefused):
    """MP-121: the registered key is older than its year."""

    advice = "Register a new key on the integration, or the same one again."


class ClockSkew(MaskinportenRefused):
    """MP-130 or "Issue time is after now": the clocks differ by more than ten seconds."""

    advice = "Set this machine's clock right."


_UNKNOWN_CLIENT = "Check the identifier of the integration: is it active, and of this environment?"
_UNKNOWN_KEY = "Register the public half of this key on the integration, or name the right kid."
_BAD_CERTIFICATE = (
    "Sign with a valid business certificate of the integration's own organisation, or with a registered key."
)
#: What to do where the class does not say it (docs/reference/identity.md 2.9), by number and by words of refusals without one.
_ADVICE_BY_CODE: dict[str, str] = {
    "MP-012": "Every grant counts once; let this client make a new one.",
    "MP-100": _UNKNOWN_CLIENT,
    "MP-110": "Give token_url and audience of the same environment.",
    "MP-120": _BAD_CERTIFICATE,
    "MP-122": _BAD_CERTIFICATE,
    "MP-123": _BAD_CERTIFICATE,
    "MP-124": "Sign with the key that is registered under this kid; `varsel jwk check` looks at a key file.",
    "MP-201": "Ask for scopes of this kind of integration only.",
    "MP-301": "Correct authorization_details.",
    "MP-302": "Correct authorization_details.",
    "MP-303": "Correct authorization_details.",
}
_ADVICE_BY_WORDS: tuple[tuple[str, str], ...] = (
    ("unknown key identifier", _UNKNOWN_KEY),
    ("no key identifier", _UNKNOWN_KEY),
    ("client not found", _UNKNOWN_CLIENT),
    ("auth-00004", f"{_UNKNOWN_CLIENT} And is its key this one?"),
)


def _advice(code: str | None, error: str, description: str) -> str:
    if code in _ADVICE_BY_CODE:
        return _ADVICE_BY_CODE[code]
    said = description.lower()
    for words, advice in _ADVICE_BY_WORDS:
        if words in said:
            return advice
    return _UNKNOWN_CLIENT if error == "invalid_client" else ""


_BY_CODE: dict[str, type[MaskinportenRefused]] = {
    "MP-121": KeyExpired,
    "MP-130": ClockSkew,
    "MP-200": ScopeNotRegistered,
    "MP-250": ScopeNotGranted,
    "MP-251": NotDelegated,
}


def mp_code(error_uri: str) -> str | None:
    """`MP-NNN` from the last path part of `error_uri`; None when it is not of that form."""
    last = error_uri.rsplit("/", 1)[-1]
    return last if _MP_CODE.fullmatch(last) else None


def maskinporten_refusal(
    status: int, error: str, description: str, uri: str, date: str
) -> MaskinportenRefused:
    """The class that fits the refusal."""
    kind = _BY_CODE.get(mp_code(uri) or "", MaskinportenRefused)
    if kind is MaskinportenRefused and "issue time is after now" in description.lower():
        kind = ClockSkew
    return kind(status, error, description, uri, date=date)


class ExchangeRefused(TokenError):
    """The Altinn token exchange said no."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class LoginRefused(TokenError):
    """The login ended without a token."""

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class ApiError(ClientError):
    """The API answered with a refusal; its problem details are attributes (docs/reference/notifications-api.md 1.7)."""

    def __init__(
        self,
        status: int,
        *,
        title: str = "",
        code: str | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        trace_id: str | None = None,
        retry_after: float | None = None,
        advice: str = "",
    ) -> None:
        self.status = status
        self.title = title
        #: `NOT-NNNNN`, or None.
        self.code = code
        #: Key to messages; empty unless the request was invalid.
        self.errors: dict[str, tuple[str, ...]] = {key: tuple(texts) for key, texts in (errors or {}).items()}
        self.trace_id = trace_id
        #: Seconds, from `Retry-After`.
        self.retry_after = retry_after
        super().__init__(self._sentence(advice))

    def _sentence(self, advice: str) -> str:
        head = f"The API answered {self.status}" + (f" {self.code}" if self.code else "")
        if self.title:
            head += f": {self.title}"
        head = head.rstrip(".")
        if self.errors:
            head += " — " + "; ".join(
                f"{key or 'body'}: {' '.join(texts)}" for key, texts in self.errors.items()
            )
        text = head if head.endswith((".", "?", "!")) else head + "."
        return f"{text} {advice}".strip()


class InvalidRequest(ApiError):
    """400: a field breaks a rule; `errors` names it."""


class Unauthorized(ApiError):
    """401: the token is missing, expired or not trusted there."""


class Forbidden(ApiError):
    """403: the token is good, but may not do this."""


class MissingServiceOwner(Forbidden):
    """403: the token names no service owner (`urn:altinn:org`)."""


class NotFound(ApiError):
    """404: unknown, or another organisation's."""


class Conflict(ApiError):
    """409: too late, the order is on its way."""


class RecipientUnreachable(ApiError):
    """422 NOT-00001: a recipient has no address for the channel; nothing was stored."""


class TooManyRequests(ApiError):
    """429: slow down."""


class ServerError(ApiError):
    """5xx: the server failed."""


class TemporarilyDown(ServerError):
    """503: something behind the API does not answer; nothing was stored."""


class NotFinal(ClientError, TimeoutError):
    """The shipment did not come to its end in time; `shipment` is the last one seen."""

    def __init__(self, message: str, shipment: Any) -> None:
        super().__init__(message)
        self.shipment = shipment
