"""Logging in and out of the console (docs/reference/identity.md 7.5)."""

from __future__ import annotations

import re
from typing import Final, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from varsel.console.forms import read_form
from varsel.console.login_sessions import ConsoleSessions, Visitor
from varsel.console.pages import HEADERS, Pages
from varsel.identity.audit import AuditLog, Event
from varsel.identity.login import LoginFlow, LoginRefused
from varsel.runtime.errors import Unavailable

log = structlog.get_logger("varsel.console")

START: Final = "/console"
LOGIN: Final = "/console/login"
CALLBACK: Final = "/console/callback"
#: A login begun in the browser is finished within this many seconds.
LOGIN_LIFE: Final = 600
#: Pages of our own. What begins otherwise (`//host`, `/\host`, a scheme, control characters) leads to the start page.
_OWN_PAGE: Final = re.compile(r"/console(?:/[A-Za-z0-9._~/-]{0,500})?(?:\?[A-Za-z0-9._~%&=:/+-]{0,500})?")


def safe_goto(text: str | None) -> str:
    """Where a login leads: a page of the console, whatever was asked for (docs/reference/identity.md 10.5, line 66)."""
    return text if text is not None and _OWN_PAGE.fullmatch(text) and "/.." not in text else START


class Door(Protocol):
    """What the pages behind the login need of it."""

    def visitor(self, request: Request) -> Visitor | None: ...

    def to_login(self, request: Request) -> Response: ...

    def page(self, request: Request, template: str, status: int = 200, **values: object) -> Response: ...


class LoginPages:
    """Handlers of /console/login, /console/callback and /console/logout."""

    def __init__(
        self, pages: Pages, sessions: ConsoleSessions, trail: AuditLog, flow: LoginFlow | None, base_url: str
    ) -> None:
        self._pages = pages
        self._sessions = sessions
        self._trail = trail
        self._flow = flow
        self._base_url = base_url
        self._host = urlsplit(base_url).netloc.lower()
        self.routes = [
            Route("/login", self.show, methods=["GET"]),
            Route("/login/start", self.begin, methods=["GET"]),
            Route("/callback", self.finish, methods=["GET"]),
            Route("/logout", self.leave, methods=["POST"]),
            Route("/logout/provider", self.provider_logout, methods=["GET"]),
        ]

    async def recognise(self, request: Request) -> None:
        """Find out who is there, once a request; the session slides by this."""
        request.state.visitor = await self._sessions.visitor(request)

    def visitor(self, request: Request) -> Visitor | None:
        found: Visitor | None = getattr(request.state, "visitor", None)
        return found

    def to_login(self, request: Request) -> Response:
        """Log in first; after that the reader is back, if the page can be asked for again."""
        query = ""
        if request.method == "GET":
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            query = "?" + urlencode({"goto": safe_goto(here)})
        return RedirectResponse(LOGIN + query, 303, HEADERS)

    def page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        return self._pages.show(request, template, status, visitor=self.visitor(request), **values)

    async def show(self, request: Request) -> Response:
        goto = safe_goto(request.query_params.get("goto"))
        if self.visitor(request) is not None:
            return RedirectResponse(goto, 303, HEADERS)
        return self._show(request, goto)

    def _show(self, request: Request, goto: str, fault: str = "", status: int = 200) -> Response:
        start = f"{LOGIN}/start?" + urlencode({"goto": goto, "lang": self._pages.language(request)})
        return self.page(
            request, "login.html", status, start=start if self._flow is not None else "", fault=fault
        )

    async def begin(self, request: Request) -> Response:
        goto = safe_goto(request.query_params.get("goto"))
        if self._flow is None:
            return self._show(request, goto)
        if request.headers.get("host", "").lower() != self._host and not request.query_params.get("here"):
            # The answer arrives at the public address, so the cookies must be set there: localhost is not 127.0.0.1.
            query = urlencode({"goto": goto, "lang": self._pages.language(request), "here": "1"})
            return RedirectResponse(f"{self._base_url}{LOGIN}/start?{query}", 303, HEADERS)
        try:
            begun = await self._flow.begin(goto, locale=self._pages.language(request))
        except Unavailable:
            return self._show(request, goto, "provider_away", 503)
        answer = RedirectResponse(begun.url, 303, HEADERS)
        self._sessions.write(answer, self._sessions.login_cookie, begun.handle, LOGIN_LIFE)
        return answer

    async def finish(self, request: Request) -> Response:
        """The provider's answer. Whatever is wrong with it, one and the same page says so, and nobody is logged in."""
        if self._flow is None:
            return self._show(request, START)
        handle = self._sessions.read(request, self._sessions.login_cookie)
        try:
            answered = parse_qs(request.url.query, keep_blank_values=True, max_num_fields=20)
            person = await self._flow.finish(answered, handle)
        except (LoginRefused, ValueError) as error:
            log.info("login refused", action="console.login_refused", error=type(error).__name__)
            self._trail.note(Event("", "console.login_refused"))
            refused = self._show(request, START, "login_refused", 400)
            self._sessions.write(refused, self._sessions.login_cookie, "", 0)
            return refused
        except Unavailable:
            return self._show(request, START, "provider_away", 503)
        answer = RedirectResponse(safe_goto(person.target), 303, HEADERS)
        data = {"acr": person.acr, "amr": person.amr, "iss": person.issuer, "sid": person.sid}
        await self._sessions.begin(request, answer, person.pid, data)
        self._sessions.write(answer, self._sessions.login_cookie, "", 0)
        await self._trail.record(Event(self._sessions.actor(person.pid), "console.login"))
        return answer

    async def leave(self, request: Request) -> Response:
        visitor = self.visitor(request)
        if visitor is None:
            return RedirectResponse(LOGIN, 303, HEADERS)
        form = await read_form(request)
        if form is None or not visitor.sent(form.one("csrf")):
            return self.page(request, "portal_expired.html", 403, room="")
        await self._trail.record(Event(visitor.actor, "console.logout"))
        request.state.visitor = None
        away = None
        if self._flow is not None:
            away = await self._flow.leave(self._base_url + START)
        # Browsers hold a redirect after a form to the policy's form-action; a page that goes on by itself leads anywhere.
        answer = self.page(request, "login_left.html", away=away or LOGIN)
        answer.headers["refresh"] = f"0;url={away or LOGIN}"
        await self._sessions.end(request, answer)
        return answer

    async def provider_logout(self, request: Request) -> Response:
        """Front-channel logout: ends what came of one session of one provider; a guess ends nothing."""
        query = request.query_params
        await self._sessions.end_by_provider(query.get("iss", ""), query.get("sid", ""))
        return Response(None, 200, HEADERS)
