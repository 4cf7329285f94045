"""How a person client proves itself at the token endpoint (docs/reference/identity.md 7.3)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from uuid import UUID

import msgspec
from starlette.requests import Request

from varsel.identity.encoding import sha256
from varsel.identity.idporten.errors import OpenIdError
from varsel.identity.idporten.provider import Provider
from varsel.identity.idporten.rules import PersonClient, one
from varsel.identity.jws import RSA_ALL, MalformedToken, moment, read
from varsel.identity.maskinporten.server import public_key
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")

ASSERTION: str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def _invalid() -> OpenIdError:
    return OpenIdError("invalid_client", "Client authentication failed.", 401)


class ClientAuthentication:
    """Decides who sends a request to the token or PAR endpoint; exactly the method that the client registered counts."""

    def __init__(self, provider: Provider, database: Database) -> None:
        self._provider = provider
        self._database = database

    async def client(self, request: Request, form: Mapping[str, Sequence[str]]) -> PersonClient:
        """The client; OpenIdError `invalid_client` (401)."""
        basic = _basic(request)
        named = one(form, "client_id") or (basic[0] if basic else None)
        try:
            client = await self._provider.client(named)
        except OpenIdError:
            raise _invalid() from None
        posted = one(form, "client_secret")
        assertion = one(form, "client_assertion")
        sent = [name for name, value in (("b", basic), ("p", posted), ("a", assertion)) if value is not None]
        wanted = {
            "client_secret_basic": ["b"],
            "client_secret_post": ["p"],
            "private_key_jwt": ["a"],
            "none": [],
        }
        if sent != wanted[client.method]:
            raise _invalid()
        if basic is not None and (
            basic[0] != client.client_id or not await self._provider.secret_fits(client, basic[1])
        ):
            raise _invalid()
        if posted is not None and not await self._provider.secret_fits(client, posted):
            raise _invalid()
        if assertion is not None:
            if one(form, "client_assertion_type") != ASSERTION:
                raise _invalid()
            await self._check_assertion(client, assertion)
        return client

    async def _check_assertion(self, client: PersonClient, assertion: str) -> None:
        """RFC 7523 3: signed by a registered key, for us, short-lived, used once."""
        now = self._provider.now.timestamp()
        issuer = self._provider.issuer
        try:
            reading = read(assertion, RSA_ALL)
            claims = reading.payload
            issued, expires = moment(claims, "iat"), moment(claims, "exp")
        except MalformedToken:
            raise _invalid() from None
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        jti = claims.get("jti")
        right = (
            claims.get("iss") == claims.get("sub") == client.client_id
            and len(named) == 1
            and named[0] in {issuer, issuer + "/token"}
            and issued is not None
            and expires is not None
            and abs(now - issued) <= 10
            and now - 10 < expires <= issued + 120
            and isinstance(jti, str)
            and 1 <= len(jti) <= 255
        )
        if not right or reading.kid is None or expires is None:
            raise _invalid()
        rows = await self._database.fetch(sql.keys_of, UUID(client.client_id))
        key = next(
            (row for row in rows if row["kid"] == reading.kid and row["expires_at"].timestamp() > now), None
        )
        if key is None:
            raise _invalid()
        jwk = msgspec.json.decode(key["jwk"])
        if jwk.get("alg", "RS256") != reading.header["alg"] or not reading.verify(
            public_key(jwk["n"], jwk["e"])
        ):
            raise _invalid()
        until = datetime.fromtimestamp(expires + 30, UTC)
        mark = sha256(f"client-assertion:{jti}")
        used = await self._database.fetchval(sql.use_one_grant, client.client_id, mark, until)
        if used is None:
            raise _invalid()


def _basic(request: Request) -> tuple[str, str] | None:
    """Client id and secret of the Authorization header (RFC 6749 2.3.1), form-decoded."""
    values = request.headers.getlist("authorization")
    if not values:
        return None
    if len(values) > 1 or values[0][:6].lower() != "basic ":
        raise _invalid()
    try:
        user, colon, secret = (
            base64.b64decode(values[0][6:].strip(), validate=True).decode("utf-8").partition(":")
        )
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if not colon:
        raise _invalid()
    return unquote_plus(user), unquote_plus(secret)
