"""Logging in as a synthetic person, and what comes of it (docs/reference/identity.md 5.5, 5.6, 7)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.support.identity import BASE, World, b64, compact, payload_of, rsa_key, self_service
from varsel.identity.encoding import sha256

PID = "17849012320"
CALLBACK = "https://app.example.org/callback"
VERIFIER = "v" * 50
CHALLENGE = b64(sha256(VERIFIER))


async def person_client(world: World, **changes: Any) -> tuple[str, str]:
    """A confidential client: (id, secret)."""
    call = await self_service(world)
    body = {
        "integration_type": "idporten",
        "client_name": "portal",
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": ["https://app.example.org/out"],
        "scopes": ["altinn:instances.read"],
    } | changes
    made = await call("POST", "/clients", body)
    assert made.status_code == 200, made.text
    client = made.json()["client_id"]
    return client, (await call("POST", f"/clients/{client}/secret")).json()["client_secret"]


def query(client: str, **changes: Any) -> dict[str, str]:
    found = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": CALLBACK,
        "scope": "openid altinn:instances.read",
        "state": "state-1",
        "nonce": "nonce-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "acr_values": "idporten-loa-high",
    } | changes
    return {name: value for name, value in found.items() if value is not None}


async def log_in(world: World, params: dict[str, str], pid: str = PID) -> httpx2.Response:
    page = await world.http.get("/idporten/authorize", params=params)
    assert page.status_code == 200, page.text
    handle = re.search(r'name="handle" value="([^"]+)"', page.text)
    assert handle is not None
    return await world.http.post("/idporten/login", data={"handle": handle[1], "pid": pid})


async def code_of(world: World, params: dict[str, str]) -> str:
    answer = await log_in(world, params)
    assert answer.status_code == 303, answer.text
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["state-1"] and back["iss"] == [BASE + "/idporten"]
    return back["code"][0]


async def redeem(world: World, client: str, secret: str, code: str, **changes: Any) -> httpx2.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    } | changes
    return await world.http.post("/idporten/token", data=form, auth=(client, secret))


async def test_from_login_to_an_altinn_token(world: World) -> None:
    client, secret = await person_client(world)
    answer = await redeem(world, client, secret, await code_of(world, query(client)))
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    identity, access = payload_of(tokens["id_token"]), payload_of(tokens["access_token"])
    assert identity["nonce"] == "nonce-1" and identity["aud"] == client and identity["pid"] == PID
    assert identity["acr"] == "idporten-loa-high" and identity["amr"] == ["TestID"] and identity["sub"] != PID
    assert access["scope"] == "openid altinn:instances.read" and "aud" not in access
    user = await world.http.get(
        "/idporten/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}
    )
    assert user.json()["pid"] == PID

    exchanged = await world.exchange(tokens["access_token"], "ID-porten")
    altinn = payload_of(exchanged.text)
    assert altinn["urn:altinn:authlevel"] == 4 and altinn["exp"] == access["exp"]
    assert altinn["urn:altinn:authenticatemethod"] == "TestID" and altinn["pid"] == PID
    assert not {"sub", "aud", "urn:altinn:org", "urn:altinn:orgNumber"} & altinn.keys()
    # The id token is no access token, and a person's token is nothing for the other provider name.
    assert (await world.exchange(tokens["id_token"], "id-porten")).status_code == 401
    assert (await world.exchange(tokens["access_token"])).status_code == 401


async def test_exchange_needs_an_altinn_scope(world: World) -> None:
    client, secret = await person_client(world)
    tokens = (await redeem(world, client, secret, await code_of(world, query(client, scope="openid")))).json()
    answer = await world.exchange(tokens["access_token"], "id-porten")
    assert answer.status_code == 403 and answer.content == b""


async def test_pushed_requests(world: World) -> None:
    client, secret = await person_client(world)
    pushed = await world.http.post("/idporten/par", data=query(client), auth=(client, secret))
    assert pushed.status_code == 201 and pushed.json()["expires_in"] == 120
    uri = pushed.json()["request_uri"]
    assert uri.startswith("urn:idporten:")
    code = await code_of(world, {"client_id": client, "request_uri": uri})
    assert (await redeem(world, client, secret, code)).status_code == 200
    again = await world.http.get("/idporten/authorize", params={"client_id": client, "request_uri": uri})
    assert again.status_code == 400


async def test_a_refusal_of_a_pushed_request_reaches_the_client(world: World) -> None:
    """The address stands in what was pushed, not in the query."""
    client, secret = await person_client(world)
    asked = query(client, prompt="none", response_mode="fragment")
    pushed = await world.http.post("/idporten/par", data=asked, auth=(client, secret))
    assert pushed.status_code == 201, pushed.text
    params = {"client_id": client, "request_uri": pushed.json()["request_uri"]}
    answer = await world.http.get("/idporten/authorize", params=params)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(CALLBACK + "#error=login_required")


async def test_private_key_jwt_is_used_once(world: World) -> None:
    client, _ = await person_client(world, token_endpoint_auth_method="private_key_jwt")
    call = await self_service(world)
    from tests.support.identity import jwk

    await call("POST", f"/clients/{client}/jwks", [jwk(rsa_key())])
    claims = {
        "iss": client,
        "sub": client,
        "aud": BASE + "/idporten",
        "iat": world.now,
        "exp": world.now + 60,
        "jti": "1",
    }
    assertion = compact({"alg": "RS256", "kid": "k1"}, claims, rsa_key())
    proof = {
        "client_id": client,
        "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    form = {
        "grant_type": "authorization_code",
        "code": await code_of(world, query(client)),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    answer = await world.http.post("/idporten/token", data=form | proof)
    assert answer.status_code == 200, answer.text
    again = await world.http.post("/idporten/token", data=form | proof)
    assert again.status_code == 401 and again.json()["error"] == "invalid_client"


async def test_single_sign_on_and_logout(world: World) -> None:
    client, secret = await person_client(world)
    first = await redeem(world, client, secret, await code_of(world, query(client)))
    straight = await world.http.get("/idporten/authorize", params=query(client))
    assert straight.status_code == 303 and "code=" in straight.headers["location"]
    forced = await world.http.get("/idporten/authorize", params=query(client, prompt="login"))
    assert forced.status_code == 200
    params = {
        "id_token_hint": first.json()["id_token"],
        "post_logout_redirect_uri": "https://app.example.org/out",
        "state": "s",
    }
    out = await world.http.get("/idporten/logout", params=params)
    assert out.status_code == 303 and out.headers["location"] == "https://app.example.org/out?state=s"
    assert (await world.http.get("/idporten/authorize", params=query(client))).status_code == 200
    silent = await world.http.get("/idporten/authorize", params=query(client, prompt="none"))
    assert "error=login_required" in silent.headers["location"]


async def test_altinn_cookie_login(world: World) -> None:
    start = await world.http.get("/authentication/api/v1/authentication", params={"goto": BASE + "/app?x=1"})
    assert start.status_code == 302 and start.headers["location"].startswith(BASE + "/idporten/authorize?")
    params = {name: values[0] for name, values in parse_qs(urlsplit(start.headers["location"]).query).items()}
    back = await log_in(world, params)
    done = await world.http.get(back.headers["location"])
    assert done.status_code == 302 and done.headers["location"] == BASE + "/app?x=1"
    cookies = {cookie.split("=")[0]: cookie for cookie in done.headers.get_list("set-cookie")}
    assert "HttpOnly" in cookies["AltinnStudioRuntime"] and "SameSite=lax" in cookies["AltinnStudioRuntime"]
    claims = payload_of(cookies["AltinnStudioRuntime"].split("=", 1)[1].split(";")[0])
    assert claims["urn:altinn:authlevel"] == 3 and claims["sub"].startswith("urn:altinn:party:uuid:")
    again = await world.http.get("/authentication/api/v1/authentication", params={"goto": BASE + "/two"})
    assert again.headers["location"] == BASE + "/two"
    higher = await world.http.get(
        "/authentication/api/v1/authentication",
        params={"goto": BASE + "/two", "acr_values": "idporten-loa-high"},
    )
    assert higher.headers["location"].startswith(BASE + "/idporten/authorize?")
    refreshed = await world.http.get("/authentication/api/v1/refresh")
    assert refreshed.status_code == 200 and refreshed.headers.get_list("set-cookie")
    out = await world.http.get("/authentication/api/v1/logout")
    assert out.status_code == 302
    assert (await world.http.get("/authentication/api/v1/refresh")).status_code == 401


async def test_refresh_of_altinn_tokens(world: World) -> None:
    machine = await world.altinn_token()
    path = "/authentication/api/v1/refresh"
    assert (await world.http.get(path, headers={"Authorization": f"Bearer {machine}"})).status_code == 401
    person = (await world.http.get("/dev/tokens/GetPersonalToken")).text
    began = payload_of(person)["iat"]
    refreshes = 0
    while True:
        world.clock.advance(timedelta(minutes=29))
        answer = await world.http.get(path, headers={"Authorization": f"Bearer {person}"})
        if answer.status_code == 401:
            break
        person = answer.text
        assert payload_of(person)["exp"] <= began + 12 * 3600
        refreshes += 1
    assert refreshes == 24


async def test_introspection(world: World) -> None:
    path = "/authentication/api/v1/introspection"
    token = await world.altinn_token()
    assert (await world.http.post(path, data={"token": token})).json()["active"] is True
    assert (await world.http.post(path, data={"token": "rubbish"})).json() == {"active": False}
    assert (await world.http.post(path, data={})).status_code == 400


@pytest.mark.parametrize("path", ["/idporten/.well-known/openid-configuration", "/idporten/authorize"])
async def test_no_built_in_provider_outside_a_sandbox(database: Any, tmp_path: Any, path: str) -> None:
    from tests.support.identity import close_world, open_world

    world = await open_world(database, tmp_path, sandbox=False)
    assert (await world.http.get(path)).status_code == 404
    await close_world(world)


async def test_tokeninfo_tells_clients_that_may_ask(world: World) -> None:
    client, secret = await person_client(world)
    token = (await redeem(world, client, secret, await code_of(world, query(client)))).json()["access_token"]
    path = "/idporten/tokeninfo"
    refused = await world.http.post(path, data={"token": token}, auth=(client, secret))
    assert refused.status_code == 403
    await world.database.execute(
        "insert into scope_access (scope, consumer, state) values ($1, '991825827', 'APPROVED')",
        "idporten:token.introspection",
    )
    asker, its_secret = await person_client(world, scopes=["idporten:token.introspection"])
    told = await world.http.post(path, data={"token": token}, auth=(asker, its_secret))
    assert told.status_code == 200 and told.headers["cache-control"] == "no-store"
    assert told.json()["active"] is True and told.json()["pid"] == PID and told.json()["client_id"] == client
    for other in ("rubbish", token[:-4] + "AAAA", await world.altinn_token()):
        answer = await world.http.post(path, data={"token": other}, auth=(asker, its_secret))
        assert answer.json() == {"active": False}
    world.clock.advance(timedelta(minutes=11))
    answer = await world.http.post(path, data={"token": token}, auth=(asker, its_secret))
    assert answer.json() == {"active": False}
    assert (await world.http.post(path, data={"token": token})).status_code == 401


async def test_failed_logins_are_forgotten_after_a_quarter_of_an_hour(world: World) -> None:
    client, _ = await person_client(world)
    for _ in range(3):
        for _ in range(4):
            assert (await log_in(world, query(client), pid="12345678901")).status_code == 400
        world.clock.advance(timedelta(minutes=15))
    for _ in range(5):
        answer = await log_in(world, query(client), pid="12345678901")
    assert answer.status_code == 400
    assert (await log_in(world, query(client))).status_code == 429, "locked by five within it"
    world.clock.advance(timedelta(minutes=15))
    assert (await log_in(world, query(client))).status_code == 303
