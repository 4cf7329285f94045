"""The built-in OpenID provider over HTTP (docs/reference/identity.md 7.1 to 7.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from secrets import token_urlsafe
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.cookies import BAD, single
from varsel.identity.encoding import b64url, sha256
from varsel.identity.idporten import pages, rules
from varsel.identity.idporten.answers import answer as answered
from varsel.identity.idporten.answers import redirect
from varsel.identity.idporten.clientauth import ClientAuthentication
from varsel.identity.idporten.errors import OpenIdError, UntrustedRequest
from varsel.identity.idporten.leaving import onward
from varsel.identity.idporten.provider import LOGIN_LIFE, Login, Provider
from varsel.identity.idporten.rules import one, with_query
from varsel.identity.keys import KeyRing
from varsel.identity.limits import RateLimiter
from varsel.identity.sessions import Sessions
from varsel.identity.tokens import InvalidToken, TokenChecker
from varsel.runtime.settings import Settings

BASE: Final = "/idporten"
SESSION_COOKIE: Final = "varsel_idporten"
LOGIN_COOKIE: Final = "varsel_idporten_login"
INTROSPECTION: Final = "idporten:token.introspection"

Endpoint = Callable[[Request], Awaitable[Response]]


class IdportenRoutes:
    """Authorization code with PKCE, PAR, refresh, user info, logout."""

    def __init__(
        self,
        settings: Settings,
        provider: Provider,
        keys: KeyRing,
        *,
        sessions: Sessions,
        tokens: TokenChecker,
        authentication: ClientAuthentication,
        limiter: RateLimiter,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._keys = keys
        self._sessions = sessions
        self._tokens = tokens
        self._authentication = authentication
        self._limiter = limiter
        self._secure = settings.base_url.startswith("https:")
        issuer = provider.issuer
        self._metadata = msgspec.json.encode(
            {
                "issuer": issuer,
                "authorization_endpoint": issuer + "/authorize",
                "pushed_authorization_request_endpoint": issuer + "/par",
                "token_endpoint": issuer + "/token",
                "jwks_uri": issuer + "/jwks.json",
                "userinfo_endpoint": issuer + "/userinfo",
                "introspection_endpoint": issuer + "/tokeninfo",
                "end_session_endpoint": issuer + "/logout",
                "response_types_supported": ["code"],
                "response_modes_supported": list(rules.MODES),
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_basic",
                    "client_secret_post",
                    "private_key_jwt",
                    "none",
                ],
                "acr_values_supported": list(rules.LEVELS),
                "ui_locales_supported": list(rules.LOCALES),
                "prompt_values_supported": ["login", "none"],
                "scopes_supported": ["openid", "profile"],
                "frontchannel_logout_supported": True,
                "frontchannel_logout_session_supported": True,
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def routes(self) -> list[Route]:
        return [
            Route(BASE + "/.well-known/openid-configuration", self.metadata, methods=["GET"]),
            Route(BASE + "/jwks.json", self.jwks, methods=["GET"]),
            Route(BASE + "/authorize", self._told_here(self.authorize), methods=["GET"]),
            Route(BASE + "/login", self._told_here(self.log_in), methods=["POST"]),
            Route(BASE + "/par", self._told_as_json(self.par), methods=["POST"]),
            Route(BASE + "/token", self._told_as_json(self.token), methods=["POST"]),
            Route(BASE + "/tokeninfo", self._told_as_json(self.tokeninfo), methods=["POST"]),
            Route(BASE + "/userinfo", self.userinfo, methods=["GET", "POST"]),
            Route(BASE + "/logout", self._told_here(self.logout), methods=["GET", "POST"]),
        ]

    def _told_here(self, endpoint: Endpoint) -> Endpoint:
        async def wrapped(request: Request) -> Response:
            try:
                return await endpoint(request)
            except OpenIdError as error:
                page = pages.error(request.query_params.get("ui_locales", "nb"), error.text)
                return HTMLResponse(page, error.status, dict(http.PAGE_HEADERS))

        return wrapped

    def _told_as_json(self, endpoint: Endpoint) -> Endpoint:
        async def wrapped(request: Request) -> Response:
            wait = await self._limiter.take("idporten:" + http.address(request), self._settings.token_rate)
            if wait is not None:
                body = {"error": "temporarily_unavailable", "error_description": "Too many requests."}
                return http.json(msgspec.json.encode(body), 429, {"Retry-After": str(wait)})
            try:
                return await endpoint(request)
            except OpenIdError as error:
                body = {"error": error.error, "error_description": error.text}
                return http.json(msgspec.json.encode(body), error.status)

        return wrapped

    async def metadata(self, request: Request) -> Response:
        return http.json(self._metadata, cache=3600)

    async def jwks(self, request: Request) -> Response:
        return http.json(self._keys.jwks("idporten"), cache=300)

    # Logging in

    async def authorize(self, request: Request) -> Response:
        params = _query(request)
        client = await self._provider.client(one(params, "client_id"))
        pushed = one(params, "request_uri")
        if pushed is not None:
            asked = await self._provider.pushed(pushed, client.client_id)
        else:
            back = rules.return_address(params, client)
            try:
                asked = rules.read_request(params, client)
            except UntrustedRequest:
                raise
            except OpenIdError as error:
                return self._refused(back, error.error, error.text)
        session = await self._sessions.find("idporten", self._cookie(request, SESSION_COOKIE))
        if (
            session is not None
            and asked.prompt != "login"
            and rules.at_least(session.data.get("acr"), asked.acr)
        ):
            login = Login(
                session.pid,
                session.data["acr"],
                session.data["amr"],
                session.data["auth_time"],
                session.data["sid"],
            )
            await self._remember(request, client.frontchannel_logout_uri)
            return answered(asked.back, await self._provider.code_for(asked, login), locale=asked.locale)
        if asked.prompt == "none":
            return self._refused(asked.back, "login_required", "Nobody is logged in.")
        # The page belongs to this browser: without its cookie nobody can send the form on somebody's behalf.
        browser = token_urlsafe(32)
        data = {
            "request": asked.stored(),
            "browser": b64url(sha256(browser)).decode(),
            "logout": client.frontchannel_logout_uri,
        }
        handle = await self._provider.keep("login", client.client_id, data, LOGIN_LIFE)
        answer = await self._login_page(asked.locale, handle)
        self._set(answer, LOGIN_COOKIE, browser, BASE + "/login", 600)
        return answer

    async def log_in(self, request: Request) -> Response:
        form = await _form(request)
        handle = one(form, "handle") or ""
        data = await self._provider.peek("login", handle)
        browser = self._cookie(request, LOGIN_COOKIE)
        if data is None or not browser or b64url(sha256(browser)).decode() != data["browser"]:
            raise UntrustedRequest(
                "invalid_request", "The login has run out, or was begun in another browser."
            )
        asked = rules.Request(**data["request"])
        pid = (one(form, "pid") or one(form, "person") or "").strip()
        try:
            login = await self._provider.log_in(pid, asked.acr, http.address(request))
        except OpenIdError as error:
            return await self._login_page(asked.locale, handle, "locked", error.status)
        if login is None:
            return await self._login_page(asked.locale, handle, "refused", 400)
        remembered = {
            "acr": login.acr,
            "amr": login.amr,
            "auth_time": login.auth_time,
            "sid": login.sid,
            "logout": [data["logout"]] if data["logout"] else [],
        }
        # Always a new session: a planted cookie never becomes a logged-in one.
        await self._sessions.end("idporten", self._cookie(request, SESSION_COOKIE))
        session = await self._sessions.begin("idporten", login.pid, remembered)
        answer = answered(asked.back, await self._provider.code_for(asked, login), locale=asked.locale)
        self._set(answer, SESSION_COOKIE, session, BASE, 7200)
        self._set(answer, LOGIN_COOKIE, "", BASE + "/login", 0)
        return answer

    async def _login_page(
        self, locale: str, handle: str, fault: str | None = None, status: int = 200
    ) -> Response:
        people = await self._provider.people()
        page = pages.login(locale, handle, people, BASE + "/login", fault=fault)
        headers = dict(http.PAGE_HEADERS)
        # The form's answer is a redirect to the client: browsers apply form-action to that too.
        headers["Content-Security-Policy"] = headers["Content-Security-Policy"].replace(
            "form-action 'self'; ", ""
        )
        return HTMLResponse(page, status, headers)

    async def _remember(self, request: Request, logout_uri: str | None) -> None:
        """The session tells this client too when it ends."""
        handle = self._cookie(request, SESSION_COOKIE)
        session = await self._sessions.find("idporten", handle)
        if logout_uri and handle and session is not None and logout_uri not in session.data["logout"]:
            data = dict(session.data) | {"logout": [*session.data["logout"], logout_uri][-20:]}
            await self._sessions.remember("idporten", handle, data)

    def _refused(self, back: rules.ReturnAddress, error: str, text: str) -> Response:
        """Tell the client, at an address that was found to be its own."""
        return answered(back, {"error": error, "error_description": text, "iss": self._provider.issuer})

    # Tokens

    async def par(self, request: Request) -> Response:
        form = await _form(request)
        client = await self._authentication.client(request, form)
        if one(form, "request_uri") is not None:
            raise OpenIdError("invalid_request", "request_uri may not be pushed.")
        uri = await self._provider.push(rules.read_request(form | {"client_id": [client.client_id]}, client))
        return http.json(msgspec.json.encode({"request_uri": uri, "expires_in": 120}), 201)

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        client = await self._authentication.client(request, form)
        tokens = await self._provider.grant(client, form)
        return http.json(msgspec.json.encode(tokens.body()))

    async def tokeninfo(self, request: Request) -> Response:
        """What an access token stands for (RFC 7662), for clients that hold the scope for it; nothing about any other token."""
        form = await _form(request)
        client = await self._authentication.client(request, form)
        if client.method == "none" or INTROSPECTION not in client.scopes:
            raise OpenIdError("insufficient_scope", f"The client lacks {INTROSPECTION}.", 403)
        token = one(form, "token")
        if not token:
            raise OpenIdError("invalid_request", "token is missing.")
        try:
            claims = (await self._tokens.check(token.encode("utf-8", "replace"))).claims
        except InvalidToken:
            claims = {}
        if not isinstance(claims.get("client_id"), str) or not await self._provider.alive(claims.get("jti")):
            return http.json(b'{"active":false}')
        return http.json(msgspec.json.encode({"active": True, **claims}))

    async def userinfo(self, request: Request) -> Response:
        token = http.bearer(request)
        try:
            if token is None:
                raise InvalidToken
            claims = (await self._tokens.check(token)).claims
            if not isinstance(claims.get("client_id"), str) or not await self._provider.alive(
                claims.get("jti")
            ):
                raise InvalidToken
        except InvalidToken:
            return http.json(
                b'{"error":"invalid_token"}', 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            )
        body = {name: claims[name] for name in ("sub", "pid", "acr", "amr") if name in claims}
        return http.json(msgspec.json.encode(body))

    # Logging out

    async def logout(self, request: Request) -> Response:
        params = await _form(request) if request.method == "POST" else _query(request)
        target = await onward(self._provider, self._keys, params)
        data = await self._sessions.end("idporten", self._cookie(request, SESSION_COOKIE))
        if data is not None:
            # What stands in our own database needs no frame: the console and Altinn's login end with this session.
            await self._sessions.end_by_provider(self._provider.issuer, str(data["sid"]))
        frames = (
            [
                with_query(uri, iss=self._provider.issuer, sid=str(data["sid"]))
                for uri in (data or {}).get("logout", [])
            ]
            if data
            else []
        )
        if target is not None and not frames:
            answer: Response = redirect(target)
        else:
            headers = dict(http.PAGE_HEADERS)
            origins = sorted({f"{urlsplit(frame).scheme}://{urlsplit(frame).netloc}" for frame in frames})
            if origins:
                headers["Content-Security-Policy"] += "; frame-src " + " ".join(origins)
            if target is not None:
                # The clients' pages get a moment to load before the browser goes on.
                headers["Refresh"] = f"2; url={target}"
            answer = HTMLResponse(
                pages.logged_out(one(params, "ui_locales") or "nb", frames), headers=headers
            )
        self._set(answer, SESSION_COOKIE, "", BASE, 0)
        return answer

    # Cookies

    def _cookie(self, request: Request, name: str) -> str | None:
        values = [value for key, value in request.scope["headers"] if key == b"cookie"]
        value = single(values, name.encode())
        return None if value is None or value is BAD else value.decode("latin-1")

    def _set(self, answer: Response, name: str, value: str, path: str, life: int) -> None:
        answer.set_cookie(
            name, value, max_age=life, path=path, secure=self._secure, httponly=True, samesite="lax"
        )


def _query(request: Request) -> dict[str, list[str]]:
    try:
        return parse_qs(request.url.query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise UntrustedRequest("invalid_request", "The query cannot be read.") from None


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a form body; OpenIdError for anything else."""
    body = await http.body(request, http.SMALL_BODY)
    if body is None or http.media_type(request) != "application/x-www-form-urlencoded":
        raise OpenIdError("invalid_request", "The request must be a form.")
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise OpenIdError("invalid_request", "The form cannot be read.") from None
