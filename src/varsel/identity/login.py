"""Logging people in at an OpenID provider, the built-in one or another (docs/reference/identity.md 7.5).

Portal, console and the Altinn cookie all begin here. The answer of the provider is checked as a stranger's: state, issuer, nonce,
audience, level and times; the browser that ends a login must be the one that began it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import msgspec

from varsel.identity.encoding import b64url, sha256
from varsel.identity.idporten.errors import OpenIdError
from varsel.identity.idporten.provider import Provider
from varsel.identity.idporten.rules import at_least, with_query
from varsel.identity.issuers import LARGEST, TIMEOUT, RemoteKeys
from varsel.identity.tokens import InvalidToken, IssuerUnavailable, TokenChecker
from varsel.runtime.clock import Machine
from varsel.runtime.errors import VarselError
from varsel.runtime.outbound import Fetched, OutboundError
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")

LIFE: Final = timedelta(minutes=10)
_KIND: Final = "relying"


class LoginRefused(VarselError):
    """The login did not succeed."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Send the browser to `url`, and set `handle` in an HttpOnly cookie that lives ten minutes."""

    url: str
    handle: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who logged in: national number, level, method, the provider and its session; where the login was to lead."""

    pid: str
    acr: str
    amr: str
    issuer: str
    sid: str | None
    auth_time: int
    target: str
    access_token: str


class Backchannel(Protocol):
    """How a code becomes tokens at the provider."""

    issuer: str

    async def authorization_endpoint(self) -> str: ...

    async def end_session_endpoint(self) -> str | None: ...

    async def redeem(self, client_id: str, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        """The token answer; LoginRefused or IssuerUnavailable."""
        ...


class BuiltinBackchannel:
    """The provider in this very process."""

    def __init__(self, provider: Provider) -> None:
        self.issuer = provider.issuer
        self._provider = provider

    async def authorization_endpoint(self) -> str:
        return self.issuer + "/authorize"

    async def end_session_endpoint(self) -> str | None:
        return self.issuer + "/logout"

    async def redeem(self, client_id: str, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        try:
            client = await self._provider.client(client_id)
            return (await self._provider.redeem(client, code, redirect_uri, verifier)).body()
        except OpenIdError as error:
            raise LoginRefused(error.text) from None


class Poster(Protocol):
    """What is needed of the guarded client."""

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = ...,
        timeout: float = ...,
        max_bytes: int = ...,
    ) -> Fetched: ...


class RemoteBackchannel:
    """A provider elsewhere, at which this installation is a client with a secret."""

    def __init__(self, keys: RemoteKeys, client: Poster, client_id: str, secret: str) -> None:
        self.issuer = keys.issuer.name
        self._keys = keys
        self._client = client
        self._client_id = client_id
        self._secret = secret

    async def authorization_endpoint(self) -> str:
        return _address(await self._keys.ready(), "authorization_endpoint")

    async def end_session_endpoint(self) -> str | None:
        where = (await self._keys.ready()).get("end_session_endpoint")
        return where if isinstance(where, str) and where.startswith(("https://", "http://")) else None

    async def redeem(self, client_id: str, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        where = _address(await self._keys.ready(), "token_endpoint")
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": self._client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._secret:
            pair = f"{quote(self._client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            answer = await self._client.post(
                where, urlencode(fields).encode(), headers=headers, timeout=TIMEOUT, max_bytes=LARGEST
            )
        except OutboundError:
            raise IssuerUnavailable from None
        if answer.status >= 500:
            raise IssuerUnavailable
        try:
            found = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            raise LoginRefused("The provider refused the code.")
        return found


def _address(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    if not isinstance(value, str):
        raise IssuerUnavailable
    return value


class LoginFlow:
    """Begins and ends logins for one client of Varsel's own (`client_id`) with one `redirect_uri`."""

    def __init__(
        self,
        database: Database,
        machine: Machine,
        backchannel: Backchannel,
        checker: TokenChecker,
        *,
        client_id: str,
        redirect_uri: str,
    ) -> None:
        self._database = database
        self._machine = machine
        self._backchannel = backchannel
        self._checker = checker
        self._client_id = client_id
        self.redirect_uri = redirect_uri

    async def begin(
        self,
        target: str,
        *,
        acr: str = "idporten-loa-substantial",
        scope: str = "openid profile",
        locale: str = "nb",
        prompt: str = "",
    ) -> Begun:
        """Start a login that leads to `target`. IssuerUnavailable when the provider cannot be reached."""
        handle, state, nonce, verifier = (token_urlsafe(32) for _ in range(4))
        data = {"state": state, "nonce": nonce, "verifier": verifier, "target": target, "acr": acr}
        endpoint = await self._backchannel.authorization_endpoint()
        until = datetime.fromtimestamp(self._machine.time(), UTC) + LIFE
        encoded = msgspec.json.encode(data).decode()
        await self._database.execute(
            sql.insert_transaction, sha256(handle), _KIND, self._client_id, None, encoded, until
        )
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self.redirect_uri,
            "scope": scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": b64url(sha256(verifier)).decode(),
            "code_challenge_method": "S256",
            "acr_values": acr,
            "ui_locales": locale,
        }
        if prompt:
            query["prompt"] = prompt
        return Begun(with_query(endpoint, **query), handle)

    async def leave(self, target: str) -> str | None:
        """Where the browser goes to end the provider's own session, and from there to `target`; None when that is nowhere."""
        try:
            endpoint = await self._backchannel.end_session_endpoint()
        except IssuerUnavailable:
            return None
        if endpoint is None:
            return None
        return with_query(endpoint, client_id=self._client_id, post_logout_redirect_uri=target)

    async def finish(self, params: Mapping[str, Sequence[str]], handle: str | None) -> Person:
        """Who logged in, from the query of the answer and the cookie. LoginRefused, or IssuerUnavailable."""
        data = await self._take(handle)
        if any(len(values) > 1 for values in params.values()):
            raise LoginRefused("A parameter stands twice.")
        answer = {name: values[0] for name, values in params.items()}
        if not compare_digest(answer.get("state", "").encode(), data["state"].encode()):
            raise LoginRefused("The answer belongs to another login.")
        if answer.get("iss", self._backchannel.issuer) != self._backchannel.issuer:
            raise LoginRefused("The answer comes from another provider.")
        if "error" in answer or not answer.get("code"):
            raise LoginRefused("The provider did not log anybody in.")
        tokens = await self._backchannel.redeem(
            self._client_id, answer["code"], self.redirect_uri, data["verifier"]
        )
        identity, access = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(identity, str) or not isinstance(access, str):
            raise LoginRefused("The provider's answer lacks a token.")
        try:
            claims = (await self._checker.check(identity.encode())).claims
        except (InvalidToken, UnicodeEncodeError):
            raise LoginRefused("The provider's token does not count.") from None
        return self._person(claims, data, access)

    def _person(self, claims: Mapping[str, Any], data: Mapping[str, Any], access: str) -> Person:
        audience = claims.get("aud")
        if audience not in (self._client_id, [self._client_id]) or claims.get("nonce") != data["nonce"]:
            raise LoginRefused("The provider's token is for another login.")
        if not at_least(claims.get("acr"), data["acr"]):
            raise LoginRefused("The login is at a lower level than asked for.")
        pid, amr, sid, since = (claims.get(name) for name in ("pid", "amr", "sid", "auth_time"))
        if not isinstance(pid, str) or len(pid) != 11 or not pid.isdecimal():
            raise LoginRefused("The provider names no person.")
        method = amr[0] if isinstance(amr, list) and amr else amr
        return Person(
            pid=pid,
            acr=str(claims["acr"]),
            amr=method if isinstance(method, str) else "NotDefined",
            issuer=self._backchannel.issuer,
            sid=sid if isinstance(sid, str) else None,
            auth_time=since if isinstance(since, int) else int(self._machine.time()),
            target=str(data["target"]),
            access_token=access,
        )

    async def _take(self, handle: str | None) -> dict[str, Any]:
        """What was kept at the beginning; a handle serves once."""
        row = None
        if handle and len(handle) <= 64:
            now = datetime.fromtimestamp(self._machine.time(), UTC)
            row = await self._database.fetchrow(sql.use_transaction, sha256(handle), _KIND, now)
        if row is None or row["client_id"] != self._client_id:
            raise LoginRefused("The login has run out, or was begun in another browser.")
        return dict(msgspec.json.decode(row["data"]))
