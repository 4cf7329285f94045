"""Strict reading of signed tokens (docs/reference/identity.md 2.6, 6.2, 10.1), before any library or key sees them.

A compact JWS (RFC 7515 3.1) has exactly one spelling here: three canonical base64url parts, JSON objects without repeated names,
finite numbers, bounded size and depth, an algorithm from a fixed list, and no header that asks the reader to do something.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

MAX_TOKEN: Final = 16 * 1024
MAX_DEPTH: Final = 32
RS256: Final = frozenset({"RS256"})
RSA_ALL: Final = frozenset({"RS256", "RS384", "RS512"})

_SHAPE: Final = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
#: Headers that would change what is verified, or with which key; none of the issuers we read sends one.
_REFUSED: Final = ("crit", "b64", "zip", "cty", "jwk", "jku", "x5u")


class MalformedToken(ValueError):
    """The text is not a token in its one allowed form. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A token whose form is right; nothing in it is proven before `verify`."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def kid(self) -> str | None:
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else None

    def verify(self, key: RSAKey) -> bool:
        """Whether the signature is by this key with the header's algorithm."""
        algorithm = JWSRegistry.algorithms[self.header["alg"]]
        return algorithm.verify(self.signed, self.signature, key)


def read(token: bytes | str, algorithms: Collection[str] = RS256) -> Reading:
    """Take a token apart; MalformedToken when it has any other form than the one allowed."""
    if len(token) > MAX_TOKEN:
        raise MalformedToken("the token is too large")
    if isinstance(token, str):
        try:
            token = token.encode("ascii")
        except UnicodeEncodeError:
            raise MalformedToken("the token is not ASCII") from None
    match = _SHAPE.fullmatch(token)
    if match is None:
        raise MalformedToken("the token has not three base64url parts")
    head, body, tail = match.groups()
    header = _read_header(head)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise MalformedToken("the algorithm is not allowed")
    for name in _REFUSED:
        if name in header:
            raise MalformedToken(f"the header has {name}")
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or not 1 <= len(kid) <= 255):
        raise MalformedToken("kid is not a short text")
    payload = parse_object(_decode(body))
    return Reading(header, payload, token[: match.end(2)], _decode(tail))


@lru_cache(maxsize=256)
def _header_cache(head: bytes) -> dict[str, Any]:
    return parse_object(_decode(head))


def _read_header(head: bytes) -> dict[str, Any]:
    """A header is the same for all tokens of one key: short ones are remembered. Callers do not change it."""
    return _header_cache(head) if len(head) <= 512 else parse_object(_decode(head))


def _decode(part: bytes) -> bytes:
    """base64url without padding (RFC 7515 2); a last character with stray bits is not canonical and is refused."""
    try:
        raw = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise MalformedToken("a part is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part:
        raise MalformedToken("a part is not canonical base64url")
    return raw


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object without repeated names, NaN, infinities, lone surrogates, NUL or deep nesting."""
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise MalformedToken("the JSON is nested too deeply")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
            if _has_nul(value):
                raise MalformedToken("a text holds NUL")
    except MalformedToken:
        raise
    except (ValueError, RecursionError):
        raise MalformedToken("a part is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedToken("a part is not a JSON object")
    return value


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for byte in _STRING.sub(b"", raw):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedToken("a name stands twice")
    return found


def _no_constant(_name: str) -> Any:
    raise MalformedToken("a number is not finite")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedToken("a number is not finite")
    return number


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(item) for name, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


def moment(payload: dict[str, Any], name: str) -> int | None:
    """A time claim in whole seconds; None when absent, MalformedToken when it is anything else than a non-negative integer."""
    value = payload.get(name)
    if value is None and name not in payload:
        return None
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise MalformedToken(f"{name} is not a whole number of seconds")
    return value
