"""Mine API, Tilganger, Delegeringer and På vegne av from outside (docs/reference/identity.md 3.3, 3.5, 3.7)."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.console.visiting import DIGDIR, LIST, OLA, TESTKOMMUNE, Browser, Site, hidden
from varsel.console.seeded_scopes import NORWEGIAN
from varsel.console.texts import TEXTS
from varsel.identity.registry import CREATE_SCOPE
from varsel.identity.seed import SCOPES as SEEDED

T = TEXTS["nb"]
HOME = f"/console/selfservice/{TESTKOMMUNE}"
SCOPES = f"{HOME}/scopes"
TESTETATEN = "311618032"
NAME = "testkommune:rapporter/lese.alle"
ONE = f"{SCOPES}/one"
WISH = {
    "prefix": "testkommune",
    "subscope": "rapporter/lese.alle",
    "description": "Lese rapporter",
    "visibility": "PUBLIC",
    "delegable": "true",
    "at_max_age": "60",
}


def heading(page: httpx2.Response) -> str:
    return page.text.partition("<main")[2]


async def make(browser: Browser, **changes: str) -> None:
    made = await browser.send(f"{SCOPES}/new", WISH | changes)
    assert made.status_code == 200 and T["done_scope_created"] in made.text


async def asked(site: Site, client: str, **changes: str) -> tuple[int, str]:
    """Status and MP code of a token request with the second key."""
    answer = await site.world.token_request(site.world.grant(iss=client, key="other", scope=NAME, **changes))
    return answer.status_code, answer.json().get("error_uri", "")[-6:]


async def test_from_a_new_scope_to_a_consumers_token(site: Site, kari: Browser) -> None:
    """Mine API → Nytt scope → Prefiks → Opprett → Legg til tilgang, then a token; Slette, then none."""
    home = await kari.get("/console/selfservice")
    for label in ("Administrasjon av tjenester", "Mine API"):
        assert label in home.text
    for label in ("Nytt scope", T["no_scopes"]):
        assert label in (await kari.get(SCOPES)).text
    new = await kari.get(f"{SCOPES}/new")
    for label in ("Prefiks", "Subscope", "Opprett"):
        assert label in new.text
    await make(kari)
    listed = (await kari.get(SCOPES)).text
    assert "Lese rapporter" in listed and T["accesses_none"] in listed
    page = {"scope": NAME}
    shown = (await kari.get(ONE, params=page)).text
    for label in ("Tilganger", "Legg til tilgang", T["no_accesses"], "60 sekunder", T["visibility_PUBLIC"]):
        assert label in shown
    client = await site.world.new_client(TESTETATEN, key="other", scopes=(NAME,))
    assert await asked(site, client) == (403, "MP-250")
    here = f"{ONE}?scope={NAME}"
    given = await kari.send(
        f"{ONE}/access?scope={NAME}", {"consumer": f"{TESTETATEN[:3]} {TESTETATEN[3:]}"}, page=here
    )
    assert T["done_access_given"] in given.text and "Testetaten" in given.text
    assert (await asked(site, client))[0] == 200
    assert T["accesses_one"] in (await kari.get(SCOPES)).text
    theirs = (await kari.get(f"/console/selfservice/{TESTETATEN}/scopes")).text
    assert f"<code>{NAME}</code>" in theirs and T["state_APPROVED"] in theirs
    remove = f"{ONE}/access/remove?scope={NAME}"
    question = await kari.get(f"{remove}&consumer={TESTETATEN}")
    assert "Slette tilgangen for Testetaten?" in question.text
    taken = await kari.http.post(remove, data=hidden(question) | {"consumer": TESTETATEN})
    assert T["done_access_taken"] in taken.text and T["no_accesses"] in taken.text
    assert await asked(site, client) == (403, "MP-250")
    rows = await site.world.database.fetch(
        "select action from audit_event where action like 'scope.%' order by id"
    )
    assert [row["action"] for row in rows] == ["scope.created", "scope.granted", "scope.withdrawn"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"subscope": ""}, "fault_scope_subscope"),
        ({"subscope": "Store/Bokstaver"}, "fault_scope_subscope"),
        ({"subscope": "a" * 256}, "fault_scope_subscope"),
        ({"prefix": "altinn"}, "fault_scope_prefix"),
        ({"prefix": "../x"}, "fault_scope_prefix"),
        ({"at_max_age": "et døgn"}, "fault_scope_at_max_age"),
        ({"at_max_age": "86401"}, "fault_scope_at_max_age"),
        ({"description": "x" * 256}, "fault_scope_description"),
        ({"long_description": "x" * 4001}, "fault_scope_long_description"),
    ],
)
async def test_a_wrong_scope_is_refused_and_what_was_written_stays(
    kari: Browser, changes: dict[str, str], fault: str
) -> None:
    answer = await kari.send(f"{SCOPES}/new", WISH | {"long_description": "Står igjen"} | changes)
    assert answer.status_code == 400 and T[fault] in answer.text
    assert "Står igjen" in answer.text or "long_description" in changes
    assert T["no_scopes"] in (await kari.get(SCOPES)).text


async def test_a_name_serves_once(kari: Browser) -> None:
    await make(kari)
    again = await kari.send(f"{SCOPES}/new", WISH)
    assert again.status_code == 400 and T["fault_scope_taken"] in again.text
    gone = await kari.send(f"{ONE}/deactivate?scope={NAME}", {})
    assert T["done_scope_deactivated"] in gone.text and T["no_scopes"] in gone.text
    assert T["inactive"] in (await kari.get(SCOPES, params={"inactive": "true"})).text
    again = await kari.send(f"{SCOPES}/new", WISH)
    assert again.status_code == 400 and T["fault_scope_taken"] in again.text
    shown = (await kari.get(ONE, params={"scope": NAME})).text
    assert T["scope_inactive_hint"] in shown and "/one/edit" not in shown


async def test_two_edit_one_scope_and_the_later_sees_both_versions(site: Site, kari: Browser) -> None:
    await make(kari)
    edit = f"{ONE}/edit?scope={NAME}"
    shown = hidden(await kari.get(edit))
    async with site.browser() as other:
        await other.log_in()
        theirs = await other.send(edit, {"description": "Deres", "visibility": "PRIVATE"})
        assert T["done_scope_saved"] in theirs.text
    mine = {"description": "Min", "visibility": "PUBLIC", "at_max_age": "30"}
    conflict = await kari.http.post(edit, data=shown | mine)
    assert conflict.status_code == 409
    for text in (T["conflict"], "Deres", "Min", T["visibility_PRIVATE"]):
        assert text in conflict.text
    page = (await kari.get(ONE, params={"scope": NAME})).text
    assert "Deres" in page and "Min" not in page.replace("Mine API", ""), "nothing was overwritten"
    saved = await kari.http.post(edit, data=hidden(conflict) | mine)
    assert saved.status_code == 200 and "Min" in saved.text and "30 sekunder" in saved.text
    for version in ("", "0", "x", "9" * 30):
        answer = await kari.http.post(edit, data=hidden(conflict) | mine | {"version": version})
        assert answer.status_code == 409


async def test_what_the_form_does_not_show_stays(site: Site, kari: Browser) -> None:
    edit = f"/console/selfservice/{DIGDIR}/scopes/one/edit?scope=altinn:portal/enduser"
    page = await kari.get(edit)
    await kari.http.post(edit, data=hidden(page) | {"description": "Ny", "visibility": "PUBLIC"})
    row = await site.world.database.fetchrow("select * from scope where name = 'altinn:portal/enduser'")
    assert row["description"] == "Ny" and '"ansattporten"' in row["attributes"]
    assert '"requires_user_authentication": true' in row["attributes"]


@pytest.mark.parametrize("number", ["", "12345678", "abcdefghi", "١٢٣٤٥٦٧٨٩"])
async def test_a_wrong_number_gets_no_access(kari: Browser, number: str) -> None:
    await make(kari)
    answer = await kari.send(f"{ONE}/access?scope={NAME}", {"consumer": number}, page=f"{ONE}?scope={NAME}")
    assert answer.status_code == 400 and T["fault_scope_consumer_orgno"] in answer.text
    assert T["no_accesses"] in answer.text


async def test_scopes_and_delegations_of_others_are_not_found(site: Site, kari: Browser) -> None:
    await make(kari)
    await site.member(OLA, "Ola", TESTETATEN)
    async with site.browser() as ola:
        await ola.log_in(OLA)
        assert (await ola.get(SCOPES)).status_code == 404
        assert (await ola.get(f"{HOME}/delegations")).status_code == 404
        # In an organisation of one's own, another's scope is as unknown as one that never was.
        own = f"/console/selfservice/{TESTETATEN}/scopes"
        fields = hidden(await ola.get(f"{own}/new"))
        theirs = await ola.get(f"{own}/one", params={"scope": NAME})
        never = await ola.get(f"{own}/one", params={"scope": "testetaten:nei"})
        assert theirs.status_code == never.status_code == 404 and heading(theirs) == heading(never)
        for act, data in (
            ("/edit", {"description": "x"}),
            ("/deactivate", {}),
            ("/access", {"consumer": TESTETATEN}),
            ("/access/remove", {"consumer": TESTETATEN}),
        ):
            answer = await ola.http.post(f"{own}/one{act}", params={"scope": NAME}, data=fields | data)
            assert answer.status_code == 404
        for name in ("", "x" * 400, "a\0b", "' or 1=1"):
            assert (await ola.get(f"{own}/one", params={"scope": name})).status_code == 404


async def test_attack_forms_without_the_sessions_token_do_nothing(site: Site, kari: Browser) -> None:
    await make(kari)
    client = await kari.create()
    for path, data in (
        (f"{SCOPES}/new", WISH | {"subscope": "annet"}),
        (f"{ONE}/access?scope={NAME}", {"consumer": TESTETATEN}),
        (f"{ONE}/deactivate?scope={NAME}", {}),
        (f"{HOME}/delegations", {"supplier": TESTETATEN, "scope": CREATE_SCOPE}),
        (f"{LIST}/{client}/onbehalfof", {"name": "kunde", "orgno": TESTETATEN}),
        ("/console/operations/prefixes", {"prefix": "nytt", "holder": TESTKOMMUNE}),
    ):
        assert (await kari.http.post(path, data=data)).status_code == 403
        cross = await kari.http.post(path, data=data, headers={"sec-fetch-site": "same-site"})
        assert cross.status_code == 403
    listed = (await kari.get(SCOPES)).text
    assert "annet" not in listed and T["accesses_none"] in listed


async def test_attack_78_markup_in_a_scope_is_text(kari: Browser) -> None:
    await make(kari, description="<script>alert(1)</script>", long_description='"><img src=x onerror=y>')
    for path in (SCOPES, f"{ONE}?scope={NAME}", f"{ONE}/edit?scope={NAME}"):
        page = (await kari.get(path)).text
        assert "<script>alert" not in page and "<img src=x" not in page


async def test_a_delegation_made_in_the_portal_gives_the_supplier_tokens(site: Site, kari: Browser) -> None:
    await make(kari)
    await kari.send(f"{ONE}/access?scope={NAME}", {"consumer": TESTKOMMUNE}, page=f"{ONE}?scope={NAME}")
    client = await site.world.new_client(TESTETATEN, key="other", scopes=(NAME,))
    assert await asked(site, client, consumer_org=TESTKOMMUNE) == (403, "MP-251")
    page = f"{HOME}/delegations"
    made = await kari.send(page, {"supplier": TESTETATEN, "scope": NAME})
    assert T["done_delegated"] in made.text and "Testetaten" in made.text
    assert (await asked(site, client, consumer_org=TESTKOMMUNE))[0] == 200
    received = (await kari.get(f"/console/selfservice/{TESTETATEN}/delegations")).text
    assert "Testkommune" in received and NAME in received
    ended = await kari.send(f"{page}/end", {"supplier": TESTETATEN, "scope": NAME}, page=page)
    assert T["done_delegation_ended"] in ended.text
    assert await asked(site, client, consumer_org=TESTKOMMUNE) == (403, "MP-251")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"supplier": TESTKOMMUNE}, "fault_supplier"),
        ({"supplier": "999999999"}, "fault_supplier"),
        ({"supplier": ""}, "fault_supplier"),
        ({"scope": "altinn:notifications.support.admin"}, "fault_delegable"),
        ({"scope": "nobody:knows"}, "fault_delegable"),
    ],
)
async def test_a_wrong_delegation_is_refused(kari: Browser, changes: dict[str, str], fault: str) -> None:
    answer = await kari.send(f"{HOME}/delegations", {"supplier": TESTETATEN, "scope": CREATE_SCOPE} | changes)
    assert answer.status_code == 400 and T[fault] in answer.text


async def test_customers_of_an_integration(site: Site, kari: Browser) -> None:
    client = await kari.create()
    page = f"{LIST}/{client}"
    added = await kari.send(f"{page}/onbehalfof", {"name": "kunde-1", "orgno": TESTETATEN}, page=page)
    assert T["done_sub_added"] in added.text and "<code>kunde-1</code>" in added.text
    fields = hidden(added)
    for data, fault in (
        ({"name": "kunde-1", "orgno": TESTETATEN}, "fault_sub_taken"),
        ({"name": "kunde 2", "orgno": TESTETATEN}, "fault_sub_name"),
        ({"name": "kunde-2", "orgno": "123"}, "fault_sub_number"),
    ):
        answer = await kari.http.post(f"{page}/onbehalfof", data=fields | data)
        assert answer.status_code in {400, 409} and T[fault] in answer.text
        assert f'value="{data["name"]}"' in answer.text
    gone = await kari.http.post(f"{page}/onbehalfof/remove", data=fields | {"name": "kunde-1"})
    assert T["done_sub_removed"] in gone.text and T["subs_none"] in gone.text
    again = await kari.http.post(f"{page}/onbehalfof/remove", data=fields | {"name": "kunde-1"})
    assert again.status_code == 200


async def test_an_operator_hands_out_prefixes_once(site: Site, kari: Browser) -> None:
    await site.world.database.execute("delete from prefix where owner = $1", TESTKOMMUNE)
    assert T["no_prefix_hint"] in (await kari.get(SCOPES)).text
    home = "/console/operations"
    done = await kari.send(f"{home}/prefixes", {"prefix": "kommunen", "holder": TESTKOMMUNE}, page=home)
    assert T["ops_done_prefix"] in done.text and "<code>kommunen</code>" in done.text
    assert "<option>kommunen</option>" in (await kari.get(f"{SCOPES}/new")).text.replace(" selected", "")
    for data in (
        {"prefix": "kommunen", "holder": TESTETATEN},
        {"prefix": "To Ord", "holder": TESTKOMMUNE},
        {"prefix": "fritt", "holder": "999999999"},
    ):
        answer = await kari.send(f"{home}/prefixes", data, page=home)
        assert answer.status_code == 400 and T["ops_fault_prefix"] in answer.text


async def test_many_who_create_one_scope_make_one(kari: Browser) -> None:
    fields = hidden(await kari.get(f"{SCOPES}/new"))
    answers = await asyncio.gather(*(kari.http.post(f"{SCOPES}/new", data=fields | WISH) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]


async def test_seeded_scopes_are_described_in_the_readers_language(site: Site, kari: Browser) -> None:
    new = f"{LIST}/new"
    names = {f"{prefix}:{subscope}" for prefix, subscope, _, _ in SEEDED}
    assert NORWEGIAN.keys() == names
    for language, text in (("nb", "Bestille og følge varsler"), ("en", "Order and follow notifications")):
        assert f">{text}</p>" in (await kari.get(new, params={"lang": language})).text
    # What an owner has written stands as it is.
    await site.world.database.execute(
        "update scope set description = 'Order things' where name = $1", CREATE_SCOPE
    )
    assert ">Order things</p>" in (await kari.get(new, params={"lang": "nb"})).text
