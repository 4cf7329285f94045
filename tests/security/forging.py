"""Forged tokens for every door: M the token endpoint, X the exchange, N the API (docs/reference/identity.md 10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.identity import CREATE_SCOPE, compact, rsa_key
from tests.support.running import Endpoints, RunningWorld

Forge = Callable[[dict[str, Any], dict[str, Any], rsa.RSAPrivateKey], str]


def right_claims(world: RunningWorld, door: str) -> dict[str, Any]:
    """Claims that this door takes when rightly signed."""
    if door == "M":
        return world.claims()
    claims: dict[str, Any] = {
        "scope": CREATE_SCOPE,
        "client_id": world.client_id,
        "jti": str(uuid4()),
        "iat": world.now,
        "exp": world.now + 100,
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"},
    }
    if door == "X":
        return claims | {"iss": world.issuer}
    altinn = world.issuer.replace("/maskinporten/", "/authentication/api/v1/openid/")
    return claims | {"iss": altinn, "urn:altinn:org": "digdir", "urn:altinn:orgNumber": "991825827"}


def right_key(world: RunningWorld, door: str) -> tuple[rsa.RSAPrivateKey, dict[str, Any]]:
    """The private key and header that this door takes."""
    if door == "M":
        return rsa_key("first"), {"alg": "RS256", "kid": "k1"}
    key = world.room.keys.signer({"X": "maskinporten", "N": "altinn"}[door])
    private = key.key.private_key
    assert private is not None
    return private, {"alg": "RS256", "kid": key.kid}


async def knock(world: RunningWorld, api: Endpoints, door: str, token: str) -> bool:
    """Whether the door opened; a refusal must be the one that the contract names, and never a failure."""
    if door == "M":
        answer = await world.token_request(token)
        assert answer.status_code in {200, 400, 403}, answer.status_code
        if answer.status_code != 200:
            assert answer.json()["error"] and token not in answer.text
        return answer.status_code == 200
    if door == "X":
        answer = await world.exchange(token)
    else:
        answer = await api.order({"Authorization": f"Bearer {token}"})
    assert answer.status_code in {200, 201, 401}, answer.status_code
    if door == "N" and answer.status_code == 401:
        assert answer.content == b"" and "www-authenticate" not in answer.headers
    return answer.status_code in {200, 201}


async def refused(world: RunningWorld, api: Endpoints, door: str, forge: Forge) -> None:
    """The right token opens this door, the forged one does not, and nothing was let in by it."""
    key, header = right_key(world, door)
    assert await knock(world, api, door, compact(header, right_claims(world, door), key)), (
        "the right token must pass"
    )
    before = len(api.let_in)
    assert not await knock(world, api, door, forge(dict(header), right_claims(world, door), key))
    assert len(api.let_in) == before


def with_header(**changes: Any) -> Forge:
    """The right token with other header members; None takes one out."""

    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        return compact(
            {name: value for name, value in (header | changes).items() if value is not None}, claims, key
        )

    return forge


def with_claims(**changes: Any) -> Forge:
    """The right token with other claims; `...` takes one out."""

    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        return compact(
            header, {name: value for name, value in (claims | changes).items() if value is not ...}, key
        )

    return forge


def raw_payload(change: Callable[[bytes], bytes]) -> Forge:
    """The right token over changed payload bytes."""

    def forge(header: dict[str, Any], claims: Mapping[str, Any], key: rsa.RSAPrivateKey) -> str:
        return compact(header, change(json.dumps(claims).encode()), key)

    return forge


def raw_header(change: Callable[[bytes], bytes]) -> Forge:
    """The right token over changed header bytes."""

    def forge(header: dict[str, Any], claims: Mapping[str, Any], key: rsa.RSAPrivateKey) -> str:
        return compact(change(json.dumps(header).encode()), claims, key)

    return forge
