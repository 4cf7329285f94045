"""The token endpoint: one grant in, one token or one refusal out (docs/reference/identity.md 2.4 to 2.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from secrets import token_urlsafe
from typing import Any, Final

import msgspec
from joserfc.jwk import RSAKey

from varsel.identity import audit
from varsel.identity.encoding import b64url_uint, uint
from varsel.identity.gathering import Gatherer
from varsel.identity.jws import MAX_TOKEN
from varsel.identity.keys import KeyRing
from varsel.identity.limits import RateLimiter
from varsel.identity.maskinporten import errors as rules
from varsel.identity.maskinporten.enterprise import EnterpriseTrust
from varsel.identity.maskinporten.errors import Refusal
from varsel.identity.maskinporten.grant import (
    REMEMBERED,
    Allowed,
    Assertion,
    ClientFacts,
    ScopeFacts,
    check_claims,
    decide,
    parse,
    party,
)
from varsel.identity.signing import Signer
from varsel.runtime.clock import Machine
from varsel.runtime.metrics import counter
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.queries import load

sql = load("varsel.identity")
_issued: Final = counter("tokens_issued")

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Issued:
    """An access token; `expires_in` is one less than its life, as callers are used to."""

    access_token: str
    expires_in: int
    scope: str


@dataclass(frozen=True, slots=True)
class _Use:
    """A grant about to be used, and what the trail will say of it."""

    issuer: str
    key: bytes
    expires_at: datetime
    event: audit.Event


@lru_cache(maxsize=4096)
def public_key(n: str, e: str) -> RSAKey:
    """A registered key; parsing costs more than verifying with it."""
    return RSAKey.import_key({"kty": "RSA", "n": b64url_uint(uint(n)), "e": b64url_uint(uint(e))})


class TokenServer:
    """Maskinporten's one grant. All state is in the database; any number of processes serve the same clients."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        machine: Machine,
        *,
        keys: KeyRing,
        signer: Signer,
        limiter: RateLimiter,
        trail: audit.AuditLog,
        trust: EnterpriseTrust,
    ) -> None:
        self.issuer = settings.base_url + "/maskinporten/"
        self._settings = settings
        self._database = database
        self._machine = machine
        self._keys = keys
        self._signer = signer
        self._limiter = limiter
        self._trail = trail
        self._trust = trust
        self._facts: Gatherer[Assertion, Any] = Gatherer(self._look_up, most=50)
        self._uses: Gatherer[_Use, bool] = Gatherer(self._use)

    async def close(self) -> None:
        await self._facts.close()
        await self._uses.close()

    async def admit(self, address: str) -> int | None:
        """Count a request from an address; seconds to wait when it sends too many."""
        return await self._limiter.take("token:" + address, self._settings.token_rate)

    async def grant(self, form: Mapping[str, Sequence[str]]) -> Issued:
        """The token for a request's form fields. Raises Refusal."""
        kinds, assertions = form.get("grant_type", ()), form.get("assertion", ())
        if len(kinds) != 1 or len(assertions) != 1:
            if len(kinds) == 1 and kinds[0] != GRANT_TYPE:
                raise Refusal(rules.GRANT_TYPE)
            raise Refusal(rules.REQUEST)
        if kinds[0] != GRANT_TYPE:
            raise Refusal(rules.GRANT_TYPE)
        if not 0 < len(assertions[0]) <= MAX_TOKEN:
            raise Refusal(rules.PARAMETER)
        assertion = parse(assertions[0])
        try:
            return await self._grant(assertion)
        except Refusal as refusal:
            reason = {"code": refusal.rule.code, "error": refusal.rule.error}
            self._trail.note(
                audit.Event(str(assertion.client_id), "token.refused", str(assertion.client_id), None, reason)
            )
            raise

    async def _grant(self, assertion: Assertion) -> Issued:
        now = self._machine.time()
        row = await self._facts.submit(assertion)
        client, method = self._authenticate(assertion, row, now)
        if await self._limiter.take(f"token:{client.client_id}", self._settings.token_rate) is not None:
            raise Refusal(rules.TOO_MANY)
        issued_at = check_claims(
            assertion,
            self.issuer,
            now,
            require_jti=self._settings.require_jti,
            known_only=self._settings.strict_grants,
        )
        allowed: Allowed | None = None
        refusal: Refusal | None = None
        try:
            allowed = decide(assertion, client)
        except Refusal as error:
            refusal = error
        jti = token_urlsafe(32)
        fresh = await self._uses.submit(
            _Use(
                str(client.client_id),
                assertion.used_as,
                datetime.fromtimestamp(issued_at + REMEMBERED, UTC),
                self._event(client, allowed, refusal, jti),
            )
        )
        if not fresh:
            raise Refusal(rules.USED)
        if refusal is not None:
            raise refusal
        assert allowed is not None
        issued = await self._issue(client, method, allowed, jti, int(now))
        _issued.labels("maskinporten").inc()
        return issued

    def _authenticate(self, assertion: Assertion, row: Any, now: float) -> tuple[ClientFacts, str]:
        """The client whose key signed, and its method (`client_amr`)."""
        reading = assertion.reading
        if row is None or row["kind"] != "maskinporten":
            # The same work as for a client that exists: time must not tell which ids do.
            reading.verify(self._keys.signer("maskinporten").key)
            raise Refusal(rules.CLIENT)
        header = reading.header
        if row["has_keys"]:
            if reading.kid is None:
                raise Refusal(rules.KEY_MISSING)
            if "x5c" in header:
                raise Refusal(rules.X5C)
            if row["key_jwk"] is None:
                raise Refusal(rules.UNKNOWN_KEY)
            if row["key_expires_at"].timestamp() <= now:
                raise Refusal(rules.KEY_EXPIRED)
            jwk = msgspec.json.decode(row["key_jwk"])
            if jwk.get("alg", "RS256") != header["alg"] or not reading.verify(public_key(jwk["n"], jwk["e"])):
                raise Refusal(rules.SIGNATURE)
            method = "private_key_jwt"
        elif "x5c" in header:
            if reading.kid is not None:
                raise Refusal(rules.X5C)
            leaf = self._trust.leaf(header["x5c"], now)
            if leaf.organisation != (row["supplier"] or row["organisation"]):
                raise Refusal(rules.CERTIFICATE_ORGANISATION)
            if not reading.verify(leaf.key):
                raise Refusal(rules.SIGNATURE)
            method = "virksomhetssertifikat"
        else:
            raise Refusal(rules.UNKNOWN_KEY if reading.kid is not None else rules.X5C)
        return _facts(row), method

    async def _look_up(self, assertions: Sequence[Assertion]) -> Sequence[Any]:
        """What is known of the clients of several grants, in one statement; None for those that name none."""
        asked = [
            {
                "position": position,
                "client": assertion.client_id,
                "kid": assertion.reading.kid,
                "scopes": assertion.wanted,
                "consumer": assertion.text("consumer_org"),
                "onbehalfof": assertion.text("iss_onbehalfof"),
                "machine_user": assertion.system_user_organisation,
            }
            for position, assertion in enumerate(assertions)
        ]
        rows = await self._database.fetch(
            sql.grant_facts,
            msgspec.json.encode(asked).decode(),
            self._settings.client_environment,
            datetime.fromtimestamp(self._machine.time(), UTC),
        )
        found: list[Any] = [None] * len(assertions)
        for row in rows:
            found[row["position"]] = row
        return found

    async def _use(self, uses: Sequence[_Use]) -> Sequence[bool]:
        """Remember grants and write the trail in one commit; False for those used before, here or in another process."""
        first: dict[tuple[str, bytes], int] = {}
        for position, use in enumerate(uses):
            first.setdefault((use.issuer, use.key), position)
        # Sorted, so that two processes with the same grants wait for each other instead of deadlocking.
        keys = sorted(first)
        rows = await self._database.fetch(
            sql.use_grants,
            [issuer for issuer, _ in keys],
            [key for _, key in keys],
            [uses[first[key]].expires_at for key in keys],
            [use.issuer for use in uses],
            [use.key for use in uses],
            [first[use.issuer, use.key] == position for position, use in enumerate(uses)],
            [uuid7() for _ in uses],
            [use.event.organisation for use in uses],
            [use.event.action for use in uses],
            [msgspec.json.encode(use.event.details).decode() for use in uses],
        )
        won = {row["position"] for row in rows}
        return [position in won for position in range(len(uses))]

    def _event(
        self, client: ClientFacts, allowed: Allowed | None, refusal: Refusal | None, jti: str
    ) -> audit.Event:
        name = str(client.client_id)
        if allowed is None:
            rule = refusal.rule if refusal is not None else rules.PARAMETER
            details: dict[str, Any] = {"code": rule.code, "error": rule.error}
            return audit.Event(name, "token.refused", name, client.organisation, details)
        details = {"scope": allowed.scope, "consumer": allowed.consumer, "jti": jti}
        return audit.Event(name, "token.issued", name, client.organisation, details)

    async def _issue(self, client: ClientFacts, method: str, allowed: Allowed, jti: str, now: int) -> Issued:
        claims: dict[str, Any] = {
            "scope": allowed.scope,
            "iss": self.issuer,
            "client_amr": method,
            "token_type": "Bearer",
            "exp": now + allowed.lifetime,
            "iat": now,
            "client_id": str(client.client_id),
            "jti": jti,
            "consumer": party(allowed.consumer),
        }
        if allowed.supplier is not None:
            claims["supplier"] = party(allowed.supplier)
            claims["delegation_source"] = allowed.delegation_source
        if allowed.audience is not None:
            claims["aud"] = allowed.audience
        if allowed.pid is not None:
            claims["pid"] = allowed.pid
        if allowed.details is not None:
            claims["authorization_details"] = allowed.details
        token = await self._signer.sign("maskinporten", claims)
        return Issued(token, allowed.lifetime - 1, allowed.scope)


def _facts(row: Any) -> ClientFacts:
    return ClientFacts(
        client_id=row["id"],
        organisation=row["organisation"],
        supplier=row["supplier"],
        kind=row["kind"],
        lifetime=int(row["lifetime"] or 0),
        onbehalfof=row["onbehalfof"],
        scopes=[ScopeFacts(**scope) for scope in msgspec.json.decode(row["scopes"] or "[]")],
        system_user_undelegated=row["machine_user_undelegated"],
    )
