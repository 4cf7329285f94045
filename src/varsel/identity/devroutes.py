"""Altinn's test token tool, in the sandbox only (docs/reference/identity.md 5.8): same names, plain text answer."""

from __future__ import annotations

import base64
from typing import Any

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
from varsel.identity.numbers import is_national, is_nine_digits
from varsel.identity.platform.tokens import PlatformTokens
from varsel.identity.registry import CREATE_SCOPE
from varsel.identity.signing import Signer
from varsel.runtime.clock import Machine
from varsel.runtime.errors import OperatorError
from varsel.store.database import Database


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
            Route("/dev/tokens/GetEnterpriseToken", self.enterprise, methods=["GET"]),
            Route("/dev/tokens/GetMaskinportenToken", self.maskinporten, methods=["GET"]),
            Route("/dev/tokens/GetPersonalToken", self.personal, methods=["GET"]),
            Route("/dev/tokens/GetPlatformAccessToken", self.platform_access, methods=["GET"]),
            Route("/dev/tokens/GetPlatformToken", self.platform_access, methods=["GET"]),
        ]

    async def enterprise(self, request: Request) -> Response:
        query = request.query_params
        number = query.get("orgNo") or None
        supplier = query.get("supplierOrgNo") or None
        if (number and not is_nine_digits(number)) or (supplier and not is_nine_digits(supplier)):
            return _wrong("orgNo and supplierOrgNo have nine digits.")
        return await self._answer(
            request,
            lambda life: Wanted(
                org=query.get("org", "" if number else "ttd").lower(),
                number=number,
                supplier=supplier,
                scopes=_scopes(query.get("scopes"), (CREATE_SCOPE,)),
                expires_in=life,
                client_id=query.get("clientId") or TEST_CLIENT,
            ),
        )

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
        if not is_national(pid) or not level.isdecimal():
            return _wrong("pid has eleven digits with right check digits, authLvl is a number.")
        return await self._answer(
            request,
            lambda life: Wanted(
                person=pid,
                level=int(level),
                scopes=_scopes(query.get("scopes"), ("openid", "altinn:portal/enduser")),
                expires_in=life,
                client_id=query.get("clientId") or TEST_CLIENT,
            ),
        )

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

    async def _answer(self, request: Request, wanted: Any) -> Response:
        life = _number(request.query_params.get("ttl"), LIFE)
        if life is None:
            return _wrong("ttl is a whole number of seconds.")
        try:
            claims = await claims_for(self._database, wanted(life), self._issuer, int(self._machine.time()))
        except OperatorError as error:
            return _wrong(str(error))
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
