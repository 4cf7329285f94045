"""Attacks on logins: docs/reference/identity.md 10.5, lines 66 to 79, each by its number.

Lines 77 to 79 are also tested where pages and the guarded client are.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from tests.identity.test_idporten import CALLBACK, PID, code_of, log_in, person_client, query, redeem
from tests.support.identity import BASE, self_service
from tests.support.running import Endpoints, RunningWorld, an_order, close_running, open_beside, open_running
from varsel.identity.altinn.goto import safe_target
from varsel.identity.idporten.rules import at_least
from varsel.identity.login import LoginRefused
from varsel.identity.room import CONSOLE_CLIENT

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def world(shared_world: RunningWorld) -> RunningWorld:
    """The shared room with another browser, a quarter of an hour later: no login is locked any more."""
    shared_world.http.cookies.clear()
    shared_world.clock.advance(timedelta(minutes=16))
    return shared_world


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def production(shared_world: RunningWorld) -> AsyncIterator[Endpoints]:
    """The same installation as production sees it: no sandbox, addresses outside only."""
    opened = await open_running(
        shared_world.database, shared_world.folder, sandbox=False, client_environment="production"
    )
    opened.client_id = await opened.new_client(environment="production")
    endpoints = Endpoints(opened)
    yield endpoints
    await endpoints.http.aclose()
    await close_running(opened)


GOTO = "/authentication/api/v1/authentication"


@pytest.mark.parametrize(
    "goto",
    [
        "https://varsel.test/",
        "//evil.example",
        "https://evil.example",
        "http://varsel.test.evil.example/",
        "http://evilvarsel.test/",
        "http://varsel.test@evil.example/",
        "http://evil.example\\@varsel.test/",
        "http://varsel.test/\t",
        "http://varsel.test/\r\nSet-Cookie: x=1",
        "http://varsel。test/",
        "javascript:alert(1)",
        "http://varsel.test:81/",
        "http:varsel.test",
        "/relative",
        "",
    ],
)
async def test_066_open_redirect(world: RunningWorld, goto: str) -> None:
    assert safe_target(goto, BASE) is None
    done = await world.http.get(GOTO, params={"goto": goto})
    assert done.status_code == 302 and done.headers["location"] == BASE


async def test_066_subdomains_are_our_own() -> None:
    assert safe_target("http://ttd.apps.varsel.test/x", BASE) == "http://ttd.apps.varsel.test/x"


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.org/call",
        CALLBACK + "/more",
        CALLBACK + "?x=1",
        "https://app.example.org:8443/callback",
        "https://APP.example.org/callback",
        CALLBACK + "#x",
        "https://app.example.org.evil.example/callback",
        None,
    ],
)
async def test_067_redirect_uri(world: RunningWorld, uri: str | None) -> None:
    client, _ = await person_client(world)
    answer = await world.http.get("/idporten/authorize", params=query(client, redirect_uri=uri))
    assert answer.status_code == 400 and "location" not in answer.headers


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
        {"code_challenge": "x" * 44},
    ],
    ids=["missing", "plain", "no-method", "short", "long"],
)
async def test_068_without_pkce(world: RunningWorld, changes: dict[str, Any]) -> None:
    client, _ = await person_client(world)
    assert (await world.http.get("/idporten/authorize", params=query(client, **changes))).status_code == 400


@pytest.mark.parametrize("verifier", ["v" * 42, "v" * 129, "w" * 50, ""])
async def test_068_wrong_verifiers(world: RunningWorld, verifier: str) -> None:
    client, secret = await person_client(world)
    code = await code_of(world, query(client))
    answer = await redeem(world, client, secret, code, code_verifier=verifier)
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"
    assert (await redeem(world, client, secret, code)).status_code == 400, "a code has one try"


async def test_069_code_twice_ends_the_first_tokens(world: RunningWorld) -> None:
    client, secret = await person_client(world)
    code = await code_of(world, query(client))
    tokens = (await redeem(world, client, secret, code)).json()
    assert (await world.exchange(tokens["access_token"], "id-porten")).status_code == 200
    assert (await redeem(world, client, secret, code)).json()["error"] == "invalid_grant"
    assert (await world.exchange(tokens["access_token"], "id-porten")).status_code == 401
    refreshed = await world.http.post(
        "/idporten/token",
        data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]},
        auth=(client, secret),
    )
    assert refreshed.json()["error"] == "invalid_grant"


async def test_069_code_of_another_client_and_late(world: RunningWorld) -> None:
    client, secret = await person_client(world)
    other, other_secret = await person_client(world)
    stolen = await code_of(world, query(client))
    assert (await redeem(world, other, other_secret, stolen)).json()["error"] == "invalid_grant"
    late = await code_of(world, query(client, prompt="login"))
    world.clock.advance(timedelta(seconds=121))
    assert (await redeem(world, client, secret, late)).json()["error"] == "invalid_grant"


async def _begun(world: RunningWorld) -> tuple[Any, str, dict[str, list[str]]]:
    """A login flow of the console with the provider's right answer to it: (flow, cookie, query)."""
    flow = world.room.login_flow(CONSOLE_CLIENT, BASE + "/console/callback")
    assert flow is not None
    begun = await flow.begin("/console/x")
    back = await log_in(
        world, {k: v[0] for k, v in parse_qs(urlsplit(begun.url).query).items()} | {"prompt": "login"}
    )
    return flow, begun.handle, parse_qs(urlsplit(back.headers["location"]).query)


async def test_070_answers_of_other_logins(world: RunningWorld) -> None:
    flow, handle, answer = await _begun(world)
    for changes in (
        {"state": ["other"]},
        {"iss": ["https://evil.example"]},
        {"code": ["x"]},
        {"error": ["access_denied"]},
        {"state": answer["state"] * 2},
    ):
        flow, handle, answer = await _begun(world)
        with pytest.raises(LoginRefused):
            await flow.finish(answer | changes, handle)
    flow, handle, answer = await _begun(world)
    with pytest.raises(LoginRefused):
        await flow.finish({name: value for name, value in answer.items() if name != "state"}, handle)
    flow, handle, answer = await _begun(world)
    _, other_handle, _ = await _begun(world)
    with pytest.raises(LoginRefused):
        await flow.finish(answer, other_handle)
    flow, handle, answer = await _begun(world)
    person = await flow.finish(answer, handle)
    assert person.pid == PID and person.target == "/console/x"
    with pytest.raises(LoginRefused):
        await flow.finish(answer, handle)


async def test_070_nonce_of_another_login(world: RunningWorld) -> None:
    flow, handle, answer = await _begun(world)
    await world.database.execute(
        "update oidc_transaction set data = jsonb_set(data, '{nonce}', '\"other\"') where kind = 'relying' and used_at is null"
    )
    with pytest.raises(LoginRefused):
        await flow.finish(answer, handle)


async def test_071_session_fixation(world: RunningWorld) -> None:
    client, _ = await person_client(world)
    planted = "planted-session-handle"
    world.http.cookies.set("varsel_idporten", planted, path="/idporten")
    answer = await log_in(world, query(client))
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("varsel_idporten="))
    assert planted not in cookie
    assert await world.room.sessions.find("idporten", planted) is None


async def test_071_the_form_belongs_to_its_browser(world: RunningWorld) -> None:
    client, _ = await person_client(world)
    page = await world.http.get("/idporten/authorize", params=query(client))
    handle = re.search(r'name="handle" value="([^"]+)"', page.text)
    assert handle is not None
    world.http.cookies.clear()
    answer = await world.http.post("/idporten/login", data={"handle": handle[1], "pid": PID})
    assert answer.status_code == 400 and "set-cookie" not in answer.headers


async def _refresh(world: RunningWorld, client: str, secret: str, token: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await world.http.post("/idporten/token", data=form, auth=(client, secret))


async def test_072_refresh_token_twice_and_in_parallel(world: RunningWorld) -> None:
    client, secret = await person_client(world)
    first = (await redeem(world, client, secret, await code_of(world, query(client)))).json()["refresh_token"]
    second = (await _refresh(world, client, secret, first)).json()["refresh_token"]
    assert second != first
    assert (await _refresh(world, client, secret, first)).status_code == 400
    assert (await _refresh(world, client, secret, second)).status_code == 400, "the family is dead"

    code = await code_of(world, query(client, prompt="login"))
    token = (await redeem(world, client, secret, code)).json()["refresh_token"]
    answers = await asyncio.gather(*(_refresh(world, client, secret, token) for _ in range(8)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    for answer in answers:
        if answer.status_code == 200:
            assert (await _refresh(world, client, secret, answer.json()["refresh_token"])).status_code == 400


async def test_072_refresh_ends_with_the_authorization(world: RunningWorld) -> None:
    client, secret = await person_client(world, authorization_lifetime=3600)
    token = (await redeem(world, client, secret, await code_of(world, query(client)))).json()["refresh_token"]
    for _ in range(6):
        world.clock.advance(timedelta(seconds=590))
        token = (await _refresh(world, client, secret, token)).json()["refresh_token"]
    world.clock.advance(timedelta(seconds=590))
    assert (await _refresh(world, client, secret, token)).status_code == 400


async def test_073_levels(world: RunningWorld) -> None:
    client, _ = await person_client(world)
    for acr in ("idporten-loa-unknown", "level0", "idporten-loa-high idporten-loa-unknown"):
        answer = await world.http.get("/idporten/authorize", params=query(client, acr_values=acr))
        assert "error=invalid_request" in answer.headers["location"]
    assert (await world.http.get(GOTO, params={"acr_values": "nonsense"})).status_code == 400
    assert not at_least("idporten-loa-substantial", "idporten-loa-high")
    assert not at_least("idporten-loa-unknown", "idporten-loa-low")
    # A session at a lower level does not do for a higher one.
    await code_of(world, query(client, acr_values="idporten-loa-low"))
    assert (await world.http.get("/idporten/authorize", params=query(client))).status_code == 200


async def test_074_front_channel_logout_of_others(world: RunningWorld) -> None:
    sid = "0b4b7c62-0d3a-4d53-9f4e-5d0a6b0f2e11"
    handle = await world.room.sessions.begin("altinn", PID, {"sid": sid, "iss": BASE + "/idporten"})
    path = "/authentication/api/v1/upstream/frontchannel-logout"
    for params in (
        {"iss": "https://evil.example", "sid": sid},
        {"iss": BASE + "/idporten", "sid": "guess"},
        {"sid": sid},
        {},
    ):
        assert (await world.http.get(path, params=params)).status_code == 200
        assert await world.room.sessions.find("altinn", handle) is not None
    await world.http.get(path, params={"iss": BASE + "/idporten", "sid": sid})
    assert await world.room.sessions.find("altinn", handle) is None


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "https://app.example.org/out/more", "https://app.example.org/OUT"]
)
async def test_075_unregistered_logout_address(world: RunningWorld, target: str) -> None:
    client, _ = await person_client(world)
    params = {"client_id": client, "post_logout_redirect_uri": target}
    answer = await world.http.get("/idporten/logout", params=params)
    assert answer.status_code == 200 and "location" not in answer.headers and "refresh" not in answer.headers


@pytest.mark.parametrize("pid", ["17049012354", "01010112345", "17849012321", "1784901232", "", "' or 1=1"])
async def test_076_real_numbers(world: RunningWorld, pid: str) -> None:
    client, _ = await person_client(world)
    page = await world.http.get("/idporten/authorize", params=query(client))
    handle = re.search(r'name="handle" value="([^"]+)"', page.text)
    assert handle is not None
    answer = await world.http.post("/idporten/login", data={"handle": handle[1], "pid": pid or "x"})
    assert answer.status_code == 400 and "varsel_idporten=" not in str(answer.headers)


async def test_076_five_tries_then_locked(world: RunningWorld) -> None:
    await world.database.execute("delete from login_failure")
    client, _ = await person_client(world)
    for _ in range(5):
        assert (await log_in(world, query(client), "17049012354")).status_code == 400
    assert (await log_in(world, query(client))).status_code == 429
    world.clock.advance(timedelta(minutes=15, seconds=1))
    assert (await log_in(world, query(client))).status_code == 303


async def test_077_page_headers(world: RunningWorld) -> None:
    client, _ = await person_client(world)
    pages = [
        await world.http.get("/idporten/authorize", params=query(client)),
        await world.http.get("/idporten/authorize"),
        await world.http.get("/idporten/logout"),
        await world.http.get("/maskinporten/errors/MP-110"),
        await world.http.get("/dev/tokens/GetEnterpriseToken"),
    ]
    for page in pages:
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert (
            page.headers["x-content-type-options"] == "nosniff"
            and page.headers["cache-control"] == "no-store"
        )


async def test_078_names_are_escaped(world: RunningWorld) -> None:
    await world.database.execute("update person set name = '<script>alert(1)</script>' where pid = $1", PID)
    client, _ = await person_client(world)
    page = await world.http.get("/idporten/authorize", params=query(client))
    assert "<script>" not in page.text and "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    "uri",
    [
        "https://169.254.169.254/x",
        "https://[::1]/x",
        "https://0.0.0.0/x",
        "https://2130706433/x",
        "https://localhost/x",
        "http://app.example.org/x",
        "gopher://app.example.org/x",
        "https://user@app.example.org/x",
        "https://a;frame-src b/x",
    ],
)
async def test_079_addresses_of_integrations(shared_world: RunningWorld, uri: str) -> None:
    world = await open_beside(shared_world, sandbox=False)
    call = await self_service(world)
    for name in ("redirect_uris", "post_logout_redirect_uris", "frontchannel_logout_uri"):
        value = uri if name == "frontchannel_logout_uri" else [uri]
        body = {"integration_type": "idporten", "client_name": "x", "scopes": [], name: value}
        assert (await call("POST", "/clients", body)).status_code == 400, name
    machine = {
        "integration_type": "maskinporten",
        "client_name": "x",
        "scopes": [],
        "jwks_uri": "http://127.0.0.1/x",
    }
    assert (await call("POST", "/clients", machine)).status_code == 400
    await close_running(world)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x",
        "http://0.0.0.0/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "gopher://example.org/x",
        "file:///etc/passwd",
    ],
)
async def test_079_condition_endpoints_in_production(production: Endpoints, address: str) -> None:
    token = await production.world.altinn_token()
    order = json.loads(an_order()) | {"conditionEndpoint": address}
    stored = await production.stored()
    answer = await production.order({"Authorization": f"Bearer {token}"}, content=json.dumps(order))
    assert answer.status_code == 400 and "ConditionEndpoint" in answer.json()["errors"]
    assert await production.stored() == stored
