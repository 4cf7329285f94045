"""Attacks on claims and time: docs/reference/identity.md 10.2, lines 22 to 38, each by its number."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.security.forging import knock, refused, right_claims, right_key, with_claims
from tests.security.shared import api, world
from tests.support.identity import BASE, CREATE_SCOPE, compact, payload_of
from tests.support.running import Endpoints, RunningWorld, close_running, open_beside

__all__ = ["api", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

DOORS = ("M", "X", "N")
every_door = pytest.mark.parametrize("door", DOORS)


def claim(world: RunningWorld, name: str, value: Any, **others: Any) -> dict[str, Any]:
    """Changes to claims; a number with a sign in front is relative to now."""
    changes = {name: value} | others
    return {
        key: world.now + int(text) if isinstance(text, str) and text[:1] in "+-" else text
        for key, text in changes.items()
    }


@every_door
@pytest.mark.parametrize("late", [1, 9])
async def test_022_expired_within_the_skew_passes(
    world: RunningWorld, api: Endpoints, door: str, late: int
) -> None:
    key, header = right_key(world, door)
    claims = right_claims(world, door) | {"iat": world.now - 9, "exp": world.now - late}
    assert await knock(world, api, door, compact(header, claims, key))


@every_door
@pytest.mark.parametrize(
    "exp",
    ["-11", ..., "tomorrow", -5, 1784110000.5, True, None, 10**15, "+99999999"],
    ids=["11s", "missing", "text", "negative", "float", "boolean", "null", "milliseconds", "far"],
)
async def test_022_expiry(world: RunningWorld, api: Endpoints, door: str, exp: Any) -> None:
    changes = claim(world, "exp", exp)
    if exp == "-11":
        changes["iat"] = world.now - 20
    await refused(world, api, door, with_claims(**changes))


@pytest.mark.parametrize("shift", [9, -9])
async def test_023_clock_within_the_window_passes(world: RunningWorld, api: Endpoints, shift: int) -> None:
    assert await knock(world, api, "M", world.grant(iat=world.now + shift, exp=world.now + shift + 60))


@pytest.mark.parametrize(
    "iat", ["+11", "-11", ..., "now", None, 1.5], ids=["ahead", "behind", "missing", "text", "null", "float"]
)
async def test_023_clock_beyond_the_window(world: RunningWorld, api: Endpoints, iat: Any) -> None:
    await refused(world, api, "M", with_claims(**claim(world, "iat", iat)))


@pytest.mark.parametrize("door", ["X", "N"])
async def test_023_tokens_from_the_future(world: RunningWorld, api: Endpoints, door: str) -> None:
    await refused(world, api, door, with_claims(iat=world.now + 11))


async def test_024_lifetime(world: RunningWorld, api: Endpoints) -> None:
    assert await knock(world, api, "M", world.grant(exp=world.now + 120))
    await refused(world, api, "M", with_claims(exp=world.now + 121))
    await refused(world, api, "M", with_claims(iat=world.now + 5, exp=world.now + 4))


@every_door
async def test_025_not_yet(world: RunningWorld, api: Endpoints, door: str) -> None:
    await refused(world, api, door, with_claims(nbf=world.now + 60))
    key, header = right_key(world, door)
    claims = right_claims(world, door) | {"nbf": world.now + 9}
    assert await knock(world, api, door, compact(header, claims, key))


@pytest.mark.parametrize(
    "aud",
    [
        ...,
        None,
        "https://test.maskinporten.no/",
        BASE + "/maskinporten",
        BASE + "/maskinporten/token",
        BASE.upper() + "/maskinporten/",
        [BASE + "/maskinporten/", "https://other.example/"],
        {"aud": BASE + "/maskinporten/"},
        BASE + "/maskinporten/@evil",
        [],
        [[BASE + "/maskinporten/"]],
    ],
    ids=[
        "missing",
        "null",
        "environment",
        "no-slash",
        "token-url",
        "upper",
        "two",
        "object",
        "at",
        "empty",
        "nested",
    ],
)
async def test_026_audience(world: RunningWorld, api: Endpoints, aud: Any) -> None:
    await refused(world, api, "M", with_claims(aud=aud))


async def test_026_one_element_passes(world: RunningWorld, api: Endpoints) -> None:
    assert await knock(world, api, "M", world.grant(aud=[world.issuer]))


@pytest.mark.parametrize("door", ["X", "N"])
@pytest.mark.parametrize(
    "change",
    [
        lambda issuer: "https://",
        lambda issuer: "",
        lambda issuer: "https://maskinporten.no.evil.example/",
        lambda issuer: issuer[:-1],
        lambda issuer: issuer + "x",
        lambda issuer: issuer[8:],
        lambda issuer: "https://maskinporten.no/",
        lambda issuer: [issuer],
        lambda issuer: ...,
    ],
    ids=["scheme", "empty", "evil", "prefix", "suffix", "tail", "environment", "array", "missing"],
)
async def test_027_issuer(world: RunningWorld, api: Endpoints, door: str, change: Any) -> None:
    await refused(world, api, door, with_claims(iss=change(right_claims(world, door)["iss"])))


async def test_028_issuer_of_another_environment_with_this_key(world: RunningWorld, api: Endpoints) -> None:
    await refused(
        world, api, "N", with_claims(iss="https://platform.tt02.altinn.no/authentication/api/v1/openid/")
    )


async def test_029_tokens_at_the_wrong_door(world: RunningWorld, api: Endpoints) -> None:
    maskinporten = await world.maskinporten_token()
    altinn = (await world.exchange(maskinporten)).text
    assert await api.status(maskinporten) == 401
    assert (await world.exchange(maskinporten, "id-porten")).status_code == 401
    assert (await world.exchange(altinn)).status_code == 401
    assert (await world.exchange(altinn, "id-porten")).status_code == 401
    assert api.let_in == []


async def test_030_a_grant_is_used_once(world: RunningWorld) -> None:
    grant = world.grant(jti="one")
    assert (await world.token_request(grant)).status_code == 200
    again = await world.token_request(grant)
    assert again.status_code == 400 and again.json()["error_uri"].endswith("MP-012")
    assert (await world.token_request(world.grant(jti="one", exp=world.now + 50))).status_code == 400
    other = await world.new_client("311618032", key="other")
    assert (await world.token_request(world.grant(jti="one", iss=other, key="other"))).status_code == 200


async def test_030_of_fifty_at_once_one_wins_over_two_processes(world: RunningWorld) -> None:
    # Two rooms on one database are what two processes are: nothing but the database is shared.
    second = await open_beside(world)
    second.client_id = world.client_id
    grant = world.grant()
    answers = await asyncio.gather(
        *((world, second)[number % 2].token_request(grant) for number in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49
    await close_running(second)


async def test_030_after_a_restart(world: RunningWorld) -> None:
    grant = world.grant()
    assert (await world.token_request(grant)).status_code == 200
    second = await open_beside(world)
    assert (await second.token_request(grant)).json()["error_uri"].endswith("MP-012")
    await close_running(second)


async def test_031_grant_without_jti(world: RunningWorld) -> None:
    lenient = await open_beside(world, require_jti=False)
    refused_ = await world.token_request(world.grant(jti=None))
    assert refused_.status_code == 400 and refused_.json()["error_uri"].endswith("MP-011")
    grant = lenient.grant(jti=None)
    assert (await lenient.token_request(grant)).status_code == 200
    assert (await lenient.token_request(grant)).json()["error_uri"].endswith("MP-012")
    await close_running(lenient)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"consumer_org": "991825827"}, 400, "own-consumer"),
        ({"consumer_org": "312718286"}, 403, "MP-251"),
        ({"consumer_org": "999999999"}, 403, "MP-251"),
        ({"consumer_org": "0192:312718286"}, 400, "MP-011"),
        ({"consumer_org": 312718286}, 400, "MP-011"),
        ({"consumer_org": "31271828"}, 400, "MP-011"),
        ({"consumer_org": "312718286", "iss_onbehalfof": "x"}, 400, "MP-011"),
        ({"iss_onbehalfof": "nobody"}, 400, "MP-011"),
    ],
    ids=["own", "undelegated", "unknown", "prefixed", "number", "short", "both", "no-such-sub-client"],
)
async def test_032_consumer(world: RunningWorld, changes: dict[str, Any], status: int, code: str) -> None:
    answer = await world.token_request(world.grant(**changes))
    assert answer.status_code == status
    assert answer.json().get("error_uri", "").removeprefix(BASE + "/maskinporten/errors/") == code


_ACTOR = "iso6523-actorid-upis"


@pytest.mark.parametrize(
    "consumer",
    [
        {"authority": "other", "ID": "0192:991825827"},
        {"ID": "0192:991825827"},
        {"authority": _ACTOR, "ID": "0192:"},
        {"authority": _ACTOR, "ID": "991825827"},
        {"authority": _ACTOR, "ID": "0192:0192:991825827"},
        {"authority": _ACTOR, "ID": "0192:9918258270"},
        {"authority": _ACTOR, "ID": 991825827},
        {"authority": _ACTOR, "ID": ["0192:991825827"]},
        {"authority": _ACTOR, "ID": "9908:991825827"},
        {"authority": _ACTOR, "ID": "0192:99182582７"},
        "0192:991825827",
        None,
        ...,
    ],
    ids=[
        "authority",
        "no-authority",
        "empty",
        "no-colon",
        "two-colons",
        "ten",
        "number",
        "array",
        "scheme",
        "digit",
        "text",
        "null",
        "missing",
    ],
)
async def test_033_consumer_of_the_incoming_token(world: RunningWorld, api: Endpoints, consumer: Any) -> None:
    await refused(world, api, "X", with_claims(consumer=consumer))


@pytest.mark.parametrize("pid", ["1784901232", "17849012abc", "17849012321", 17849012320, None], ids=str)
async def test_034_pid(world: RunningWorld, api: Endpoints, pid: Any) -> None:
    await refused(world, api, "M", with_claims(pid=pid))
    token = await world.maskinporten_token(pid="17849012320")
    assert payload_of(token)["pid"] == "17849012320"


async def test_034_a_pid_in_a_machine_token_makes_nobody_that_person(
    world: RunningWorld, api: Endpoints
) -> None:
    token = (await world.exchange(await world.maskinporten_token(pid="17849012320"))).text
    answer = await api.http.get(
        "/notifications/api/v1/future/enduser/log", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403 and api.let_in == []


@pytest.mark.parametrize(
    "resource",
    [
        "not a uri",
        "javascript:alert(1)",
        ["https://api.example.org/"] * 100,
        [],
        [1],
        {},
        "//evil",
        "https://u@h/",
        None,
    ],
    ids=["words", "javascript", "hundred", "empty", "number", "object", "relative", "user", "null"],
)
async def test_035_resource(world: RunningWorld, api: Endpoints, resource: Any) -> None:
    await refused(world, api, "M", with_claims(resource=resource))


@pytest.mark.parametrize(
    "resource", ["https://api.example.org/", ["https://api.example.org/", "urn:api:x"]], ids=["text", "array"]
)
async def test_035_resource_becomes_the_audience(world: RunningWorld, resource: Any) -> None:
    assert payload_of(await world.maskinporten_token(resource=resource))["aud"] == resource


_OWN = {"authority": _ACTOR, "ID": "0192:991825827"}
_USER: dict[str, Any] = {"type": "urn:altinn:systemuser", "systemuser_org": _OWN}


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ([_USER | {"type": "urn:altinn:other"}], "MP-301"),
        ([{"systemuser_org": _OWN}], "MP-301"),
        ([_USER | {"extra": 1}], "MP-302"),
        ([_USER | {"systemuser_org": "991825827"}], "MP-303"),
        ([_USER | {"externalRef": 7}], "MP-303"),
        ([_USER | {"externalRef": ""}], "MP-303"),
        ([_USER | {"systemuser_org": {"authority": _ACTOR, "ID": "0192:312718286"}}], "MP-303"),
        ([_USER, _USER], "MP-303"),
        ({}, "MP-303"),
        ([], "MP-303"),
        (["text"], "MP-303"),
    ],
    ids=[
        "type",
        "no-type",
        "field",
        "org",
        "reference",
        "empty-reference",
        "foreign",
        "two",
        "object",
        "none",
        "text",
    ],
)
async def test_036_authorization_details(world: RunningWorld, details: Any, code: str) -> None:
    answer = await world.token_request(world.grant(authorization_details=details))
    assert answer.status_code == 400 and answer.json()["error_uri"].endswith(code)


async def test_036_a_system_user_comes_back(world: RunningWorld) -> None:
    token = await world.maskinporten_token(authorization_details=[_USER | {"externalRef": "branch-7"}])
    entry = payload_of(token)["authorization_details"][0]
    assert len(entry["systemuser_id"]) == 1 and entry["externalRef"] == "branch-7" and entry["system_id"]
    assert payload_of((await world.exchange(token)).text)["authorization_details"] == [entry]


async def test_037_unknown_claims(world: RunningWorld) -> None:
    assert (await world.token_request(world.grant(unknown="x", sub=world.client_id))).status_code == 200
    assert (await world.token_request(world.grant(sub="other"))).status_code == 400
    strict = await open_beside(world, strict_grants=True)
    assert (await strict.token_request(strict.grant(unknown="x"))).json()["error_uri"].endswith("MP-011")
    assert (await strict.token_request(strict.grant())).status_code == 200
    await close_running(strict)


async def test_038_planted_claims_are_dropped(world: RunningWorld) -> None:
    key, header = right_key(world, "X")
    planted = {
        "urn:altinn:org": "skd",
        "urn:altinn:orgNumber": "311618032",
        "urn:altinn:authlevel": 5,
        "urn:altinn:userid": "1",
        "urn:altinn:party:uuid": "7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11",
        "nameid": "1",
        "anything": "else",
        "iss": world.issuer,
    }
    claims = right_claims(world, "X") | planted
    answer = payload_of((await world.exchange(compact(header, claims, key))).text)
    assert answer["urn:altinn:org"] == "digdir" and answer["urn:altinn:orgNumber"] == "991825827"
    assert answer["urn:altinn:authlevel"] == 3 and answer["scope"] == CREATE_SCOPE
    assert not {"urn:altinn:userid", "urn:altinn:party:uuid", "nameid", "anything"} & answer.keys()
