"""Checking access tokens: strict reading, one issuer per key set, and a bounded memory of tokens already verified.

A signature costs some 50 µs, a known token about 2: the memory is keyed on the token's SHA-256, the times are compared at every
hit, and it is emptied whenever the issuer's set of keys changes (docs/reference/identity.md 6.2).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from joserfc.jwk import RSAKey

from varsel.identity.jws import RS256, MalformedToken, moment, read
from varsel.identity.keys import KeyRing
from varsel.runtime.clock import Machine
from varsel.runtime.endpoints import Caller
from varsel.runtime.errors import Unavailable, VarselError

SKEW: Final = 10
#: No issuer we trust makes tokens that live longer; milliseconds in place of seconds end here.
FAR_FUTURE: Final = 366 * 86400
CAPACITY: Final = 8192
_CODE: Final = re.compile(r"[a-z0-9]{1,40}")


class InvalidToken(VarselError):
    """The token does not count. The message says why and never quotes it."""


class IssuerUnavailable(Unavailable):
    """The keys of a token issuer cannot be fetched."""


class KeySource(Protocol):
    """The verification keys of one issuer."""

    @property
    def generation(self) -> int:
        """Grows whenever a key was taken away or added."""
        ...

    async def find(self, kid: str) -> RSAKey | None:
        """The key, None when the issuer has no such key; IssuerUnavailable when that cannot be known."""
        ...


class OwnKeys:
    """The keys of an issuer that Varsel itself is."""

    def __init__(self, keys: KeyRing, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer

    @property
    def generation(self) -> int:
        self._keys.shown(self._issuer)
        return self._keys.generation

    async def find(self, kid: str) -> RSAKey | None:
        return self._keys.shown(self._issuer).keys.get(kid)


@dataclass(frozen=True, slots=True)
class Verified:
    """A token whose signature, issuer and form are proven; times are seconds since 1970."""

    claims: Mapping[str, Any]
    not_before: int
    expires: int
    caller: Caller


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of the claim `scope`; a claim that is not text gives none, and no other claim counts (identity.md 6.3)."""
    scope = claims.get("scope")
    return frozenset(scope.split(" ")) - {""} if isinstance(scope, str) else frozenset()


def caller_of(claims: Mapping[str, Any]) -> Caller:
    """The caller that the claims of a verified Altinn token stand for."""
    code = claims.get("urn:altinn:org")
    creator = code.lower() if isinstance(code, str) and _CODE.fullmatch(code.lower()) else None
    pid = claims.get("pid")
    # A machine's token may carry `pid` unproven (identity.md 2.6); only a person's token makes its bearer that person.
    person = isinstance(pid, str) and "urn:altinn:userid" in claims and "urn:altinn:orgNumber" not in claims
    return Caller(creator, scopes_of(claims), "bearer", pid if person else None, claims)


class TokenChecker:
    """Decides whether tokens of one issuer count. `audiences`: a token with `aud` must name one of them."""

    def __init__(
        self,
        source: KeySource,
        issuer: str,
        machine: Machine,
        *,
        audiences: Collection[str] | None = None,
        algorithms: Collection[str] = RS256,
        capacity: int = CAPACITY,
    ) -> None:
        self.issuer = issuer
        self._source = source
        self._machine = machine
        self._audiences = audiences
        self._algorithms = algorithms
        self._capacity = capacity
        self._known: OrderedDict[bytes, Verified] = OrderedDict()
        self._generation = source.generation

    def recall(self, token: bytes) -> Verified | None:
        """A token verified before that still counts; None means: `check` it."""
        if self._generation != self._source.generation:
            self._generation = self._source.generation
            self._known.clear()
        mark = sha256(token).digest()
        found = self._known.get(mark)
        if found is None:
            return None
        now = self._machine.time()
        if now >= found.expires + SKEW:
            del self._known[mark]
            return None
        if now + SKEW < found.not_before:
            return None
        self._known.move_to_end(mark)
        return found

    async def check(self, token: bytes) -> Verified:
        """The verified token. Raises InvalidToken, or IssuerUnavailable when the keys cannot be had."""
        known = self.recall(token)
        if known is not None:
            return known
        try:
            reading = read(token, self._algorithms)
            claims = reading.payload
            if claims.get("iss") != self.issuer:
                raise InvalidToken("the token has another issuer")
            if reading.kid is None:
                raise InvalidToken("the token names no key")
            expires, not_before = self._times(claims)
            self._check_audience(claims)
        except MalformedToken as error:
            raise InvalidToken(str(error)) from None
        key = await self._source.find(reading.kid)
        generation = self._source.generation
        if key is None or not reading.verify(key):
            raise InvalidToken("the signature is not the issuer's")
        verified = Verified(claims, not_before, expires, caller_of(claims))
        if generation == self._generation:
            self._known[sha256(token).digest()] = verified
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return verified

    def _times(self, claims: dict[str, Any]) -> tuple[int, int]:
        """(exp, latest of nbf and iat) when they hold now (identity.md 6.2: exp required, 10 s skew)."""
        now = self._machine.time()
        expires, not_before, issued = moment(claims, "exp"), moment(claims, "nbf"), moment(claims, "iat")
        if expires is None or now >= expires + SKEW:
            raise InvalidToken("the token has expired")
        if expires > now + FAR_FUTURE:
            raise InvalidToken("the token lives too long")
        start = max(not_before or 0, issued or 0)
        if now + SKEW < start:
            raise InvalidToken("the token is not valid yet")
        return expires, start

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        if self._audiences is None or "aud" not in claims:
            return
        named = claims["aud"]
        if isinstance(named, str):
            named = [named]
        if not isinstance(named, list) or not any(
            isinstance(one, str) and one in self._audiences for one in named
        ):
            raise InvalidToken("the token is for another audience")
