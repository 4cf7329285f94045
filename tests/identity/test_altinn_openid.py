"""Altinn's own authorize and token for registered clients (docs/reference/identity.md 7.4)."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.identity.test_idporten import CALLBACK, PID, code_of, log_in, person_client, query, redeem
from tests.support.identity import BASE, World, payload_of

AUTHORIZE = "/authentication/api/v1/authorize"
TOKEN = "/authentication/api/v1/token"
ISSUER = BASE + "/authentication/api/v1/openid/"


async def altinn_code(world: World, client: str, **changes: Any) -> str:
    """From the client's request through the login to the code."""
    start = await world.http.get(AUTHORIZE, params=query(client, **changes))
    assert start.status_code == 302, start.text
    target = start.headers["location"]
    if target.startswith(BASE + "/idporten/authorize?"):
        params = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        page = await log_in(world, params)
        back = await world.http.get(page.headers["location"])
        assert back.headers["location"].startswith(BASE + AUTHORIZE + "?")
        target = (await world.http.get(back.headers["location"])).headers["location"]
    found = parse_qs(urlsplit(target).query)
    assert target.startswith(CALLBACK + "?") and found["state"] == ["state-1"] and found["iss"] == [ISSUER]
    return found["code"][0]


async def altinn_tokens(
    world: World, client: str, secret: str, path: str = TOKEN, **form: str
) -> httpx2.Response:
    return await world.http.post(path, data=form, auth=(client, secret))


def with_code(code: str, **changes: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": "v" * 50,
    } | changes  # fmt: skip


@pytest.mark.parametrize("slash", ["", "/"])
async def test_from_the_clients_request_to_its_tokens(world: World, slash: str) -> None:
    client, secret = await person_client(world)
    answer = await altinn_tokens(
        world, client, secret, TOKEN + slash, **with_code(await altinn_code(world, client))
    )
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    told = answer.json()
    access, identity = payload_of(told["access_token"]), payload_of(told["id_token"])
    assert access["iss"] == identity["iss"] == ISSUER
    assert access["exp"] - access["iat"] == 600 and told["expires_in"] == 599
    assert access["urn:altinn:authlevel"] == 4 and access["acr"] == "idporten-loa-high"
    assert access["sub"] == f"urn:altinn:party:uuid:{access['urn:altinn:party:uuid']}" == identity["sub"]
    assert access["scope"] == "openid altinn:instances.read" and access["client_id"] == client
    assert identity["aud"] == client and identity["nonce"] == "nonce-1" and identity["pid"] == PID
    # It is an Altinn token like any other; the ID token is none, because it is for somebody else.
    refreshed = "/authentication/api/v1/refresh"
    bearer = {"Authorization": f"Bearer {told['access_token']}"}
    world.http.cookies.clear()
    assert (await world.http.get(refreshed, headers=bearer)).status_code == 200
    bearer = {"Authorization": f"Bearer {told['id_token']}"}
    assert (await world.http.get(refreshed, headers=bearer)).status_code == 401


async def test_a_session_that_is_good_enough_gives_a_code_at_once(world: World) -> None:
    client, _ = await person_client(world)
    await altinn_code(world, client, acr_values="idporten-loa-substantial")
    again = await world.http.get(AUTHORIZE, params=query(client, acr_values="idporten-loa-substantial"))
    assert again.headers["location"].startswith(CALLBACK + "?code=")
    for changes in ({"acr_values": "idporten-loa-high"}, {"prompt": "login"}):
        higher = await world.http.get(AUTHORIZE, params=query(client, **changes))
        assert higher.headers["location"].startswith(BASE + "/idporten/authorize?")
    silent = await world.http.get(AUTHORIZE, params=query(client, prompt="none"))
    assert "error=login_required" in silent.headers["location"]


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": None},
        {"client_id": "nobody"},
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
    ],
    ids=["redirect", "no-redirect", "client", "no-pkce", "plain"],
)
async def test_faults_before_the_address_is_trusted_are_told_here(
    world: World, changes: dict[str, Any]
) -> None:
    client, _ = await person_client(world)
    answer = await world.http.get(AUTHORIZE, params=query(client, **changes))
    assert answer.status_code == 400 and "location" not in answer.headers
    assert "frame-ancestors" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"state": None}, "invalid_request"),
        ({"nonce": None}, "invalid_request"),
        ({"scope": "altinn:instances.read"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
async def test_other_faults_go_back_to_the_client(world: World, changes: dict[str, Any], error: str) -> None:
    client, _ = await person_client(world)
    answer = await world.http.get(AUTHORIZE, params=query(client, **changes))
    assert answer.status_code == 302 and f"error={error}" in answer.headers["location"]


async def test_a_code_serves_once_and_only_here(world: World) -> None:
    client, secret = await person_client(world)
    code = await altinn_code(world, client)
    elsewhere = await redeem(world, client, secret, code)
    assert elsewhere.status_code == 400, "a code of Altinn's is unknown at ID-porten"
    told = (await altinn_tokens(world, client, secret, **with_code(code))).json()
    again = await altinn_tokens(world, client, secret, **with_code(code))
    assert again.status_code == 400 and again.json()["error"] == "invalid_grant"
    late = await altinn_tokens(
        world, client, secret, grant_type="refresh_token", refresh_token=told["refresh_token"]
    )
    assert late.status_code == 400, "and what came of it is dead"
    world.http.cookies.clear()
    theirs = await code_of(world, query(client))
    assert (await altinn_tokens(world, client, secret, **with_code(theirs))).status_code == 400


async def test_refresh_rotates_for_twelve_hours(world: World) -> None:
    client, secret = await person_client(world)
    told = (await altinn_tokens(world, client, secret, **with_code(await altinn_code(world, client)))).json()
    refreshes = 0
    while True:
        world.clock.advance(timedelta(minutes=29))
        answer = await altinn_tokens(
            world, client, secret, grant_type="refresh_token", refresh_token=told["refresh_token"]
        )
        if answer.status_code != 200:
            break
        assert answer.json()["refresh_token"] != told["refresh_token"]
        told = answer.json()
        refreshes += 1
    assert refreshes == 24 and answer.json()["error"] == "invalid_grant"


async def test_who_is_no_client_gets_nothing(world: World) -> None:
    client, _ = await person_client(world)
    code = await altinn_code(world, client)
    wrong = await altinn_tokens(world, client, "wrong", **with_code(code))
    assert wrong.status_code == 401 and wrong.json()["error"] == "invalid_client"
    for form in ({"grant_type": "password"}, with_code(code), with_code(code, client_id=client)):
        answer = await world.http.post(TOKEN, data=form)
        assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"


FORM = r'<form method="post" action="([^"]+)">(.*?)<button'
FIELD = r'name="([^"]+)" value="([^"]*)"'


def form_of(answer: httpx2.Response) -> tuple[str, dict[str, str]]:
    """Where the page's form goes, and its fields."""
    found = re.search(FORM, answer.text)
    assert answer.status_code == 200 and found is not None, answer.text
    return html.unescape(found[1]), {
        name: html.unescape(value) for name, value in re.findall(FIELD, found[2])
    }


@pytest.mark.parametrize("at_altinn", [True, False], ids=["altinn", "idporten"])
async def test_the_answer_comes_as_a_form_or_in_the_fragment(world: World, at_altinn: bool) -> None:
    client, secret = await person_client(world)
    path, issuer = (AUTHORIZE, ISSUER) if at_altinn else ("/idporten/authorize", BASE + "/idporten")
    await altinn_code(world, client)  # logged in at both from here on
    posted = await world.http.get(path, params=query(client, response_mode="form_post", state='a"&<b>'))
    action, fields = form_of(posted)
    assert action == CALLBACK and fields["state"] == 'a"&<b>' and fields["iss"] == issuer
    # The one script there is, and no rule that keeps the form, or what comes of it, from leaving.
    policy = posted.headers["content-security-policy"]
    script = re.search("<script>(.*?)</script>", posted.text)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "form-action" not in policy
    assert "frame-ancestors 'none'" in policy and posted.headers["cache-control"] == "no-store"
    told = await (altinn_tokens if at_altinn else id_tokens)(
        world, client, secret, **with_code(fields["code"])
    )
    assert told.status_code == 200, told.text

    moved = await world.http.get(path, params=query(client, response_mode="fragment"))
    target = urlsplit(moved.headers["location"])
    assert target.query == "" and moved.headers["location"].startswith(CALLBACK + "#")
    found = {name: values[0] for name, values in parse_qs(target.fragment).items()}
    assert found["state"] == "state-1" and found["iss"] == issuer
    told = await (altinn_tokens if at_altinn else id_tokens)(
        world, client, secret, **with_code(found["code"])
    )
    assert told.status_code == 200, told.text


async def id_tokens(world: World, client: str, secret: str, **form: str) -> httpx2.Response:
    return await altinn_tokens(world, client, secret, "/idporten/token", **form)


@pytest.mark.parametrize("path", [AUTHORIZE, "/idporten/authorize"])
async def test_a_refusal_takes_the_way_that_was_asked_for(world: World, path: str) -> None:
    client, _ = await person_client(world)
    wrong = {"scope": "altinn:instances.read"}
    action, fields = form_of(
        await world.http.get(path, params=query(client, response_mode="form_post", **wrong))
    )
    assert action == CALLBACK and fields["error"] == "invalid_scope" and fields["state"] == "state-1"
    nobody = await world.http.get(path, params=query(client, response_mode="fragment", prompt="none"))
    assert nobody.headers["location"].startswith(CALLBACK + "#error=login_required")
    unknown = await world.http.get(path, params=query(client, response_mode="web_message"))
    assert unknown.headers["location"].startswith(CALLBACK + "?error=invalid_request")


async def test_a_form_after_the_login_page(world: World) -> None:
    client, secret = await person_client(world)
    action, fields = form_of(await log_in(world, query(client, response_mode="form_post")))
    assert action == CALLBACK
    assert (await id_tokens(world, client, secret, **with_code(fields["code"]))).status_code == 200


async def test_parties_stand_in_cookies_that_scripts_read_and_nobody_trusts(world: World) -> None:
    client, _ = await person_client(world)
    await altinn_code(world, client)
    done = await world.http.get("/authentication/api/v1/authentication", params={"goto": BASE + "/app"})
    cookies = {cookie.split("=")[0]: cookie for cookie in done.headers.get_list("set-cookie")}
    claims = payload_of(value_of(cookies["AltinnStudioRuntime"]))
    assert value_of(cookies["AltinnPartyId"]) == str(claims["urn:altinn:partyid"])
    assert value_of(cookies["AltinnPartyUuid"]) == claims["urn:altinn:party:uuid"]
    for name in ("AltinnPartyId", "AltinnPartyUuid"):
        assert "httponly" not in cookies[name].lower() and "Path=/" in cookies[name]
    planted = {"AltinnPartyId": "1", "AltinnPartyUuid": "7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11"}
    token = value_of(cookies["AltinnStudioRuntime"])
    sent = "; ".join(f"{name}={value}" for name, value in ({"AltinnStudioRuntime": token} | planted).items())
    world.http.cookies.clear()
    refreshed = await world.http.get("/authentication/api/v1/refresh", headers={"Cookie": sent})
    assert payload_of(refreshed.text)["urn:altinn:partyid"] == claims["urn:altinn:partyid"]
    out = await world.http.get("/authentication/api/v1/logout")
    gone = {cookie.split("=")[0] for cookie in out.headers.get_list("set-cookie") if "Max-Age=0" in cookie}
    assert {"AltinnPartyId", "AltinnPartyUuid", "AltinnStudioRuntime", "AS-XSRF-TOKEN"} <= gone


def value_of(cookie: str) -> str:
    return cookie.split("=", 1)[1].split(";", maxsplit=1)[0]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_logout_ends_every_session_and_goes_back_to_the_client(world: World, slash: str) -> None:
    client, secret = await person_client(world)
    told = (await altinn_tokens(world, client, secret, **with_code(await altinn_code(world, client)))).json()
    session = payload_of(told["id_token"])["sid"]
    console = await world.room.sessions.begin("console", PID, {"sid": session, "iss": BASE + "/idporten"})
    where = {
        "id_token_hint": told["id_token"],
        "post_logout_redirect_uri": "https://app.example.org/out",
        "state": "s",
    }
    away = await world.http.get("/authentication/api/v1/openid/logout" + slash, params=where)
    assert away.status_code == 302 and away.headers["location"].startswith(BASE + "/idporten/logout?")
    at_provider = await world.http.get(away.headers["location"])
    back = at_provider.headers["location"]
    assert back == BASE + "/authentication/api/v1/logout/handleloggedout"
    done = await world.http.get(back)
    assert done.headers["location"] == "https://app.example.org/out?state=s"
    # Nobody is logged in any more: here, at the provider, in the console.
    silent = await world.http.get(AUTHORIZE, params=query(client, prompt="none"))
    assert "error=login_required" in silent.headers["location"]
    silent = await world.http.get("/idporten/authorize", params=query(client, prompt="none"))
    assert "error=login_required" in silent.headers["location"]
    assert await world.room.sessions.find("console", console) is None
    assert (await world.http.get(back)).headers["location"] == BASE, "the way back serves once"


@pytest.mark.parametrize(
    "params",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": "https://app.example.org/out/more"},
        {"client_id": None, "post_logout_redirect_uri": "https://app.example.org/out"},
    ],
    ids=["foreign", "longer", "no-client"],
)
async def test_logout_leads_nowhere_else(world: World, params: dict[str, str]) -> None:
    client, _ = await person_client(world)
    asked = {name: value for name, value in ({"client_id": client} | params).items() if value is not None}
    answer = await world.http.get("/authentication/api/v1/openid/logout", params=asked)
    assert answer.status_code == 302 and answer.headers["location"] == BASE
    planted = {"Cookie": "AltinnLogoutInfo=https://evil.example/"}
    answer = await world.http.get("/authentication/api/v1/logout/handleloggedout", headers=planted)
    assert answer.headers["location"] == BASE


async def test_logout_for_a_client_that_does_not_exist_is_told_here(world: World) -> None:
    answer = await world.http.get("/authentication/api/v1/openid/logout", params={
        "client_id": "nobody", "post_logout_redirect_uri": "https://evil.example/",
    })  # fmt: skip
    assert answer.status_code == 400 and "location" not in answer.headers
