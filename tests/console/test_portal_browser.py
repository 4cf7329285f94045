"""The public guide's steps in a real browser, from login to a delivered message, in Norwegian and in English; nothing secret leaves
the browser, and axe finds nothing that keeps people out.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import httpx2
import pytest
import pytest_asyncio

from tests.console.driving import Driver, driver
from tests.support.polling import until
from tests.support.varsel import Server, directory, varsel
from varsel.console.texts import TEXTS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running sandbox for the module; each test makes integrations of its own."""
    with directory(tmp_path_factory.mktemp("portal")) as data, Server(Path(data), "--sandbox") as server:
        yield server


@pytest_asyncio.fixture(params=["nb", "en"], loop_scope="session")
async def drive(request: pytest.FixtureRequest, chromium: Any) -> AsyncIterator[Driver]:
    async with driver(chromium, request.param) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def norwegian(chromium: Any) -> AsyncIterator[Driver]:
    async with driver(chromium, "nb") as opened:
        yield opened


async def log_in(drive: Driver, sandbox: Server) -> None:
    t = TEXTS[drive.language]
    await drive.page.goto(f"{sandbox.url}/console")
    await drive.page.get_by_role("link", name=t["login_button"]).click()
    await drive.page.get_by_label("Testperson" if drive.language == "nb" else "Test person").select_option(
        "17849012320"
    )
    await drive.page.get_by_role("button").click()
    await drive.page.get_by_role("heading", level=1, name=t["selfservice"]).wait_for()


async def new_integration(drive: Driver, name: str) -> str:
    """From the start page; the identifier of the integration."""
    t = TEXTS[drive.language]
    page = drive.page
    await page.get_by_role("link", name=f"{t['integrations']}, {t['env_test']}, Testkommune").click()
    await page.get_by_role("link", name=t["new_integration"]).first.click()
    await page.get_by_label(t["client_name"]).fill(name)
    await page.get_by_role("button", name=t["create"]).click()
    return str(await page.get_by_label(t["client_id"], exact=True).input_value())


def arrived(sandbox: Server, to: str) -> list[dict[str, Any]]:
    with sandbox.client() as client:
        return list(client.get("/sandbox/api/messages", params={"channel": "email", "to": to}).json())


async def test_the_guide_from_login_to_a_delivered_message(drive: Driver, sandbox: Server) -> None:
    t = TEXTS[drive.language]
    page = drive.page
    await page.goto(f"{sandbox.url}/console")
    await drive.look("login", guide=True)
    await page.get_by_role("link", name=t["login_button"]).click()
    await drive.look("test-person", guide=True)
    await page.get_by_label("Testperson" if drive.language == "nb" else "Test person").select_option(
        "17849012320"
    )
    await page.get_by_role("button").click()
    await drive.look("self-service", guide=True)
    await page.get_by_role("link", name=f"{t['integrations']}, {t['env_test']}, Testkommune").click()
    await drive.look("integrations", guide=True)

    # Ny integrasjon
    await page.get_by_role("link", name=t["new_integration"]).click()
    await page.get_by_label(t["client_name"]).fill("Saksbehandling")
    await page.get_by_label(t["description"]).fill("Varsler fra saksbehandlingssystemet")
    await page.get_by_label("altinn:serviceowner", exact=True).check()
    await drive.look("new-integration", guide=True)
    await page.get_by_role("button", name=t["create"]).click()
    assert await page.get_by_role("status").first.inner_text() == t["done_created"]
    client_id = await page.get_by_label(t["client_id"], exact=True).input_value()
    here = page.url.partition("?")[0]
    await drive.look("integration", guide=True)

    # The key, made in the browser
    await page.get_by_role("link", name=t["make_key"]).click()
    await drive.look("make-key")
    await page.get_by_role("button", name=t["jwk_generate"]).click()
    await page.get_by_text(t["jwk_made"]).wait_for()
    public = json.loads(await page.get_by_role("textbox", name="Public Key").input_value())
    pair = json.loads(
        await page.get_by_role("textbox", name="Public and Private Keypair").first.input_value()
    )
    encoded = await page.get_by_role("textbox", name="EncodedJwk").first.input_value()
    assert json.loads(base64.b64decode(encoded, validate=True)) == pair
    assert set(public) == {"kty", "use", "alg", "kid", "e", "n"}
    assert set(pair) == set(public) | {"d", "p", "q", "dp", "dq", "qi"}
    await drive.look("key-made", guide=True)

    # The seed's way: [] first, the key between the brackets, Legg til
    await page.goto(here)
    box = page.get_by_label(t["paste"])
    assert await box.input_value() == "[]"
    await box.click()
    await box.press("Home")
    await box.press("ArrowRight")
    await page.keyboard.insert_text(json.dumps(public, indent=2))
    assert json.loads(await box.input_value()) == [public]
    await page.get_by_role("button", name=t["add"], exact=True).click()
    assert await page.get_by_role("status").first.inner_text() == t["done_key_added"]
    assert await page.get_by_role("rowheader", name=public["kid"]).count() == 1
    await drive.look("key-registered", part="#keys-section", guide=True)

    # Prøv den, with the key made before
    await page.get_by_role("link", name=t["make_key"]).click()
    await page.get_by_text(t["own_key"]).click()
    await page.get_by_role("textbox", name=t["own_key_label"]).fill(encoded)
    await page.get_by_role("button", name=t["own_key_use"]).click()
    await page.get_by_text(t["own_key_good"].format(public["kid"])).wait_for()
    await page.get_by_role("button", name=t["try_run"]).click()
    await page.get_by_text(t["try_done"]).wait_for()
    for number in range(1, 6):
        assert await page.get_by_role("heading", name=t[f"try_{number}"]).count() == 1
    assert '"urn:altinn:org": "testkommune"' in await page.locator("#calls").inner_text()
    token = await page.get_by_role("textbox", name=t["try_token"]).input_value()
    await drive.look("token", part="section[aria-labelledby=try-title]", guide=True)

    # An order with it, and the message in the inbox
    address = f"kari.{drive.language}@example.org"
    recipient = {"emailAddress": address, "emailSettings": {"subject": "Vedtak", "body": "Hei Kari"}}
    async with httpx2.AsyncClient(base_url=sandbox.url, trust_env=False) as api:
        answer = await api.post(
            "/notifications/api/v1/future/orders",
            json={"idempotencyId": client_id, "recipient": {"recipientEmail": recipient}},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 201, answer.text
    await until(lambda: arrived(sandbox, address), timeout=60)
    await page.goto(f"{sandbox.url}/console/inbox?to={address}")
    await page.get_by_text("Vedtak").first.click()
    await page.get_by_text("Hei Kari").first.wait_for()
    await drive.look("delivered", guide=True)

    # Nothing of the private half was ever sent
    for request in map(unquote_plus, drive.sent):
        for member in ("d", "p", "q", "dp", "dq", "qi"):
            assert pair[member][:32] not in request
        assert encoded[:64] not in request


async def test_one_click_registers_the_key_just_made(norwegian: Driver, sandbox: Server) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Ett klikk")
    await page.get_by_role("link", name=t["make_key"]).click()
    await page.get_by_role("button", name=t["jwk_register"]).click()
    await page.get_by_text(t["jwk_first_make"]).wait_for()
    await page.get_by_label(t["jwk_size"]).select_option("4096")
    await page.get_by_label(t["key_algorithm"]).select_option("RS512")
    await page.get_by_label(t["key_id"]).fill("ett klikk")
    await page.get_by_role("button", name=t["jwk_generate"]).click()
    await page.get_by_text(t["jwk_bad_kid"]).wait_for()
    await page.get_by_label(t["key_id"]).fill("ett-klikk")
    await page.get_by_role("button", name=t["jwk_generate"]).click()
    await page.get_by_text(t["jwk_made"]).wait_for(timeout=60_000)
    await page.get_by_role("button", name=t["jwk_register"]).click()
    await page.get_by_text(t["jwk_registered"].format("Ett klikk")).wait_for()
    await page.get_by_role("button", name=t["try_run"]).click()
    await page.get_by_text(t["try_done"]).wait_for()
    pair = json.loads(await page.locator("#pair").input_value())
    assert len(base64.urlsafe_b64decode(pair["n"] + "==")) == 512
    for request in map(unquote_plus, norwegian.sent):
        assert all(pair[member][:32] not in request for member in ("d", "p", "q", "dp", "dq", "qi"))


async def test_a_refusal_is_shown_with_its_code_and_help(norwegian: Driver, sandbox: Server) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Uten scope")
    await page.get_by_role("link", name=t["make_key"]).click()
    await page.get_by_role("button", name=t["jwk_generate"]).click()
    await page.get_by_text(t["jwk_made"]).wait_for()
    await page.get_by_role("button", name=t["jwk_register"]).click()
    await page.get_by_text(t["jwk_registered"].format("Uten scope")).wait_for()
    await page.get_by_label(t["try_scope"]).fill("altinn:serviceowner/instances.read")
    await page.get_by_role("button", name=t["try_run"]).click()
    await page.get_by_text(t["try_failed"]).wait_for()
    await norwegian.look("refused")
    link = page.get_by_role("link", name="Forklaring til MP-")
    assert "/maskinporten/errors/MP-" in (await link.get_attribute("href") or "")
    # The browser itself reports the 400 of the call.
    assert all("status of 400" in line for line in norwegian.said)
    norwegian.said.clear()


async def test_a_private_key_pasted_into_the_box_is_refused(norwegian: Driver, sandbox: Server) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Feil nøkkel")
    await page.get_by_label(t["paste"]).fill('[{"kty": "RSA", "d": "hemmelig"}]')
    await page.get_by_role("button", name=t["add"], exact=True).click()
    await page.get_by_text(t["private_title"]).wait_for()
    assert "hemmelig" not in await page.content()
    await norwegian.look("private-key-refused")
    norwegian.said.clear()


async def test_two_people_edit_and_both_versions_are_shown(norwegian: Driver, sandbox: Server) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Delt")
    await page.get_by_role("link", name=t["edit"]).click()
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.get_by_label(t["description"]).fill("Deres forslag")
    await other.get_by_role("button", name=t["save"]).click()
    await other.get_by_text(t["done_saved"]).wait_for()
    await page.get_by_label(t["description"]).fill("Mitt forslag")
    await page.get_by_role("button", name=t["save"]).click()
    await page.get_by_role("heading", name=t["conflict"]).wait_for()
    await norwegian.look("conflict")
    await page.get_by_role("button", name=t["conflict_save"]).click()
    await page.get_by_text("Mitt forslag").wait_for()
    norwegian.said.clear()


async def test_the_copy_button_copies(norwegian: Driver, sandbox: Server) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await log_in(norwegian, sandbox)
    client_id = await new_integration(norwegian, "Kopi")
    await page.get_by_role("button", name=f"{t['copy_this']}: {t['client_id']}").click()
    await page.get_by_text(t["copied"]).first.wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == client_id


async def test_by_keyboard_alone(norwegian: Driver, sandbox: Server) -> None:
    """An integration with a key, and every step reached with Tab."""
    t, page = TEXTS["nb"], norwegian.page
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Tastatur")

    async def tab_to(name: str) -> None:
        for _ in range(60):
            await page.keyboard.press("Tab")
            focused = await page.evaluate("document.activeElement.textContent.trim()")
            if focused == name:
                return
        raise AssertionError(f"{name} is not reached")

    await tab_to(t["make_key"])
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", level=1, name=t["jwk_title"]).wait_for()
    await tab_to(t["jwk_generate"])
    await page.keyboard.press("Enter")
    await page.get_by_text(t["jwk_made"]).wait_for()
    assert await page.evaluate("document.activeElement.id") == "generate", "the focus stays where it was"
    await tab_to(t["jwk_register"])
    await page.keyboard.press("Space")
    await page.get_by_text(t["jwk_registered"].format("Tastatur")).wait_for()


@pytest.mark.parametrize("width", [320, 390])
async def test_a_phone_shows_everything_without_scrolling_sideways(
    norwegian: Driver, sandbox: Server, width: int
) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await page.set_viewport_size({"width": width, "height": 800})
    await log_in(norwegian, sandbox)
    await norwegian.look(f"phone-{width}-start")
    assert await norwegian.over() <= 0
    await new_integration(norwegian, "Etlangtnavnutenmellomrom" * 4)
    here = page.url.partition("?")[0]
    for path in (
        here,
        f"{here}/edit",
        f"{here}/deactivate",
        here.rpartition("/")[0],
        f"{here.rpartition('/')[0]}/new",
    ):
        await page.goto(path)
        assert await norwegian.over() <= 0, path
    await page.goto(here)
    await page.get_by_role("link", name=t["make_key"]).click()
    await page.get_by_role("button", name=t["jwk_generate"]).click()
    await page.get_by_text(t["jwk_made"]).wait_for()
    await page.get_by_role("button", name=t["jwk_register"]).click()
    await page.get_by_text("er registrert på").wait_for()
    await page.get_by_role("button", name=t["try_run"]).click()
    await page.get_by_text(t["try_done"]).wait_for()
    assert await norwegian.over() <= 0
    await norwegian.look(f"phone-{width}-token")
    await page.goto(here)
    assert await norwegian.over() <= 0
    await norwegian.look(f"phone-{width}-integration")


async def test_without_javascript_an_integration_and_a_key_are_made(sandbox: Server, chromium: Any) -> None:
    t = TEXTS["nb"]
    async with driver(chromium, "nb", java_script_enabled=False) as plain:
        await log_in(plain, sandbox)
        await new_integration(plain, "Uten skript")
        file = str(sandbox.data.parent / "uten-skript.json")
        done = await asyncio.to_thread(varsel, "jwk", "new", "uten-skript", "--out", file)
        assert done.returncode == 0, done.stderr
        await plain.page.get_by_label(t["paste"]).fill(done.stdout)
        await plain.page.get_by_role("button", name=t["add"], exact=True).click()
        await plain.page.get_by_text(t["done_key_added"]).wait_for()
        assert await plain.page.get_by_role("button", name=t["copy_this"]).count() == 0
        await plain.page.get_by_role("link", name=t["make_key"]).click()
        told = await plain.page.locator("noscript").inner_text()
        assert t["jwk_noscript"] in told
        assert "varsel jwk new uten-skript-" in told


async def test_where_browsers_have_no_webcrypto_the_page_shows_the_command(
    norwegian: Driver, sandbox: Server
) -> None:
    t, page = TEXTS["nb"], norwegian.page
    await page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Usikker")
    await page.get_by_role("link", name=t["make_key"]).click()
    await page.get_by_text(t["jwk_insecure"]).wait_for()
    assert "varsel jwk new usikker-" in await page.locator("#insecure").inner_text()
    assert not await page.get_by_role("button", name=t["jwk_generate"]).is_visible()
    await norwegian.look("no-webcrypto")


async def test_axe_finds_nothing_serious_on_any_page_and_a_phone_shows_it(
    norwegian: Driver, sandbox: Server
) -> None:
    """Pages that no other test here looks at, in both widths; those of the operator and of the token endpoint too."""
    t, page = TEXTS["nb"], norwegian.page
    await log_in(norwegian, sandbox)
    await new_integration(norwegian, "Tilgjengelig")
    here = page.url.partition("?")[0].removeprefix(sandbox.url)
    place = here.rpartition("/")[0]
    for name, path, status in (
        ("edit", f"{here}/edit", 200),
        ("deactivate", f"{here}/deactivate", 200),
        ("new", f"{place}/new", 200),
        ("inactive", f"{place}?inactive=true", 200),
        ("owners", "/console/operations", 200),
        ("members", "/console/operations/members", 200),
        ("delegations", "/console/operations/delegations", 200),
        ("audit", "/console/operations/audit", 200),
        ("inbox", "/console/inbox", 200),
        ("missing", "/console/nowhere", 404),
        ("help", "/maskinporten/errors/MP-200", 200),
        ("help-without-code", "/maskinporten/errors/unknown-key", 200),
    ):
        answer = await page.goto(sandbox.url + path)
        assert answer.status == status, path
        await norwegian.look(f"axe-{name}")
        await page.set_viewport_size({"width": 320, "height": 700})
        assert await norwegian.over() <= 0, path
        await page.set_viewport_size({"width": 1280, "height": 900})
    # The browser itself reports the 404.
    assert all("404" in line for line in norwegian.said)
    norwegian.said.clear()
    await page.goto(f"{sandbox.url}/console/operations")
    await page.get_by_role("button", name=t["log_out"]).click()
    await page.wait_for_url("**/console/login**")
    await norwegian.look("axe-logged-out")


async def test_a_scope_and_its_consumers_by_keyboard_and_on_a_phone(drive: Driver, sandbox: Server) -> None:
    t, page = TEXTS[drive.language], drive.page
    home = "/console/selfservice/312718286"
    name = f"testkommune:rapporter/lese.{drive.language}"
    await log_in(drive, sandbox)
    await page.goto(f"{sandbox.url}{home}/scopes")
    await drive.look("scopes")
    await page.get_by_role("link", name=t["new_scope"]).focus()
    await page.keyboard.press("Enter")
    await page.get_by_label(t["scope_subscope"], exact=True).focus()
    await page.keyboard.type(name.partition(":")[2])
    await page.keyboard.press("Tab")
    await page.keyboard.type("Rapporter")
    await drive.look("scope-new")
    await page.keyboard.press("Enter")
    await page.get_by_text(t["done_scope_created"]).wait_for()
    await page.get_by_label(t["access_add"], exact=True).focus()
    await page.keyboard.type("12")
    await page.keyboard.press("Enter")
    # The fault leads to the field that it is about. (Chromium writes of every 400 to the console.)
    await page.get_by_role("link", name=t["fault_scope_consumer_orgno"]).focus()
    await drive.look("scope-fault")
    drive.said.clear()
    await page.keyboard.press("Enter")
    await page.get_by_label(t["access_add"], exact=True).fill("311618032")
    await page.keyboard.press("Enter")
    await page.get_by_text(t["done_access_given"]).wait_for()
    await drive.look("scope-access")
    await page.set_viewport_size({"width": 360, "height": 740})
    for path, shot in (
        ("/scopes", "phone-scopes"),
        (f"/scopes/one?scope={name}", "phone-scope"),
        (f"/scopes/one/edit?scope={name}", "phone-scope-edit"),
        (f"/scopes/one/access/remove?scope={name}&consumer=311618032", "phone-access-remove"),
        ("/delegations", "phone-delegations"),
    ):
        await page.goto(sandbox.url + home + path)
        assert await drive.over() == 0, path
        await drive.look(shot)
