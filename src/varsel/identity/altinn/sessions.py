"""Altinn's own login, refresh and introspection over HTTP (docs/reference/identity.md 5.6, 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.altinn.claims import MACHINE_LIFE, Person, person_claims
from varsel.identity.altinn.goto import safe_target
from varsel.identity.altinn.routes import BASE, token_answer
from varsel.identity.cookies import BAD, single
from varsel.identity.encoding import sha256
from varsel.identity.idporten.provider import Login
from varsel.identity.idporten.rules import at_least
from varsel.identity.login import LoginFlow, LoginRefused
from varsel.identity.registry import add_person
from varsel.identity.sessions import Session, Sessions
from varsel.identity.signing import Signer
from varsel.identity.tokens import InvalidToken, TokenChecker, Verified
from varsel.runtime.clock import Machine
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")

LONGEST: Final = 12 * 3600
LOGIN_COOKIE: Final = "authngoto"
LOGOUT_COOKIE: Final = "AltinnLogoutInfo"
#: Where the provider for people leads after its own logout.
LOGGED_OUT: Final = BASE + "/logout/handleloggedout"
_LOGOUT: Final = "logout"
_LOGOUT_LIFE: Final = timedelta(minutes=10)
SESSION_COOKIE: Final = "altinnsession"
PARTY_COOKIE: Final = "AltinnPartyId"
PARTY_UUID_COOKIE: Final = "AltinnPartyUuid"
XSRF_COOKIE: Final = "AS-XSRF-TOKEN"
_LEVELS: Final = (
    "idporten-loa-substantial",
    "idporten-loa-high",
    "selfregistered-email",
    "level0",
    "level1",
    "level2",
)
_ASKABLE: Final = ("idporten-loa-substantial", "idporten-loa-high")


class AltinnSessionRoutes:
    """Login that sets the token cookie, its end, refresh of person tokens, introspection."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        machine: Machine,
        *,
        signer: Signer,
        tokens: TokenChecker,
        sessions: Sessions,
        flow: LoginFlow | None,
        issuer: str,
    ) -> None:
        self._settings = settings
        self._database = database
        self._machine = machine
        self._signer = signer
        self._tokens = tokens
        self._sessions = sessions
        self._flow = flow
        self._issuer = issuer
        self._secure = settings.base_url.startswith("https:")

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC)

    def routes(self) -> list[Route]:
        found = [
            Route(BASE + "/refresh", self.refresh, methods=["GET"]),
            Route(BASE + "/introspection", self.introspect, methods=["POST"]),
            Route(BASE + "/logout", self.logout, methods=["GET"]),
            Route(BASE + "/upstream/frontchannel-logout", self.provider_logout, methods=["GET"]),
            Route(BASE + "/frontchannel_logout", self.provider_logout, methods=["GET"]),
        ]
        if self._flow is None:
            # Nobody can have logged in, but the metadata names the address.
            found += [Route(BASE + "/openid/logout" + end, self.logout, methods=["GET"]) for end in ("", "/")]
        else:
            found.append(Route(BASE + "/authentication", self.authenticate, methods=["GET"]))
            found.append(Route(LOGGED_OUT, self.logged_out, methods=["GET"]))
            found.append(Route(BASE + "/upstream/callback", self.callback, methods=["GET"]))
        return found

    async def _verified(self, request: Request) -> Verified | None:
        """The Altinn token of header or cookie."""
        token = http.bearer(request)
        if token is None and "authorization" not in request.headers:
            token = self._cookie(request, self._settings.token_cookie)
        if token is None:
            return None
        try:
            return await self._tokens.check(token)
        except InvalidToken:
            return None

    def _cookie(self, request: Request, name: str) -> bytes | None:
        values = [value for key, value in request.scope["headers"] if key == b"cookie"]
        value = single(values, name.encode())
        return None if value is BAD else value

    # Refresh and introspection

    async def refresh(self, request: Request) -> Response:
        """A new token for a person's valid one, at most 12 hours after the login; machines exchange again instead."""
        verified = await self._verified(request)
        if verified is None or verified.caller.creator is not None:
            return http.problem(request, 401)
        claims = dict(verified.claims)
        since = claims.get("auth_time", claims.get("iat"))
        now = int(self._machine.time())
        user = claims.get("urn:altinn:userid")
        if (
            "urn:altinn:orgNumber" in claims
            or user is None
            or not isinstance(since, int)
            or now >= since + LONGEST
        ):
            return http.problem(request, 401)
        claims |= {
            "auth_time": since,
            "iat": now,
            "nbf": now,
            "exp": min(now + MACHINE_LIFE, since + LONGEST),
        }
        if request.query_params.get("enrichPid", "").lower() == "true" and "pid" not in claims:
            claims["pid"] = await self._database.fetchval(sql.pid_of_user, int(user))
        session = self._cookie(request, SESSION_COOKIE)
        if session is not None:
            await self._sessions.find("altinn", session.decode("latin-1"))
        token = await self._signer.sign("altinn", claims)
        answer = token_answer(request, token)
        if (
            self._cookie(request, self._settings.token_cookie) is not None
            and "authorization" not in request.headers
        ):
            self._set(answer, self._settings.token_cookie, token)
        return answer

    async def introspect(self, request: Request) -> Response:
        body = await http.body(request, http.SMALL_BODY)
        try:
            form = parse_qs((body or b"").decode("ascii"), keep_blank_values=True, max_num_fields=10)
        except ValueError:
            form = {}
        tokens = form.get("token", [])
        if len(tokens) != 1 or not tokens[0]:
            return http.problem(request, 400)
        try:
            await self._tokens.check(tokens[0].encode())
        except InvalidToken:
            return http.json(b'{"active":false}')
        return http.json(msgspec.json.encode({"active": True, "iss": self._issuer}))

    # Login and logout

    async def authenticate(self, request: Request) -> Response:
        assert self._flow is not None
        target = safe_target(request.query_params.get("goto"), self._settings.base_url)
        level = request.query_params.get("acr_values") or _ASKABLE[0]
        if level not in _LEVELS:
            return http.problem(request, 400, detail="Invalid acr_values.")
        if target is None:
            # No error, and no login either, for somebody who was sent here by a stranger (7.4).
            return _redirect(self._settings.base_url)
        # Our provider logs people in at two levels; the lower ones that Altinn knows are satisfied by the first.
        asked = level if level in _ASKABLE else _ASKABLE[0]
        session = await self._session(request, asked)
        if session is not None:
            return await self._back(session.pid, session.data, target, None)
        return await self.begin(target, asked)

    async def _session(self, request: Request, acr: str) -> Session | None:
        """The browser's session, if its login was good enough."""
        handle = self._cookie(request, SESSION_COOKIE)
        session = await self._sessions.find("altinn", handle.decode("latin-1")) if handle else None
        return session if session is not None and at_least(session.data["acr"], acr) else None

    async def known(self, request: Request, acr: str) -> Login | None:
        """Who is logged in at least at this level."""
        session = await self._session(request, acr)
        if session is None:
            return None
        data = session.data
        return Login(
            session.pid, data["acr"], data["amr"], data["auth_time"], str(data.get("sid") or uuid4())
        )

    async def begin(self, target: str, acr: str, *, locale: str = "nb", prompt: str = "") -> Response:
        """To the provider for people; the login leads to `target`, which is the caller's to have checked."""
        assert self._flow is not None
        scope = "openid profile altinn:portal/enduser altinn:instances.read"
        begun = await self._flow.begin(target, acr=acr, scope=scope, locale=locale, prompt=prompt)
        answer = _redirect(begun.url)
        self._set(answer, LOGIN_COOKIE, begun.handle, path=BASE, life=600)
        return answer

    async def callback(self, request: Request) -> Response:
        assert self._flow is not None
        handle = self._cookie(request, LOGIN_COOKIE)
        try:
            params = parse_qs(request.url.query, keep_blank_values=True, max_num_fields=20)
            person = await self._flow.finish(params, handle.decode("latin-1") if handle else None)
        except (LoginRefused, ValueError):
            return http.problem(request, 400, detail="The login did not succeed.")
        data = {
            "acr": person.acr,
            "amr": person.amr,
            "auth_time": person.auth_time,
            "sid": person.sid,
            "iss": person.issuer,
        }
        old = self._cookie(request, SESSION_COOKIE)
        await self._sessions.end("altinn", old.decode("latin-1") if old else None)
        session = await self._sessions.begin("altinn", person.pid, data)
        return await self._back(person.pid, data, person.target, session)

    async def _back(self, pid: str, data: Mapping[str, Any], target: str, session: str | None) -> Response:
        """Set the cookies and go on."""
        await add_person(self._database, pid, "")
        row = await self._database.fetchrow(sql.person_of, pid)
        assert row is not None
        found = Person(row["pid"], row["user_id"], row["party_id"], row["party_uuid"], row["username"])
        now = int(self._machine.time())
        incoming = {
            "acr": data["acr"],
            "amr": [data["amr"]],
            "pid": pid,
            "scope": "openid altinn:portal/enduser altinn:instances.read",
        }
        claims = person_claims(incoming, found, self._issuer, now, now + MACHINE_LIFE)
        claims |= {
            "sub": f"urn:altinn:party:uuid:{found.party_uuid}",
            "jti": claims["sid"],
            "amr": [data["amr"]],
            "auth_time": data["auth_time"],
            "originaliss": data.get("iss"),
        }
        answer = _redirect(target)
        # Which party the person acts for, told to scripts of apps; nothing here ever reads them.
        self._show(answer, PARTY_COOKIE, str(found.party_id))
        self._show(answer, PARTY_UUID_COOKIE, str(found.party_uuid))
        self._set(answer, self._settings.token_cookie, await self._signer.sign("altinn", claims))
        answer.set_cookie(
            XSRF_COOKIE, token_urlsafe(32), path="/", secure=self._secure, httponly=False, samesite="strict"
        )
        if session is not None:
            self._set(answer, SESSION_COOKIE, session, path=BASE)
            self._set(answer, LOGIN_COOKIE, "", path=BASE, life=0)
        return answer

    async def logout(self, request: Request) -> Response:
        return await self.leave(request, self._settings.base_url)

    async def leave(self, request: Request, target: str) -> Response:
        """End the session here and at the provider for people, then go on to `target`, which is the caller's to have checked."""
        handle = self._cookie(request, SESSION_COOKIE)
        ended = await self._sessions.end("altinn", handle.decode("latin-1") if handle else None)
        away = None
        if ended is not None and self._flow is not None:
            away = await self._flow.leave(self._settings.base_url + LOGGED_OUT)
        answer = _redirect(away or target)
        if away is not None:
            self._set(answer, LOGOUT_COOKIE, await self._keep(target), path=BASE, life=600)
        for name, path in ((self._settings.token_cookie, "/"), (SESSION_COOKIE, BASE), (XSRF_COOKIE, "/")):
            self._set(answer, name, "", path=path, life=0)
        for name in (PARTY_COOKIE, PARTY_UUID_COOKIE):
            self._show(answer, name, "", life=0)
        return answer

    async def logged_out(self, request: Request) -> Response:
        """Where the provider's own logout ends: from here to wherever this logout was to lead, once."""
        handle = self._cookie(request, LOGOUT_COOKIE)
        row = None
        if handle is not None:
            row = await self._database.fetchrow(sql.use_transaction, sha256(handle), _LOGOUT, self._now)
        answer = _redirect(self._settings.base_url if row is None else msgspec.json.decode(row["data"]))
        self._set(answer, LOGOUT_COOKIE, "", path=BASE, life=0)
        return answer

    async def _keep(self, target: str) -> str:
        """A handle for where a logout leads: what a cookie says by itself, somebody may have planted."""
        handle, data = token_urlsafe(32), msgspec.json.encode(target).decode()
        await self._database.execute(
            sql.insert_transaction, sha256(handle), _LOGOUT, "", None, data, self._now + _LOGOUT_LIFE
        )
        return handle

    async def provider_logout(self, request: Request) -> Response:
        """Front-channel logout: ends what came of one session of one provider; a guess ends nothing."""
        query = request.query_params
        await self._sessions.end_by_provider(query.get("iss", ""), query.get("sid", ""))
        return Response(status_code=200, headers={"Cache-Control": "no-store"})

    def _set(
        self, answer: Response, name: str, value: str, *, path: str = "/", life: int | None = None
    ) -> None:
        answer.set_cookie(
            name, value, max_age=life, path=path, secure=self._secure, httponly=True, samesite="lax"
        )

    def _show(self, answer: Response, name: str, value: str, *, life: int | None = None) -> None:
        """A cookie that pages may read; it decides nothing."""
        answer.set_cookie(
            name, value, max_age=life, path="/", secure=self._secure, httponly=False, samesite="lax"
        )


def _redirect(target: str) -> Response:
    return RedirectResponse(target, 302, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
