"""Login to the console from outside: the provider's answer, the session, and the attacks on both
(docs/reference/identity.md 7.5 and 10.5).
"""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from tests.console.visiting import KARI, LIST, OLA, Site, close_site, hidden, open_site
from tests.support.identity import BASE
from varsel.console.login import safe_goto
from varsel.console.portal_texts import ENGLISH, NORWEGIAN
from varsel.identity import login as logins
from varsel.store.database import Database

COOKIE = "varsel_session"


async def answered(site: Site, browser: Any, pid: str = KARI, **changes: str | None) -> httpx2.Response:
    """Go through the provider's page, then deliver its answer to the console with changes (None leaves a parameter out)."""
    target = await provider_answer(browser, pid)
    query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()} | changes
    kept = {name: value for name, value in query.items() if value is not None}
    return await browser.http.get("/console/callback?" + urlencode(kept), follow_redirects=False)


async def provider_answer(browser: Any, pid: str = KARI) -> str:
    """The address to which the provider sends the browser."""
    login = await browser.get("/console/login")
    start = re.search(r'href="(/console/login/start[^"]*)"', login.text)
    assert start is not None
    chosen = await browser.get(html.unescape(start.group(1)))
    sent = await browser.http.post(
        "/idporten/login", data={**hidden(chosen), "person": pid}, follow_redirects=False
    )
    assert sent.status_code == 303
    return str(sent.headers["location"])


async def test_a_person_logs_in_and_out(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.log_in()
        assert page.url.path == "/console/selfservice"
        assert "Kari Prøve" in page.text
        assert "Testkommune" in page.text
        out = await browser.http.post("/console/logout", data=hidden(page))
        assert NORWEGIAN["left"] in out.text
        assert "/idporten/logout?client_id=varsel-console" in out.headers["refresh"]
        assert COOKIE not in browser.http.cookies
        assert (await browser.get("/console/selfservice")).url.path == "/console/login"


async def test_the_login_page_speaks_the_readers_language(site: Site) -> None:
    async with site.browser("en") as browser:
        page = await browser.get("/console")
        assert page.status_code == 200
        assert ENGLISH["login_button"] in page.text
        start = re.search(r'href="(/console/login/start[^"]*)"', page.text)
        assert start is not None
        provider = await browser.get(html.unescape(start.group(1)))
        assert '<html lang="en">' in provider.text


async def test_after_login_the_reader_is_where_the_way_began(site: Site) -> None:
    async with site.browser() as browser:
        asked = await browser.get(LIST + "?inactive=true")
        assert asked.url.path == "/console/login"
        page = await browser.log_in(goto=parse_qs(urlsplit(str(asked.url)).query)["goto"][0])
        assert str(page.url).endswith(LIST + "?inactive=true")


async def test_the_session_cookie_tells_nothing_and_no_script_reads_it(site: Site) -> None:
    async with site.browser() as browser:
        answer = await answered(site, browser)
        (cookie,) = (
            value for value in answer.headers.get_list("set-cookie") if value.startswith(COOKIE + "=")
        )
        value = cookie.partition(";")[0].partition("=")[2]
        assert len(value) == 43
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie, "over http on loopback a Secure cookie would not come back"
        rows = await site.world.database.fetch("select id, data from session where kind = 'console'")
        assert len(rows) == 1
        assert value.encode() not in bytes(rows[0]["id"])
        assert "token" not in rows[0]["data"]


async def test_over_https_the_cookie_is_bound_to_this_host(database: Database, tmp_path: Path) -> None:
    site = await open_site(database, tmp_path, public_url="https://varsel.test")
    async with site.browser() as browser:
        answer = await answered(site, browser)
        (cookie,) = (value for value in answer.headers.get_list("set-cookie") if "varsel_session=" in value)
        assert cookie.startswith("__Host-varsel_session=")
        assert "Secure" in cookie
        assert "Path=/;" in cookie + ";"
        assert "Domain" not in cookie
        assert (await browser.get("/console")).url.path == "/console/selfservice"
    await close_site(site)


async def test_a_session_slides_for_half_an_hour_and_ends_after_twelve(site: Site) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        for _ in range(24):
            site.clock.advance(timedelta(minutes=29))
            assert (await browser.get("/console/selfservice")).url.path == "/console/selfservice"
        site.clock.advance(timedelta(minutes=25))
        assert (await browser.get("/console/selfservice")).url.path == "/console/login", "12 hours"
    async with site.browser() as browser:
        await browser.log_in()
        site.clock.advance(timedelta(minutes=30, seconds=1))
        assert (await browser.get("/console/selfservice")).url.path == "/console/login", "half an hour"


async def test_files_and_refreshing_lists_keep_no_session_awake(site: Site) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        for _ in range(3):
            site.clock.advance(timedelta(minutes=11))
            await browser.get("/console/static/console.css")
            await browser.get("/console/inbox/list")
        assert (await browser.get("/console/selfservice")).url.path == "/console/login"


async def test_somebody_without_an_invitation_gets_in_and_no_further(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.log_in(OLA)
        assert NORWEGIAN["no_organisation"] in page.text
        assert (await browser.get(LIST)).status_code == 404


async def test_a_withdrawn_role_ends_at_once(site: Site) -> None:
    await site.member(OLA, "Ola Prøve", "312718286")
    async with site.browser() as browser:
        await browser.log_in(OLA)
        assert (await browser.get(LIST)).status_code == 200
        await site.world.database.execute("delete from membership where pid = $1", OLA)
        assert (await browser.get(LIST)).status_code == 404


async def test_without_a_provider_the_login_page_says_what_is_missing(
    database: Database, tmp_path: Path
) -> None:
    site = await open_site(database, tmp_path, sandbox=False)
    async with site.browser() as browser:
        page = await browser.get("/console")
        assert page.status_code == 200
        assert "VARSEL_IDPORTEN_ISSUER" in page.text
        assert (await browser.get("/console/login/start")).status_code == 200
        assert (await browser.get("/console/callback?code=a&state=b")).status_code == 200
    await close_site(site)


async def test_a_browser_on_another_name_of_this_machine_begins_at_the_public_one(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.http.get(
            "/console/login/start", headers={"host": "localhost:5090"}, follow_redirects=False
        )
        assert answer.headers["location"].startswith(f"{BASE}/console/login/start?")
        assert "set-cookie" not in answer.headers


# Attacks of docs/reference/identity.md 10.5, by their numbers


@pytest.mark.parametrize(
    "goto",
    [
        "http://evil.example",
        "//evil.example",
        "https://evil.example",
        "https://varsel.test.evil.example/console",
        "https://varsel.test@evil.example",
        "https://evil.example\\@varsel.test",
        "/\\evil.example",
        "/console\t/x",
        "/console\n",
        "/console/\r\nLocation: https://evil.example",
        "/console/..//evil.example",
        "/consoleevil",
        "/console。evil",
        "/idporten/logout",
        "javascript:alert(1)",
        "\\console",
        "/console/%0d%0aset-cookie:x=y",
        "",
    ],
)
async def test_attack_66_a_login_leads_to_pages_of_the_console_only(goto: str) -> None:
    assert safe_goto(goto) == "/console"


async def test_attack_66_over_http(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.log_in(goto="https://evil.example/x")
        assert page.url.host == "varsel.test"
        assert page.url.path == "/console/selfservice"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": None},
        {"state": "another"},
        {"state": ""},
        {"iss": "https://idporten.no"},
        {"iss": BASE + "/idporten/"},
        {"code": None},
        {"code": "guessed"},
        {"error": "access_denied"},
    ],
)
async def test_attack_70_an_answer_that_is_not_ours_logs_nobody_in(
    site: Site, changes: dict[str, str | None]
) -> None:
    async with site.browser() as browser:
        answer = await answered(site, browser, **changes)
        assert answer.status_code == 400
        assert NORWEGIAN["login_refused"] in answer.text
        assert COOKIE not in browser.http.cookies
        assert await site.world.database.fetchval("select count(*) from session where kind = 'console'") == 0


async def test_attack_70_an_answer_serves_once(site: Site) -> None:
    async with site.browser() as browser:
        target = await provider_answer(browser)
        cookies = dict(browser.http.cookies)
        first = await browser.http.get(target, follow_redirects=False)
        assert first.status_code == 303
        async with site.browser() as again:
            for name, value in cookies.items():
                again.http.cookies.set(name, value)
            assert (await again.http.get(target, follow_redirects=False)).status_code == 400
            assert COOKIE not in again.http.cookies


async def test_attack_70_an_answer_in_another_browser_logs_nobody_in(site: Site) -> None:
    async with site.browser() as victim, site.browser() as attacker:
        target = await provider_answer(attacker)
        assert (await victim.http.get(target, follow_redirects=False)).status_code == 400
        assert COOKIE not in victim.http.cookies


async def test_attack_70_another_nonce(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    original = logins.LoginFlow._person

    def other(self: Any, claims: Any, data: Any, access: str) -> Any:
        return original(self, dict(claims) | {"nonce": "another"}, data, access)

    monkeypatch.setattr(logins.LoginFlow, "_person", other)
    async with site.browser() as browser:
        assert (await answered(site, browser)).status_code == 400


@pytest.mark.parametrize("acr", ["idporten-loa-low", "idporten-loa-highest", "", None])
async def test_attack_73_a_lower_or_unknown_level_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, acr: str | None
) -> None:
    original = logins.LoginFlow._person

    def lower(self: Any, claims: Any, data: Any, access: str) -> Any:
        return original(self, dict(claims) | {"acr": acr}, data, access)

    monkeypatch.setattr(logins.LoginFlow, "_person", lower)
    async with site.browser() as browser:
        assert (await answered(site, browser)).status_code == 400


async def test_attack_71_a_planted_session_never_becomes_a_logged_in_one(site: Site) -> None:
    async with site.browser() as browser:
        planted = "p" * 43
        browser.http.cookies.set(COOKIE, planted, domain="varsel.test", path="/console")
        answer = await answered(site, browser)
        fresh = next(v for v in answer.headers.get_list("set-cookie") if v.startswith(COOKIE + "="))
        assert planted not in fresh
        async with site.browser() as attacker:
            attacker.http.cookies.set(COOKIE, planted, domain="varsel.test", path="/console")
            assert (await attacker.get("/console")).url.path == "/console/login"


async def test_attack_71_a_new_login_has_a_new_session_and_ends_the_old(site: Site) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        first = browser.http.cookies[COOKIE]
        await answered_again(site, browser)
        second = browser.http.cookies[COOKIE]
        assert first != second
        async with site.browser() as old:
            old.http.cookies.set(COOKIE, first, domain="varsel.test", path="/console")
            assert (await old.get("/console")).url.path == "/console/login"


async def answered_again(site: Site, browser: Any) -> None:
    """Log in once more although somebody is logged in: the provider knows the person and asks nothing."""
    answer = await browser.get("/console/login/start?goto=/console")
    assert answer.url.path == "/console/selfservice"


async def test_attack_71_two_session_cookies_are_none(site: Site) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        good = browser.http.cookies[COOKIE]
        headers = {"cookie": f"{COOKIE}={good}; {COOKIE}={'p' * 43}"}
        async with site.browser() as double:
            assert (await double.get("/console", headers=headers)).url.path == "/console/login"


async def test_attack_74_a_foreign_or_guessed_provider_logout_ends_nothing(site: Site) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        sid = await site.world.database.fetchval("select data ->> 'sid' from session where kind = 'console'")
        for query in (
            {"iss": "https://idporten.no", "sid": sid},
            {"iss": BASE + "/idporten", "sid": "guessed"},
            {"sid": sid},
            {"iss": BASE + "/idporten", "sid": "\0"},
            {},
        ):
            assert (await browser.get("/console/logout/provider", params=query)).status_code == 200
            assert (await browser.get("/console")).url.path == "/console/selfservice"
        await browser.get("/console/logout/provider", params={"iss": BASE + "/idporten", "sid": sid})
        assert (await browser.get("/console")).url.path == "/console/login"


async def test_attack_76_a_number_that_could_be_somebodys_is_refused(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.log_in("17049012347")
        assert page.status_code == 400
        assert COOKIE not in browser.http.cookies


@pytest.mark.parametrize("token", ["", "0" * 64, "ø"])
async def test_logging_out_needs_our_own_form(site: Site, token: str) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        assert (await browser.http.post("/console/logout", data={"csrf": token})).status_code == 403
        cross = await browser.http.post("/console/logout", headers={"sec-fetch-site": "cross-site"})
        assert cross.status_code == 403
        assert (await browser.get("/console")).url.path == "/console/selfservice"
