"""How events are claimed for endpoints: leases, one teller at a time, places in the queue, and what is forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import NOON
from tests.engine.endpoints import KEY, Endpoint, register, tell
from tests.support.polling import until
from varsel.delivery.webhooks import IN_HAND, PAUSES, WebhookLane, pause_before
from varsel.runtime.clock import ManualClock, SystemMachine
from varsel.runtime.outbound import GuardedClient
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.queries import load


async def test_leases_that_run_out_and_a_lane_that_leaves(
    database: Database, endpoint: Endpoint, client: GuardedClient
) -> None:
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=3)
    await database.execute(
        "update webhook_event set owner = $1, lease_until = clock_timestamp() - interval '1 second' where seq = 1",
        uuid7(),
    )
    endpoint.gate.clear()
    lane = WebhookLane(database, SystemMachine(), client, KEY)
    lane.start()
    await until(lambda: endpoint.got)
    stopping = asyncio.create_task(lane.stop())
    await asyncio.sleep(0)
    endpoint.gate.set()
    await stopping
    assert await database.fetchval("select count(*) from webhook_event where owner is not null") == 0
    assert await database.fetchval("select count(*) from webhook_event") == 2
    assert endpoint.got[0].id == "feed-1"


async def test_a_slow_endpoint_is_told_once(
    database: Database, client: GuardedClient, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much waits for it: no more is taken than can be told before the leases run out."""
    monkeypatch.setattr("varsel.delivery.webhooks._LEAST_SECONDS", 0.01)
    monkeypatch.setattr("varsel.delivery.webhooks._IDLE_SECONDS", 0.01)
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=130)
    endpoint.gate.clear()
    clock = ManualClock(NOON)
    watched = Costly(database, clock, [])
    lane, other = (WebhookLane(watched, clock, client, KEY) for _ in range(2))  # type: ignore[arg-type]
    lane.start()
    other.start()
    try:
        await until(lambda: endpoint.got)
        looks = len(watched.looks)
        await until(lambda: len(watched.looks) > looks + 10)
        assert len(endpoint.got) == 1, "one endpoint is told one thing at a time, whoever tells it"
        taken = "select count(*) from webhook_event where owner is not null"
        assert await database.fetchval(taken) == IN_HAND
        endpoint.gate.set()
        await until(lambda: len(endpoint.got) >= 130)
        await until(lambda: database.fetchval("select count(*) = 0 from webhook_event"))
    finally:
        endpoint.gate.set()
        await lane.stop()
        await other.stop()
    assert [got.id for got in endpoint.got] == [f"feed-{number}" for number in range(1, 131)]


async def test_what_is_not_told_within_the_lease_goes_back(
    database: Database, client: GuardedClient, endpoint: Endpoint
) -> None:
    clock = ManualClock(NOON)
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=10)
    endpoint.gate.clear()
    lane = WebhookLane(database, clock, client, KEY)
    lane.start()
    try:
        await until(lambda: endpoint.got)
        clock.advance(timedelta(seconds=160))
        endpoint.gate.set()
        await until(lambda: len(endpoint.got) == 10)
    finally:
        await lane.stop()
    assert [got.id for got in endpoint.got] == [f"feed-{number}" for number in range(1, 11)]


class Costly:
    """A database whose every look for endpoints takes a second, and the places that it began behind."""

    def __init__(self, database: Any, clock: ManualClock, looks: list[dict[UUID, Any]]) -> None:
        self._database, self._clock, self.looks = database, clock, looks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def fetch(self, sql: str, *args: Any) -> Any:
        if sql == load("varsel.delivery").waiting_webhooks:
            webhooks, times, ids = args
            self.looks.append(dict(zip(webhooks, zip(times, ids, strict=True), strict=True)))
            self._clock.advance(timedelta(seconds=1))
        return await self._database.fetch(sql, *args)


async def test_a_costly_claim_begins_behind_what_was_taken(
    database: Database, endpoint: Endpoint, client: GuardedClient
) -> None:
    """What was told stays in the table while any transaction is open, and a claim must not walk over all of it."""
    clock = ManualClock(NOON)
    costly = Costly(database, clock, [])
    lane = WebhookLane(costly, clock, client, KEY)  # type: ignore[arg-type]
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=120)
    rows = await database.fetch("select next_at, id from webhook_event order by next_at, id")
    last = (rows[-1]["next_at"], rows[-1]["id"])
    lane.start()
    try:
        await until(lambda: len(endpoint.got) == 120)

        async def behind() -> bool:
            lane.look()
            return last in costly.looks[-1].values()

        await until(behind)
        assert len(costly.looks) < 60, "otherwise every claim was from the start"

        # What fails goes back to its place, and is found there.
        endpoint.answers = [200, 500]
        await tell(database, webhook_id, number=5)

        async def told() -> bool:
            await database.execute("update webhook set rest_until = clock_timestamp()")
            lane.look()
            return len(endpoint.got) == 125

        before = clock.monotonic()
        await until(told)
        assert clock.monotonic() - before < 50, "before a scan from the start was allowed"

        # And what comes much too late is found within the minute.
        await tell(database, webhook_id)
        await database.execute(
            "update webhook_event set next_at = next_at - interval '1 hour' where tries = 0"
        )
        clock.advance(timedelta(seconds=60))
        lane.look()
        await until(lambda: len(endpoint.got) == 126)
    finally:
        await lane.stop()


async def test_old_attempts_and_events_are_forgotten(
    database: Database, endpoint: Endpoint, client: GuardedClient
) -> None:
    webhook_id = await register(database, endpoint.url)
    await database.execute("update webhook set disabled_at = clock_timestamp()")
    for days in (29, 31):
        await database.execute(
            "insert into webhook_attempt (id, webhook_id, message_id, type, at, took_ms) "
            "values ($1, $2, 'feed-1', 'order.completed', clock_timestamp() - $3::interval, 1)",
            uuid7(),
            webhook_id,
            timedelta(days=days),
        )
    await tell(database, webhook_id, number=2)
    await database.execute(
        "update webhook_event set created_at = created_at - interval '3 days' where seq = 1"
    )
    lane = WebhookLane(database, SystemMachine(), client, KEY)
    lane.start()

    async def forgotten() -> bool:
        return await database.fetchval("select count(*) from webhook_attempt") == 1

    await until(forgotten)
    await lane.stop()
    assert await database.fetchval("select count(*) from webhook_event") == 1


def test_the_pauses_outlast_a_day() -> None:
    assert 24 * 3600 < sum(PAUSES) < 30 * 3600
    assert list(PAUSES) == sorted(PAUSES)
    for tries, least in enumerate(PAUSES):
        assert least <= pause_before(tries, None).total_seconds(), (
            "or some events are given up before the day is over"
        )
    for tries in (0, 5, 100):
        assert pause_before(tries, None).total_seconds() <= PAUSES[-1] * 1.2
    assert pause_before(0, 3600.0).total_seconds() == 3600
    assert pause_before(0, 1e9).total_seconds() <= PAUSES[-1] * 1.2
