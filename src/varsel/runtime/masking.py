"""What personal data, tokens and keys look like, and what stands for them in logs and errors.

Two nets: values that are known to be personal travel as masked types, whose text is already masked; and the last processor of every
log line looks at every text for what resembles a token, a key, a national number, an e-mail address or a telephone number
(docs/reference/identity.md 10.5, row 84).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "…"
#: Longest text of one log field; what is longer is cut.
TEXT_LIMIT: Final = 2000


_DOMAIN = re.compile(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]")


def mask_address(address: str) -> str:
    """`kari@example.org` becomes `ka…@example.org`; of a local part of one or two letters, or of what is no address, nothing stays."""
    local, at, domain = address.strip().rpartition("@")
    if not at or not _DOMAIN.fullmatch(domain):
        return HIDDEN
    return (local[:2] if len(local) > 2 else "") + HIDDEN + "@" + domain


def mask_number(number: str) -> str:
    """`+4799912345` becomes `+47…45`."""
    digits = "".join(character for character in number if character.isdigit() or character == "+")
    if len(digits) < 8:
        return HIDDEN
    return (digits[:3] if digits[0] == "+" else "") + HIDDEN + digits[-2:]


class Masked:
    """A value that shows itself only when asked: `plain` is the value, everything else is the mask."""

    __slots__ = ("plain",)

    def __init__(self, plain: str) -> None:
        self.plain = plain

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Masked) and other.plain == self.plain

    def __hash__(self) -> int:
        return hash((type(self), self.plain))

    def __reduce__(self) -> tuple[type[Masked], tuple[str]]:
        return type(self), (self.plain,)


class Secret(Masked):
    """A token, password or key."""

    __slots__ = ()


class Nin(Masked):
    """A national identity number."""

    __slots__ = ()


class Address(Masked):
    """An e-mail address."""

    __slots__ = ()

    def __str__(self) -> str:
        return mask_address(self.plain)


class Number(Masked):
    """A telephone number."""

    __slots__ = ()

    def __str__(self) -> str:
        return mask_number(self.plain)


#: Fields that hold personal data or secrets whatever they look like. `pid` as a number is a process.
PERSONAL: Final = frozenset(
    [
        "address",
        "addresses",
        "email",
        "emails",
        "mobile",
        "mobiles",
        "phone",
        "phone_number",
        "number",
        "recipient",
        "recipients",
        "destination",
        "to",
        "nin",
        "pid",
        "person",
        "national_identity_number",
        "name",
        "subject",
        "body",
        "text",
        "message_text",
        "sender_address",
        "authorization",
        "token",
        "tokens",
        "access_token",
        "refresh_token",
        "id_token",
        "assertion",
        "jwt",
        "password",
        "secret",
        "key",
        "private_key",
        "jwk",
        "cookie",
        "set_cookie",
        "platformaccesstoken",
        "x_api_key",
        "credentials",
        "contents",
        "url_query",
        "sas",
        "code",
        "verifier",
    ]
)

_PATTERN = re.compile(
    r"""
    (?P<keep>\b[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\b     # traceparent
        |\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b               # UUID
        |\b[0-9a-f]{32}\b)                                             # trace id
    |(?P<pem>-----BEGIN[ ][A-Z0-9 ]+-----.*?(?:-----END[ ][A-Z0-9 ]+-----|\Z))
    |(?P<jwt>eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,4})
    |(?P<scheme>\b(?:Bearer|Basic|Digest)\s+)[A-Za-z0-9._~+/=-]+
    |(?P<private>["'](?:d|p|q|dp|dq|qi|k)["']\s*:\s*["'])[A-Za-z0-9_+/=-]+
    |(?P<userinfo>://)[^\s/?\#@]+:[^\s/?\#@]*@
    |(?P<query>[?&](?:sig|token|access_token|id_token|code|key|password|secret|assertion)=)[^&\s"'<>]+
    |(?P<address>[^\s@<>"'(),;:\[\]{}=/]+@[^\s@<>"'(),;:\[\]{}=/]+\.[^\W\d_]{2,})
    |(?P<nin>(?<!\d)(?<!\d\.)\d{6}[ -]?\d{5}(?!\d))
    |(?P<phone>(?<![\w])(?:\+|00)[1-9](?:[ -]?\d){7,14}(?!\d)
        |(?<![\w.:-])[49]\d(?:[ ]?\d){6}(?![\w:-]|\.\d))
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def _stand_in(match: re.Match[str]) -> str:
    kind = match.lastgroup
    found = match.group()
    match kind:
        case "keep":
            return found
        case "pem":
            return "[key]"
        case "jwt":
            return "[token]"
        case "address":
            return mask_address(found)
        case "nin":
            return "[national number]"
        case "phone":
            return mask_number(found)
        case "userinfo":
            return "://" + HIDDEN + "@"
        case _:  # scheme, private, query: the name stays, the value goes
            return match.group(kind or 0) + HIDDEN


def mask_text(text: str) -> str:
    """The text with everything masked that looks like a token, key, credential, national number, address or phone number."""
    if len(text) > TEXT_LIMIT:
        text = text[:TEXT_LIMIT] + HIDDEN
    return _PATTERN.sub(_stand_in, text)


def mask_value(value: Any) -> Any:
    """The same for any value of a log line; containers are walked, other objects become masked text."""
    match value:
        case None | bool() | float():
            return value
        case int():
            # Eleven digits are a national number, also as a number.
            return (
                "[national number]" if 10**9 < abs(value) < 10**11 and len(str(abs(value))) == 11 else value
            )
        case str():
            return mask_text(value)
        case bytes() | bytearray() | memoryview():
            return mask_text(bytes(value[: TEXT_LIMIT + 1]).decode("utf-8", "backslashreplace"))
        case Mapping():
            return mask_fields(value)
        case list() | tuple() | set() | frozenset():
            return [mask_value(item) for item in value]
        case Masked():
            return str(value)
        case _:
            return mask_text(str(value))


def mask_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Every field masked; a field with a personal name loses its value unless that is masked already or no text."""
    masked = {}
    for name, value in fields.items():
        key = str(name)
        if key.lower().replace("-", "_") in PERSONAL and not isinstance(
            value, bool | int | float | Masked | None
        ):
            masked[key] = HIDDEN
        else:
            masked[mask_text(key)] = mask_value(value)
    return masked
