"""Attacks on how tokens travel: docs/reference/identity.md 10.4, lines 51 to 65 and 81 to 83, each by its number.

Lines 64 (paths) and 65 (long headers) are also tested where the router and the server are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.security.forging import right_claims, right_key
from tests.security.shared import api, shared_world, world
from tests.support.identity import (
    BASE,
    COMPOSED,
    DASHBOARD,
    FEED,
    LOG,
    METRICS,
    ORDERS,
    REPORTS,
    Endpoints,
    World,
    close_world,
    compact,
    open_world,
    rsa_key,
)
from varsel.identity.certificates import self_signed, thumbprint
from varsel.identity.platform.registry import register_issuer, withdraw_issuer

__all__ = ["api", "shared_world", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

COOKIE = "AltinnStudioRuntime"
SAME_ORIGIN = {"Origin": BASE}


async def test_051_authorization_headers(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    assert await api.status(token) == 200
    assert (await api.order({"Authorization": f"bearer {token}"})).status_code == 200
    assert (await api.order({"Authorization": f"BEARER  {token} "})).status_code == 200
    count = len(api.let_in)
    bad: list[list[tuple[str, str]]] = [
        [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")],
        [("Authorization", f"Bearer Bearer {token}")],
        [("Authorization", f"Bearer {token}, Bearer {token}")],
        [("Authorization", f"Basic {token}")],
        [("Authorization", token)],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "")],
        [("Authorization", f"Bearer {token},")],
        [],
    ]
    for headers in bad:
        answer = await api.order(headers)
        assert (
            answer.status_code == 401 and answer.content == b"" and "www-authenticate" not in answer.headers
        )
        answer = await world.http.get("/authentication/api/v1/exchange/maskinporten", headers=headers)
        assert answer.status_code == 401
    assert len(api.let_in) == count


async def test_052_bad_bearer_beside_a_good_cookie(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    good = {"Cookie": f"{COOKIE}={token}", **SAME_ORIGIN}
    assert (await api.order(good)).json()["via"] == "cookie"
    for bearer in ("Bearer rubbish", "Basic dTpw", "Bearer "):
        assert (await api.order(good | {"Authorization": bearer})).status_code == 401


async def test_053_cookies(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    key, header = right_key(world, "N")
    claims = right_claims(world, "N")
    cookies = [
        f"{COOKIE}={compact(header | {'alg': 'none'}, claims, None)}",
        f"{COOKIE}={compact(header, claims, rsa_key('attacker'))}",
        f"{COOKIE}={compact(header, claims | {'exp': world.now - 11, 'iat': world.now - 60}, key)}",
        f"{COOKIE}={'x' * 8192}",
        f"{COOKIE}={'x' * 100_000}",
        f"{COOKIE}={token}; {COOKIE}={token}",
        f".ALTINNTOKEN={token}",
        f"{COOKIE.lower()}={token}",
    ]
    for cookie in cookies:
        assert (await api.order({"Cookie": cookie, **SAME_ORIGIN})).status_code == 401, cookie[:60]
    two = [("Cookie", f"{COOKIE}={token}"), ("Cookie", f"{COOKIE}={token}"), *SAME_ORIGIN.items()]
    assert (await api.order(two)).status_code == 401
    planted = {"Cookie": f".ALTINNTOKEN=planted; {COOKIE}={token}", **SAME_ORIGIN}
    assert (await api.order(planted)).status_code == 200
    assert len(api.let_in) == 1


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
async def test_054_cross_site_forms(world: World, api: Endpoints, kind: str) -> None:
    token = await world.altinn_token()
    headers = {"Cookie": f"{COOKIE}={token}", "Origin": "https://evil.example", "Content-Type": kind}
    assert (await api.order(headers)).status_code == 415
    assert api.let_in == []


async def test_055_sibling_subdomain(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    cookie = {"Cookie": f"{COOKIE}={token}"}
    refused: list[dict[str, str]] = [
        {},
        {"Origin": "http://ttd.apps.varsel.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://ttd.apps.varsel.test", "Sec-Fetch-Site": "same-origin"},
        {"X-XSRF-TOKEN": "x"},
        {"X-XSRF-TOKEN": ""},
    ]
    for headers in refused:
        answer = await api.order(cookie | headers)
        assert answer.status_code == 403 and answer.content == b"", headers
    mismatch = {"Cookie": f"{COOKIE}={token}; AS-XSRF-TOKEN=a", "X-XSRF-TOKEN": "b"}
    assert (await api.order(mismatch)).status_code == 403
    twice = {"Cookie": f"{COOKIE}={token}; AS-XSRF-TOKEN=a; AS-XSRF-TOKEN=b", "X-XSRF-TOKEN": "a"}
    assert (await api.order(twice)).status_code == 403
    assert api.let_in == []
    echoed = {"Cookie": f"{COOKIE}={token}; AS-XSRF-TOKEN=a", "X-XSRF-TOKEN": "a"}
    assert (await api.order(echoed)).status_code == 200
    assert (await api.order(cookie | {"Sec-Fetch-Site": "same-origin"})).status_code == 200
    # Reading changes nothing and needs no proof; a bearer is no cookie.
    assert (await api.http.get(FEED, headers=cookie)).status_code == 200
    assert (
        await api.order({"Authorization": f"Bearer {token}", "Origin": "https://evil.example"})
    ).status_code == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://varsel.test.evil.example", "http://evilvarsel.test", BASE]
)
async def test_056_no_cross_origin_answers(world: World, api: Endpoints, origin: str) -> None:
    token = await world.altinn_token()
    answers = [
        await api.order({"Authorization": f"Bearer {token}", "Origin": origin}),
        await world.http.get("/maskinporten/jwk", headers={"Origin": origin}),
        await world.http.get("/orgs/altinn-orgs.json", headers={"Origin": origin}),
        await world.exchange(await world.maskinporten_token(), headers={"Origin": origin}),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


class Issuer:
    """A platform issuer with a certificate of its own."""

    def __init__(self, world: World, name: str, key: str | None = None) -> None:
        self.world = world
        self.name = name
        self.key: rsa.RSAPrivateKey = rsa_key(key or f"platform-{name}")
        self.certificate = self_signed(self.key, name, datetime.fromtimestamp(world.now, UTC))

    async def register(self, *, trusted: bool = False) -> Issuer:
        await register_issuer(self.world.database, self.name, self.certificate, trusted=trusted)
        return self

    def token(self, **changes: Any) -> str:
        claims = {
            "iss": self.name,
            "urn:altinn:app": "my-app",
            "aud": "platform.altinn.no",
            "nbf": self.world.now - 5,
            "exp": self.world.now + 300,
        } | changes
        header = {"alg": "RS256", "kid": thumbprint(self.certificate)}
        return compact(header, {name: value for name, value in claims.items() if value is not ...}, self.key)


async def known(world: World, name: str, *, trusted: bool = False) -> Issuer:
    """An issuer that the running room has learnt of."""
    issuer = await Issuer(world, name).register(trusted=trusted)
    await world.room.platform.reload()
    return issuer


async def test_057_forged_platform_token_beside_a_good_bearer(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    forged = Issuer(world, "skd").token()
    answer = await api.order({"Authorization": f"Bearer {token}", "PlatformAccessToken": forged})
    assert answer.status_code == 401 and api.let_in == []
    await known(world, "skd")
    attacker = Issuer(world, "skd", key="attacker").token()
    answer = await api.order({"Authorization": f"Bearer {token}", "PlatformAccessToken": attacker})
    assert answer.status_code == 401 and api.let_in == []


async def test_058_two_good_tokens_of_two_creators(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    other, same = await known(world, "ttd"), await known(world, "digdir")
    component = await known(world, "platform", trusted=True)
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await api.order(bearer | {"PlatformAccessToken": other.token()})).status_code == 403
    assert api.let_in == []
    assert (await api.order(bearer | {"PlatformAccessToken": same.token()})).json()["creator"] == "digdir"
    # A trusted component may act for the code in the bearer token.
    assert (await api.order(bearer | {"PlatformAccessToken": component.token()})).json()[
        "creator"
    ] == "digdir"
    assert (await api.order({"PlatformAccessToken": component.token()})).json()["creator"] == "platform"


async def test_059_platform_token_headers(world: World, api: Endpoints) -> None:
    issuer = await known(world, "ttd")
    token = issuer.token()
    assert (await api.order({"PlatformAccessToken": token})).json() == {"creator": "ttd", "via": "platform"}
    bad: list[list[tuple[str, str]]] = [
        [("PlatformAccessToken", token), ("PlatformAccessToken", token)],
        [("PlatformAccessToken", f"{token},{token}")],
        [("PlatformAccessToken", "unreadable")],
        [("PlatformAccessToken", f"Bearer {token}")],
        [("PlatformAccessToken", "a.b.c")],
        [("PlatformAccessToken", "")],
    ]
    for headers in bad:
        assert (await api.order(headers)).status_code == 401
    bearer = await world.altinn_token()
    empty = {"Authorization": f"Bearer {bearer}", "PlatformAccessToken": ""}
    assert (await api.order(empty)).json()["creator"] == "digdir"
    for value in ("unreadable", "a.b.c", issuer.token(exp=world.now - 11)):
        answer = await api.order({"Authorization": f"Bearer {bearer}", "PlatformAccessToken": value})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a" * 10_000, "https://evil.example", "TTD", "unknown", "", 1, None, ["ttd"], ...],
    ids=str,
)
async def test_060_platform_issuer_names(world: World, api: Endpoints, name: Any) -> None:
    issuer = await known(world, "ttd")
    assert (await api.order({"PlatformAccessToken": issuer.token(iss=name)})).status_code == 401


async def test_060_withdrawn_certificate(world: World, api: Endpoints) -> None:
    issuer = await known(world, "ttd")
    token = issuer.token()
    assert (await api.order({"PlatformAccessToken": token})).status_code == 200
    await withdraw_issuer(world.database, "ttd")
    await world.room.platform.reload()
    assert (await api.order({"PlatformAccessToken": token})).status_code == 401
    assert (await api.order({"PlatformAccessToken": issuer.token()})).status_code == 401


async def test_060_certificate_that_has_expired(world: World) -> None:
    later = await open_world(world.database, world.folder)
    api = Endpoints(later)
    issuer = await known(later, "expiring")
    assert (await api.order({"PlatformAccessToken": issuer.token()})).status_code == 200
    later.clock.advance(timedelta(days=4 * 365))
    assert (await api.order({"PlatformAccessToken": issuer.token()})).status_code == 401
    await api.http.aclose()
    await close_world(later)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 365 * 86400},
        {"exp": 700},
        {"exp": -11},
        {"exp": ...},
        {"nbf": 60},
        {"aud": "other"},
        {"aud": 1},
        {"exp": "x"},
    ],
    ids=["year", "over-cap", "expired", "no-exp", "not-yet", "audience", "audience-number", "text"],
)
async def test_061_platform_token_times(world: World, api: Endpoints, changes: dict[str, Any]) -> None:
    issuer = await known(world, "ttd")
    moved = {
        name: world.now + value if name in {"exp", "nbf"} and isinstance(value, int) else value
        for name, value in changes.items()
    }
    assert (await api.order({"PlatformAccessToken": issuer.token(**moved)})).status_code == 401
    assert (
        await api.order({"PlatformAccessToken": issuer.token(exp=world.now + 600, aud=...)})
    ).status_code == 200


async def test_062_platform_token_where_it_does_not_help(world: World, api: Endpoints) -> None:
    issuer = await known(world, "digdir")
    for path in (COMPOSED, DASHBOARD):
        assert (await api.order({"PlatformAccessToken": issuer.token()}, path=path)).status_code == 401
        both = {
            "PlatformAccessToken": issuer.token(),
            "Authorization": f"Bearer {await world.altinn_token()}",
        }
        assert (await api.order(both, path=path)).status_code == 403
    assert api.let_in == []


async def test_063_token_in_the_query(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    assert (await api.http.get(f"{FEED}?access_token={token}")).status_code == 401
    assert (
        await world.http.get(f"/authentication/api/v1/exchange/maskinporten?access_token={token}")
    ).status_code == 401


async def test_064_forwarded_paths_and_hosts(world: World, api: Endpoints) -> None:
    token = await world.altinn_token()
    headers = {
        "Authorization": f"Bearer {token}",
        "X-Original-URL": "/health",
        "X-Rewrite-URL": "/notifications/api/v1/trigger/x",
        "X-Forwarded-Host": "evil.example",
    }
    assert (await api.order(headers)).json()["creator"] == "digdir"
    del headers["Authorization"]
    assert (await api.order(headers)).status_code == 401
    metadata = await world.http.get("/maskinporten/.well-known/oauth-authorization-server", headers=headers)
    assert metadata.json()["issuer"] == world.issuer
    cookie = {
        "Cookie": f"{COOKIE}={token}",
        "Origin": "http://evil.example",
        "X-Forwarded-Host": "evil.example",
    }
    assert (await api.order(cookie)).status_code == 403


async def test_065_enormous_tokens(world: World, api: Endpoints) -> None:
    for size in (17_000, 64_000, 1_000_000):
        assert (await api.order({"Authorization": f"Bearer {'a' * size}"})).status_code == 401
        assert (await api.order({"PlatformAccessToken": "a." * size})).status_code == 401
        answer = await world.token_request("a" * size)
        assert answer.status_code == 400


async def test_081_unknown_client_and_bad_signature_look_alike(world: World) -> None:
    unknown = await world.token_request(world.grant(iss="7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11"))
    forged = await world.token_request(world.grant(key="attacker"))
    for answer in (unknown, forged):
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"
    assert unknown.json()["error_uri"].endswith("MP-100") and forged.json()["error_uri"].endswith("MP-124")


async def test_082_nothing_tells_which_codes_exist(world: World, api: Endpoints) -> None:
    for name in ("ttd", "nosuchcode"):
        answer = await api.order({"PlatformAccessToken": Issuer(world, name, key="attacker").token()})
        assert (
            answer.status_code == 401 and answer.content == b"" and not answer.headers.get("www-authenticate")
        )


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([], "API key required for Metrics endpoints"),
        ([("X-API-Key", "")], "API key cannot be empty"),
        ([("X-API-Key", "  ")], "API key cannot be empty"),
        ([("X-API-Key", "right")], "Invalid API key"),
        ([("X-API-Key", "right-key2")], "Invalid API key"),
        ([("X-API-Key", "right-key"), ("X-API-Key", "right-key")], "Invalid API key"),
    ],
    ids=["missing", "empty", "blank", "prefix", "longer", "two"],
)
async def test_083_metrics_key(
    world: World, api: Endpoints, headers: list[tuple[str, str]], text: str
) -> None:
    answer = await api.http.post(METRICS, headers=headers)
    assert answer.status_code == 401 and answer.json() == {"error": text}
    assert (await api.http.post(METRICS, headers={"X-API-Key": "right-key"})).status_code == 200


async def test_083_metrics_key_that_is_not_configured(shared_world: World) -> None:
    bare = await open_world(shared_world.database, shared_world.folder)
    api = Endpoints(bare)
    answer = await api.http.post(METRICS, headers={"X-API-Key": "x"})
    assert answer.status_code == 401 and answer.json() == {"error": "API key validation not configured"}
    assert (await api.http.post(REPORTS, headers={"Authorization": "Basic Og=="})).status_code == 401
    await api.http.aclose()
    await close_world(bare)


async def test_083_gateway_credentials(world: World, api: Endpoints) -> None:
    right = "Z2F0ZXdheTpzZWNyZXQ="
    for value in (f"Basic {right}", f"basic {right}", f"Anything {right}", right):
        assert (await api.http.post(REPORTS, headers={"Authorization": value})).status_code == 200
    for value in ("Basic", "Basic x", "Basic Z2F0ZXdheTpzZWNyZXQy", "Basic Z2F0ZXdheQ==", ""):
        answer = await api.http.post(REPORTS, headers={"Authorization": value})
        assert answer.status_code == 401 and answer.content == b""
    assert (await api.http.post(REPORTS)).status_code == 401


async def test_person_policy(world: World, api: Endpoints) -> None:
    person = (await world.http.get("/dev/tokens/GetPersonalToken")).text
    assert (await api.http.get(LOG, headers={"Authorization": f"Bearer {person}"})).status_code == 200
    assert api.let_in[0].pid == "17849012320"
    machine = await world.altinn_token()
    assert (await api.http.get(LOG, headers={"Authorization": f"Bearer {machine}"})).status_code == 403
    assert (await api.http.get(LOG)).status_code == 401
    assert (await api.order({"Authorization": f"Bearer {person}"}, path=ORDERS)).status_code == 403


async def test_challenges_outside_strict_imitation(world: World) -> None:
    api = Endpoints(world, strict=False)
    answer = await api.order({"Authorization": "Bearer x"})
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    await api.http.aclose()
