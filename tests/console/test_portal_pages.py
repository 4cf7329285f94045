"""Self-service from outside: integrations, scopes, keys, and the attacks on these pages (docs/reference/identity.md 3.2, 10.5)."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.console.visiting import (
    DIGDIR,
    LIST,
    OLA,
    PLACE,
    TESTKOMMUNE,
    Browser,
    Site,
    hidden,
    private_key,
    public_key,
)
from varsel.console.portal_texts import ENGLISH, NORWEGIAN
from varsel.identity.registry import CREATE_SCOPE

WRITE = "altinn:serviceowner/instances.write"


async def actions(site: Site) -> list[str]:
    rows = await site.world.database.fetch(
        "select action from audit_event where actor like '________________________________%' and action not like 'login%' and action not like 'token%' order by id"
    )
    return [row["action"] for row in rows]


async def test_the_way_of_the_public_guides(site: Site, kari: Browser) -> None:
    """Selvbetjening → Integrasjoner → Ny integrasjon → Opprett → Egne public nøkler → Legg til, then a token."""
    home = await kari.get("/console/selfservice")
    for label in ("Selvbetjening", "Integrasjoner", "Ver2", "Produksjon"):
        assert label in home.text
    listed = await kari.get(LIST)
    assert "Ny integrasjon" in listed.text
    new = await kari.get(f"{LIST}/new")
    for label in ("Legg til scopes", "Navn på integrasjonen", "Beskrivelse", "Opprett"):
        assert label in new.text
    client_id = await kari.create("acme-varsel", description="Sender varsler", scope=[CREATE_SCOPE, WRITE])
    page = await kari.get(f"{LIST}/{client_id}")
    for label in ("Integrasjonens identifikator", "Egne public nøkler", client_id, "Sender varsler", WRITE):
        assert label in page.text
    pasted = "[" + json.dumps(public_key(), indent=2) + "]"
    added = await kari.send(f"{LIST}/{client_id}/keys", {"keys": pasted}, page=f"{LIST}/{client_id}")
    assert NORWEGIAN["done_key_added"] in added.text
    assert "acme-2026-07" in added.text
    assert "15. juli 2027" in added.text, "a key lives a year"
    token = await site.world.maskinporten_token(iss=client_id, header={"alg": "RS256", "kid": "acme-2026-07"})
    assert token
    assert await actions(site) == ["console.login", "client.created", "keys.added"]


async def test_in_english(site: Site) -> None:
    async with site.browser("en") as browser:
        await browser.log_in()
        new = await browser.get(f"{LIST}/new")
        for word in ("new_integration", "add_scopes", "client_name", "description", "create"):
            assert ENGLISH[word] in new.text


async def test_the_scopes_of_the_organisation_are_offered_and_the_needed_one_is_ticked(
    kari: Browser,
) -> None:
    page = (await kari.get(f"{LIST}/new")).text
    ticked = re.findall(r'value="([^"]+)" id="[a-z]+-\d+" checked', page)
    assert ticked == [CREATE_SCOPE]
    assert "altinn:portal/enduser" not in page, "a person's scope"
    assert "altinn:notifications.support.admin" not in page, "not given to this organisation"


async def test_a_scope_that_was_not_given_is_refused(kari: Browser) -> None:
    forged = {"client_name": "x", "scope": ["altinn:notifications.support.admin"]}
    answer = await kari.send(f"{LIST}/new", forged)
    assert answer.status_code == 400
    assert "Virksomheten har ikke tilgang til altinn:notifications.support.admin" in answer.text
    assert NORWEGIAN["no_integrations"] in (await kari.get(LIST)).text


@pytest.mark.parametrize("name", ["", "   ", "x" * 256, "a\0b"])
async def test_a_name_is_needed_and_what_was_written_stays(kari: Browser, name: str) -> None:
    answer = await kari.send(f"{LIST}/new", {"client_name": name, "description": "Står igjen"})
    assert answer.status_code == 400
    assert NORWEGIAN["fault_client_name"] in answer.text
    assert "Står igjen" in answer.text


async def test_scopes_are_added_and_removed_without_losing_what_others_did(site: Site, kari: Browser) -> None:
    client_id = await kari.create(scope=[CREATE_SCOPE])
    page = await kari.get(f"{LIST}/{client_id}")
    async with site.browser() as other:
        await other.log_in()
        await other.send(
            f"{LIST}/{client_id}/scopes", {"scope": "altinn:serviceowner"}, page=f"{LIST}/{client_id}"
        )
    done = await kari.http.post(f"{LIST}/{client_id}/scopes", data={**hidden(page), "scope": WRITE})
    for scope in (CREATE_SCOPE, "altinn:serviceowner", WRITE):
        assert f"<code>{scope}</code>" in done.text
    less = await kari.send(f"{LIST}/{client_id}/scopes", {"remove": CREATE_SCOPE}, page=f"{LIST}/{client_id}")
    assert f"<code>{CREATE_SCOPE}</code>" not in less.text
    assert f"<code>{WRITE}</code>" in less.text


async def test_many_who_add_scopes_at_once_all_succeed(site: Site, kari: Browser) -> None:
    client_id = await kari.create()
    fields = hidden(await kari.get(f"{LIST}/{client_id}"))
    wanted = [CREATE_SCOPE, WRITE, "altinn:serviceowner", "altinn:serviceowner/instances.read"]
    answers = await asyncio.gather(
        *(kari.http.post(f"{LIST}/{client_id}/scopes", data={**fields, "scope": scope}) for scope in wanted)
    )
    assert {answer.status_code for answer in answers} == {200}
    page = (await kari.get(f"{LIST}/{client_id}")).text
    assert all(f"<code>{scope}</code>" in page for scope in wanted)


async def test_two_edit_and_the_later_sees_both_versions(site: Site, kari: Browser) -> None:
    client_id = await kari.create("acme", description="Først")
    edit = f"{LIST}/{client_id}/edit"
    shown = hidden(await kari.get(edit))
    async with site.browser() as other:
        await other.log_in()
        await other.send(edit, {"client_name": "acme to", "description": "Deres"})
    mine = {"client_name": "acme tre", "description": "Min"}
    conflict = await kari.http.post(edit, data={**shown, **mine})
    assert conflict.status_code == 409
    for text in (NORWEGIAN["conflict"], "acme to", "Deres", "acme tre", "Min"):
        assert text in conflict.text
    page = (await kari.get(f"{LIST}/{client_id}")).text
    assert "acme to" in page
    assert "acme tre" not in page, "nothing was overwritten"
    saved = await kari.http.post(edit, data={**hidden(conflict), **mine})
    assert saved.status_code == 200
    assert "acme tre" in saved.text


@pytest.mark.parametrize("version", ["", "0", "x", "-1", "9" * 30])
async def test_a_save_without_a_version_is_a_conflict(kari: Browser, version: str) -> None:
    client_id = await kari.create()
    answer = await kari.send(
        f"{LIST}/{client_id}/edit", {"client_name": "y", "description": "", "version": version}
    )
    assert answer.status_code == 409


async def test_a_deactivated_integration_is_shown_on_request_and_cannot_be_changed(
    site: Site, kari: Browser
) -> None:
    client_id = await kari.create("gammel")
    page = f"{LIST}/{client_id}"
    fields = hidden(await kari.get(page))
    assert "Deaktivere gammel?" in (await kari.get(f"{page}/deactivate")).text
    listed = await kari.send(f"{page}/deactivate", {})
    assert NORWEGIAN["done_deactivated"] in listed.text
    assert client_id not in listed.text
    assert client_id in (await kari.get(f"{LIST}?inactive=true")).text
    shown = (await kari.get(page)).text
    assert NORWEGIAN["deactivated_hint"] in shown
    assert f"{page}/edit" not in shown
    scope = await kari.http.post(f"{page}/scopes", data={**fields, "scope": WRITE})
    assert scope.status_code == 409
    assert NORWEGIAN["fault_inactive"] in scope.text
    key = await kari.http.post(f"{page}/keys", data={**fields, "keys": json.dumps(public_key())})
    assert key.status_code == 400


async def test_environments_are_worlds_apart(kari: Browser) -> None:
    client_id = await kari.create("test-klient")
    production = f"/console/selfservice/{TESTKOMMUNE}/production/integrations"
    page = (await kari.get(production)).text
    assert "test-klient" not in page
    assert "Denne installasjonen gir token til integrasjoner i Ver2" in page
    assert (await kari.get(f"{production}/{client_id}")).status_code == 404


# Keys


async def paste(browser: Browser, client_id: str, text: str, **fields: str) -> Any:
    page = f"{LIST}/{client_id}"
    return await browser.send(f"{page}/keys", {"keys": text, **fields}, page=page)


async def test_a_private_key_is_dropped_and_its_owner_told(
    site: Site, kari: Browser, capfd: pytest.CaptureFixture[str]
) -> None:
    client_id = await kari.create()
    secret = private_key()
    answer = await paste(kari, client_id, json.dumps([secret]))
    assert answer.status_code == 400
    assert NORWEGIAN["private_title"] in answer.text
    assert "Lag en ny nøkkel" in answer.text
    assert (
        ENGLISH["private_text"]
        in (
            await kari.http.post(
                f"{LIST}/{client_id}/keys?lang=en", data={**hidden(answer), "keys": json.dumps(secret)}
            )
        ).text
    )
    dump = json.dumps(
        [
            dict(row)
            for table in ("audit_event", "client_key", "client")
            for row in await site.world.database.fetch(f"select t::text as row from {table} t")
        ]
    )
    said = "".join(capfd.readouterr())
    for member in ("d", "p", "q", "dp", "dq", "qi", "n"):
        for place in (answer.text, dump, said):
            if member != "n" or place is not dump:
                assert secret[member][:40] not in place
    assert "private key pasted" in said


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"kty": "EC"}, "key_bad_kty"),
        ({"use": None}, "key_bad_use"),
        ({"use": "enc"}, "key_bad_use"),
        ({"alg": None}, "key_bad_alg"),
        ({"alg": "none"}, "key_bad_alg"),
        ({"alg": "HS256"}, "key_bad_alg"),
        ({"kid": None}, "key_bad_kid"),
        ({"kid": "a b"}, "key_bad_kid"),
        ({"n": "AQAB"}, "key_bad_n"),
        ({"e": "Aw"}, "key_bad_e"),
        ({"x5c": ["x"]}, "key_bad_x5c"),
        ({"exp": 1}, "key_bad_exp"),
    ],
)
async def test_a_wrong_key_is_explained_and_comes_back_for_correction(
    kari: Browser, members: dict[str, Any], text: str
) -> None:
    client_id = await kari.create()
    answer = await paste(kari, client_id, json.dumps([public_key(**members)]))
    assert answer.status_code == 400
    assert NORWEGIAN[text] in answer.text
    assert "&#34;kty&#34;" in answer.text, "what was pasted stands in the box"
    assert NORWEGIAN["keys_none"] in answer.text


async def test_at_most_five_keys_and_all_of_a_paste_or_nothing(kari: Browser) -> None:
    client_id = await kari.create()
    two = [public_key("a", "one"), public_key("b", "two")]
    assert (await paste(kari, client_id, json.dumps(two))).status_code == 200
    more = [public_key(kid, kid) for kid in ("c", "d", "e", "f")]
    refused = await paste(kari, client_id, json.dumps(more))
    assert refused.status_code == 400
    assert NORWEGIAN["key_bad_keys"] in refused.text
    page = (await kari.get(f"{LIST}/{client_id}")).text
    assert len(re.findall(r"<code>[a-f]</code>", page)) == 2


async def test_another_key_under_a_registered_name_does_not_push_it_out(kari: Browser) -> None:
    client_id = await kari.create()
    await paste(kari, client_id, json.dumps(public_key("k", "one")))
    refused = await paste(kari, client_id, json.dumps(public_key("k", "two")))
    assert refused.status_code == 400
    assert NORWEGIAN["key_taken"].format("k") in refused.text
    again = await paste(kari, client_id, json.dumps(public_key("k", "one")))
    assert again.status_code == 200, "the same key again is renewed"


async def test_the_end_of_a_key_is_pointed_out(site: Site, kari: Browser) -> None:
    client_id = await kari.create()
    page = f"{LIST}/{client_id}"
    await paste(kari, client_id, json.dumps(public_key()))
    for days, text in (
        (334, None),
        (336, "Utløper om 29 dager"),
        (360, "Utløper om 5 dager"),
        (366, "Utløpt"),
    ):
        site.clock.advance(timedelta(days=days) - (site.clock.now() - site_start(site)))
        await kari.log_in()
        shown = (await kari.get(page)).text
        if text is None:
            assert "Utløper om" not in shown
        else:
            assert text in shown
    assert 'data-color="danger" data-size="sm">Utløpt' in (await kari.get(LIST)).text


def site_start(site: Site) -> Any:
    from tests.support.identity import START

    return START


async def test_a_key_is_removed_after_a_question(site: Site, kari: Browser) -> None:
    client_id = await kari.create()
    page = f"{LIST}/{client_id}"
    await paste(kari, client_id, json.dumps([public_key("a", "one"), public_key("b", "two")]))
    asked = await kari.get(f"{page}/keys/remove?kid=a")
    assert "Fjerne nøkkelen a?" in asked.text
    removed = await kari.send(f"{page}/keys/remove", {"kid": "a"}, page=f"{page}/keys/remove?kid=a")
    assert "<code>a</code>" not in removed.text
    assert "<code>b</code>" in removed.text
    twice = await kari.http.post(f"{page}/keys/remove", data={**hidden(asked), "kid": "a"})
    assert twice.status_code == 200, "it is gone, as it should be"
    assert (await kari.get(f"{page}/keys/remove?kid=a")).status_code == 404


async def test_the_key_page_registers_with_one_request(kari: Browser) -> None:
    client_id = await kari.create("Åpen sak")
    page = await kari.get(f"{PLACE}/jwk?integration={client_id}")
    assert 'value="apen-sak-2026-07-15"' in page.text
    fields = {"csrf": re.findall(r'data-csrf="([^"]+)"', page.text)[0], "keys": json.dumps([public_key()])}
    headers = {"accept": "application/json"}
    url = f"{LIST}/{client_id}/keys"
    assert (await kari.http.post(url, data=fields, headers=headers)).json() == {"name": "Åpen sak"}
    secret = fields | {"keys": json.dumps([private_key("other")])}
    refused = await kari.http.post(url, data=secret, headers=headers)
    assert refused.status_code == 400
    assert refused.json() == {"message": NORWEGIAN["private_text"]}


async def test_no_field_for_a_private_key_can_be_sent(kari: Browser) -> None:
    client_id = await kari.create()
    page = (await kari.get(f"{PLACE}/jwk?integration={client_id}")).text
    body = page[page.index("<main") :]
    assert "<form" not in body
    for field in re.findall(r"<(?:textarea|input|select)[^>]*>", body):
        assert " name=" not in field, field
    assert "varsel jwk new" in body, "the way without WebCrypto"


async def test_the_key_page_without_integrations_says_so(kari: Browser) -> None:
    assert NORWEGIAN["jwk_no_integration"] in (await kari.get(f"{PLACE}/jwk")).text
    assert (await kari.get(f"{PLACE}/jwk?integration=%00")).status_code == 200


# Attacks


async def test_pages_behind_the_login_lead_to_it(site: Site) -> None:
    async with site.browser() as stranger:
        for path in (LIST, f"{LIST}/new", f"{LIST}/{uuid4()}", f"{PLACE}/jwk", "/console/selfservice"):
            assert (await stranger.get(path)).url.path == "/console/login"
        for path in (f"{LIST}/new", f"{LIST}/{uuid4()}/keys", f"{LIST}/{uuid4()}/deactivate"):
            sent = await stranger.http.post(path, data={"csrf": ""}, follow_redirects=False)
            assert sent.headers["location"] == "/console/login"


async def test_somebody_elses_integration_does_not_exist(site: Site, kari: Browser) -> None:
    mine = await kari.create()
    foreign = str(await site.world.new_client(DIGDIR))
    await site.member(OLA, "Ola Prøve", DIGDIR)
    async with site.browser() as ola:
        await ola.log_in(OLA)
        csrf = hidden(await ola.get(f"/console/selfservice/{DIGDIR}/test/integrations/{foreign}"))
        for place in (LIST, f"/console/selfservice/{DIGDIR}/test/integrations"):
            page = f"{place}/{mine}"
            for path in (page, f"{page}/edit", f"{page}/deactivate", f"{page}/keys/remove?kid=a"):
                assert (await ola.get(path)).status_code == 404
            for path in ("edit", "scopes", "keys", "keys/remove", "deactivate"):
                sent = await ola.http.post(f"{page}/{path}", data={**csrf, "client_name": "x"})
                assert sent.status_code == 404
    assert (await kari.get(f"{LIST}/{mine}")).status_code == 200


@pytest.mark.parametrize("token", [None, "", "0" * 64])
async def test_a_form_without_the_sessions_token_does_nothing(kari: Browser, token: str | None) -> None:
    client_id = await kari.create("uendret")
    page = f"{LIST}/{client_id}"
    fields = {
        "client_name": "endret",
        "scope": WRITE,
        "keys": json.dumps(public_key()),
        "kid": "a",
        "version": "1",
    }
    if token is not None:
        fields["csrf"] = token
    for path in (
        f"{LIST}/new",
        f"{page}/edit",
        f"{page}/scopes",
        f"{page}/keys",
        f"{page}/keys/remove",
        f"{page}/deactivate",
    ):
        sent = await kari.http.post(path, data=fields)
        assert sent.status_code == 403
        assert NORWEGIAN["expired"] in sent.text
    shown = (await kari.get(page)).text
    assert "uendret" in shown
    assert WRITE not in re.findall(r"<code>([^<]+)</code>", shown)


async def test_another_sessions_token_does_nothing(site: Site, kari: Browser) -> None:
    client_id = await kari.create()
    async with site.browser() as other:
        await other.log_in()
        foreign = hidden(await other.get(f"{LIST}/{client_id}"))
    sent = await kari.http.post(f"{LIST}/{client_id}/deactivate", data=foreign)
    assert sent.status_code == 403


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        (
            {"sec-fetch-site": "cross-site", "content-type": "application/x-www-form-urlencoded"},
            b"client_name=x",
            403,
        ),
        (
            {"origin": "https://evil.example", "content-type": "application/x-www-form-urlencoded"},
            b"client_name=x",
            403,
        ),
        (
            {"sec-fetch-site": "same-site", "content-type": "application/x-www-form-urlencoded"},
            b"client_name=x",
            403,
        ),
        ({"content-type": "text/plain"}, b"client_name=x", 403),
        ({"content-type": "application/json"}, b"{}", 403),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x--", 403),
        ({"content-type": "application/x-www-form-urlencoded"}, b"csrf=" + b"x" * 200_000, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, b"&".join(b"a=1" for _ in range(300)), 403),
        ({"content-type": "application/x-www-form-urlencoded"}, b"\xff\xfe", 403),
    ],
)
async def test_what_is_no_form_of_ours_does_nothing(
    kari: Browser, headers: dict[str, str], content: bytes, status: int
) -> None:
    sent = await kari.http.post(f"{LIST}/new", content=content, headers=headers)
    assert sent.status_code == status
    assert NORWEGIAN["no_integrations"] in (await kari.get(LIST)).text


async def test_attack_77_pages_with_keys_cannot_be_framed_sniffed_or_kept(kari: Browser) -> None:
    client_id = await kari.create()
    for path in ("/console/login", "/console/selfservice", LIST, f"{LIST}/{client_id}", f"{PLACE}/jwk"):
        answer = await kari.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"


EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


async def test_attack_78_names_of_integrations_are_shown_and_never_run(site: Site, kari: Browser) -> None:
    await site.world.database.execute("update scope set description = $1", EVIL)
    client_id = await kari.create(EVIL, description=EVIL, scope=[CREATE_SCOPE])
    page = f"{LIST}/{client_id}"
    await site.world.database.execute(
        "insert into client_key (client_id, kid, jwk, thumbprint, expires_at) values ($1, $2, $3::jsonb, '\\x00', '2027-01-01')",
        client_id,
        EVIL,
        json.dumps(public_key(EVIL)),
    )
    await site.world.database.execute("update person set name = $1", EVIL)
    await site.world.database.execute("update organisation set name = $1", EVIL)
    conflict = await kari.send(f"{page}/edit", {"client_name": EVIL, "description": EVIL, "version": "0"})
    answers = [conflict]
    for path in (
        LIST,
        page,
        f"{LIST}/new",
        f"{page}/edit",
        f"{page}/deactivate",
        f"{PLACE}/jwk?integration={client_id}",
    ):
        answers.append(await kari.get(path))
    answers.append(await kari.get(f"{page}/keys/remove", params={"kid": EVIL}))
    for answer in answers:
        assert answer.status_code in (200, 409)
        assert "alert(1)" in answer.text, "it is shown"
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "&lt;script&gt;alert" in answer.text


async def test_odd_addresses_are_not_found(kari: Browser) -> None:
    for path in (
        "/console/selfservice/999999999/test/integrations",
        f"/console/selfservice/{TESTKOMMUNE}/staging/integrations",
        f"/console/selfservice/{TESTKOMMUNE}/test/integrations/not-a-uuid",
        f"{LIST}/{uuid4()}",
        "/console/selfservice/%00/test/integrations",
    ):
        answer = await kari.get(path)
        assert answer.status_code == 404, path
        assert NORWEGIAN["log_out"] in answer.text, "the reader is still logged in"
