"""Attacks on registered keys: docs/reference/identity.md 10.1, lines 16 and 17, each by its number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.security.shared import world
from tests.support.identity import b64, jwk, rsa_key, self_service, uint64
from tests.support.running import RunningWorld

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


def _broken(**members: Any) -> dict[str, Any]:
    return jwk(rsa_key("second"), "new", **members)


def _numbers(bits: int = 2048) -> int:
    return rsa_key("second", bits).public_key().public_numbers().n


@pytest.mark.parametrize(
    "make",
    [
        lambda: jwk(rsa_key("small", 1024), "new"),
        lambda: _broken(e=uint64(1)),
        lambda: _broken(e=uint64(3)),
        lambda: _broken(n=uint64(_numbers() + 1)),
        lambda: _broken(n=b64(b"\0" + _numbers().to_bytes(256))),
        lambda: _broken(n=_broken()["n"] + "="),
        lambda: _broken(n=uint64(_numbers() // 3 * 3)),
        lambda: _broken(n=uint64((1 << 8200) + 1)),
    ],
    ids=["1024", "e1", "e3", "even", "leading-zero", "padded", "small-factor", "too-long"],
)
async def test_016_weak_keys_are_not_registered(
    world: RunningWorld, make: Callable[[], dict[str, Any]]
) -> None:
    call = await self_service(world)
    path = f"/clients/{world.client_id}/jwks"
    answer = await call("POST", path, {"keys": [make()]})
    assert answer.status_code == 400 and answer.json()["errors"][0]["objectName"] == "Jwks"
    assert [key["kid"] for key in (await call("GET", path)).json()["keys"]] == ["k1"]


async def test_016_a_prime_shared_with_another_key(world: RunningWorld) -> None:
    call = await self_service(world)
    prime = rsa_key().private_numbers().p
    other = rsa_key("second").private_numbers().q
    weak = _broken(n=uint64(prime * other))
    answer = await call("POST", f"/clients/{world.client_id}/jwks/keys", weak)
    assert answer.status_code == 400 and "shares a prime" in answer.text


@pytest.mark.parametrize(
    "entry",
    [
        lambda now: _broken(d="AQAB"),
        lambda now: {"kty": "oct", "k": "c2VjcmV0", "kid": "new", "use": "sig", "alg": "RS256"},
        lambda now: {
            "kty": "EC",
            "crv": "P-256",
            "x": "AA",
            "y": "AA",
            "kid": "new",
            "use": "sig",
            "alg": "ES256",
        },
        lambda now: _broken(use="enc"),
        lambda now: _broken(use=None),
        lambda now: _broken(alg=None),
        lambda now: _broken(alg="PS256"),
        lambda now: _broken() | {"kid": "a/b"},
        lambda now: _broken() | {"kid": ""},
        lambda now: _broken() | {"kid": "k" * 256},
        lambda now: _broken(exp=now + 10 * 365 * 86400),
        lambda now: _broken(exp=now - 1),
        lambda now: _broken(exp="tomorrow"),
        lambda now: "text",
    ],
    ids=[
        "private",
        "oct",
        "ec",
        "enc",
        "no-use",
        "no-alg",
        "ps256",
        "kid-slash",
        "kid-empty",
        "kid-long",
        "ten-years",
        "past",
        "exp-text",
        "text",
    ],
)
async def test_017_keys_that_may_not_be_registered(world: RunningWorld, entry: Callable[[int], Any]) -> None:
    call = await self_service(world)
    path = f"/clients/{world.client_id}/jwks"
    answer = await call("POST", path, {"keys": [entry(world.now)]})
    assert answer.status_code == 400
    assert [key["kid"] for key in (await call("GET", path)).json()["keys"]] == ["k1"]


async def test_017_a_private_key_is_told_as_such_and_kept_nowhere(
    world: RunningWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    call = await self_service(world)
    secret = uint64(rsa_key("second").private_numbers().d)
    answer = await call(
        "POST", f"/clients/{world.client_id}/jwks", {"keys": [jwk(rsa_key()), _broken(d=secret)]}
    )
    assert answer.status_code == 400 and "private key" in answer.text and "ny nøkkel" in answer.text
    assert secret not in answer.text and secret not in capsys.readouterr().out
    stored = await world.database.fetch(
        "select jwk::text as text from client_key union all select details::text from audit_event"
    )
    assert all(secret not in row["text"] for row in stored)


@pytest.mark.parametrize("kids", [["a", "a"], ["a", "b", "c", "d", "e", "f"]], ids=["same-kid", "six"])
async def test_017_sets_that_may_not_be_registered(world: RunningWorld, kids: list[str]) -> None:
    call = await self_service(world)
    answer = await call(
        "POST", f"/clients/{world.client_id}/jwks", {"keys": [jwk(rsa_key(), kid) for kid in kids]}
    )
    assert answer.status_code == 400
