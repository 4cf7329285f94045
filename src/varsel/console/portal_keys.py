"""What people paste where a public key belongs: read without I/O, and private keys told apart first of all.

The seed's way is an empty array with the key pasted between its brackets; one bare JWK, `{"keys": […]}` and PEM are taken too
(docs/reference/identity.md 3.2). Whether a key may be registered is identity's to say (`varsel.identity.clientkeys`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_public_key
from joserfc.jwk import RSAKey

from varsel.identity.encoding import b64url_uint
from varsel.runtime.errors import VarselError

#: Days before its end at which a key's end is pointed out, kindly and urgently.
SOON: Final = timedelta(days=30)
VERY_SOON: Final = timedelta(days=7)
#: RFC 7518 6.3.2 and 6.4: only private keys have these.
_PRIVATE_MEMBER: Final = re.compile(r"""["'](?:d|p|q|dp|dq|qi|oth|k)["']\s*:""", re.IGNORECASE)
_PRIVATE_PEM: Final = re.compile(r"PRIVATE\s+KEY", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{40,}")
#: How base64 begins when what is packed begins as JSON, PEM or DER; a name may stand right before it. Twice packed, it looks so again.
_PACKED: Final = re.compile(r"e[wy]|LS0t|MII|ZX[ls]|TFMw|TUlJ")
#: Places at which a text is unpacked at most, and how often what came out is unpacked again: a public key has a handful.
_PLACES: Final = 200
_DEPTH: Final = 3
#: The largest key, packed twice, is 17,000 characters.
_LONGEST: Final = 20_000


class PrivateKeyPasted(VarselError):
    """A private key was given where a public one belongs. Nothing of it may be kept, logged or shown again."""


class NotAKey(VarselError):
    """The text is neither JSON nor PEM of a public key. `what` names the text that explains it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def looks_private(text: str) -> bool:
    """Whether the text holds a private key, also in broken or escaped JSON, in PEM, or packed as an EncodedJwk, with a name before it."""
    waiting, places = [(text, _DEPTH)], 0
    while waiting:
        found, depth = waiting.pop()
        if _PRIVATE_MEMBER.search(found.replace("\\", "")) or _PRIVATE_PEM.search(found):
            return True
        for run in _BASE64.findall("".join(found.split())) if depth else ():
            for start in dict.fromkeys([0, *(mark.start() for mark in _PACKED.finditer(run))]):
                places += 1
                if places > _PLACES:
                    return False
                inside = _unpacked(run[start : start + _LONGEST])
                if inside is not None and _is_der_key(inside):
                    return True
                if inside is not None:
                    waiting.append((inside.decode("utf-8", "replace"), depth - 1))
    return False


def _unpacked(run: str) -> bytes | None:
    body = run.replace("-", "+").replace("_", "/")
    body = body[: len(body) - 1] if len(body) % 4 == 1 else body
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_der_key(octets: bytes) -> bool:
    """A PEM whose first and last lines were left out."""
    if not octets.startswith(b"\x30\x82"):
        return False
    try:
        load_der_private_key(octets, None)
    except TypeError:
        return True  # encrypted
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def read_pasted(text: str, kid: str = "") -> list[Any]:
    """The entries of a pasted text, for `Clients.add_keys`; `kid` names a PEM key, which has no name of its own.

    Raises PrivateKeyPasted before anything else, then NotAKey.
    """
    if looks_private(text):
        raise PrivateKeyPasted
    text = text.lstrip("\ufeff").strip()
    # The box holds [] already, and the guides say to write it: the key may stand beside the one or within the other.
    while len(text) > 2 and text.startswith("[]"):
        text = text[2:].lstrip()
    while len(text) > 2 and text.endswith("[]") and not text.endswith(":[]"):
        text = text[:-2].rstrip()
    if not text:
        raise NotAKey("key_empty")
    if text.startswith("-----BEGIN"):
        return [_from_pem(text, kid.strip())]
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        raise NotAKey("key_not_json") from None
    if isinstance(found, dict):
        found = found.get("keys", [found])
    if not isinstance(found, list):
        raise NotAKey("key_not_json")
    if not found:
        raise NotAKey("key_empty")
    return _flat(found)


def _flat(entries: list[Any]) -> list[Any]:
    """A set or an array pasted between the brackets counts as what it holds."""
    flat: list[Any] = []
    for entry in entries:
        inner = entry.get("keys") if isinstance(entry, dict) and "kty" not in entry else entry
        flat.extend(inner if isinstance(inner, list) else [entry])
    return flat


def _from_pem(text: str, kid: str) -> dict[str, Any]:
    try:
        key = load_pem_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise NotAKey("key_bad_pem") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotAKey("key_not_rsa")
    numbers = key.public_numbers()
    jwk: dict[str, str | list[str]] = {"kty": "RSA", "n": b64url_uint(numbers.n), "e": b64url_uint(numbers.e)}
    return {**jwk, "use": "sig", "alg": "RS256", "kid": kid or RSAKey.import_key(jwk).thumbprint()}


def taken_kids(entries: list[Any], registered: tuple[Mapping[str, Any], ...]) -> list[str]:
    """Names among the entries under which another key is registered: adding them would put that one out of use."""
    moduli = {key["kid"]: key["n"] for key in registered}
    return [
        kid
        for entry in entries
        if isinstance(entry, dict) and isinstance(kid := entry.get("kid"), str)
        if kid in moduli and moduli[kid] != entry.get("n")
    ]


def warning(expires: datetime, now: datetime) -> str:
    """`expired`, `urgent` (7 days), `soon` (30 days) or nothing."""
    left = expires - now
    if left <= timedelta(0):
        return "expired"
    if left <= VERY_SOON:
        return "urgent"
    return "soon" if left <= SOON else ""
