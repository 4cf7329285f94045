"""Altinn's test token tool, in the sandbox only (docs/reference/identity.md 5.8): same names, plain text answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from secrets import randbelow, token_urlsafe
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.devtokens import (
    LIFE,
    MASKINPORTEN_LIFE,
    TEST_CLIENT,
    PlatformSigner,
    Wanted,
    claims_for,
    maskinporten_claims,
)
from varsel.identity.maskinporten.grant import party
from varsel.identity.numbers import is_national, is_nine_digits, national_numbers, organisation_numbers
from varsel.identity.platform.tokens import PlatformTokens
from varsel.identity.registry import CREATE_SCOPE
from varsel.identity.seed import DIGDIR
from varsel.identity.signing import Signer
from varsel.runtime.clock import Machine
from varsel.runtime.errors import OperatorError
from varsel.store.database import Database

#: Tokens that `bulkCount` gives at most.
MOST: Final = 1000


class DevTokenRoutes:
    """`GET /dev/tokens/Get…Token?…`."""

    def __init__(
        self,
        database: Database,
        machine: Machine,
        signer: Signer,
        *,
        platform: PlatformTokens,
        platform_signer: PlatformSigner,
        issuer: str,
        maskinporten: str,
    ) -> None:
        self._database = database
        self._machine = machine
        self._signer = signer
        self._platform = platform
        self._platform_signer = platform_signer
        self._issuer = issuer
        self._maskinporten = maskinporten

    def routes(self) -> list[Route]:
        return [
            Route(f"/dev/tokens/Get{name}Token", endpoint, methods=["GET"])
            for name, endpoint in (
                ("Enterprise", self.enterprise),
                ("Maskinporten", self.maskinporten),
                ("EnterpriseUser", self.enterprise_user),
                ("SystemUser", self.system_user),
                ("Personal", self.personal),
                ("SelfIdentifiedUser", self.self_identified),
                ("PlatformAccess", self.platform_access),
                ("Platform", self.platform_access),
            )
        ]

    async def enterprise(self, request: Request) -> Response:
        return await self._organisation(request, (CREATE_SCOPE,), {}, org="ttd")

    async def enterprise_user(self, request: Request) -> Response:
        """Altinn 2's enterprise user; the live exchange gives none any more (5.2), old load scripts still ask."""
        query = request.query_params
        user, party_id = _number(query.get("userId"), 0), _number(query.get("partyId"), 0)
        if not user or not party_id or not query.get("userName") or not query.get("orgNo"):
            return _wrong("orgNo, partyId, userId and userName are needed, the ids as whole numbers.")
        said = {
            "urn:altinn:userid": user,
            "urn:altinn:username": query["userName"],
            "urn:altinn:partyid": party_id,
            "urn:altinn:authenticatemethod": "virksomhetsbruker",
        }
        return await self._organisation(request, ("altinn:enduser",), said)

    async def system_user(self, request: Request) -> Response:
        """A system user's token, with the entry that a rich authorization request leaves in it (2.8)."""
        query = request.query_params
        holder = query.get("systemUserOrg") or DIGDIR
        try:
            identifier = str(UUID(query.get("systemUserId", "")))
        except ValueError:
            return _wrong("systemUserId is a UUID.")
        if not is_nine_digits(holder):
            return _wrong("systemUserOrg has nine digits.")
        details = {
            "type": "urn:altinn:systemuser",
            "systemuser_id": [identifier],
            "systemuser_org": party(holder),
            "system_id": f"{query.get('orgNo') or DIGDIR}_{TEST_CLIENT}",
        }
        said = {"authorization_details": [details], "urn:altinn:authenticatemethod": "systemuser"}
        return await self._organisation(request, ("altinn:enduser",), said)

    async def _organisation(
        self, request: Request, scopes: tuple[str, ...], said: Mapping[str, Any], *, org: str = ""
    ) -> Response:
        """A token of an organisation that says `said` too, of the service owner `org` where the query names nobody."""
        query = request.query_params
        number, supplier = query.get("orgNo") or None, query.get("supplierOrgNo") or None
        if (number and not is_nine_digits(number)) or (supplier and not is_nine_digits(supplier)):
            return _wrong("orgNo and supplierOrgNo have nine digits.")
        if supplier and query.get("delegationSource"):
            said = {**said, "delegation_source": query["delegationSource"]}

        def wanted(life: int, another: str | None = None) -> Wanted:
            return Wanted(
                org=query.get("org", "" if number else org).lower(),
                number=another or number,
                supplier=supplier,
                scopes=_scopes(query.get("scopes"), scopes),
                expires_in=life,
                client_id=query.get("clientId") or TEST_CLIENT,
            )

        return await self._answer(request, wanted, said, organisation_numbers)

    async def maskinporten(self, request: Request) -> Response:
        """Ours: the tool has no such operation. For what takes Maskinporten's own tokens, as self-service does."""
        query = request.query_params
        number, supplier = query.get("orgNo") or None, query.get("supplierOrgNo") or None
        if (number and not is_nine_digits(number)) or (supplier and not is_nine_digits(supplier)):
            return _wrong("orgNo and supplierOrgNo have nine digits.")
        life = _number(query.get("ttl"), MASKINPORTEN_LIFE)
        if life is None:
            return _wrong("ttl is a whole number of seconds.")
        wanted = Wanted(
            number=number,
            supplier=supplier,
            scopes=_scopes(query.get("scopes"), (CREATE_SCOPE,)),
            expires_in=life,
            client_id=query.get("clientId") or TEST_CLIENT,
        )
        claims = maskinporten_claims(wanted, self._maskinporten, int(self._machine.time()))
        token = await self._signer.sign("maskinporten", claims)
        return PlainTextResponse(token, headers=dict(http.PAGE_HEADERS))

    async def personal(self, request: Request) -> Response:
        query = request.query_params
        pid, level = query.get("pid", "17849012320"), query.get("authLvl", "4")
        user, party_id = _number(query.get("userId"), 0), _number(query.get("partyId"), 0)
        if not is_national(pid) or not level.isdecimal() or user is None or party_id is None:
            return _wrong(
                "pid has eleven digits with right check digits; authLvl, userId and partyId are numbers."
            )
        said: dict[str, Any] = {}
        if user:
            said |= {"nameid": str(user), "urn:altinn:userid": str(user)}
        if party_id:
            said |= {"urn:altinn:partyid": party_id}
        for name, claim in (
            ("partyuuid", "urn:altinn:party:uuid"),
            ("userName", "urn:altinn:username"),
            ("clientAmr", "client_amr"),
            ("delegationSource", "delegation_source"),
        ):
            if query.get(name):
                said[claim] = query[name]
        consumer = query.get("consumerOrgNo")
        if consumer:
            if not is_nine_digits(consumer):
                return _wrong("consumerOrgNo has nine digits.")
            said["consumer"] = party(consumer)

        def wanted(life: int, another: str | None = None) -> Wanted:
            return Wanted(
                person=another or pid,
                level=int(level),
                scopes=_scopes(query.get("scopes"), ("openid", "altinn:portal/enduser")),
                expires_in=life,
                client_id=query.get("clientId") or TEST_CLIENT,
            )

        return await self._answer(request, wanted, said, national_numbers)

    async def self_identified(self, request: Request) -> Response:
        """A user of Altinn 2 without a national number."""
        query = request.query_params
        life = _number(query.get("ttl"), LIFE)
        user, party_id = _number(query.get("userId"), 0), _number(query.get("partyId"), 0)
        if life is None or user is None or party_id is None:
            return _wrong("ttl, userId and partyId are whole numbers.")
        now = int(self._machine.time())
        user, party_id = user or 20_000_000 + randbelow(1_000_000), party_id or 51_000_000 + randbelow(10**6)
        claims = {
            "nameid": str(user),
            "urn:altinn:userid": str(user),
            "urn:altinn:username": query.get("username") or f"SIUser{randbelow(10_000):04}",
            "urn:altinn:partyid": party_id,
            "urn:altinn:party:uuid": query.get("partyuuid") or str(uuid4()),
            "urn:altinn:authenticatemethod": "SelfIdentified",
            "urn:altinn:authlevel": 0,
            "acr": "selfidentified",
            "token_type": "Bearer",
            "client_id": query.get("clientId") or TEST_CLIENT,
            "scope": " ".join(_scopes(query.get("scopes"), ("altinn:portal/enduser",))),
            "iss": self._issuer,
            "iat": min(now, now + life),
            "nbf": min(now, now + life),
            "exp": now + life,
            "jti": token_urlsafe(32),
            "actual_iss": TEST_CLIENT,
        }
        return await self._give(request, claims)

    async def platform_access(self, request: Request) -> Response:
        query = request.query_params
        life = _number(query.get("ttl"), 300)
        if life is None:
            return _wrong("ttl is a whole number of seconds.")
        default = "platform" if request.url.path.endswith("GetPlatformToken") else "ttd"
        try:
            token = await self._platform_signer.sign(
                query.get("org", default).lower(), query.get("app", "varsel-dev"), life
            )
        except OperatorError as error:
            return _wrong(str(error))
        await self._platform.reload()
        return PlainTextResponse(token, headers=dict(http.PAGE_HEADERS))

    async def _answer(
        self,
        request: Request,
        wanted: Callable[..., Wanted],
        said: Mapping[str, Any],
        others: Callable[[int], list[str]],
    ) -> Response:
        """One token as text, or with `bulkCount` a JSON object of number → token, for as many `others`."""
        life = _number(request.query_params.get("ttl"), LIFE)
        bulk = _number(request.query_params.get("bulkCount"), 0)
        if life is None or bulk is None or not 0 <= bulk <= MOST:
            return _wrong(f"ttl is a whole number of seconds, bulkCount at most {MOST}.")
        now = int(self._machine.time())
        try:
            if not bulk:
                found = await claims_for(self._database, wanted(life), self._issuer, now)
                return await self._give(request, {**found, **said})
            tokens = {}
            for number in others(bulk):
                found = await claims_for(self._database, wanted(life, number), self._issuer, now)
                tokens[number] = await self._signer.sign("altinn", {**found, **said})
        except OperatorError as error:
            return _wrong(str(error))
        return http.json(msgspec.json.encode(tokens))

    async def _give(self, request: Request, claims: Mapping[str, Any]) -> Response:
        if request.query_params.get("dump", "").lower() == "true":
            return PlainTextResponse(msgspec.json.encode(claims).decode(), headers=dict(http.PAGE_HEADERS))
        return PlainTextResponse(await self._signer.sign("altinn", claims), headers=dict(http.PAGE_HEADERS))


def _wrong(text: str) -> Response:
    return PlainTextResponse(text, 400, headers=dict(http.PAGE_HEADERS))


def _number(text: str | None, default: int) -> int | None:
    if not text:
        return default
    return int(text) if len(text) < 10 and text.removeprefix("-").isdecimal() else None


def _scopes(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Scopes separated by spaces or commas; the tool also takes them in base64."""
    if not text:
        return default
    if ":" not in text:
        try:
            text = base64.b64decode(text, validate=True).decode("ascii")
        except ValueError:
            return (text,)
    return tuple(text.replace(",", " ").split())
