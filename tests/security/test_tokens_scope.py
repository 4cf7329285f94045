"""Attacks on scope and tenant: docs/reference/identity.md 10.3, lines 39 to 50, each by its number."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.security.forging import right_claims, right_key
from tests.security.shared import api, world
from tests.support.identity import CREATE_SCOPE, compact, jwk, payload_of, rsa_key, self_service
from tests.support.running import Endpoints, RunningWorld, close_running, open_running

__all__ = ["api", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

KOMMUNE = "312718286"


async def test_039_scope_not_on_the_client(world: RunningWorld) -> None:
    answer = await world.token_request(world.grant(scope="altinn:serviceowner/instances.read"))
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_scope"
    assert answer.json()["error_uri"].endswith("MP-200")
    assert "altinn:serviceowner/instances.read" in answer.json()["error_description"]


async def test_039_scope_not_granted_and_withdrawn(world: RunningWorld) -> None:
    scope = "altinn:serviceowner/instances.read"
    client = await world.new_client(KOMMUNE, scopes=(scope,), key="other")
    answer = await world.token_request(world.grant(iss=client, scope=scope, key="other"))
    assert answer.status_code == 403 and answer.json()["error"] == "forbidden"
    assert answer.json()["error_uri"].endswith("MP-250") and scope in answer.json()["error_description"]
    # Granted, then taken back by its owner: refused at once.
    owner = await self_service(world, scopes=("idporten:scopes.write",))
    await owner("PUT", f"/scopes/access/{KOMMUNE}", params={"scope": scope})
    assert (await world.token_request(world.grant(iss=client, scope=scope, key="other"))).status_code == 200
    await owner("DELETE", f"/scopes/access/{KOMMUNE}", params={"scope": scope})
    assert (await world.token_request(world.grant(iss=client, scope=scope, key="other"))).status_code == 403


@pytest.mark.parametrize(
    "scope",
    [
        "",
        " ",
        f"{CREATE_SCOPE}\t{CREATE_SCOPE}",
        " ".join(f"a:{number}" for number in range(1000)),
        f"{CREATE_SCOPE} {CREATE_SCOPE}",
        CREATE_SCOPE.upper(),
        CREATE_SCOPE + " ",
        [CREATE_SCOPE],
        ...,
    ],
    ids=["empty", "space", "tab", "thousand", "twice", "upper", "trailing", "array", "null"],
)
async def test_040_scope_texts(world: RunningWorld, scope: Any) -> None:
    answer = await world.token_request(world.grant(scope=scope))
    assert answer.status_code == 400


async def token_with(world: RunningWorld, **changes: Any) -> str:
    key, header = right_key(world, "N")
    claims = {name: value for name, value in (right_claims(world, "N") | changes).items() if value is not ...}
    return compact(header, claims, key)


@pytest.mark.parametrize(
    "scope",
    [
        CREATE_SCOPE + "X",
        "x" + CREATE_SCOPE,
        "altinn:serviceowner/notifications",
        CREATE_SCOPE.upper(),
        CREATE_SCOPE + ",",
    ],
)
async def test_041_scopes_that_only_look_right(world: RunningWorld, api: Endpoints, scope: str) -> None:
    assert await api.status(await token_with(world, scope=scope)) == 403
    assert await api.status(await token_with(world, scope=f"openid  {CREATE_SCOPE}")) == 201


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": [CREATE_SCOPE]},
        {"scope": ..., "scp": CREATE_SCOPE},
        {"scope": ..., "urn:altinn:scope": CREATE_SCOPE},
        {"scope": 1},
    ],
    ids=["array", "scp", "altinn-scope", "number"],
)
async def test_042_scope_elsewhere(world: RunningWorld, api: Endpoints, claims: dict[str, Any]) -> None:
    assert await api.status(await token_with(world, **claims)) == 403


async def test_043_only_the_general_scope(world: RunningWorld, api: Endpoints) -> None:
    assert await api.status(await token_with(world, scope="altinn:serviceowner")) == 403


async def test_044_organisation_that_is_no_service_owner(world: RunningWorld, api: Endpoints) -> None:
    await world.database.execute("insert into organisation (number, name) values ('310000019', '')")
    await world.database.execute(
        "insert into scope_access (scope, consumer, state) values ($1, '310000019', 'APPROVED')", CREATE_SCOPE
    )
    client = await world.new_client("310000019", key="other")
    token = (await world.exchange(await world.maskinporten_token(iss=client, key="other"))).text
    assert "urn:altinn:org" not in payload_of(token)
    # Let in without a creator: the endpoint's own 403 comes after validation (docs/reference/notifications-api.md 1.6, stage 6).
    stored = await api.stored()
    assert await api.status(token) == 403
    assert api.last.creator is None and await api.stored() == stored


@pytest.mark.parametrize("scope", ["altinn:serviceownerfoo", "xaltinn:serviceowner", "altinn:serviceowner.x"])
async def test_045_code_only_for_the_scope_itself(world: RunningWorld, scope: str) -> None:
    key, header = right_key(world, "X")
    claims = right_claims(world, "X") | {"scope": scope}
    assert "urn:altinn:org" not in payload_of((await world.exchange(compact(header, claims, key))).text)


async def test_046_orders_of_another_creator(world: RunningWorld, api: Endpoints) -> None:
    owner = {"Authorization": f"Bearer {await world.altinn_token()}"}
    client = await world.new_client(KOMMUNE, key="other")
    stranger_token = (await world.exchange(await world.maskinporten_token(iss=client, key="other"))).text
    stranger = {"Authorization": f"Bearer {stranger_token}"}
    made = (await api.order(owner)).json()
    order, shipment = made["notificationOrderId"], made["notification"]["shipmentId"]
    base = "/notifications/api/v1"
    for method, path in (
        ("GET", f"{base}/future/shipment/{{}}"),
        ("GET", f"{base}/orders/{{}}"),
        ("GET", f"{base}/orders/{{}}/status"),
        ("GET", f"{base}/orders/{{}}/notifications/email"),
        ("GET", f"{base}/orders/{{}}/notifications/sms"),
        ("PUT", f"{base}/orders/{{}}/cancel"),
        ("GET", f"{base}/future/orders/chain/{{}}"),
        ("PUT", f"{base}/future/orders/chain/{{}}/cancel"),
    ):
        for known in (shipment, order):
            theirs = await api.http.request(method, path.format(known), headers=stranger)
            nobodys = await api.http.request(method, path.format(uuid4()), headers=stranger)
            assert theirs.status_code == nobodys.status_code == 404, (method, path)
            assert _without_trace(theirs) == _without_trace(nobodys), (method, path)
    feed = await api.http.get(f"{base}/future/shipment/feed?seq=0", headers=stranger)
    assert feed.status_code == 200 and shipment not in feed.text
    # And it is still there, untouched.
    assert (await api.http.get(f"{base}/future/shipment/{shipment}", headers=owner)).status_code == 200


def _without_trace(answer: httpx2.Response) -> object:
    """A refusal's body without what differs between any two requests."""
    return {k: v for k, v in answer.json().items() if k != "traceId"} if answer.content else None


async def test_047_clients_of_others(world: RunningWorld) -> None:
    stranger = await self_service(world, KOMMUNE)
    path = f"/clients/{world.client_id}"
    body = {"integration_type": "maskinporten", "client_name": "mine now", "scopes": []}
    requests: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PUT", path, body),
        ("DELETE", path, None),
        ("GET", path + "/jwks", None),
        ("POST", path + "/jwks", [jwk(rsa_key("second"), "stolen")]),
        ("POST", path + "/jwks/keys", jwk(rsa_key("second"), "stolen")),
        ("DELETE", path + "/jwks", None),
        ("POST", path + "/secret", None),
        ("POST", path + "/onbehalfof", {"onbehalfof": "x", "orgno": KOMMUNE}),
    ]
    for method, where, content in requests:
        answer = await stranger(method, where, content)
        missing = await stranger(method, where.replace(world.client_id, str(uuid4())), content)
        assert answer.status_code == missing.status_code == 404, (method, where)
        assert answer.json()["errors"] == missing.json()["errors"]
    assert (await world.token_request(world.grant())).status_code == 200
    assert world.client_id not in (await stranger("GET", "/clients?inactive=true")).text


async def test_048_foreign_prefix_and_scope(world: RunningWorld) -> None:
    stranger = await self_service(world, KOMMUNE, ("idporten:scopes.write",))
    support = "altinn:notifications.support.admin"
    assert (await stranger("PUT", f"/scopes/access/{KOMMUNE}", params={"scope": support})).status_code == 404
    assert (await stranger("POST", "/scopes", {"prefix": "altinn", "subscope": "mine"})).status_code == 403
    plain = await self_service(world, KOMMUNE)
    body = {"integration_type": "maskinporten", "client_name": "x", "scopes": [support]}
    assert (await plain("POST", "/clients", body)).status_code == 400
    assert (await plain("POST", "/scopes", {"prefix": "altinn", "subscope": "mine"})).status_code == 403


async def test_048_subscope_made_to_explode(world: RunningWorld) -> None:
    owner = await self_service(world, scopes=("idporten:scopes.write",))
    for subscope in ("a" * 30 + "!", "a/" * 120 + "!", "a" * 100_000, "a//b", "/a", "A", "a.b.c"):
        began = time.perf_counter()
        answer = await owner("POST", "/scopes", {"prefix": "altinn", "subscope": subscope})
        # Fifty milliseconds are the contract's; a backtracking expression would need years.
        assert answer.status_code == 400 and time.perf_counter() - began < 2


async def test_049_supplier_without_the_scope(world: RunningWorld) -> None:
    call = await self_service(world, KOMMUNE)
    body = {"integration_type": "maskinporten", "client_name": "x", "scopes": [], "client_orgno": "311618032"}
    assert (await call("POST", "/clients", body)).status_code == 403
    assert (await call("POST", "/clients", body | {"client_orgno": KOMMUNE})).status_code == 200


async def test_049_a_supplier_with_the_scope_still_needs_the_customer(world: RunningWorld) -> None:
    scopes = ("idporten:dcr.read", "idporten:dcr.modify", "idporten:dcr.write", "idporten:dcr.supplier")
    call = await self_service(world, KOMMUNE, scopes)
    body = {
        "integration_type": "maskinporten",
        "client_name": "x",
        "scopes": [CREATE_SCOPE],
        "client_orgno": "311618032",
    }
    made = (await call("POST", "/clients", body)).json()
    assert made["client_orgno"] == "311618032" and made["supplier_orgno"] == KOMMUNE
    await call("POST", f"/clients/{made['client_id']}/jwks", [jwk(rsa_key())])
    answer = await world.token_request(world.grant(iss=made["client_id"]))
    assert answer.status_code == 403 and answer.json()["error_uri"].endswith("MP-251")


async def test_050_test_switch(world: RunningWorld) -> None:
    token = await world.maskinporten_token()
    twice = await world.http.get(
        "/authentication/api/v1/exchange/maskinporten?test=true&test=false",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert twice.status_code == 400
    other = await world.new_client(KOMMUNE, key="other")
    answer = await world.exchange(
        await world.maskinporten_token(iss=other, key="other"), params={"test": "true"}
    )
    assert payload_of(answer.text)["urn:altinn:org"] == "testkommune"

    production = await open_running(
        world.database, world.folder, sandbox=False, client_environment="production"
    )
    production.client_id = await production.new_client(environment="production")
    answer = await production.exchange(await production.maskinporten_token(), params={"test": "true"})
    assert payload_of(answer.text)["urn:altinn:org"] == "digdir"
    # And an integration of the test environment does not exist here.
    assert (
        (await production.token_request(production.grant(iss=world.client_id)))
        .json()["error_uri"]
        .endswith("MP-100")
    )
    assert (await production.http.get("/dev/tokens/GetEnterpriseToken")).status_code == 404
    assert (await production.http.get("/dev/tokens/GetMaskinportenToken")).status_code == 404
    await close_running(production)


async def test_scopes_die_with_the_token(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    assert await api.status(token) == 201
    world.clock.advance(timedelta(seconds=1811))
    assert await api.status(token) == 401
