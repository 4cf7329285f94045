"""The console as composition sees it: one ASGI application for everything under /console."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Self
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from varsel.console.inbox import InboxPages
from varsel.console.login import CALLBACK, LoginPages
from varsel.console.login_sessions import ConsoleSessions
from varsel.console.model import Inbox
from varsel.console.operations import OperationsPages
from varsel.console.pages import HEADERS, Pages
from varsel.console.portal import PortalPages
from varsel.console.portal_delegations import DelegationPages
from varsel.console.portal_keypages import KeyPages
from varsel.console.portal_places import Places
from varsel.console.portal_scopes import ScopePages
from varsel.identity.room import CONSOLE_CLIENT, IdentityRoom
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX: Final = "/console"
_READING: Final = {"GET", "HEAD", "OPTIONS"}
#: Files know nobody, and the inbox's own refreshing is nobody's doing: neither keeps a session awake.
_UNWATCHED: Final = (f"{PREFIX}/static/", f"{PREFIX}/inbox/list")


@dataclass(frozen=True, slots=True)
class Portal:
    """What login and self-service stand upon."""

    identity: IdentityRoom
    database: Database
    machine: Machine
    master_key: MasterKey


class ConsoleRoom:
    """Pages for people. `app` serves paths that begin with /console, mounted there or handed the whole path."""

    def __init__(
        self,
        pages: Pages,
        inbox: Inbox | None,
        hosts: frozenset[str] | None,
        settings: Settings,
        portal: Portal | None,
    ) -> None:
        self._pages = pages
        self._hosts = hosts
        self._login: LoginPages | None = None
        routes: list[BaseRoute] = [
            Route("/", self.start, methods=["GET"]),
            Mount("/static", StaticFiles(directory=str(resources.files("varsel.console") / "static"))),
        ]
        if inbox is not None:
            routes += InboxPages(pages, inbox).routes
        if portal is not None:
            pages.portal = True
            sessions = _sessions(settings, portal)
            self._login = login = _login(pages, sessions, settings, portal)
            places = Places(login, portal.identity.clients, portal.machine, settings.client_environment)
            pages_of_portal = PortalPages(places, portal.database)
            keys = KeyPages(places, pages, pages_of_portal, settings)
            operations = OperationsPages(login, portal.database, portal.machine, sessions.actor)
            scopes = ScopePages(places, portal.identity.scopes, portal.database)
            delegations = DelegationPages(places, portal.database, portal.machine)
            for part in (login, scopes, delegations, pages_of_portal, keys, operations):
                routes += part.routes
        else:
            routes.append(Route("/login", self.no_login, methods=["GET"]))
        handlers = {404: self.missing, 405: self.not_allowed, Unavailable: self.unavailable}
        self._site = Starlette(routes=routes, exception_handlers=handlers)
        # A path with one slash more is another path: no redirect to whatever host the request named.
        self._site.router.redirect_slashes = False
        self.app = self._serve

    @classmethod
    async def open(
        cls,
        settings: Settings,
        calendar: Calendar,
        *,
        sandbox: bool,
        inbox: Inbox | None = None,
        portal: Portal | None = None,
    ) -> Self:
        """`portal` brings login and self-service. `inbox` only in a sandbox: its pages are open to everybody who reaches them, so they answer to this machine's names alone."""
        hosts = None
        if sandbox:
            named = urlsplit(settings.base_url).hostname or ""
            hosts = frozenset({"127.0.0.1", "localhost", "::1", named.lower()})
        return cls(Pages(calendar, sandbox=sandbox), inbox if sandbox else None, hosts, settings, portal)

    async def close(self) -> None:
        """Nothing is held."""

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            scope = {**scope, "root_path": PREFIX, "path": path + "/" if path == PREFIX else path}
            refusal = self._refuse(Request(scope))
            if refusal is not None:
                await refusal(scope, receive, send)
                return

            async def send_with_headers(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    _complete(message)
                await send(message)

            await self._answer(scope, receive, send_with_headers)
            return
        await self._site(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if self._login is not None and not scope["path"].startswith(_UNWATCHED):
            try:
                await self._login.recognise(request)
            except Unavailable as error:
                answer = await self.unavailable(request, error)
                await answer(scope, receive, send)
                return
        await self._site(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        # A foreign name that resolves to loopback would let a foreign page read the inbox (DNS rebinding).
        if self._hosts is not None and (request.url.hostname or "").lower() not in self._hosts:
            return Response("This name is not served here.", 421, HEADERS, "text/plain")
        if request.method not in _READING and not _same_origin(request):
            return Response("The request came from another page.", 403, HEADERS, "text/plain")
        return None

    async def start(self, request: Request) -> Response:
        known = self._login is not None and self._login.visitor(request) is not None
        return RedirectResponse(f"{PREFIX}/selfservice" if known else f"{PREFIX}/login", 303, HEADERS)

    async def no_login(self, request: Request) -> Response:
        return self._pages.show(request, "login.html", start="", fault="")

    async def unavailable(self, request: Request, error: Exception) -> Response:
        request.state.visitor = None
        answer = self._pages.show(request, "portal_unavailable.html", 503)
        retry = error.retry_after if isinstance(error, Unavailable) else 5
        answer.headers["retry-after"] = str(retry)
        return answer

    async def missing(self, request: Request, _: Exception) -> Response:
        return self._pages.show(request, "missing.html", 404)

    async def not_allowed(self, request: Request, error: Exception) -> Response:
        return Response(None, 405, {**HEADERS, **(getattr(error, "headers", None) or {})})


def _sessions(settings: Settings, portal: Portal) -> ConsoleSessions:
    secure = settings.base_url.startswith("https:")
    return ConsoleSessions(portal.database, portal.identity.sessions, portal.master_key, secure=secure)


def _login(pages: Pages, sessions: ConsoleSessions, settings: Settings, portal: Portal) -> LoginPages:
    identity, base = portal.identity, settings.base_url
    flow = identity.login_flow(CONSOLE_CLIENT, base + CALLBACK)
    return LoginPages(pages, sessions, identity.trail, flow, base)


def _same_origin(request: Request) -> bool:
    """Whether a form was sent from our own page (Fetch Metadata, else the Origin header, RFC 6454)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _complete(message: MutableMapping[str, Any]) -> None:
    """The console's headers on every answer, also on files; what an answer says itself stays."""
    headers = list(message["headers"])
    present = {name.lower() for name, _ in headers}
    file = b"etag" in present
    for name, value in HEADERS.items():
        if name.encode() not in present:
            # Files carry an ETag: they may be kept, but are asked for again after an upgrade.
            kept = "no-cache" if file and name == "cache-control" else value
            headers.append((name.encode(), kept.encode()))
    message["headers"] = headers
