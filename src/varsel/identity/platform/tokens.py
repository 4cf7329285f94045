"""Platform access tokens: apps and components of the platform sign for themselves (docs/reference/identity.md 6.5, 6.6).

The header `PlatformAccessToken` counts only when its signature is by a certificate registered for its `iss`. The register is
small and wholly in memory, so a hostile `iss` never causes a look-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from varsel.identity.certificates import x5t
from varsel.identity.jws import MalformedToken, moment, read
from varsel.identity.tokens import SKEW, InvalidToken
from varsel.runtime.clock import Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.tasks import end
from varsel.store.database import Database, Listener
from varsel.store.queries import load

log = structlog.get_logger("varsel.identity")
sql = load("varsel.identity")

ISSUER: Final = re.compile(r"[a-z0-9-]{2,40}")
AUDIENCE: Final = "platform.altinn.no"
#: A platform token may have at most this long left (identity.md 10.4, line 61).
LONGEST: Final = 600
FLOOR: Final = 60.0
CAPACITY: Final = 4096


@dataclass(frozen=True, slots=True)
class PlatformCaller:
    """Who signed: `issuer` is a service owner's code or `platform`; a trusted one may act for the code in the bearer token.

    `certificate_ends`: when the certificate expires, which ends its tokens too, without skew.
    """

    issuer: str
    app: str | None
    trusted: bool
    not_before: int
    expires: int
    certificate_ends: float


@dataclass(frozen=True, slots=True)
class _Certificate:
    kid: str
    x5t: str
    key: RSAKey
    trusted: bool
    not_before: float
    not_after: float


class PlatformTokens:
    """Checks platform access tokens against the register of issuers."""

    def __init__(self, database: Database, machine: Machine, audiences: Collection[str] = ()) -> None:
        self._database = database
        self._machine = machine
        self._audiences = frozenset({AUDIENCE, *audiences})
        self._register: dict[str, tuple[_Certificate, ...]] = {}
        self._marks: frozenset[tuple[str, str, bool]] = frozenset()
        self._known: OrderedDict[bytes, PlatformCaller] = OrderedDict()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        database: Database,
        machine: Machine,
        listener: Listener | None = None,
        audiences: Collection[str] = (),
    ) -> PlatformTokens:
        tokens = cls(database, machine, audiences)
        await tokens.reload()
        if listener is not None:
            listener.on("keys", tokens._changed.set)
        tokens._task = asyncio.get_running_loop().create_task(
            tokens._follow(), name="varsel-platform-issuers"
        )
        return tokens

    async def close(self) -> None:
        await end(self._task)

    async def reload(self) -> None:
        """Read the register again; what was verified with a certificate that is gone is forgotten."""
        rows = await self._database.fetch(sql.platform_issuers)
        marks = frozenset((row["issuer"], row["thumbprint"], row["trusted"]) for row in rows)
        if marks == self._marks:
            return
        register: dict[str, list[_Certificate]] = {}
        for row in rows:
            certificate = x509.load_der_x509_certificate(row["certificate"])
            public = certificate.public_key()
            if not isinstance(public, rsa.RSAPublicKey):
                continue
            register.setdefault(row["issuer"], []).append(
                _Certificate(
                    kid=row["thumbprint"],
                    x5t=x5t(row["certificate"]),
                    key=RSAKey.import_key(public),
                    trusted=row["trusted"],
                    not_before=certificate.not_valid_before_utc.timestamp(),
                    not_after=certificate.not_valid_after_utc.timestamp(),
                )
            )
        self._register = {issuer: tuple(found) for issuer, found in register.items()}
        self._marks = marks
        self._known.clear()

    def check(self, token: bytes) -> PlatformCaller:
        """Who signed the token; InvalidToken when it does not count."""
        now = self._machine.time()
        mark = sha256(token).digest()
        known = self._known.get(mark)
        if (
            known is not None
            and known.not_before - SKEW <= now < known.expires + SKEW
            and now < known.certificate_ends
        ):
            return known
        try:
            caller = self._verify(token, now)
        except MalformedToken as error:
            raise InvalidToken(str(error)) from None
        self._known[mark] = caller
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return caller

    def _verify(self, token: bytes, now: float) -> PlatformCaller:
        reading = read(token)
        claims = reading.payload
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or ISSUER.fullmatch(issuer) is None:
            raise InvalidToken("the platform token has no issuer name")
        expires, not_before = (
            moment(claims, "exp"),
            max(moment(claims, "nbf") or 0, moment(claims, "iat") or 0),
        )
        if expires is None or now >= expires + SKEW:
            raise InvalidToken("the platform token has expired")
        if expires > now + LONGEST + SKEW:
            raise InvalidToken("the platform token lives too long")
        if now + SKEW < not_before:
            raise InvalidToken("the platform token is not valid yet")
        self._check_audience(claims.get("aud"), present="aud" in claims)
        app = claims.get("urn:altinn:app")
        if app is not None and not isinstance(app, str):
            raise InvalidToken("the platform token names no app")
        for certificate in self._register.get(issuer, ()):
            if not _named(certificate, reading.header.get("kid"), reading.header.get("x5t")):
                continue
            if certificate.not_before <= now < certificate.not_after and reading.verify(certificate.key):
                return PlatformCaller(
                    issuer, app or None, certificate.trusted, not_before, expires, certificate.not_after
                )
        raise InvalidToken("the platform token is not signed by a registered certificate")

    def _check_audience(self, audience: object, *, present: bool) -> None:
        named = [audience] if isinstance(audience, str) else audience
        if present and not (
            isinstance(named, list) and any(one in self._audiences for one in named if isinstance(one, str))
        ):
            raise InvalidToken("the platform token is for another audience")

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), FLOOR)
            self._changed.clear()
            try:
                await self.reload()
            except Unavailable:
                log.warning("platform issuers not read; the known ones stay", action="identity.issuers_stale")


def _named(certificate: _Certificate, kid: object, thumbprint: object) -> bool:
    """Whether the header means this certificate: by kid or x5t when they are there, any certificate of the issuer otherwise."""
    if kid is not None:
        return isinstance(kid, str) and kid.upper() == certificate.kid
    return thumbprint is None or thumbprint == certificate.x5t
