"""Attacks on how tokens travel: docs/reference/identity.md 10.4, lines 51 to 65 and 81 to 83, each by its number.

Lines 64 (paths) and 65 (long headers) are also tested where the router and the server are.
"""

from __future__ import annotations

import resource
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.security.forging import right_claims, right_key
from tests.security.shared import api, world
from tests.support.identity import (
    BASE,
    COMPOSED,
    DASHBOARD,
    FEED,
    LOG,
    METRICS,
    ORDERS,
    REPORTS,
    compact,
    rsa_key,
)
from tests.support.running import Endpoints, RunningWorld, close_running, open_beside
from varsel.identity.certificates import self_signed, thumbprint
from varsel.identity.platform.registry import register_issuer, withdraw_issuer

__all__ = ["api", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

COOKIE = "AltinnStudioRuntime"
SAME_ORIGIN = {"Origin": BASE}


async def test_051_authorization_headers(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    assert await api.status(token) == 201
    assert (await api.order({"Authorization": f"bearer {token}"})).status_code == 201
    assert (await api.order({"Authorization": f"BEARER  {token} "})).status_code == 201
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


async def test_052_bad_bearer_beside_a_good_cookie(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    good = {"Cookie": f"{COOKIE}={token}", **SAME_ORIGIN}
    assert (await api.order(good)).status_code == 201 and api.last.via == "cookie"
    for bearer in ("Bearer rubbish", "Basic dTpw", "Bearer "):
        assert (await api.order(good | {"Authorization": bearer})).status_code == 401


async def test_053_cookies(world: RunningWorld, api: Endpoints) -> None:
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
        answer = await api.order({"Cookie": cookie, **SAME_ORIGIN})
        # What is longer than any request's head may be never reaches the authorizer.
        assert answer.status_code == (431 if len(cookie) > 32 * 1024 else 401), cookie[:60]
    two = [("Cookie", f"{COOKIE}={token}"), ("Cookie", f"{COOKIE}={token}"), *SAME_ORIGIN.items()]
    assert (await api.order(two)).status_code == 401
    planted = {"Cookie": f".ALTINNTOKEN=planted; {COOKIE}={token}", **SAME_ORIGIN}
    assert (await api.order(planted)).status_code == 201
    assert len(api.let_in) == 1


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
async def test_054_cross_site_forms(world: RunningWorld, api: Endpoints, kind: str) -> None:
    token = await world.altinn_token()
    headers = {"Cookie": f"{COOKIE}={token}", "Origin": "https://evil.example", "Content-Type": kind}
    assert (await api.order(headers)).status_code == 415
    assert api.let_in == []


async def test_055_sibling_subdomain(world: RunningWorld, api: Endpoints) -> None:
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
    assert (await api.order(echoed)).status_code == 201
    assert (await api.order(cookie | {"Sec-Fetch-Site": "same-origin"})).status_code == 201
    # Reading changes nothing and needs no proof; a bearer is no cookie.
    assert (await api.http.get(FEED, headers=cookie)).status_code == 200
    assert (
        await api.order({"Authorization": f"Bearer {token}", "Origin": "https://evil.example"})
    ).status_code == 201


@pytest.mark.parametrize(
    "origin", ["null", "http://varsel.test.evil.example", "http://evilvarsel.test", BASE]
)
async def test_056_no_cross_origin_answers(world: RunningWorld, api: Endpoints, origin: str) -> None:
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

    def __init__(self, world: RunningWorld, name: str, key: str | None = None) -> None:
        self.world = world
        self.name = name
        self.key: rsa.RSAPrivateKey = rsa_key(key or f"platform-{name}")
        self.certificate = self_signed(self.key, name, datetime.fromtimestamp(world.now, UTC))

    async def register(self, *, trusted: bool = False) -> Issuer:
        await register_issuer(
            self.world.database, self.world.clock, self.name, self.certificate, trusted=trusted
        )
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


async def known(world: RunningWorld, name: str, *, trusted: bool = False) -> Issuer:
    """An issuer that the running room has learnt of."""
    issuer = await Issuer(world, name).register(trusted=trusted)
    await world.room.platform.reload()
    return issuer


async def test_057_forged_platform_token_beside_a_good_bearer(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    forged = Issuer(world, "skd").token()
    answer = await api.order({"Authorization": f"Bearer {token}", "PlatformAccessToken": forged})
    assert answer.status_code == 401 and api.let_in == []
    await known(world, "skd")
    attacker = Issuer(world, "skd", key="attacker").token()
    answer = await api.order({"Authorization": f"Bearer {token}", "PlatformAccessToken": attacker})
    assert answer.status_code == 401 and api.let_in == []


async def test_058_two_good_tokens_of_two_creators(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    other, same = await known(world, "ttd"), await known(world, "digdir")
    component = await known(world, "platform", trusted=True)
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await api.order(bearer | {"PlatformAccessToken": other.token()})).status_code == 403
    assert api.let_in == []
    assert (
        await api.order(bearer | {"PlatformAccessToken": same.token()})
    ).status_code == 201 and api.last.creator == "digdir"
    # A trusted component may act for the code in the bearer token.
    assert (await api.order(bearer | {"PlatformAccessToken": component.token()})).status_code == 201
    assert api.last.creator == "digdir"
    assert (
        await api.order({"PlatformAccessToken": component.token()})
    ).status_code == 201 and api.last.creator == "platform"


async def test_059_platform_token_headers(world: RunningWorld, api: Endpoints) -> None:
    issuer = await known(world, "ttd")
    token = issuer.token()
    assert (await api.order({"PlatformAccessToken": token})).status_code == 201
    assert (api.last.creator, api.last.via) == ("ttd", "platform")
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
    assert (await api.order(empty)).status_code == 201 and api.last.creator == "digdir"
    for value in ("unreadable", "a.b.c", issuer.token(exp=world.now - 11)):
        answer = await api.order({"Authorization": f"Bearer {bearer}", "PlatformAccessToken": value})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a" * 10_000, "https://evil.example", "TTD", "unknown", "", 1, None, ["ttd"], ...],
    ids=str,
)
async def test_060_platform_issuer_names(world: RunningWorld, api: Endpoints, name: Any) -> None:
    issuer = await known(world, "ttd")
    assert (await api.order({"PlatformAccessToken": issuer.token(iss=name)})).status_code == 401


async def test_060_withdrawn_certificate(world: RunningWorld, api: Endpoints) -> None:
    issuer = await known(world, "ttd")
    token = issuer.token()
    assert (await api.order({"PlatformAccessToken": token})).status_code == 201
    await withdraw_issuer(world.database, "ttd")
    await world.room.platform.reload()
    assert (await api.order({"PlatformAccessToken": token})).status_code == 401
    assert (await api.order({"PlatformAccessToken": issuer.token()})).status_code == 401


async def test_060_certificate_that_expires_while_its_token_is_known(
    world: RunningWorld, api: Endpoints
) -> None:
    issuer = Issuer(world, "brief")
    ends = datetime.fromtimestamp(world.now, UTC) + timedelta(seconds=60)
    issuer.certificate = self_signed(issuer.key, "brief", ends, timedelta())
    await issuer.register()
    await world.room.platform.reload()
    token = issuer.token()
    assert (await api.order({"PlatformAccessToken": token})).status_code == 201
    world.clock.advance(timedelta(seconds=59))
    assert (await api.order({"PlatformAccessToken": token})).status_code == 201
    world.clock.advance(timedelta(seconds=1))
    assert (await api.order({"PlatformAccessToken": token})).status_code == 401


async def test_060_certificate_that_has_expired(world: RunningWorld) -> None:
    later = await open_beside(world)
    api = Endpoints(later)
    issuer = await known(later, "expiring")
    assert (await api.order({"PlatformAccessToken": issuer.token()})).status_code == 201
    later.clock.advance(timedelta(days=4 * 365))
    assert (await api.order({"PlatformAccessToken": issuer.token()})).status_code == 401
    await api.http.aclose()
    await close_running(later)


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
async def test_061_platform_token_times(world: RunningWorld, api: Endpoints, changes: dict[str, Any]) -> None:
    issuer = await known(world, "ttd")
    moved = {
        name: world.now + value if name in {"exp", "nbf"} and isinstance(value, int) else value
        for name, value in changes.items()
    }
    assert (await api.order({"PlatformAccessToken": issuer.token(**moved)})).status_code == 401
    assert (
        await api.order({"PlatformAccessToken": issuer.token(exp=world.now + 600, aud=...)})
    ).status_code == 201


async def test_062_platform_token_where_it_does_not_help(world: RunningWorld, api: Endpoints) -> None:
    issuer = await known(world, "digdir")
    both = {
        "PlatformAccessToken": issuer.token(),
        "Authorization": f"Bearer {await world.altinn_token()}",
    }
    alone = {"PlatformAccessToken": issuer.token()}
    assert (await api.order(alone, path=COMPOSED)).status_code == 401
    assert (await api.order(both, path=COMPOSED)).status_code == 403
    assert (await api.http.get(DASHBOARD, headers=alone)).status_code == 401
    assert (await api.http.get(DASHBOARD, headers=both)).status_code == 403
    assert api.let_in == []


async def test_063_token_in_the_query(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    assert (await api.http.get(f"{FEED}?access_token={token}")).status_code == 401
    assert (
        await world.http.get(f"/authentication/api/v1/exchange/maskinporten?access_token={token}")
    ).status_code == 401


async def test_064_forwarded_paths_and_hosts(world: RunningWorld, api: Endpoints) -> None:
    token = await world.altinn_token()
    headers = {
        "Authorization": f"Bearer {token}",
        "X-Original-URL": "/health",
        "X-Rewrite-URL": "/notifications/api/v1/trigger/x",
        "X-Forwarded-Host": "evil.example",
    }
    assert (await api.order(headers)).status_code == 201 and api.last.creator == "digdir"
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


@pytest.mark.parametrize("size", [17_000, 64_000, 1_000_000])
async def test_065_enormous_tokens(world: RunningWorld, api: Endpoints, size: int) -> None:
    # Too long for a token: 401. Too long for any request's head (32 KB): a complete 431, and nobody looks at it.
    refusal = 401 if size < 32 * 1024 else 431
    assert (await api.order({"Authorization": f"Bearer {'a' * size}"})).status_code == refusal
    assert (await api.order({"PlatformAccessToken": "a." * (size // 2)})).status_code == refusal
    assert (await api.order({"X-Padding": "a" * size, "Authorization": "Bearer x"})).status_code == refusal
    assert (await world.token_request("a" * size)).status_code == 400
    assert api.let_in == []


async def test_065_memory_stays_flat_under_enormous_headers(world: RunningWorld, api: Endpoints) -> None:
    def held() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    header = {"Authorization": f"Bearer {'a' * 1_000_000}"}
    for _ in range(5):
        await api.order(header)
    before = held()
    for _ in range(50):
        assert (await api.order(header)).status_code == 431
    assert held() - before < 20_000_000, "fifty megabytes of headers are not kept"


async def test_081_unknown_client_and_bad_signature_look_alike(world: RunningWorld) -> None:
    unknown = await world.token_request(world.grant(iss="7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11"))
    forged = await world.token_request(world.grant(key="attacker"))
    for answer in (unknown, forged):
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"
    assert unknown.json()["error_uri"].endswith("MP-100") and forged.json()["error_uri"].endswith("MP-124")


async def test_081_time_does_not_tell_which_clients_exist(world: RunningWorld) -> None:
    seconds: dict[str, list[float]] = {"unknown": [], "forged": []}
    for _ in range(25):
        for kind, grant in (
            ("unknown", world.grant(iss="7c1f9a52-8f0e-4a53-9d39-5d0a6b0f2e11")),
            ("forged", world.grant(key="attacker")),
        ):
            began = time.process_time()
            assert (await world.token_request(grant)).status_code == 400
            seconds[kind].append(time.process_time() - began)
    unknown, forged = (statistics.median(seconds[kind]) for kind in ("unknown", "forged"))
    # Both look the client up and both check one signature; the server is this process, so the processor's time is its own.
    assert abs(unknown - forged) < 0.5 * max(unknown, forged), (unknown, forged)


async def test_081_guessing_ends_in_429(shared_world: RunningWorld) -> None:
    limited = await open_beside(shared_world, token_rate=20)
    # A minute of its own: others on this database count requests from this address too.
    limited.clock.advance(timedelta(hours=7))
    answers = [
        await limited.token_request(limited.grant(iss=str(uuid4()), key="attacker")) for _ in range(25)
    ]
    assert [answer.status_code for answer in answers] == [400] * 20 + [429] * 5
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["error"] == "temporarily_unavailable"
    # From elsewhere, and a minute later from here, it goes on.
    limited.clock.advance(timedelta(minutes=1))
    assert (await limited.token_request(limited.grant())).status_code == 200
    await close_running(limited)


async def test_082_nothing_tells_which_codes_exist(world: RunningWorld, api: Endpoints) -> None:
    for name in ("ttd", "nosuchcode"):
        answer = await api.order({"PlatformAccessToken": Issuer(world, name, key="attacker").token()})
        assert (
            answer.status_code == 401 and answer.content == b"" and not answer.headers.get("www-authenticate")
        )


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([], "API key required for metrics"),
        ([("X-API-Key", "")], "API key cannot be empty"),
        ([("X-API-Key", "  ")], "API key cannot be empty"),
        ([("X-API-Key", "right")], "Invalid API key"),
        ([("X-API-Key", "right-key2")], "Invalid API key"),
        ([("X-API-Key", "right-key"), ("X-API-Key", "right-key")], "Invalid API key"),
    ],
    ids=["missing", "empty", "blank", "prefix", "longer", "two"],
)
async def test_083_metrics_key(
    world: RunningWorld, api: Endpoints, headers: list[tuple[str, str]], text: str
) -> None:
    answer = await api.http.post(METRICS, headers=headers)
    assert answer.status_code == 401 and answer.json() == {"error": text}
    assert (await api.http.post(METRICS, headers={"X-API-Key": "right-key"})).status_code == 200


async def test_083_metrics_key_that_is_not_configured(shared_world: RunningWorld) -> None:
    bare = await open_beside(shared_world)
    api = Endpoints(bare)
    answer = await api.http.post(METRICS, headers={"X-API-Key": "x"})
    assert answer.status_code == 401 and answer.json() == {"error": "API key validation not configured"}
    assert (await api.http.post(REPORTS, headers={"Authorization": "Basic Og=="})).status_code == 401
    await api.http.aclose()
    await close_running(bare)


async def test_083_gateway_credentials(world: RunningWorld, api: Endpoints) -> None:
    right = "Z2F0ZXdheTpzZWNyZXQ="
    report = '<?xml version="1.0"?><MSGLST><MSG><ID>1</ID><REF>unknown</REF><RCV>4799999999</RCV><STATE>DELIVRD</STATE></MSG></MSGLST>'
    xml = {"Content-Type": "application/xml"}
    for value in (f"Basic {right}", f"basic {right}", f"Anything {right}", right):
        answer = await api.http.post(REPORTS, headers=xml | {"Authorization": value}, content=report)
        assert answer.status_code == 200, answer.text
    for value in ("Basic", "Basic x", "Basic Z2F0ZXdheTpzZWNyZXQy", "Basic Z2F0ZXdheQ==", ""):
        answer = await api.http.post(REPORTS, headers=xml | {"Authorization": value}, content=report)
        assert answer.status_code == 401 and answer.content == b""
    assert (await api.http.post(REPORTS, headers=xml, content=report)).status_code == 401


async def test_person_policy(world: RunningWorld, api: Endpoints) -> None:
    person = (await world.http.get("/dev/tokens/GetPersonalToken")).text
    log = f"{LOG}?dialogId={uuid4()}"
    assert (await api.http.get(log, headers={"Authorization": f"Bearer {person}"})).status_code == 200
    assert api.let_in[0].pid == "17849012320"
    machine = await world.altinn_token()
    assert (await api.http.get(LOG, headers={"Authorization": f"Bearer {machine}"})).status_code == 403
    assert (await api.http.get(LOG)).status_code == 401
    assert (await api.order({"Authorization": f"Bearer {person}"}, path=ORDERS)).status_code == 403


async def test_challenges_outside_strict_imitation(shared_world: RunningWorld) -> None:
    told = await open_beside(shared_world, strict_imitation=False)
    api = Endpoints(told)
    answer = await api.order({"Authorization": "Bearer x"})
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    await api.http.aclose()
    await close_running(told)
