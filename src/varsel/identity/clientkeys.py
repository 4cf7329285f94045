"""Public keys that customers register (docs/reference/identity.md 3.6, 4.2): every rule, without I/O.

A private key in the public field is refused before anything else is looked at, and nothing of it is kept or repeated.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from varsel.identity.encoding import b64url_uint, uint
from varsel.identity.jws import RSA_ALL
from varsel.runtime.errors import VarselError

MOST: Final = 5
LIFE: Final = 365 * 86400
_DAY: Final = 86400
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_KID: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]{1,2048}")
_SMALL_PRIMES: Final = math.prod(
    number for number in range(3, 2000, 2) if all(number % k for k in range(3, math.isqrt(number) + 1, 2))
)

PRIVATE_KEY_TEXT: Final = (
    "This is a private key. It was not stored, but it has been shown and must not be used: make a new key and register only "
    "its public half. / Dette er en privat nøkkel. Den er ikke lagret, men er nå eksponert og må ikke brukes: lag en ny nøkkel "
    "og registrer bare den offentlige delen."
)


class KeyRefused(VarselError):
    """A key cannot be registered. `member` names the JWK member at fault; the text never repeats a value."""

    def __init__(self, member: str, text: str) -> None:
        super().__init__(text)
        self.member = member
        self.text = text


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as it is stored: public members only, thumbprint (RFC 7638, raw bytes), expiry in seconds since 1970."""

    kid: str
    jwk: Mapping[str, Any]
    thumbprint: bytes
    expires_at: int

    @property
    def modulus(self) -> int:
        return uint(self.jwk["n"])


def entries(document: object) -> list[Any]:
    """The keys of an array, of `{"keys": […]}`, or of one bare JWK; KeyRefused for anything else."""
    if isinstance(document, dict):
        document = document.get("keys", [document])
    if not isinstance(document, list):
        raise KeyRefused("keys", "Expected a key set: an array of keys, or an object with keys.")
    return document


def parse_set(document: object, now: float) -> list[PublicKey]:
    """The keys of a set, checked one by one and together."""
    given = entries(document)
    # First of all, whatever else is wrong: a private key is told to its owner as such.
    if any(isinstance(entry, dict) and any(name in entry for name in _PRIVATE) for entry in given):
        raise KeyRefused("d", PRIVATE_KEY_TEXT)
    if not given:
        raise KeyRefused("keys", "The set is empty. Use DELETE to remove all keys.")
    if len(given) > MOST:
        raise KeyRefused("keys", f"At most {MOST} keys.")
    keys = [parse_key(entry, now) for entry in given]
    if len({key.kid for key in keys}) != len(keys):
        raise KeyRefused("kid", "Two keys have the same kid.")
    return keys


def parse_key(entry: object, now: float) -> PublicKey:
    """One public RSA key by every rule of 3.6."""
    if not isinstance(entry, dict):
        raise KeyRefused("keys", "A key must be a JSON object.")
    if any(name in entry for name in _PRIVATE):
        raise KeyRefused("d", PRIVATE_KEY_TEXT)
    if entry.get("kty") != "RSA":
        raise KeyRefused("kty", "kty must be RSA.")
    if entry.get("use") != "sig":
        raise KeyRefused("use", "use is required and must be sig.")
    if entry.get("alg") not in RSA_ALL:
        raise KeyRefused("alg", "alg is required and must be RS256, RS384 or RS512.")
    kid = entry.get("kid")
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise KeyRefused("kid", "kid is required: 1 to 255 letters, digits, '.', '_' or '-'.")
    modulus, exponent = _number(entry, "n"), _number(entry, "e")
    check_numbers(modulus, exponent)
    jwk: dict[str, Any] = {name: entry[name] for name in ("kty", "use", "alg", "kid", "e", "n")}
    if "x5c" in entry:
        _check_certificate(entry["x5c"], modulus, exponent)
        jwk["x5c"] = entry["x5c"]
    thumbprint = RSAKey.import_key({"kty": "RSA", "n": entry["n"], "e": entry["e"]}).thumbprint()
    return PublicKey(
        kid, jwk, base64.urlsafe_b64decode(thumbprint + "="), _expiry(entry.get("exp"), now, "exp" in entry)
    )


def _number(entry: Mapping[str, Any], name: str) -> int:
    text = entry.get(name)
    if not isinstance(text, str) or _BASE64URL.fullmatch(text) is None:
        raise KeyRefused(name, f"{name} is required, in base64url without padding.")
    try:
        number = uint(text)
    except (binascii.Error, ValueError):
        raise KeyRefused(name, f"{name} is not base64url.") from None
    if number < 1 or b64url_uint(number) != text:
        raise KeyRefused(name, f"{name} must be written without leading zero bytes, in canonical base64url.")
    return number


def check_numbers(modulus: int, exponent: int) -> None:
    """Refuse keys that are short, or weak by construction."""
    if not 2048 <= modulus.bit_length() <= 8192:
        raise KeyRefused("n", "The modulus must have 2048 to 8192 bits.")
    if exponent < 65537 or exponent % 2 == 0 or exponent.bit_length() > 32:
        raise KeyRefused(
            "e", "The exponent must be odd, at least 65537 and at most 32 bits; AQAB is customary."
        )
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRIMES) != 1:
        raise KeyRefused("n", "The modulus has small factors; this is no RSA key.")


def shares_a_prime(modulus: int, others: Iterable[int]) -> bool:
    """Whether a modulus has a factor in common with another one: both keys can then be taken apart by anybody."""
    return any(math.gcd(modulus, other) > 1 for other in others if other != modulus)


def _check_certificate(x5c: object, modulus: int, exponent: int) -> None:
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MOST or not all(isinstance(one, str) for one in x5c):
        raise KeyRefused("x5c", "x5c must be an array of base64 texts.")
    try:
        public = x509.load_der_x509_certificate(base64.b64decode(x5c[0], validate=True)).public_key()
    except (binascii.Error, ValueError):
        raise KeyRefused("x5c", "x5c holds no certificate.") from None
    if not isinstance(public, rsa.RSAPublicKey) or public.public_numbers() != rsa.RSAPublicNumbers(
        exponent, modulus
    ):
        raise KeyRefused("x5c", "The certificate in x5c is of another key.")


def _expiry(given: object, now: float, is_given: bool) -> int:
    """A year from now, or earlier as asked."""
    latest = int(now) + LIFE
    if not is_given:
        return latest
    if type(given) is not int:
        raise KeyRefused("exp", "exp must be whole seconds since 1970.")
    if given <= now:
        raise KeyRefused("exp", "exp has passed.")
    if given > latest + _DAY:
        raise KeyRefused("exp", "A key lives at most one year.")
    return min(given, latest)
