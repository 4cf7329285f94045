"""Keys that were removed, have expired or were rotated away: docs/reference/identity.md 10.1, lines 18 and 21, each by its number."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from tests.security.forging import knock, right_claims, right_key
from tests.support.identity import compact, jwk, rsa_key, self_service
from tests.support.running import Endpoints, RunningWorld


async def test_018_removed_and_expired_keys(world: RunningWorld, api: Endpoints) -> None:
    call = await self_service(world)
    path = f"/clients/{world.client_id}/jwks"
    await call("POST", path, {"keys": [jwk(rsa_key("second"), "k2")]})
    assert not await knock(world, api, "M", world.grant())
    # A key counts to the second of its expiry and not beyond; the same key counts again when it is posted again.
    await call("POST", path, {"keys": [jwk(rsa_key(), "k1", exp=world.now + 60)]})
    world.clock.advance(timedelta(seconds=59))
    assert await knock(world, api, "M", world.grant())
    world.clock.advance(timedelta(seconds=2))
    answer = await world.token_request(world.grant())
    assert (
        answer.json()["error_uri"].endswith("MP-121") and "Expired key" in answer.json()["error_description"]
    )
    await call("POST", path, {"keys": [jwk(rsa_key(), "k1")]})
    assert await knock(world, api, "M", world.grant())


@pytest.mark.parametrize("door", ["X", "N"])
async def test_021_old_signing_keys(world: RunningWorld, api: Endpoints, door: str) -> None:
    issuer = {"X": "maskinporten", "N": "altinn"}[door]
    key, header = right_key(world, door)

    def old_token() -> str:
        return compact(header, right_claims(world, door), key)

    await world.room.keys.rotate(issuer)
    assert world.room.keys.signer(issuer).kid == header["kid"], (
        "a new key is shown for 48 hours before it signs"
    )
    assert len(json.loads(world.room.keys.jwks(issuer))["keys"]) == 2
    world.clock.advance(timedelta(hours=48, seconds=1))
    assert world.room.keys.signer(issuer).kid != header["kid"]
    token = old_token()
    assert await knock(world, api, door, token), "the old key counts until it is withdrawn"
    await world.room.keys.withdraw(header["kid"])
    assert not await knock(world, api, door, token), "also a token that was known already"
    fresh_key, fresh_header = right_key(world, door)
    assert await knock(world, api, door, compact(fresh_header, right_claims(world, door), fresh_key))


async def test_021_the_old_key_retires_by_itself(world: RunningWorld, api: Endpoints) -> None:
    key, header = right_key(world, "N")
    await world.room.keys.rotate("altinn")
    world.clock.advance(timedelta(hours=51))
    assert not await knock(world, api, "N", compact(header, right_claims(world, "N"), key))
    assert len(json.loads(world.room.keys.jwks("altinn"))["keys"]) == 1


async def test_021_keys_roll_over_while_requests_run(world: RunningWorld, api: Endpoints) -> None:
    """Callers fetch, exchange and order without a pause while both issuers' keys are rotated and the new ones begin to sign."""
    jumps = 0
    stop = asyncio.Event()
    orders = 0

    async def caller() -> None:
        nonlocal orders
        while not stop.is_set():
            began = jumps
            token = await world.token_request(world.grant())
            exchanged = await world.exchange(token.json().get("access_token", "none"))
            order = await api.order({"Authorization": f"Bearer {exchanged.text}"})
            if jumps == began:
                # No leap of two days in between: nothing may fail.
                assert [one.status_code for one in (token, exchanged, order)] == [200, 200, 201]
                orders += 1

    async def more(number: int) -> None:
        wanted = orders + number
        while orders < wanted:
            await asyncio.wait(callers, timeout=0.005, return_when=asyncio.FIRST_EXCEPTION)
            for task in callers:
                if task.done():
                    task.result()

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    try:
        await more(8)
        signers = {issuer: world.room.keys.signer(issuer).kid for issuer in ("maskinporten", "altinn")}
        for issuer in signers:
            await world.room.keys.rotate(issuer)
            await more(8)
        world.clock.advance(timedelta(hours=48, seconds=1))
        jumps += 1
        await more(8)
        for issuer, kid in signers.items():
            assert world.room.keys.signer(issuer).kid != kid
            await world.room.keys.withdraw(kid)
            await more(8)
    finally:
        stop.set()
        await asyncio.gather(*callers)
