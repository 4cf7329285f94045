"""Issuers that Varsel trusts without being them: their keys, fetched, kept and refreshed (docs/reference/identity.md 2.3, 6.2, 11).

Each is a row with one exact issuer name. Known keys go on counting while the issuer is down, also over a restart; an unknown `kid`
causes one fetch a minute at most, however many tokens come; an issuer's answer is read with limits and mistrust.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
import structlog
from joserfc.jwk import RSAKey

from varsel.identity.clientkeys import KeyRefused, check_numbers
from varsel.identity.encoding import b64url_uint, uint
from varsel.identity.tokens import IssuerUnavailable
from varsel.runtime.clock import Machine
from varsel.runtime.errors import SettingsError, Unavailable, VarselError
from varsel.runtime.outbound import Fetched, OutboundError
from varsel.runtime.tasks import end
from varsel.store.database import Database
from varsel.store.queries import load

log = structlog.get_logger("varsel.identity")
sql = load("varsel.identity")

FLOOR: Final = 60.0
FRESH: Final = 24 * 3600.0
TIMEOUT: Final = 10.0
LARGEST: Final = 256 * 1024
MOST_KEYS: Final = 50

#: kind -> where its metadata stands below the issuer name.
_METADATA: Final[Mapping[str, str]] = {
    "maskinporten": ".well-known/oauth-authorization-server",
    "idporten": "/.well-known/openid-configuration",
    "altinn": ".well-known/openid-configuration",
}


class Getter(Protocol):
    """What is needed of the guarded client."""

    async def get(self, url: str, *, timeout: float = ..., max_bytes: int = ...) -> Fetched: ...


class BadIssuerAnswer(VarselError):
    """The issuer's answer is not what an issuer answers."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer."""

    name: str
    kind: str
    environment: str
    metadata_url: str

    @classmethod
    def named(cls, name: str, kind: str, environment: str) -> Issuer:
        """The issuer of a setting; SettingsError unless it is a plain absolute URL."""
        parts = urlsplit(name)
        if (
            parts.scheme not in {"https", "http"}
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in name
        ):
            raise SettingsError(f"VARSEL_{kind.upper()}_ISSUER must be the issuer's URL.")
        base = name.rstrip("/") if kind == "idporten" else name.rstrip("/") + "/"
        return cls(name, kind, environment, base + _METADATA[kind])


def metadata_of(body: bytes, issuer: str) -> dict[str, Any]:
    """The metadata document, if it is this very issuer's (RFC 8414 3.3)."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise BadIssuerAnswer from None
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise BadIssuerAnswer
    return found


def keys_of(document: object) -> dict[str, RSAKey]:
    """The usable signing keys of a JWKS; BadIssuerAnswer when there is none. `n` and `e` may be in standard base64 (5.7)."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BadIssuerAnswer
    found: dict[str, RSAKey] = {}
    for entry in entries[:MOST_KEYS]:
        if not isinstance(entry, dict) or entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig":
            continue
        kid, n, e = entry.get("kid"), entry.get("n"), entry.get("e")
        if (
            not (isinstance(kid, str) and isinstance(n, str) and isinstance(e, str))
            or len(n) > 2048
            or len(e) > 16
        ):
            continue
        if entry.get("alg", "RS256") != "RS256":
            continue
        try:
            modulus, exponent = uint(n), uint(e)
            check_numbers(modulus, exponent)
        except (KeyRefused, binascii.Error, ValueError):
            continue
        found[kid] = RSAKey.import_key({"kty": "RSA", "n": b64url_uint(modulus), "e": b64url_uint(exponent)})
    if not found:
        raise BadIssuerAnswer
    return found


class RemoteKeys:
    """The keys of one issuer elsewhere; a KeySource."""

    def __init__(self, issuer: Issuer, client: Getter, database: Database, machine: Machine) -> None:
        self.issuer = issuer
        self.metadata: Mapping[str, Any] = {}
        self._client = client
        self._database = database
        self._machine = machine
        self._keys: dict[str, RSAKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._failed = False
        self._flight: asyncio.Task[None] | None = None
        self._generation = 0

    @classmethod
    async def open(cls, issuer: Issuer, client: Getter, database: Database, machine: Machine) -> RemoteKeys:
        """Register the issuer's row and take the keys it holds; the first fetch begins without being waited for."""
        keys = cls(issuer, client, database, machine)
        row = await database.fetchrow(
            sql.upsert_issuer, issuer.name, issuer.kind, issuer.environment, issuer.metadata_url, ["RS256"]
        )
        if row is not None and row["keys"] is not None:
            with contextlib.suppress(BadIssuerAnswer):
                keys._keys = keys_of(msgspec.json.decode(row["keys"]))
        keys._refresh()
        return keys

    async def close(self) -> None:
        await end(self._flight)

    @property
    def generation(self) -> int:
        return self._generation

    async def find(self, kid: str) -> RSAKey | None:
        now = self._machine.monotonic()
        found = self._keys.get(kid)
        if found is not None:
            if self._fetched is None or now - self._fetched > FRESH:
                self._refresh()
            return found
        flight = self._refresh()
        if flight is not None:
            # Shielded: one caller that goes away does not spoil the answer for the others.
            await asyncio.shield(flight)
            found = self._keys.get(kid)
        if found is None and self._failed:
            raise IssuerUnavailable
        return found

    async def ready(self) -> Mapping[str, Any]:
        """The issuer's metadata, fetched when it has not been; IssuerUnavailable when it cannot be had."""
        if not self.metadata:
            flight = self._refresh()
            if flight is not None:
                await asyncio.shield(flight)
        if not self.metadata:
            raise IssuerUnavailable
        return self.metadata

    def _refresh(self) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one unless the last try is less than a minute ago."""
        if self._flight is not None and not self._flight.done():
            return self._flight
        now = self._machine.monotonic()
        if self._tried is not None and now - self._tried < FLOOR:
            return None
        self._tried = now
        self._flight = asyncio.get_running_loop().create_task(self._fetch(), name="varsel-issuer-keys")
        return self._flight

    async def _fetch(self) -> None:
        try:
            metadata = metadata_of(await self._get(self.issuer.metadata_url), self.issuer.name)
            where = metadata.get("jwks_uri")
            if not isinstance(where, str):
                raise BadIssuerAnswer
            body = await self._get(where)
            try:
                document = msgspec.json.decode(body)
            except (msgspec.DecodeError, RecursionError):
                raise BadIssuerAnswer from None
            keys = keys_of(document)
        except (OutboundError, BadIssuerAnswer) as error:
            self._failed = True
            log.warning(
                "keys of an issuer not fetched; the known ones stay",
                action="identity.issuer_unreachable",
                issuer=self.issuer.name,
                error=type(error).__name__,
            )
            return
        self._failed = False
        self.metadata = metadata
        self._fetched = self._machine.monotonic()
        if keys.keys() != self._keys.keys() or any(
            keys[kid].thumbprint() != self._keys[kid].thumbprint() for kid in keys
        ):
            self._generation += 1
        self._keys = keys
        await self._store(document)

    async def _store(self, document: Any) -> None:
        at = datetime.fromtimestamp(self._machine.time(), UTC)
        try:
            await self._database.execute(
                sql.store_issuer_keys, self.issuer.name, msgspec.json.encode(document).decode(), at
            )
        except Unavailable:
            log.warning("keys of an issuer not stored", action="identity.issuer_keys_not_stored")

    async def _get(self, url: str) -> bytes:
        answer = await self._client.get(url, timeout=TIMEOUT, max_bytes=LARGEST)
        if answer.status != 200:
            raise BadIssuerAnswer
        return answer.body
