"""Altinn's own authorize and token for registered clients (docs/reference/identity.md 7.4)."""

from __future__ import annotations

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
