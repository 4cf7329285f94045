"""Identity and console together, in memory or listening, with people who log in as in a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.support.identity import BASE, World, close_world, jwk, open_world, rsa_key, uint64
from tests.support.running import Wire
from varsel.console.room import ConsoleRoom, Portal
from varsel.identity.registry import add_member, add_person
from varsel.runtime.clock import ManualClock
from varsel.runtime.server import HttpServer, bind
from varsel.store.database import Database

#: Synthetic people (month + 80), both check digits right.
KARI = "17849012320"
OLA = "12906010095"
TESTKOMMUNE = "312718286"
DIGDIR = "991825827"
PLACE = f"/console/selfservice/{TESTKOMMUNE}/test"
LIST = f"{PLACE}/integrations"
_HIDDEN = re.compile(r'name="(handle|csrf|version)" value="([^"]*)"')


@dataclass
class Site:
    """One installation."""

    world: World
    app: Any
    base: str
    server: HttpServer | None = None

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        """Over TCP where this site listens, else in memory."""
        if self.server is not None:
            return Wire(self.server.ports[0])
        return httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)

    @property
    def clock(self) -> ManualClock:
        return self.world.clock

    def browser(self, language: str = "nb") -> Browser:
        return Browser(self, language)

    async def member(
        self, pid: str, name: str, organisation: str | None, role: str = "service-owner"
    ) -> None:
        await add_person(self.world.database, pid, name)
        await add_member(self.world.database, pid, organisation, role)


class Browser:
    """Keeps cookies and follows redirects, as far as a test of pages needs."""

    def __init__(self, site: Site, language: str) -> None:
        self.site = site
        self.http = httpx2.AsyncClient(
            transport=site.transport,
            base_url=site.base,
            headers={"accept-language": language},
            follow_redirects=True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.http.get(path, **options)

    async def log_in(self, pid: str = KARI, goto: str = "/console") -> httpx2.Response:
        """From the login page through the provider's to wherever it leads."""
        login = await self.get("/console/login", params={"goto": goto})
        start = re.search(r'href="(/console/login/start[^"]*)"', login.text)
        assert start is not None, login.text
        chosen = await self.get(html.unescape(start.group(1)))
        return await self.http.post("/idporten/login", data={**hidden(chosen), "person": pid})

    async def send(
        self, path: str, fields: Mapping[str, Any], *, page: str | None = None, **options: Any
    ) -> httpx2.Response:
        """Fill a form: hidden fields come from the page that holds it."""
        shown = await self.get(page or path)
        assert shown.status_code == 200, shown.status_code
        return await self.http.post(path, data={**hidden(shown), **fields}, **options)

    async def create(self, name: str = "acme-varsel", **fields: Any) -> str:
        """A new integration; its identifier."""
        answer = await self.send(f"{LIST}/new", {"client_name": name, "description": "", **fields})
        assert answer.status_code == 200, answer.text
        found = re.search(r"/integrations/([0-9a-f-]{36})$", answer.url.path)
        assert found is not None, answer.url
        return found.group(1)


def hidden(page: httpx2.Response) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}


def public_key(kid: str = "acme-2026-07", key: str = "first", **members: Any) -> dict[str, Any]:
    return jwk(rsa_key(key), kid, **members)


def private_key(kid: str = "acme-2026-07") -> dict[str, Any]:
    numbers = rsa_key("first").private_numbers()
    names = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1}
    return public_key(kid) | {name: uint64(value) for name, value in (names | {"qi": numbers.iqmp}).items()}


async def open_site(
    database: Database, folder: Path, *, sandbox: bool = True, listens: bool = False, **settings: Any
) -> Site:
    """`listens` puts it behind the real server on a loopback port."""
    base = settings.setdefault("public_url", BASE)
    world = await open_world(database, folder, sandbox=sandbox, **settings)
    portal = Portal(world.room, database, world.clock, world.master_key)
    console = await ConsoleRoom.open(world.settings, world.clock, sandbox=sandbox, portal=portal)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chosen = console.app if scope["path"].startswith("/console") else world.room.app
        await chosen(scope, receive, send)

    if not listens:
        return Site(world, app, base)
    server = HttpServer(app, [bind("127.0.0.1", 0)], stop_seconds=1.0, machine=world.clock)
    await server.start()
    return Site(world, app, base, server)


async def close_site(site: Site) -> None:
    if site.server is not None:
        await site.server.stop()
    await close_world(site.world)
