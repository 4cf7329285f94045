"""Leases: what dead, slow and stopping workers held (docs/reference/delivery.md 11.3 rule 1, 13 no. 1)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, statuses
from tests.support.polling import until
from varsel.channels.model import Accepted, Unknown
from varsel.delivery.heart import STEADY, Heart
from varsel.delivery.instant import InstantSender
from varsel.delivery.reaper import MOST_RESENDS
from varsel.runtime.clock import ManualClock, SystemMachine
from varsel.runtime.errors import DatabaseUnavailable
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import uuid7


async def leave_behind(database: Database, *, heartbeat: timedelta) -> UUID:
    """An incarnation with a silence of `heartbeat`."""
    gone = uuid7()
    await database.execute(
        "insert into worker (id, host, pid, heartbeat_at) values ($1, 'gone', 1, clock_timestamp() - $2::interval)",
        gone,
        heartbeat,
    )
    return gone


async def is_taken(database: Database, order: UUID) -> bool:
    return await statuses(database, order) == ["Succeeded"]


async def test_an_order_leased_by_a_dead_worker_is_free_again(
    database: Database, make_worker: MakeWorker
) -> None:
    gone = await leave_behind(database, heartbeat=timedelta(seconds=5))
    order = await place(database, "x@example.org", requested_at=NOON)
    await database.execute(
        "update due set owner = $1, lease_until = clock_timestamp() + interval '1 hour'", gone
    )
    await database.execute("update orders set state = 'Processing'")
    await make_worker()
    await until(lambda: is_taken(database, order))
    assert await database.fetchval("select count(*) from worker where id = $1", gone) == 0


async def test_a_lapsed_lease_is_free_again(database: Database, make_worker: MakeWorker) -> None:
    silent = await leave_behind(database, heartbeat=timedelta(hours=-1))  # its heart beats on and on
    order = await place(database, "x@example.org", requested_at=NOON)
    await database.execute(
        "update due set owner = $1, lease_until = clock_timestamp() - interval '1 second'", silent
    )
    await make_worker()
    await until(lambda: is_taken(database, order))


async def test_a_handoff_of_a_dead_worker_is_unknown_then_sent_again(
    database: Database, make_worker: MakeWorker
) -> None:
    channel = FakeChannel()
    channel.gate.clear()
    await make_worker(channel, unknown_settle_seconds=0)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: channel.at_gate)
    # The first worker is taken for dead although it lives: its late answer must change nothing that was settled.
    second = FakeChannel()
    await make_worker(second, unknown_settle_seconds=0)
    await database.execute(
        "update handoff set worker = $1", await leave_behind(database, heartbeat=timedelta(seconds=9))
    )
    await until(lambda: second.handed or len(channel.handed) > 1)
    channel.gate.set()
    await until(lambda: is_taken(database, order))
    rows = await database.fetch("select outcome, settled_by from attempt order by number")
    assert [tuple(row) for row in rows] == [("unknown", "resend"), ("accepted", None)]


async def test_what_is_unknown_each_time_is_not_sent_without_end(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    """A server that takes each copy and never answers: some copies, then the message is held until its life is over."""
    channel = FakeChannel(judge=lambda m, n: Unknown("no answer"))
    await make_worker(channel, unknown_settle_seconds=0)
    order = await place(database, "x@example.org", requested_at=NOON)

    async def is_held() -> bool:
        return bool(
            await database.fetchval(
                "select exists (select from handoff where unknown_at is not null and settle_at is null)"
            )
        )

    await until(is_held)
    assert len(channel.handed) == 1 + MOST_RESENDS
    days.advance(hours=48, minutes=6)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]
    assert len(channel.handed) == 1 + MOST_RESENDS


async def test_what_was_certainly_not_taken_is_no_copy(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    """A provider that can be asked says each time that it has nothing: the message goes on until it is taken."""
    channel = FakeChannel(
        name="acs:fake",
        judge=lambda m, n: Unknown("no answer") if n <= MOST_RESENDS else Accepted("ref"),
    )
    await make_worker(channel)
    order = await place(database, "x@example.org", requested_at=NOON)

    async def taken() -> bool:
        # What the poller does when the provider knows no such operation.
        await database.execute(
            "update handoff set settle_at = clock_timestamp() where unknown_at is not null"
        )
        return bool(await database.fetchval("select count(*) from attempt where outcome = 'accepted'"))

    await until(taken, 20)
    assert len(channel.handed) == MOST_RESENDS + 2
    assert await statuses(database, order) == ["Sending"], "ACS decides later"


async def test_a_stopping_worker_gives_back_what_it_holds(
    database: Database, make_worker: MakeWorker
) -> None:
    channel = FakeChannel(slots=2)
    channel.gate.clear()
    worker = await make_worker(channel, stop_seconds=0.2)
    order = await place(database, *(f"u{n}@example.org" for n in range(600)), requested_at=NOON)
    await until(lambda: channel.at_gate >= 2)
    await worker.stop()
    assert await database.fetchval("select count(*) from ready where owner is not null") == 0
    assert await database.fetchval("select count(*) from worker") == 0
    open_ones = await database.fetch("select unknown_at from handoff")
    assert open_ones
    assert all(row[0] is not None for row in open_ones)
    number = len(open_ones)
    assert await database.fetchval("select count(*) from ready") == 600 - number
    other = FakeChannel()
    await make_worker(other, unknown_settle_seconds=0)

    async def all_taken() -> bool:
        return set(await statuses(database, order)) == {"Succeeded"}

    await database.execute("update handoff set settle_at = clock_timestamp()")
    await until(all_taken, 20)
    assert len(other.handed) == 600


async def test_a_stopping_worker_waits_for_answers(database: Database, make_worker: MakeWorker) -> None:
    channel = FakeChannel()
    channel.gate.clear()
    worker = await make_worker(channel, stop_seconds=10)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: channel.at_gate)
    channel.gate.set()
    await worker.stop()
    assert await statuses(database, order) == ["Succeeded"]
    assert await database.fetchval("select count(*) from handoff") == 0


async def test_messages_of_a_claim_that_broke_off_leave_before_their_lease_ends(
    database: Database, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is committed, and the database goes away before the worker has read what it claimed."""
    broken: list[str] = []
    read = queries.load("varsel.delivery").read_messages
    fetch = Database.fetch

    async def breaking(self: Database, sql: str, *args: Any) -> Any:
        if sql == read and not broken:
            broken.append(sql)
            raise DatabaseUnavailable
        return await fetch(self, sql, *args)

    monkeypatch.setattr(Database, "fetch", breaking)
    channel = FakeChannel()
    await make_worker(channel)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: is_taken(database, order))
    # Put back into the table, where the worker claims it from.
    await database.execute(
        "insert into ready (notification_id, order_id, creator, channel, lane, domain, ready_at, expires_at) "
        "select id, order_id, creator, channel, 1, 'example.org', $1, expires_at from notification where order_id = $2",
        NOON,
        order,
    )
    await database.execute("delete from awaiting")
    await database.execute("update notification set status = 'New', rank = 0")
    database.wake("ready")
    await until(lambda: channel.to().count("x@example.org") == 2, 10)
    assert broken


async def test_a_worker_that_only_waits_is_not_dead(database: Database, make_worker: MakeWorker) -> None:
    """Every connection of its pool waits for a lock that somebody holds; its heart beats on."""
    worker = await make_worker()
    async with database.transaction() as connection:
        # One table: with two this could meet a statement of the worker that took them in the other order.
        await connection.execute("lock table ready in access exclusive mode")
        waiting = [asyncio.create_task(database.execute("select from ready")) for _ in range(20)]
        beats = {await connection.fetchval("select heartbeat_at from worker")}

        async def beat_on() -> bool:
            beats.add(await connection.fetchval("select heartbeat_at from worker where id = $1", worker.id))
            return len(beats) >= 4

        await until(beat_on, 20)
    await asyncio.gather(*waiting)


async def test_an_api_that_only_waits_is_not_dead(database: Database, days: Days) -> None:
    """Slow questions fill its pool: what it hands over while callers wait would count as unknown, and be sent again."""
    sender = await InstantSender.open(Settings(), database, days, SystemMachine(), [])
    async with database.transaction() as connection:
        await connection.execute("lock table ready in access exclusive mode")
        waiting = [asyncio.create_task(database.execute("select from ready")) for _ in range(20)]
        beats = {await connection.fetchval("select heartbeat_at from worker")}

        async def beat_on() -> bool:
            beats.add(await connection.fetchval("select heartbeat_at from worker where id = $1", sender.id))
            return len(beats) >= 3

        await until(beat_on, 20)
    await asyncio.gather(*waiting)
    await sender.close()
    assert await database.fetchval("select count(*) from worker") == 0


async def test_after_a_silence_of_ones_own_the_silence_of_others_means_nothing(database: Database) -> None:
    """The database stood still for everybody: nobody is taken for dead until hearts have beaten again."""
    machine = ManualClock(NOON)
    heart = await Heart.start(database, machine, uuid7())
    try:
        assert not heart.steady, "one heartbeat alone tells nothing"
        machine.advance(timedelta(seconds=STEADY / 2))
        await until(lambda: heart.steady)
        machine.advance(timedelta(seconds=STEADY))
        assert not heart.steady
    finally:
        await heart.stop(leave=True)
    assert await database.fetchval("select count(*) from worker") == 0


async def test_a_short_silence_means_nothing_where_ones_own_heart_is_late(
    database: Database, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is slow for everybody keeps nobody's work for ever, and takes nobody's away too soon."""
    monkeypatch.setattr(Heart, "steady", False)
    short = await leave_behind(database, heartbeat=timedelta(seconds=9))
    long = await leave_behind(database, heartbeat=timedelta(minutes=5))
    worker = await make_worker()

    async def buried() -> bool:
        return not await database.fetchval("select exists (select from worker where id = $1)", long)

    await until(buried)
    left = {row[0] for row in await database.fetch("select id from worker")}
    assert left == {worker.id, short}
