"""Signing keys over time and over processes (docs/reference/identity.md 2.3, 5.7)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from tests.support.identity import START
from tests.support.polling import until
from varsel.identity.keys import ISSUERS, SIGN_FOR, KeyRing
from varsel.runtime.clock import ManualClock
from varsel.store.database import Database, Listener
from varsel.store.secrets import MasterKey

MASTER = MasterKey(b"m" * 32)


async def test_many_starters_make_one_first_key(database: Database) -> None:
    clock = ManualClock(START)
    rings = await asyncio.gather(*(KeyRing.open(database, clock, MASTER) for _ in range(4)))
    assert await database.fetchval("select count(*) from signing_key") == len(ISSUERS)
    for ring in rings:
        await ring.reload()
    assert len({ring.signer("altinn").kid for ring in rings}) == 1
    for ring in rings:
        await ring.close()


async def test_private_keys_lie_sealed(database: Database) -> None:
    ring = await KeyRing.open(database, ManualClock(START), MASTER)
    private = ring.signer("altinn").key.as_dict(private=True)["d"]
    rows = await database.fetch("select private, public::text as public from signing_key")
    assert all(private not in row["public"] and b"RSA" not in row["private"] for row in rows)
    assert all(MASTER.open(row["private"]) for row in rows)
    await ring.close()


async def test_an_old_key_is_followed_by_a_new_one(database: Database) -> None:
    clock = ManualClock(START)
    ring = await KeyRing.open(database, clock, MASTER)
    first = ring.signer("maskinporten").kid
    clock.advance(SIGN_FOR - timedelta(hours=47))
    await ring.ensure()
    assert (
        len(json.loads(ring.jwks("maskinporten"))["keys"]) == 2 and ring.signer("maskinporten").kid == first
    )
    await ring.ensure()
    assert len(json.loads(ring.jwks("maskinporten"))["keys"]) == 2
    clock.advance(timedelta(hours=48))
    assert ring.signer("maskinporten").kid != first
    clock.advance(timedelta(hours=2))
    assert [key["kid"] for key in json.loads(ring.jwks("maskinporten"))["keys"]] == [
        ring.signer("maskinporten").kid
    ]
    await ring.close()


async def test_other_processes_hear_of_changes(database: Database, database_url: str) -> None:
    clock = ManualClock(START)
    listener = Listener(database_url)
    hearing = await KeyRing.open(database, clock, MASTER, listener)
    listener.start()
    await listener.connected.wait()
    changing = await KeyRing.open(database, clock, MASTER)
    withdrawn = changing.signer("altinn").kid
    assert hearing.signer("altinn").kid == withdrawn
    await changing.withdraw(withdrawn)
    # Not the first news: joining the listener reads the keys as well.
    await until(lambda: hearing.signer("altinn").kid == changing.signer("altinn").kid != withdrawn)
    await listener.stop()
    await hearing.close()
    await changing.close()
