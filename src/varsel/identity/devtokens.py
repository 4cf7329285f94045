"""Tokens for trying things out in a sandbox: `varsel dev token` and the endpoints of Altinn's test token tool
(docs/reference/identity.md 5.8). Signed with the installation's own keys, so they pass every check that real ones pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any, Final
from uuid import uuid4

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from joserfc.jwk import RSAKey

from varsel.identity.altinn.claims import Person, machine_claims, person_claims
from varsel.identity.certificates import self_signed, thumbprint, x5t
from varsel.identity.encoding import b64url
from varsel.identity.keys import KeyRing
from varsel.identity.maskinporten.grant import party
from varsel.identity.platform.tokens import AUDIENCE, ISSUER
from varsel.identity.registry import CREATE_SCOPE, add_person
from varsel.identity.seed import DIGDIR
from varsel.identity.signing import RS256, sign
from varsel.runtime.clock import Machine
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

sql = load("varsel.identity")

LIFE: Final = 1800
MASKINPORTEN_LIFE: Final = 120
PLATFORM_LIFE: Final = 300
TEST_CLIENT: Final = "altinn-test-tools"
#: The form alone: people of tests need no right check digits.
_ELEVEN_DIGITS: Final = re.compile(r"[0-9]{11}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the token shall say. `expires_in` may be negative: a token that has expired already."""

    org: str = "ttd"
    number: str | None = None
    supplier: str | None = None
    scopes: Sequence[str] = (CREATE_SCOPE,)
    person: str | None = None
    level: int = 4
    expires_in: int = LIFE
    client_id: str = TEST_CLIENT


async def dev_token(
    database: Database,
    master_key: MasterKey,
    machine: Machine,
    settings: Settings,
    *,
    org: str = "ttd",
    scopes: Sequence[str] = (),
    person: str | None = None,
    platform: bool = False,
    expires_in: int | None = None,
) -> str:
    """The token of `varsel dev token`; works beside a running Varsel, from its database and master key alone.

    An Altinn token for a service owner's code, or for a person (national number), or with `platform` a platform access token.
    Raises OperatorError when the code is not a service owner's.
    """
    if platform:
        tokens = PlatformSigner(database, master_key, machine)
        token = await tokens.sign(org, "varsel-dev", PLATFORM_LIFE if expires_in is None else expires_in)
        database.wake("keys")
        return token
    keys = await KeyRing.open(database, machine, master_key)
    try:
        wanted = Wanted(
            org=org,
            scopes=scopes or ((CREATE_SCOPE,) if person is None else ("openid", "altinn:portal/enduser")),
            person=person,
            expires_in=LIFE if expires_in is None else expires_in,
        )
        issuer = settings.base_url + "/authentication/api/v1/openid/"
        claims = await claims_for(database, wanted, issuer, int(machine.time()))
        return sign(keys.signer("altinn"), claims)
    finally:
        await keys.close()


async def claims_for(database: Database, wanted: Wanted, issuer: str, now: int) -> dict[str, Any]:
    """The claims of a test token; a person is added to the register when new."""
    common: dict[str, Any] = {
        "scope": " ".join(wanted.scopes),
        "client_id": wanted.client_id,
        "jti": token_urlsafe(32),
        "token_type": "Bearer",
    }
    # A token that shall have expired began before it ended.
    start = min(now, now + wanted.expires_in - LIFE) if wanted.expires_in < 0 else now
    end = now + wanted.expires_in
    if wanted.person is not None:
        if not _ELEVEN_DIGITS.fullmatch(wanted.person):
            raise OperatorError("A national identity number has eleven digits.")
        await add_person(database, wanted.person, "")
        row = await database.fetchrow(sql.person_of, wanted.person)
        assert row is not None
        acr = {3: "idporten-loa-substantial", 4: "idporten-loa-high"}.get(wanted.level, "idporten-loa-low")
        incoming = {**common, "pid": wanted.person, "acr": acr}
        found = Person(row["pid"], row["user_id"], row["party_id"], row["party_uuid"], row["username"])
        claims = person_claims(incoming, found, issuer, start, end)
    else:
        row = await database.fetchrow(sql.number_of, wanted.org) if wanted.org else None
        if row is None and wanted.org and wanted.number is None:
            known = [found["code"] for found in await database.fetch(sql.service_owners)]
            raise OperatorError(
                f"There is no service owner {wanted.org} but {', '.join(known)}; `varsel owner add` registers one."
            )
        # The test department has no number of its own; it stands in for Digdir, as in the exchange.
        number = wanted.number or (row["number"] if row is not None else None) or DIGDIR
        incoming = {**common, "consumer": party(number)}
        if wanted.supplier is not None:
            incoming |= {"supplier": party(wanted.supplier), "delegation_source": "https://tt02.altinn.no/"}
        claims = machine_claims(incoming, number, wanted.org or None, issuer, now=start, life=end - start)
    claims["actual_iss"] = TEST_CLIENT
    return claims


def maskinporten_claims(wanted: Wanted, issuer: str, now: int) -> dict[str, Any]:
    """The claims of a Maskinporten token for an organisation, such as self-service takes; nobody signed a grant for it."""
    supplied = {} if wanted.supplier is None else {"supplier": party(wanted.supplier)}
    return {
        "scope": " ".join(wanted.scopes),
        "iss": issuer,
        "client_amr": "private_key_jwt",
        "token_type": "Bearer",
        "exp": now + wanted.expires_in,
        "iat": min(now, now + wanted.expires_in),
        "client_id": wanted.client_id,
        "jti": token_urlsafe(32),
        "consumer": party(wanted.number or DIGDIR),
        **supplied,
    }


class PlatformSigner:
    """Makes platform access tokens for issuers whose private key this installation holds; makes such an issuer when asked.

    Used for test tokens, and for the platform's own calls under the issuer `platform`.
    """

    def __init__(self, database: Database, master_key: MasterKey, machine: Machine) -> None:
        self._database = database
        self._master_key = master_key
        self._machine = machine
        self._held: dict[str, tuple[RSAKey, bytes]] = {}

    async def sign(self, issuer: str, app: str, life: int = PLATFORM_LIFE) -> str:
        """A token by `issuer` (a service owner's code, or `platform`) for an app or component."""
        if ISSUER.fullmatch(issuer) is None:
            raise OperatorError("A platform issuer is 2 to 40 small letters, digits or hyphens.")
        if issuer not in self._held:
            self._held[issuer] = await self._key_of(issuer)
        key, certificate = self._held[issuer]
        now = int(self._machine.time())
        end = now + life
        claims: Mapping[str, Any] = {
            "urn:altinn:app": app,
            "iss": issuer,
            "aud": AUDIENCE,
            "nbf": min(now - 5, end),
            "exp": end,
            "jti": str(uuid4()),
        }
        header = {"alg": "RS256", "kid": thumbprint(certificate), "x5t": x5t(certificate), "typ": "JWT"}
        signed = b64url(msgspec.json.encode(header)) + b"." + b64url(msgspec.json.encode(claims))
        return (signed + b"." + b64url(RS256.sign(signed, key))).decode()

    async def _key_of(self, issuer: str) -> tuple[RSAKey, bytes]:
        row = await self._database.fetchrow(sql.platform_signer, issuer)
        if row is None:
            native = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            now = datetime.fromtimestamp(self._machine.time(), UTC)
            certificate = self_signed(native, f"{issuer} access token", now)
            private = native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            await self._database.execute(
                sql.upsert_platform_issuer,
                issuer,
                thumbprint(certificate),
                certificate,
                self._master_key.seal(private),
                issuer == "platform",
            )
            self._database.wake("keys")
            return RSAKey.import_key(native), certificate
        loaded = load_der_private_key(self._master_key.open(row["private"]), None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise OperatorError("The platform issuer's key is not RSA.")
        return RSAKey.import_key(loaded), row["certificate"]
