"""The console opens with a login at an OpenID provider elsewhere: here another Varsel, asked over HTTP (docs/reference/identity.md 7.5)."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.console.visiting import OLA, TESTKOMMUNE, hidden
from tests.identity.test_idporten import person_client
from tests.support.running import RunningWorld, close_running, open_running
from varsel.console.texts import TEXTS
from varsel.identity.registry import add_member, add_person
from varsel.runtime.outbound import GuardedClient, OutboundError
from varsel.runtime.server import bind
from varsel.store.database import Database
from varsel.store.embedded import create_database, drop_database

T = TEXTS["nb"]


@dataclass
class Two:
    """A provider and an installation that trusts it."""

    provider: RunningWorld
    trusting: RunningWorld
    client: str

    def browser(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            follow_redirects=True, trust_env=False, timeout=60, headers={"accept-language": "nb"}
        )

    async def log_in(self, browser: httpx2.AsyncClient, pid: str) -> httpx2.Response:
        page = await browser.get(f"{self.trusting.settings.base_url}/console/login")
        start = re.search(r'href="(/console/login/start[^"]*)"', page.text)
        assert start is not None, page.text
        chosen = await browser.get(self.trusting.settings.base_url + html.unescape(start[1]))
        assert chosen.url.port == self.provider.port, "the person is asked elsewhere"
        return await browser.post(
            f"{self.provider.settings.base_url}/idporten/login", data={**hidden(chosen), "person": pid}
        )


@pytest.fixture
async def two(database: Database, server_dsn: str, template: str, tmp_path: Path) -> AsyncIterator[Two]:
    for name in ("provider", "trusting"):
        (tmp_path / name).mkdir()
    provider = await open_running(database, tmp_path / "provider", public_url=None)
    own = await Database.open(await create_database(server_dsn, "external_login", template), name="test")
    # The client is registered with the address of an installation that is not there yet.
    listening = bind("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    client, secret = await person_client(
        provider,
        redirect_uris=[f"{address}/console/callback"],
        post_logout_redirect_uris=[f"{address}/console"],
        scopes=[],
    )
    trusting = await open_running(
        own,
        tmp_path / "trusting",
        public_url=None,
        listening=listening,
        idporten_issuer=f"{provider.settings.base_url}/idporten",
        idporten_client_id=client,
        idporten_client_secret=secret,
    )
    yield Two(provider, trusting, client)
    await close_running(trusting)
    await own.close()
    await drop_database(server_dsn, "external_login")
    await close_running(provider)


async def test_a_person_of_the_other_provider_logs_in_and_acts_for_what_the_list_says(two: Two) -> None:
    await add_person(two.trusting.database, OLA, "Ola")
    await add_member(two.trusting.database, OLA, TESTKOMMUNE, "service-owner")
    async with two.browser() as browser:
        page = await two.log_in(browser, OLA)
        assert page.url.port == two.trusting.port and page.url.path == "/console/selfservice"
        assert "Testkommune" in page.text and "Digitaliseringsdirektoratet" not in page.text
        left = await browser.post(f"{two.trusting.settings.base_url}/console/logout", data=hidden(page))
        assert (
            left.status_code == 200
            and f"{two.provider.settings.base_url}/idporten/logout"
            in html.unescape(left.headers.get("refresh", "") + left.text)
        )


async def test_a_claim_gives_nobody_a_role(two: Two) -> None:
    async with two.browser() as browser:
        page = await two.log_in(browser, "01819000049")
        assert page.url.port == two.trusting.port and "Testkommune" not in page.text


async def test_its_own_provider_is_gone(two: Two) -> None:
    async with two.browser() as browser:
        assert (await browser.get(f"{two.trusting.settings.base_url}/idporten/authorize")).status_code == 404


async def test_a_provider_that_is_away_is_told_and_the_next_login_needs_no_restart(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise OutboundError

    async with two.browser() as browser:
        with monkeypatch.context() as patched:
            patched.setattr(GuardedClient, "post", away)
            page = await two.log_in(browser, "01819000049")
            assert page.status_code == 503 and T["provider_away"] in page.text
    async with two.browser() as browser:
        assert (await two.log_in(browser, "01819000049")).status_code == 200
