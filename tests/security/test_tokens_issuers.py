"""Issuers elsewhere: docs/reference/identity.md 10.1 lines 19 and 20, and section 11's modes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.identity import CREATE_SCOPE, compact, jwk, rsa_key
from tests.support.polling import until
from tests.support.running import Endpoints, RunningWorld, close_running, open_running
from varsel.runtime.errors import SettingsError
from varsel.runtime.outbound import Fetched, ForbiddenAddress, OutboundError
from varsel.store.database import Database

MASKINPORTEN = "https://test.maskinporten.example/"
ALTINN = "https://platform.altinn.example/authentication/api/v1/openid/"


class Internet:
    """What lies outside: addresses with their answers, and how often each was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Fetched | Exception] = {}
        self.asked: list[str] = []

    async def get(self, url: str, *, timeout: float = 0, max_bytes: int = 0) -> Fetched:
        assert timeout <= 10 and max_bytes <= 1 << 20, "an issuer's answer is read with limits"
        self.asked.append(url)
        answer = self.answers.get(url, OutboundError())
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def post(self, url: str, body: bytes, **options: Any) -> Fetched:
        raise AssertionError("nothing is posted here")

    async def close(self) -> None: ...

    def put(self, url: str, body: bytes | Mapping[str, Any], status: int = 200) -> None:
        self.answers[url] = Fetched(
            status, {}, body if isinstance(body, bytes) else json.dumps(body).encode()
        )

    def publish(self, issuer: str, *keys: tuple[str, str]) -> None:
        """An issuer with keys (kid, name of the key)."""
        kind = "oauth-authorization-server" if issuer == MASKINPORTEN else "openid-configuration"
        self.put(f"{issuer}.well-known/{kind}", {"issuer": issuer, "jwks_uri": issuer + "keys"})
        self.put(issuer + "keys", {"keys": [jwk(rsa_key(name), kid, alg=None) for kid, name in keys]})


async def open_mode(database: Database, folder: Path, internet: Internet, mode: str) -> RunningWorld:
    names = {"external": {"maskinporten_issuer": MASKINPORTEN}, "altinn": {"altinn_issuer": ALTINN}}
    return await open_running(
        database, folder, sandbox=False, outbound=internet, identity_mode=mode, **names[mode]
    )


def incoming(world: RunningWorld, key: str = "issuer", kid: str = "i1", **changes: Any) -> str:
    claims = {
        "iss": MASKINPORTEN,
        "scope": CREATE_SCOPE,
        "client_id": "c",
        "iat": world.now,
        "exp": world.now + 100_000,
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"},
    }
    return compact({"alg": "RS256", "kid": kid}, claims | changes, rsa_key(key))


def altinn(world: RunningWorld, **changes: Any) -> str:
    return incoming(world, **({"iss": ALTINN, "urn:altinn:org": "digdir"} | changes))


async def test_mode_external_trusts_that_issuer_and_no_other(database: Database, tmp_path: Path) -> None:
    internet = Internet()
    internet.publish(MASKINPORTEN, ("i1", "issuer"))
    world = await open_mode(database, tmp_path, internet, "external")
    assert (await world.exchange(incoming(world))).status_code == 200
    for token in (
        incoming(world, key="attacker"),
        incoming(world, iss=MASKINPORTEN[:-1]),
        incoming(world, iss=world.issuer),
        incoming(world, iss="https://"),
    ):
        assert (await world.exchange(token)).status_code == 401
    # Our own Maskinporten does not exist in this mode.
    assert (await world.http.get("/maskinporten/jwk")).status_code == 404
    await close_running(world)


async def test_mode_altinn_trusts_altinn_tokens(database: Database, tmp_path: Path) -> None:
    internet = Internet()
    internet.publish(ALTINN, ("i1", "issuer"))
    world = await open_mode(database, tmp_path, internet, "altinn")
    api = Endpoints(world)
    assert await api.status(altinn(world)) == 201
    assert await api.status(altinn(world, key="attacker")) == 401
    assert await api.status(altinn(world, iss=MASKINPORTEN)) == 401
    assert (await world.exchange(incoming(world))).status_code == 401
    await api.http.aclose()
    await close_running(world)


async def test_keys_in_standard_base64_are_read(database: Database, tmp_path: Path) -> None:
    internet = Internet()
    internet.publish(ALTINN, ("i1", "issuer"))
    key = jwk(rsa_key("issuer"), "i1", alg=None)
    flat = {"n": key["n"].replace("-", "+").replace("_", "/") + "==", "e": "AQAB"}
    internet.put(ALTINN + "keys", {"keys": [key | flat]})
    world = await open_mode(database, tmp_path, internet, "altinn")
    api = Endpoints(world)
    assert await api.status(altinn(world)) == 201
    await api.http.aclose()
    await close_running(world)


async def test_019_random_kids_cause_one_fetch_a_minute(database: Database, tmp_path: Path) -> None:
    internet = Internet()
    internet.publish(ALTINN, ("i1", "issuer"))
    world = await open_mode(database, tmp_path, internet, "altinn")
    api = Endpoints(world)
    assert await api.status(altinn(world)) == 201
    for number in range(300):
        assert await api.status(altinn(world, kid=f"random-{number}")) == 401
    assert internet.asked.count(ALTINN + "keys") == 1
    world.clock.advance(timedelta(seconds=61))
    for number in range(300):
        assert await api.status(altinn(world, kid=f"more-{number}")) == 401
    assert internet.asked.count(ALTINN + "keys") == 2
    await api.http.aclose()
    await close_running(world)


_HUGE = OutboundError()


@pytest.mark.parametrize(
    "answer",
    [
        Fetched(200, {}, b"<html>sorry</html>"),
        Fetched(200, {}, b'{"keys":[]}'),
        Fetched(200, {}, b'{"keys":[{"kty":"RSA","kid":"i1","n":"AQAB","e":"AQAB"}]}'),
        Fetched(200, {}, b"[" * 100_000),
        Fetched(302, {"location": "file:///etc/passwd"}, b""),
        Fetched(500, {}, b""),
        ForbiddenAddress(),
        _HUGE,
    ],
    ids=["html", "empty", "weak", "deep", "redirect", "500", "internal", "huge-or-hanging"],
)
async def test_020_bad_answers_of_a_keys_endpoint(
    database: Database, tmp_path: Path, answer: Fetched | Exception
) -> None:
    internet = Internet()
    internet.publish(ALTINN, ("i1", "issuer"))
    world = await open_mode(database, tmp_path, internet, "altinn")
    api = Endpoints(world)
    assert await api.status(altinn(world)) == 201
    internet.answers[ALTINN + "keys"] = answer
    world.clock.advance(timedelta(hours=25))
    # The keys are a day old and cannot be had again: the known ones go on counting, an unknown one is not "invalid".
    assert await api.status(altinn(world)) == 201
    await until(lambda: internet.asked.count(ALTINN + "keys") == 2)
    world.clock.advance(timedelta(seconds=61))
    unknown = await api.order({"Authorization": f"Bearer {altinn(world, kid='i2')}"})
    assert unknown.status_code == 503 and unknown.headers["retry-after"]
    # A restart during the outage still knows them.
    second = await open_mode(database, tmp_path, internet, "altinn")
    second.clock.advance(timedelta(hours=26))
    again = Endpoints(second)
    assert await again.status(altinn(second)) == 201
    # The issuer is back, with a new key: taken without a restart, and what was withdrawn counts no more.
    internet.publish(ALTINN, ("i2", "newer"))
    world.clock.advance(timedelta(seconds=61))
    assert await api.status(altinn(world, key="newer", kid="i2")) == 201
    assert await api.status(altinn(world)) == 401
    for one in (api, again):
        await one.http.aclose()
    await close_running(second)
    await close_running(world)


async def test_020_metadata_of_another_issuer(database: Database, tmp_path: Path) -> None:
    internet = Internet()
    internet.publish(ALTINN, ("i1", "issuer"))
    internet.put(
        ALTINN + ".well-known/openid-configuration",
        {"issuer": "https://evil.example/", "jwks_uri": ALTINN + "keys"},
    )
    world = await open_mode(database, tmp_path, internet, "altinn")
    api = Endpoints(world)
    assert await api.status(altinn(world)) in {401, 503}
    assert ALTINN + "keys" not in internet.asked
    await api.http.aclose()
    await close_running(world)


async def test_a_mode_without_its_issuer_refuses_to_start(database: Database, tmp_path: Path) -> None:
    for mode in ("external", "altinn"):
        with pytest.raises(SettingsError):
            await open_running(database, tmp_path, sandbox=False, identity_mode=mode)
