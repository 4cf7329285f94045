"""Statements on queues take their rows by an index whatever the statistics say, and looks do not walk over what left long ago."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.engine.conftest import NOON
from varsel.delivery.lookout import Lookout, Places
from varsel.runtime.clock import ManualClock
from varsel.store import queries
from varsel.store.database import BY_INDEX, Database
from varsel.store.ids import uuid7

QUEUES = ("due", "ready", "handoff", "awaiting", "parked_report", "feed_pending", "webhook_event")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Database]:
    """The database as a worker opens it."""
    opened = await Database.open(database_url, name="worker", planner=BY_INDEX)
    yield opened
    await opened.close()


async def fill(database: Database) -> None:
    """Some thousand rows in queues that PostgreSQL has analysed as empty."""
    for table in QUEUES:
        await database.execute(f"vacuum analyze {table}")
    await database.execute(
        "insert into due (order_id, creator, due_at) select uuidv7(), 'ttd', $1::timestamptz from generate_series(1, 3000)",
        NOON,
    )
    await database.execute(
        "insert into ready (notification_id, order_id, creator, channel, lane, ready_at, expires_at, owner, lease_until) "
        "select uuidv7(), uuidv7(), 'ttd', 'Sms', 1, $1::timestamptz, $1::timestamptz + interval '2 days', "
        "case when n % 2 = 0 then uuidv7() end, case when n % 2 = 0 then now() + interval '1 hour' end "
        "from generate_series(1, 6000) n",
        NOON,
    )
    webhook_id = uuid7()
    await database.execute(
        "insert into webhook (id, creator, url, events, secret, created_at) values ($1, 'ttd', '', '{}', '', $2)",
        webhook_id,
        NOON,
    )
    await database.execute(
        "insert into webhook_event (webhook_id, type, at) select $1, 'order.completed', $2 from generate_series(1, 6000)",
        webhook_id,
        NOON,
    )


async def planned(database: Database, name: str, room: str = "varsel.delivery", *, before: str = "") -> str:
    """How a statement is carried out behind those of `before`, which ask something of the planner."""
    sql: str = getattr(queries.load(room), name)
    nulls = ", ".join("null" for _ in set(re.findall(r"\$\d+", sql)))
    async with database.transaction() as connection:
        await connection.execute(f"{before}; prepare planned as {sql}")
        rows = await connection.fetch(f"explain execute planned {f'({nulls})' if nulls else ''}")
        await connection.execute("deallocate planned")
    return "\n".join(row[0] for row in rows)


@contextlib.asynccontextmanager
async def left_behind(worker: Database, database_url: str) -> AsyncIterator[None]:
    """Queues that all rows have left, beside a transaction because of which none can be cleaned away."""
    holder = await asyncpg.connect(database_url)
    try:
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("select pg_current_xact_id()::text")
            await fill(worker)
            await worker.execute(
                "insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker) "
                "select uuidv7(), uuidv7(), uuidv7(), 'ttd', 'Sms', 'p', 1, 1, $1::timestamptz, uuidv7() from generate_series(1, 6000)",
                NOON,
            )
            await worker.execute(
                "insert into awaiting (notification_id, order_id, channel, until, then_status, provider, reference) "
                "select uuidv7(), uuidv7(), 'Sms', $1::timestamptz, 'Failed_TTL', 'p', 'r' from generate_series(1, 6000)",
                NOON,
            )
            for table in ("due", "ready", "handoff", "awaiting", "webhook_event"):
                await worker.execute(f"delete from {table}")
                await worker.execute(f"vacuum analyze {table}")
            yield
    finally:
        await holder.close()


def off_index(plan: str) -> list[str]:
    """The reads of queues that go without a condition on an index."""
    nodes = re.split(r"->  ", plan)
    on_queues = [
        node for node in nodes if re.match(rf"(?!Insert|Update|Delete)[^(]* on ({'|'.join(QUEUES)})\b", node)
    ]
    assert on_queues, plan
    return [node for node in on_queues if "Index Cond" not in node]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim_due", "due_waiting"),
        ("claim_ready", "ready_waiting"),
        ("waiting_webhooks", "webhook_event_waiting"),
        ("claim_webhook_events", "webhook_event_waiting"),
        ("awaited", "awaiting_until"),
        ("intend", "ready_pkey"),
        ("refuse", "ready_pkey"),
        ("postpone", "handoff_pkey"),
        ("accept", "handoff_pkey"),
        ("leave_queues", "awaiting_pkey"),
        ("planned", "due_pkey"),
        ("renew_ready", "ready_pkey"),
        ("release_ready", "ready_pkey"),
    ],
)
async def test_a_queue_that_was_analysed_empty_is_read_by_its_index(
    worker: Database, name: str, index: str
) -> None:
    await fill(worker)
    plan = await planned(worker, name)
    on_queues = [line for line in plan.splitlines() if re.search(rf" on ({'|'.join(QUEUES)})\b", line)]
    assert any(index in line for line in on_queues), plan
    assert not [line for line in on_queues if "Seq Scan" in line or "Bitmap" in line], plan
    if name in ("claim_due", "claim_ready", "awaited"):
        assert "Sort" not in plan, plan


@pytest.mark.parametrize(
    "name",
    [
        "accept",
        "refuse",
        "postpone",
        "doubt",
        "intend",
        "release_ready",
        "delay_ready",
        "renew_ready",
        "poll_again",
        "raise_status",
        "know_by_receiver",
        "give_up_reports",
        "leave_queues",
        "planned",
        "finish",
        "waiting_webhooks",
        "claim_webhook_events",
        "told",
        "not_told",
    ],
)
async def test_rows_are_found_by_their_keys_among_those_that_cannot_be_cleaned_away(
    worker: Database, database_url: str, name: str
) -> None:
    """After a cleaning in vain a queue counts as nearly empty and its indexes as large: one look-up seems to read half of such an index,
    and reading all of it once, for a join, seems cheaper.
    """
    async with left_behind(worker, database_url):
        plan = await planned(worker, name)
    assert off_index(plan) == [], plan


@pytest.mark.parametrize("name", ["give_up_reports", "look_around"])
async def test_what_is_given_up_is_compared_with_references_one_by_one(worker: Database, name: str) -> None:
    """There are as many references as messages of a year."""
    await fill(worker)
    plan = await planned(worker, name)
    [looked_up] = re.findall(r"SubPlan.*\n.* on provider_reference r_?\d?  .*\n.*", plan)
    assert "provider_reference_pkey" in looked_up
    assert "Index Cond" in looked_up, plan
    assert re.search(r"parked_report_give_up on .*\n +Index Cond: .*give_up_at <= ", plan), plan


@pytest.mark.parametrize("name", ["not_left", "cancel"])
async def test_a_cancel_finds_its_rows_by_the_order(worker: Database, database_url: str, name: str) -> None:
    """Also through a connection of the front door, whose statements are planned as usual."""
    door = await Database.open(database_url, name="door")
    try:
        async with left_behind(worker, database_url):
            plan = await planned(
                door, name, "varsel.orders", before="set local plan_cache_mode = force_generic_plan"
            )
    finally:
        await door.close()
    assert off_index(plan) == [], plan


async def test_through_a_pooler_the_planner_is_told_in_every_transaction(database_url: str) -> None:
    """A pooler refuses settings of a connection, and the next transaction may run on another."""
    pooled = await Database.open(
        database_url, direct_url=f"{database_url}&application_name=direct", planner=BY_INDEX, size=1
    )
    try:
        async with pooled.pool.acquire() as connection:
            assert await connection.fetchval("show enable_seqscan") == "on"
        assert await pooled.fetchval("show enable_seqscan") == "off"
        assert (await pooled.fetchrow("show enable_bitmapscan")) == ("off",)
        assert await pooled.fetch("show enable_seqscan") == [("off",)]
        async with pooled.transaction() as connection:
            assert await connection.fetchval("show enable_bitmapscan") == "off"
        async with pooled.pool.acquire() as connection:
            assert await connection.fetchval("show enable_seqscan") == "on"
    finally:
        await pooled.close()


class Costly:
    """A database whose every look takes `seconds`, and what it was asked."""

    def __init__(self, database: Database, clock: ManualClock, seconds: float) -> None:
        self._database, self._clock, self.seconds = database, clock, seconds
        self.asked: list[tuple[Any, ...]] = []

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        self.asked.append(args)
        self._clock.advance(timedelta(seconds=self.seconds))
        return await self._database.fetchrow(sql, *args)


def places(at: datetime) -> Places:
    return Places(at, 7, UUID(int=7), at, [("Sms", 1, at), ("Email", 0, at)])


async def test_a_costly_look_begins_where_everything_was_done(worker: Database) -> None:
    clock = ManualClock(NOON)
    costly = Costly(worker, clock, 1.0)
    lookout = Lookout(costly, clock)  # type: ignore[arg-type]

    async def look() -> Any:
        return await lookout.look(clock.now(), timedelta(seconds=4), NOON, places(NOON))

    for _ in range(14):
        await look()
    assert lookout.pause == 5
    from_start, later = costly.asked[0], costly.asked[-1]
    assert [from_start[number] for number in (3, 6, 7, 8)] == [EPOCH] * 4
    assert from_start[4] == 0 and from_start[5] == UUID(int=0) and from_start[12] == [EPOCH, EPOCH]
    assert later[3] == later[8] == NOON and later[4] == 7 and later[5] == UUID(int=7)
    assert later[12] == [NOON, NOON]
    assert NOON < later[7] <= clock.now() - timedelta(seconds=10), "lives that were over then are ended"
    assert later[6] > EPOCH, "and leases that had lapsed are free"
    # What lies before is found all the same, within a minute of looks that cost so much.
    await worker.execute(
        "insert into ready (notification_id, order_id, creator, channel, lane, ready_at, expires_at) "
        "values ($1, $1, 'ttd', 'Email', 0, $2, $3)",
        uuid7(),
        NOON - timedelta(hours=1),
        NOON + timedelta(days=2),
    )
    assert (await look())["lanes"] == []
    clock.advance(timedelta(seconds=60))
    assert (await look())["lanes"] == [2]


async def test_a_cheap_look_is_always_from_the_start(worker: Database) -> None:
    clock = ManualClock(NOON)
    asked = Costly(worker, clock, 0.0)
    lookout = Lookout(asked, clock)  # type: ignore[arg-type]
    for _ in range(3):
        await lookout.look(NOON, timedelta(seconds=4), NOON, places(NOON))
        clock.advance(timedelta(seconds=1))
    assert {args[3] for args in asked.asked} == {EPOCH}
    assert lookout.pause == 1


async def test_after_the_calendar_went_back_a_look_is_from_the_start(worker: Database) -> None:
    clock = ManualClock(NOON)
    asked = Costly(worker, clock, 1.0)
    lookout = Lookout(asked, clock)  # type: ignore[arg-type]
    await lookout.look(NOON, timedelta(seconds=4), NOON, places(NOON))
    lookout.reset()
    await lookout.look(NOON - timedelta(days=30), timedelta(seconds=4), NOON, places(NOON))
    assert asked.asked[-1][3] == EPOCH
