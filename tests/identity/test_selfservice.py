"""The self-service API as real automation uses it (docs/reference/identity.md 3.4 to 3.7)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.support.identity import World, jwk, payload_of, rsa_key, self_service
from varsel.identity.registry import CREATE_SCOPE, delegate

KOMMUNE, ETATEN = "312718286", "311618032"
NEW: dict[str, Any] = {
    "integration_type": "maskinporten",
    "client_name": "acme-varsel",
    "description": "Sends notifications from case system",
    "token_endpoint_auth_method": "private_key_jwt",
    "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
    "scopes": [CREATE_SCOPE],
}


async def test_create_register_key_and_fetch_a_token(world: World) -> None:
    call = await self_service(world)
    made = await call("POST", "/clients", NEW)
    assert made.status_code == 200, made.text
    body = made.json()
    assert body["client_orgno"] == "991825827" and body["active"] is True and body["scopes"] == [CREATE_SCOPE]
    assert body["created"].endswith("+02:00")
    client = body["client_id"]
    keys = await call("POST", f"/clients/{client}/jwks", {"keys": [jwk(rsa_key("second"), "acme-2026")]})
    assert keys.status_code == 200, keys.text
    assert keys.json()["keys"][0]["exp"] == world.now + 365 * 86400
    token = await world.maskinporten_token(
        key="second", header={"alg": "RS256", "kid": "acme-2026"}, iss=client
    )
    assert payload_of(token)["client_id"] == client
    # The older base without /api/v1 is the same door.
    assert client in {one["client_id"] for one in (await call("GET", "/clients", base="/selfservice")).json()}


async def test_deactivated_clients_give_no_tokens_and_are_listed_on_request(world: World) -> None:
    call = await self_service(world)
    client = (await call("POST", "/clients", NEW)).json()["client_id"]
    await call("POST", f"/clients/{client}/jwks", [jwk(rsa_key())])
    assert (await call("DELETE", f"/clients/{client}")).status_code == 204
    refused = await world.token_request(world.grant(iss=client))
    assert refused.json()["error_uri"].endswith("MP-100")
    assert client not in {one["client_id"] for one in (await call("GET", "/clients")).json()}
    shown = {
        one["client_id"]: one for one in (await call("GET", "/clients", params={"inactive": "TRUE"})).json()
    }
    assert shown[client]["active"] is False
    assert (await call("PUT", f"/clients/{client}", NEW)).status_code == 409


async def test_a_later_save_sees_the_conflict(world: World) -> None:
    call = await self_service(world)
    made = await call("POST", "/clients", NEW)
    path, tag = f"/clients/{made.json()['client_id']}", made.headers["etag"]
    first = await call("PUT", path, NEW | {"description": "first"}, headers={"If-Match": tag})
    assert first.status_code == 200 and first.headers["etag"] != tag
    second = await call("PUT", path, NEW | {"description": "second"}, headers={"If-Match": tag})
    assert second.status_code == 412
    assert (await call("GET", path)).json()["description"] == "first"


async def test_single_key_verbs_lose_nothing(world: World) -> None:
    call = await self_service(world)
    client = (await call("POST", "/clients", NEW)).json()["client_id"]
    keys = [jwk(rsa_key(), f"k{number}") for number in range(6)]
    answers = await asyncio.gather(*(call("POST", f"/clients/{client}/jwks/keys", key) for key in keys))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [400]
    kids = {key["kid"] for key in (await call("GET", f"/clients/{client}/jwks")).json()["keys"]}
    assert len(kids) == 5
    gone = kids.pop()
    assert (await call("DELETE", f"/clients/{client}/jwks/keys/{gone}")).status_code == 204
    assert (await call("DELETE", f"/clients/{client}/jwks/keys/{gone}")).status_code == 404
    assert {key["kid"] for key in (await call("GET", f"/clients/{client}/jwks")).json()["keys"]} == kids
    stale = await call("POST", f"/clients/{client}/jwks", [keys[0]], headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await call("DELETE", f"/clients/{client}/jwks")).status_code == 204
    assert (await call("GET", f"/clients/{client}/jwks")).json()["keys"] == []


async def test_changes_leave_events(world: World) -> None:
    call = await self_service(world)
    client = (await call("POST", "/clients", NEW)).json()["client_id"]
    await call("POST", f"/clients/{client}/jwks", [jwk(rsa_key())])
    await call("PUT", f"/clients/{client}", NEW | {"description": "x"})
    await call("DELETE", f"/clients/{client}")
    rows = await world.database.fetch(
        "select action, details::text from audit_event where subject = $1 order by id", client
    )
    assert [row["action"] for row in rows] == [
        "client.created",
        "keys.replaced",
        "client.changed",
        "client.deactivated",
    ]
    assert '"n"' not in "".join(row["details"] for row in rows)


async def test_scopes_are_made_given_used_and_withdrawn(world: World) -> None:
    owner = await self_service(world, scopes=("idporten:scopes.write",))
    made = await owner(
        "POST", "/scopes", {"prefix": "altinn", "subscope": "tests/api3", "description": "Test"}
    )
    assert made.status_code == 200 and made.json()["name"] == "altinn:tests/api3"
    query = {"scope": "altinn:tests/api3"}
    shown = await owner("GET", "/scopes", params=query)
    changed = {"description": "Bedre"}
    fresh = await owner("PUT", "/scopes", changed, params=query, headers={"If-Match": shown.headers["etag"]})
    assert fresh.status_code == 200 and fresh.headers["etag"] != shown.headers["etag"]
    stale = await owner("PUT", "/scopes", changed, params=query, headers={"If-Match": shown.headers["etag"]})
    assert stale.status_code == 412
    # Beyond the year 9999: no version that any scope can have.
    strange = await owner("PUT", "/scopes", changed, params=query, headers={"If-Match": f'"{"9" * 18}"'})
    assert strange.status_code == 412
    granted = await owner("PUT", f"/scopes/access/{KOMMUNE}", params=query)
    assert granted.json()["state"] == "APPROVED" and granted.json()["owner_orgno"] == "991825827"
    assert [one["consumer_orgno"] for one in (await owner("GET", "/scopes/access", params=query)).json()] == [
        KOMMUNE
    ]

    consumer = await self_service(world, KOMMUNE)
    assert "altinn:tests/api3" in {
        one["scope"] for one in (await consumer("GET", "/scopes/access/all")).json()
    }
    client = (await consumer("POST", "/clients", NEW | {"scopes": ["altinn:tests/api3"]})).json()["client_id"]
    await consumer("POST", f"/clients/{client}/jwks", [jwk(rsa_key())])
    answer = await world.token_request(world.grant(iss=client, scope="altinn:tests/api3"))
    assert answer.status_code == 200, answer.text

    assert (await owner("DELETE", f"/scopes/access/{KOMMUNE}", params=query)).status_code == 204
    refused = await world.token_request(world.grant(iss=client, scope="altinn:tests/api3"))
    assert refused.status_code == 403 and refused.json()["error_uri"].endswith("MP-250")
    assert (await owner("DELETE", "/scopes", params=query)).status_code == 204
    again = await owner("POST", "/scopes", {"prefix": "altinn", "subscope": "tests/api3"})
    assert again.status_code == 409


async def test_catalogue_is_for_everybody(world: World) -> None:
    names = {one["name"] for one in (await world.http.get("/selfservice/api/v1/scopes/all")).json()}
    assert CREATE_SCOPE in names and "altinn:notifications.support.admin" not in names
    open_ = (await world.http.get("/selfservice/scopes", params={"accessible_for_all": "true"})).json()
    assert {one["name"] for one in open_} and all(one["accessible_for_all"] for one in open_)
    assert (await world.http.get("/selfservice/scopes")).status_code == 401


async def test_sub_clients(world: World) -> None:
    call = await self_service(world)
    client = (await call("POST", "/clients", NEW)).json()["client_id"]
    path = f"/clients/{client}/onbehalfof"
    body = {"onbehalfof": "kommunen", "orgno": KOMMUNE, "name": "Kommunen"}
    assert (await call("POST", path, body)).json()["orgno"] == KOMMUNE
    assert (await call("POST", path, body)).status_code == 409
    assert (await call("PUT", path + "/kommunen", {"orgno": ETATEN})).json()["orgno"] == ETATEN
    assert (await call("GET", f"/clients/{client}")).json()["onbehalfof"][0]["onbehalfof"] == "kommunen"
    assert (await call("DELETE", path + "/kommunen")).status_code == 204
    assert (await call("GET", path + "/kommunen")).status_code == 404


async def test_supplier_acts_for_a_consumer_that_has_delegated(world: World) -> None:
    supplier = await world.new_client(ETATEN)
    refused = await world.token_request(world.grant(iss=supplier, consumer_org=KOMMUNE))
    assert refused.status_code == 403 and refused.json()["error_uri"].endswith("MP-251")
    assert f"Consumer {KOMMUNE} has not delegated" in refused.json()["error_description"]
    await delegate(world.database, world.clock, KOMMUNE, ETATEN, CREATE_SCOPE)
    token = await world.maskinporten_token(iss=supplier, consumer_org=KOMMUNE)
    claims = payload_of(token)
    assert claims["consumer"]["ID"] == "0192:" + KOMMUNE and claims["supplier"]["ID"] == "0192:" + ETATEN
    assert claims["delegation_source"] == "https://tt02.altinn.no/"
    altinn = payload_of((await world.exchange(token)).text)
    assert altinn["urn:altinn:org"] == "testkommune" and altinn["supplier"]["ID"] == "0192:" + ETATEN


async def test_secret_of_a_person_client_is_shown_once(world: World) -> None:
    call = await self_service(world)
    body = {
        "integration_type": "idporten",
        "client_name": "portal",
        "token_endpoint_auth_method": "client_secret_basic",
        "redirect_uris": ["https://app.example.org/callback"],
        "scopes": [],
    }
    client = (await call("POST", "/clients", body)).json()["client_id"]
    secret = (await call("POST", f"/clients/{client}/secret")).json()["client_secret"]
    assert len(secret) == 43 and secret not in (await call("GET", f"/clients/{client}")).text
    machine = (await call("POST", "/clients", NEW)).json()["client_id"]
    assert (await call("POST", f"/clients/{machine}/secret")).status_code == 400


async def test_faults_are_told_by_field(world: World) -> None:
    call = await self_service(world)
    answer = await call("POST", "/clients", {"integration_type": "teapot", "client_name": "", "scopes": "x"})
    assert answer.status_code == 400
    body = answer.json()
    assert body["status"] == 400 and body["error"] == "invalid_request" and body["correlation_id"]
    assert {fault["fieldIdentifier"] for fault in body["errors"]} == {
        "integration_type",
        "client_name",
        "scopes",
    }
    unknown = await call("POST", "/clients", NEW | {"scopes": ["altinn:never/made"]})
    assert unknown.json()["errors"][0]["fieldIdentifier"] == "scopes"
    assert (await call("POST", "/clients", b"{")).status_code == 400
    assert (await call("POST", "/clients", b"{}", headers={"Content-Type": "text/plain"})).status_code == 415
    nul = await call("POST", "/clients", NEW | {"client_name": "a\0b"})
    assert nul.status_code == 400


async def test_lists_come_whole_or_in_pages(world: World) -> None:
    call = await self_service(world)
    names = [f"number-{number}" for number in range(5)]
    for name in names:
        made = await call(
            "POST", "/clients", {"integration_type": "maskinporten", "client_name": name, "scopes": []}
        )
        assert made.status_code == 200
    whole = await call("GET", "/clients")
    assert "link" not in whole.headers and len(whole.json()) >= 5
    collected, path, pages = [], "/clients?size=2&inactive=true", 0
    while path:
        answer = await call("GET", path)
        assert answer.headers["x-total-count"] == str(len(whole.json())) and len(answer.json()) <= 2
        collected += answer.json()
        following = re.search(r'</selfservice/api/v1([^>]+)>; rel="next"', answer.headers.get("link", ""))
        path, pages = following[1] if following else "", pages + 1
    assert collected == whole.json() and pages == -(-len(collected) // 2)
    beyond = await call("GET", "/clients?page=99")
    assert beyond.json() == [] and "next" not in beyond.headers.get("link", "")
    for wrong in ("page=-1", "page=x", "size=0", "size=1001", "size=", "page=1&page=2", "size=9999999999999"):
        refused = await call("GET", f"/clients?{wrong}")
        assert refused.status_code == 400 and refused.json()["errors"][0]["fieldIdentifier"] in wrong
    catalogue = await world.http.get("/selfservice/api/v1/scopes/all?size=3")
    assert len(catalogue.json()) == 3 and 'rel="next"' in catalogue.headers["link"]


async def test_a_slash_at_the_end_is_another_path_and_no_redirect(world: World) -> None:
    for path in ("/maskinporten/jwk/", "/selfservice/api/v1/clients/", "/idporten/token/"):
        answer = await world.http.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 404 and "location" not in answer.headers


async def test_an_identifier_is_ours_to_give(world: World) -> None:
    call = await self_service(world)
    made = (await call("POST", "/clients", NEW)).json()
    path = f"/clients/{made['client_id']}"
    moved = await call("PUT", path, made | {"client_id": "0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b"})
    assert moved.status_code == 400 and moved.json()["errors"][0]["fieldIdentifier"] == "client_id"
    assert (await call("PUT", path, made)).status_code == 200
    assert (await call("POST", "/clients", NEW | {"client_id": made["client_id"]})).status_code == 409
    assert (await call("DELETE", path)).status_code == 204
    back = await call("POST", "/clients", NEW | {"client_id": made["client_id"]})
    assert back.status_code == 409, "a POST does not bring a deactivated one back"
    other = await call("POST", "/clients", NEW | {"client_id": "0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b"})
    assert other.status_code == 200 and other.json()["client_id"] != "0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b"
    assert (await call("POST", "/clients", NEW | {"client_id": 7})).status_code == 400


async def test_a_machine_has_no_secret(world: World) -> None:
    call = await self_service(world)
    made = (await call("POST", "/clients", NEW)).json()
    assert (await call("POST", f"/clients/{made['client_id']}/secret")).status_code == 400
    assert (await call("POST", "/clients/0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b/secret")).status_code == 404
