"""Signing keys of our own issuers: made, published 48 hours before use, rotated, retired (docs/reference/identity.md 2.3, 5.7).

The rows are the truth; every process holds a copy that a wake-up ("keys") or a minute refreshes. Which key signs and which are
shown follows from the machine clock alone, so all processes agree without talking.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from joserfc.jwk import RSAKey

from varsel.identity import audit
from varsel.identity.audit import Event
from varsel.identity.certificates import self_signed, thumbprint, x5t
from varsel.identity.encoding import b64url, b64url_uint
from varsel.identity.registry import OPERATOR
from varsel.runtime.clock import Machine
from varsel.runtime.errors import OperatorError, Unavailable, VarselError
from varsel.runtime.tasks import end
from varsel.store.database import Database, Listener
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

log = structlog.get_logger("varsel.identity")
sql = load("varsel.identity")

ISSUERS: Final = ("maskinporten", "altinn", "idporten")
BITS: Final = 2048
#: A new key is shown this long before it signs, so that every reader's cache knows it in time.
PUBLISH_AHEAD: Final = timedelta(hours=48)
SIGN_FOR: Final = timedelta(days=90)
#: A key that signs no more stays shown for the longest token life and an hour.
SHOWN_AFTER: Final[Mapping[str, timedelta]] = {
    "maskinporten": timedelta(hours=2),
    "altinn": timedelta(hours=1, minutes=30),
    "idporten": timedelta(hours=2),
}
#: How often the rows are read again when no wake-up comes.
FLOOR: Final = 60.0


class NoSigningKey(VarselError):
    """An issuer has no key that may sign now."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. Times are seconds since 1970; `head` is the encoded protected header of what it signs."""

    kid: str
    issuer: str
    key: RSAKey  # private
    head: bytes
    public: Mapping[str, Any]
    publish_at: float
    sign_from: float
    sign_until: float | None
    retire_at: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What an issuer shows and signs with until `until`."""

    signer: SigningKey | None
    keys: Mapping[str, RSAKey]
    jwks: bytes
    until: float


def shown_at(keys: Sequence[SigningKey], now: float) -> Shown:
    """Which keys are published and which one signs at `now`; pure. Of several that may sign the latest to begin does."""
    published = [
        key for key in keys if key.publish_at <= now and (key.retire_at is None or now < key.retire_at)
    ]
    signing = [
        key for key in published if key.sign_from <= now and (key.sign_until is None or now < key.sign_until)
    ]
    edges = [
        edge
        for key in keys
        for edge in (key.publish_at, key.sign_from, key.sign_until, key.retire_at)
        if edge is not None and edge > now
    ]
    return Shown(
        signer=max(signing, key=lambda key: (key.sign_from, key.kid), default=None),
        keys={key.kid: key.key for key in published},
        jwks=msgspec.json.encode({"keys": [key.public for key in published]}),
        until=min(edges, default=float("inf")),
    )


class KeyRing:
    """The signing keys as this process knows them. `generation` grows whenever the set of shown keys changes."""

    def __init__(self, database: Database, machine: Machine, master_key: MasterKey) -> None:
        self._database = database
        self._machine = machine
        self._master_key = master_key
        self._keys: dict[str, tuple[SigningKey, ...]] = {}
        self._shown: dict[str, Shown] = {}
        self._parsed: dict[str, RSAKey] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.generation = 0

    @classmethod
    async def open(
        cls, database: Database, machine: Machine, master_key: MasterKey, listener: Listener | None = None
    ) -> KeyRing:
        """Read the keys, make the first ones where there are none, and follow changes from then on."""
        ring = cls(database, machine, master_key)
        await ring.reload()
        await ring.ensure()
        if listener is not None:
            listener.on("keys", ring._changed.set)
        ring._task = asyncio.get_running_loop().create_task(ring._follow(), name="varsel-keys")
        return ring

    async def close(self) -> None:
        await end(self._task)

    def shown(self, issuer: str) -> Shown:
        """The issuer's keys at this moment."""
        shown = self._shown.get(issuer)
        now = self._machine.time()
        if shown is None or now >= shown.until:
            before = shown
            shown = self._shown[issuer] = shown_at(self._keys.get(issuer, ()), now)
            if before is None or before.keys.keys() != shown.keys.keys():
                self.generation += 1
        return shown

    def signer(self, issuer: str) -> SigningKey:
        """The key that signs now; NoSigningKey when there is none."""
        signer = self.shown(issuer).signer
        if signer is None:
            raise NoSigningKey
        return signer

    def jwks(self, issuer: str) -> bytes:
        """The key set document, prepared."""
        return self.shown(issuer).jwks

    def now(self) -> float:
        """Seconds since 1970 on the clock that the keys follow."""
        return self._machine.time()

    def all(self) -> list[SigningKey]:
        """Every key that is not retired, by issuer, oldest first."""
        return [
            key
            for issuer in ISSUERS
            for key in self._keys.get(issuer, ())
            if key.retire_at is None or key.retire_at > self.now()
        ]

    async def reload(self) -> None:
        """Read all rows again."""
        now = datetime.fromtimestamp(self._machine.time(), UTC)
        found: dict[str, list[SigningKey]] = {issuer: [] for issuer in ISSUERS}
        for row in await self._database.fetch(sql.signing_keys, now):
            kid = row["kid"]
            if kid not in self._parsed:
                self._parsed[kid] = await asyncio.to_thread(_parse, self._master_key.open(row["private"]))
            found[row["issuer"]].append(
                SigningKey(
                    kid=kid,
                    issuer=row["issuer"],
                    key=self._parsed[kid],
                    head=_head(kid, row["certificate"]),
                    public=msgspec.json.decode(row["public"]),
                    publish_at=row["publish_at"].timestamp(),
                    sign_from=row["sign_from"].timestamp(),
                    sign_until=row["sign_until"] and row["sign_until"].timestamp(),
                    retire_at=row["retire_at"] and row["retire_at"].timestamp(),
                )
            )
        before = {issuer: self.shown(issuer).keys.keys() for issuer in ISSUERS}
        self._keys = {issuer: tuple(keys) for issuer, keys in found.items()}
        self._parsed = {key.kid: key.key for keys in found.values() for key in keys}
        self._shown.clear()
        if any(self.shown(issuer).keys.keys() != before[issuer] for issuer in ISSUERS):
            self.generation += 1

    async def ensure(self) -> None:
        """Make a first key where an issuer has none (it signs at once), and the next where the current grows old."""
        now = self._machine.time()
        changed = False
        for issuer in ISSUERS:
            newest = max(
                (key.sign_from for key in self._keys.get(issuer, ()) if key.retire_at is None), default=None
            )
            if newest is None:
                changed |= await self._make(issuer, at_once=True, unless_newer_than=None)
            elif now >= newest + (SIGN_FOR - PUBLISH_AHEAD).total_seconds():
                changed |= await self._make(issuer, at_once=False, unless_newer_than=newest)
        if changed:
            await self._announce()

    async def rotate(self, issuer: str, *, actor: str = OPERATOR) -> str:
        """Bring in a new key now, shown at once and signing after 48 hours; its name.

        OperatorError when the next key is there already: one that waits must not be followed by another before it has signed.
        """
        if not await self._make(issuer, at_once=False, unless_newer_than=self.now()):
            raise OperatorError("The next key is shown already and signs soon; see varsel signing-key list.")
        await self._announce()
        made = max(self._keys[issuer], key=lambda key: key.sign_from).kid
        await audit.write(
            self._database, [Event(actor, "signing_key.rotated", made, None, {"issuer": issuer})]
        )
        return made

    async def withdraw(self, kid: str, *, actor: str = OPERATOR) -> bool:
        """Stop trusting a key this moment; what it signed is refused. False when there is no such key.

        A new key is made when none is left to sign.
        """
        now = datetime.fromtimestamp(self._machine.time(), UTC)
        async with self._database.transaction() as connection:
            issuer = await connection.fetchval(sql.withdraw_key, kid, now)
            if issuer is None:
                return False
            await audit.write(
                connection, [Event(actor, "signing_key.withdrawn", kid, None, {"issuer": issuer})]
            )
        await self.reload()
        if self.shown(issuer).signer is None:
            await self._make(issuer, at_once=True, unless_newer_than=float("inf"))
        await self._announce()
        return True

    async def _announce(self) -> None:
        await self.reload()
        self._database.wake("keys")

    async def _make(self, issuer: str, *, at_once: bool, unless_newer_than: float | None) -> bool:
        """Insert a key unless another process was quicker: another key is there already (None), or a later one."""
        now = datetime.fromtimestamp(self._machine.time(), UTC)
        fresh = await asyncio.to_thread(_generate, issuer, now)
        sign_from = now if at_once else now + PUBLISH_AHEAD
        async with self._database.transaction() as connection:
            await connection.execute(sql.lock_keys)
            newest = await connection.fetchrow(sql.newest_key, issuer, now)
            if newest is not None and (
                unless_newer_than is None or newest["sign_from"].timestamp() > unless_newer_than
            ):
                return False
            sealed = self._master_key.seal(fresh.private)
            await connection.execute(
                sql.insert_key,
                fresh.kid,
                issuer,
                sealed,
                msgspec.json.encode(fresh.public).decode(),
                fresh.certificate,
                now,
                sign_from,
            )
            await connection.execute(
                sql.end_signing, issuer, fresh.kid, sign_from, sign_from + SHOWN_AFTER[issuer]
            )
        log.info("signing key made", action="identity.key_made", issuer=issuer, key=fresh.kid)
        return True

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), FLOOR)
            self._changed.clear()
            try:
                await self.reload()
                await self.ensure()
            except Unavailable:
                log.warning("signing keys not read; the known ones stay", action="identity.keys_stale")


@dataclass(frozen=True, slots=True)
class _Fresh:
    kid: str
    private: bytes
    public: dict[str, Any]
    certificate: bytes | None


def _new_pair() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=BITS)


def _generate(issuer: str, now: datetime) -> _Fresh:
    """A new key; runs in a thread (finding primes takes up to a few hundred milliseconds)."""
    key = _new_pair()
    numbers = key.public_key().public_numbers()
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    members = {"n": b64url_uint(numbers.n), "e": b64url_uint(numbers.e)}
    if issuer == "altinn":
        # Named after a certificate, shown with it, and without alg, as the public issuer does (identity.md 5.7).
        certificate = self_signed(key, "Varsel token signing", now)
        kid = thumbprint(certificate)
        encoded = b64encode(certificate).decode()
        return _Fresh(
            kid, private, {"kty": "RSA", "use": "sig", "kid": kid, **members, "x5c": [encoded]}, certificate
        )
    kid = RSAKey.import_key({"kty": "RSA", **members}).thumbprint()
    return _Fresh(kid, private, {"kty": "RSA", "use": "sig", "kid": kid, "alg": "RS256", **members}, None)


def _parse(private: bytes) -> RSAKey:
    native = load_der_private_key(private, None)
    if not isinstance(native, rsa.RSAPrivateKey):
        raise TypeError("a signing key is not RSA")
    return RSAKey.import_key(native)


def _head(kid: str, certificate: bytes | None) -> bytes:
    header: dict[str, str] = {"alg": "RS256", "kid": kid}
    if certificate is not None:
        header["x5t"] = x5t(certificate)
        header["typ"] = "JWT"
    return b64url(msgspec.json.encode(header))
