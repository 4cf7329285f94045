"""Drift: the operator's pages: service owners, members, the audit trail; nobody else finds them."""

from __future__ import annotations

import re

import pytest

from tests.console.visiting import DIGDIR, KARI, OLA, TESTKOMMUNE, Browser, Site
from varsel.console.texts import TEXTS
from varsel.identity.registry import CREATE_SCOPE, remove_member

T = TEXTS["nb"]
HOME = "/console/operations"
NUMBER = "310000019"


async def test_only_operators_find_it(site: Site, kari: Browser) -> None:
    assert f'href="{HOME}"' in (await kari.get("/console/selfservice")).text
    await site.member(OLA, "Ola", TESTKOMMUNE)
    async with site.browser() as ola:
        await ola.log_in(OLA)
        assert f'href="{HOME}"' not in (await ola.get("/console/selfservice")).text
        for path in ("", "/members", "/delegations", "/audit"):
            assert (await ola.get(HOME + path)).status_code == 404
        answer = await ola.http.post(HOME, data={"number": NUMBER, "code": "x", "name_nb": "X"})
        assert answer.status_code == 404
    async with site.browser() as nobody:
        assert (await nobody.get(HOME)).url.path == "/console/login"


async def test_an_operator_acts_for_every_organisation(site: Site) -> None:
    await site.member(OLA, "Ola", None, "operator")
    async with site.browser() as ola:
        home = await ola.log_in(OLA)
        assert "Testkommune" in home.text and "Digitaliseringsdirektoratet" in home.text
        assert (await ola.get(f"/console/selfservice/{DIGDIR}/production/integrations")).status_code == 200


async def test_a_service_owner_is_registered_and_may_order_at_once(site: Site, kari: Browser) -> None:
    fields = {"number": NUMBER, "code": "nyetat", "name_nb": "Ny etat", "name_en": "New agency"}
    page = await kari.send(HOME, fields)
    assert page.status_code == 200 and T["ops_done_owner"] in page.text
    assert "Ny etat" in page.text and "nyetat" in page.text
    world = site.world
    client = await world.new_client(NUMBER, key="other")
    token = (
        await world.exchange(await world.maskinporten_token(iss=client, key="other", scope=CREATE_SCOPE))
    ).text
    assert (await world.authorize({"Authorization": f"Bearer {token}"})).creator == "nyetat"
    assert "nyetat" in (await world.http.get("/orgs/altinn-orgs.json")).json()["orgs"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"number": "12345678"}, "ops_fault_number"),
        ({"name_nb": ""}, "ops_fault_name"),
        ({"code": "Ny Etat"}, "ops_fault_code"),
        ({"number": TESTKOMMUNE}, "ops_fault_code"),
    ],
)
async def test_a_wrong_service_owner_is_refused_and_what_was_written_stays(
    kari: Browser, changes: dict[str, str], fault: str
) -> None:
    fields = {"number": NUMBER, "code": "nyetat", "name_nb": "Ny etat", "name_en": ""} | changes
    page = await kari.send(HOME, fields)
    assert page.status_code == 400 and T[fault] in page.text
    assert f'value="{fields["number"]}"' in page.text


async def test_a_wrong_prefix_is_refused_and_what_was_written_stays(kari: Browser) -> None:
    wish = {"prefix": "To ord", "holder": TESTKOMMUNE}
    page = await kari.send(f"{HOME}/prefixes", wish, page=HOME)
    assert page.status_code == 400 and T["ops_fault_prefix"] in page.text
    assert 'value="To ord"' in page.text and f'value="{TESTKOMMUNE}" selected' in page.text


async def test_members_are_invited_and_go(site: Site, kari: Browser) -> None:
    members = f"{HOME}/members"
    page = await kari.send(members, {"pid": OLA, "name": "Ola Test", "place": TESTKOMMUNE})
    assert T["ops_done_member_added"] in page.text and "Ola Test" in page.text and OLA not in page.text
    async with site.browser() as ola:
        assert "Testkommune" in (await ola.log_in(OLA)).text
        row = page.text[page.text.index("Ola Test") :]
        who = re.search(r'name="who" value="(\w+)"', row)
        assert who is not None
        gone = await kari.send(f"{members}/remove", {"who": who[1], "place": TESTKOMMUNE}, page=members)
        assert T["ops_done_member_removed"] in gone.text and "Ola Test" not in gone.text
        assert "Testkommune" not in (await ola.get("/console/selfservice")).text


@pytest.mark.parametrize(
    ("pid", "place", "fault"),
    [("17849012321", TESTKOMMUNE, "ops_fault_pid"), (OLA, "999999999", "ops_fault_place")],
)
async def test_a_wrong_invitation_is_refused(kari: Browser, pid: str, place: str, fault: str) -> None:
    page = await kari.send(f"{HOME}/members", {"pid": pid, "name": "Ola Test", "place": place})
    assert page.status_code == 400 and T[fault] in page.text
    assert 'value="Ola Test"' in page.text and pid not in page.text
    assert (f'value="{place}" selected' in page.text) == (place == TESTKOMMUNE)


async def test_the_last_operator_stays(site: Site, kari: Browser) -> None:
    members = f"{HOME}/members"
    row = (await kari.get(members)).text.partition(T["ops_operator"])[2]
    who = re.search(r'name="who" value="(\w+)"', row)
    assert who is not None
    page = await kari.send(f"{members}/remove", {"who": who[1], "place": "operator"}, page=members)
    assert page.status_code == 409 and T["ops_fault_last"] in page.text
    await site.member(OLA, "Ola", None, "operator")
    assert await remove_member(site.world.database, KARI, None, "operator")
    assert (await kari.get(members)).status_code == 404, "in force with the next request"


async def test_the_trail_shows_who_did_what_without_national_numbers(site: Site, kari: Browser) -> None:
    client_id = await kari.create("spores")
    await kari.send(f"{HOME}/members", {"pid": OLA, "name": "Ola Test", "place": TESTKOMMUNE})
    page = await kari.get(f"{HOME}/audit")
    assert "client.created" in page.text and client_id in page.text and "member.added" in page.text
    assert "console.login" in page.text and "Kari Prøve" in page.text and "Ola Test" in page.text
    assert KARI not in page.text and OLA not in page.text
    other = await kari.get(f"{HOME}/audit", params={"organisation": DIGDIR})
    assert client_id not in other.text


async def test_older_events_are_a_page_away(site: Site, kari: Browser) -> None:
    for _ in range(60):
        await site.world.token_request(site.world.grant(key="attacker"))
    await site.world.room.trail.close()
    first = await kari.get(f"{HOME}/audit")
    older = re.search(r'href="(/console/operations/audit\?before=[^"]+)"', first.text)
    assert older is not None and first.text.count("<time") == 50
    second = await kari.get(older[1].replace("&amp;", "&"))
    assert 10 <= second.text.count("<time") <= 50


async def test_a_delegation_is_made_counts_and_ends(site: Site, kari: Browser) -> None:
    world, page = site.world, f"{HOME}/delegations"
    supplier = await world.new_client("311618032", key="other")

    async def for_the_consumer() -> int:
        grant = world.grant(iss=supplier, key="other", consumer_org=TESTKOMMUNE)
        return (await world.token_request(grant)).status_code

    assert await for_the_consumer() == 403
    sides = {"consumer": TESTKOMMUNE, "supplier": "311618032", "scope": CREATE_SCOPE}
    made = await kari.send(page, sides)
    assert T["ops_done_delegated"] in made.text and CREATE_SCOPE in made.text
    assert await for_the_consumer() == 200
    ended = await kari.send(f"{page}/end", sides, page=page)
    assert T["ops_done_delegation_ended"] in ended.text and T["ops_no_delegations"] in ended.text
    assert await for_the_consumer() == 403
    trail = (await kari.get(f"{HOME}/audit")).text
    assert "delegation.made" in trail and "delegation.ended" in trail


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"supplier": TESTKOMMUNE}, "ops_fault_sides"),
        ({"consumer": "999999999"}, "ops_fault_sides"),
        ({"scope": "idporten:dcr.read.x"}, "ops_fault_scope"),
        ({"scope": "altinn:instances.read"}, "ops_fault_scope"),
    ],
)
async def test_a_wrong_delegation_is_refused(kari: Browser, changes: dict[str, str], fault: str) -> None:
    sides = {"consumer": TESTKOMMUNE, "supplier": "311618032", "scope": CREATE_SCOPE} | changes
    page = await kari.send(f"{HOME}/delegations", sides)
    assert page.status_code == 400 and T[fault] in page.text
    kept = set(sides.values()) - {"999999999", "idporten:dcr.read.x", "altinn:instances.read", CREATE_SCOPE}
    assert kept == set(re.findall(r'value="(\d+)" selected', page.text))


@pytest.mark.parametrize("path", ["", "/members", "/members/remove", "/delegations", "/delegations/end"])
async def test_a_form_without_the_sessions_token_does_nothing(site: Site, kari: Browser, path: str) -> None:
    before = await site.world.database.fetchval("select count(*) from audit_event")
    answer = await kari.http.post(HOME + path, data={"number": NUMBER, "code": "x", "name_nb": "X"})
    assert answer.status_code == 403
    assert await site.world.database.fetchval("select count(*) from audit_event") == before


async def test_in_english(kari: Browser) -> None:
    page = await kari.get(f"{HOME}?lang=en")
    assert "Service owners" in page.text and "Audit trail" in page.text
