"""Altinn's own OpenID provider for registered clients (docs/reference/identity.md 7.4).

It logs nobody in by itself: an Altinn session that is good enough gives a code at once, and everybody else goes to the provider
for people first and comes back with one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from secrets import token_bytes
from typing import Any, Final
from urllib.parse import parse_qs, urlencode
from uuid import UUID

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.altinn.claims import Person, person_claims
from varsel.identity.altinn.routes import BASE
from varsel.identity.altinn.sessions import AltinnSessionRoutes
from varsel.identity.encoding import b64url
from varsel.identity.idporten import pages, rules
from varsel.identity.idporten.answers import answer as answered
from varsel.identity.idporten.clientauth import ClientAuthentication
from varsel.identity.idporten.errors import OpenIdError, UntrustedRequest
from varsel.identity.idporten.leaving import onward
from varsel.identity.idporten.provider import Login, Provider
from varsel.identity.idporten.rules import PersonClient, Request, ReturnAddress, one
from varsel.identity.keys import KeyRing
from varsel.identity.limits import RateLimiter
from varsel.identity.registry import add_person
from varsel.runtime.settings import Settings
from varsel.store.queries import load

sql = load("varsel.identity")

REFRESH_LIFE: Final = 1800
Endpoint = Callable[[HttpRequest], Awaitable[Response]]


class AltinnProvider(Provider):
    """Codes and tokens that say what Altinn says of a person: ten minutes of access, refreshed for half an hour at a time."""

    realm = "altinn"
    refresh_life = REFRESH_LIFE

    def _longest(self, client: PersonClient) -> int:
        return int(self.family_life.total_seconds())

    async def _claims(
        self, client: PersonClient, request: Request, login: Login, family: UUID, now: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        await add_person(self._database, login.pid, "")
        row = await self._database.fetchrow(sql.person_of, login.pid)
        assert row is not None
        person = Person(row["pid"], row["user_id"], row["party_id"], row["party_uuid"], row["username"])
        incoming = {"acr": login.acr, "amr": [login.amr], "pid": login.pid, "scope": request.scope}
        access = person_claims(incoming, person, self.issuer, now, now + self._access_life(client))
        about = {
            "sub": f"urn:altinn:party:uuid:{person.party_uuid}",
            "sid": login.sid,
            "amr": [login.amr],
            "auth_time": login.auth_time,
        }
        access |= about | {
            "client_id": client.client_id,
            "jti": b64url(family.bytes + token_bytes(16)).decode(),
            "token_type": "Bearer",
        }
        named = {
            name: value for name, value in access.items() if name not in {"scope", "token_type", "client_id"}
        }
        return access, named | self._identity(client, request, login, now) | about


class AltinnOpenIdRoutes:
    """`authorize`, `token` and `openid/logout`, with and without the slash at the end."""

    def __init__(
        self,
        settings: Settings,
        provider: AltinnProvider,
        login: AltinnSessionRoutes,
        *,
        authentication: ClientAuthentication,
        keys: KeyRing,
        limiter: RateLimiter,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._login = login
        self._authentication = authentication
        self._keys = keys
        self._limiter = limiter

    def routes(self) -> list[Route]:
        return [
            Route(BASE + path + end, endpoint, methods=methods)
            for path, endpoint, methods in (
                ("/authorize", self.authorize, ["GET"]),
                ("/token", self.token, ["POST"]),
                ("/openid/logout", self.logout, ["GET"]),
            )
            for end in ("", "/")
        ]

    async def authorize(self, request: HttpRequest) -> Response:
        """A code for whoever is logged in well enough; else the login first. Faults found before the address is trusted stay here."""
        params = _query(request)
        try:
            client = await self._provider.client(one(params, "client_id"))
            back = rules.return_address(params, client)
            try:
                asked = rules.read_request(params, client)
            except UntrustedRequest:
                raise
            except OpenIdError as error:
                return self._refused(back, error)
        except OpenIdError as error:
            return _told_here(request, error)
        login = None if asked.prompt == "login" else await self._login.known(request, asked.acr)
        if login is not None:
            code = await self._provider.code_for(asked, login)
            return answered(back, code, status=302, locale=asked.locale)
        if asked.prompt == "none":
            return self._refused(back, OpenIdError("login_required", "Nobody is logged in."))
        # The login leads back here, with the same request; a new login was what `prompt` asked for, and it will have been.
        query = urlencode([(name, values[0]) for name, values in params.items() if name != "prompt"])
        here = f"{self._settings.base_url}{BASE}/authorize?{query}"
        return await self._login.begin(here, asked.acr, locale=asked.locale, prompt=asked.prompt)

    def _refused(self, back: ReturnAddress, error: OpenIdError) -> Response:
        values = {"error": error.error, "error_description": error.text, "iss": self._provider.issuer}
        return answered(back, values, status=302)

    async def logout(self, request: HttpRequest) -> Response:
        """End the session, and go back to the client that asked, at an address registered for that."""
        try:
            target = await onward(self._provider, self._keys, _query(request))
        except OpenIdError as error:
            return _told_here(request, error)
        return await self._login.leave(request, target or self._settings.base_url)

    async def token(self, request: HttpRequest) -> Response:
        wait = await self._limiter.take("altinn-token:" + http.address(request), self._settings.token_rate)
        if wait is not None:
            body = {"error": "temporarily_unavailable", "error_description": "Too many requests."}
            return http.json(msgspec.json.encode(body), 429, {"Retry-After": str(wait)})
        try:
            body_ = await http.body(request, http.SMALL_BODY)
            if body_ is None or http.media_type(request) != "application/x-www-form-urlencoded":
                raise OpenIdError("invalid_request", "The request must be a form.")
            try:
                form = parse_qs(body_.decode("ascii"), keep_blank_values=True, max_num_fields=50)
            except ValueError:
                raise OpenIdError("invalid_request", "The form cannot be read.") from None
            client = await self._authentication.client(request, form)
            tokens = await self._provider.grant(client, form)
        except OpenIdError as error:
            refusal = {"error": error.error, "error_description": error.text}
            return http.json(msgspec.json.encode(refusal), error.status)
        return http.json(msgspec.json.encode(tokens.body()))


def _query(request: HttpRequest) -> dict[str, list[str]]:
    try:
        return parse_qs(request.url.query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}


def _told_here(request: HttpRequest, error: OpenIdError) -> Response:
    page = pages.error(request.query_params.get("ui_locales", "nb"), error.text)
    return HTMLResponse(page, 400, dict(http.PAGE_HEADERS))
