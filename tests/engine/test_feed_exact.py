"""The feed is exact (design promise 3; docs/reference/delivery.md 13 no. 2, 3)."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import asyncpg

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place
from tests.support.polling import until
from varsel.channels.model import Permanent
from varsel.delivery.feed import SKIP, Sequencer
from varsel.runtime.clock import SystemMachine
from varsel.store.database import Database
from varsel.store.ids import uuid7


async def test_a_forward_reader_sees_every_entry_once(database: Database, database_url: str) -> None:
    """Ten writers whose transactions last differently, two sequencers, one transaction that stays open throughout."""
    written = []
    held = await asyncpg.connect(database_url)
    holding = held.transaction(isolation="repeatable_read")
    await holding.start()
    await held.fetchval("select count(*) from feed_pending")
    writing = True

    async def write() -> None:
        for _ in range(30):
            order = uuid7()
            async with database.transaction() as connection:
                await connection.execute(
                    "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, 'x')",
                    order,
                    NOON,
                )
                # A transaction that lasts: its mark is lower than that of others that commit before it.
                await connection.fetchval("select pg_sleep($1)", random.uniform(0, 0.01))
            written.append(order)

    async def number(sequencer: Sequencer) -> None:
        while writing or len(seen) < len(written):
            await sequencer.run()
            await asyncio.sleep(0.001)

    seen: list[tuple[int, object]] = []

    async def read() -> None:
        last = 0
        while writing or len(seen) < len(written):
            for row in await database.fetch(
                "select seq, order_id from feed where seq > $1 order by seq limit 7", last
            ):
                seen.append((row["seq"], row["order_id"]))
                last = row["seq"]
            await asyncio.sleep(0.001)

    numbering = [asyncio.create_task(number(Sequencer(database, SystemMachine()))) for _ in range(2)]
    reading = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(10)))
    writing = False
    await asyncio.wait_for(asyncio.gather(*numbering, reading), 15)
    await holding.rollback()
    await held.close()
    assert [seq for seq, _ in seen] == list(range(1, 301))
    assert {order for _, order in seen} == set(written)


async def test_an_open_transaction_holds_nothing_up(database: Database, database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(
        "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, 'late')",
        uuid7(),
        NOON,
    )
    await database.execute(
        "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, 'first')",
        uuid7(),
        NOON,
    )
    sequencer = Sequencer(database, SystemMachine())
    assert await sequencer.run() == 1
    await transaction.commit()
    await other.close()
    await until(sequencer.run)
    rows = await database.fetch("select seq, entry from feed order by seq")
    assert [tuple(row) for row in rows] == [(1, b"first"), (2, b"late")]


async def test_a_promotion_skips_numbers(database: Database) -> None:
    await database.execute("update feed_counter set last = 5, timeline = timeline + 1")
    await database.execute(
        "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, 'x')",
        uuid7(),
        NOON,
    )
    assert await Sequencer(database, SystemMachine()).run() == 1
    assert await database.fetchval("select seq from feed") == 5 + SKIP + 1


async def test_two_workers_feed_each_order_once(database: Database, make_worker: MakeWorker) -> None:
    def channels() -> tuple[FakeChannel, FakeChannel]:
        return (
            FakeChannel(judge=lambda m, n: Permanent("Failed_Bounced", "", "")),
            FakeChannel("Sms", "link:fake:80"),
        )

    first, second = channels(), channels()
    await make_worker(*first)
    await make_worker(*second)
    orders = [
        await place(
            database, *(f"u{n}@example.org" for n in range(7)), requested_at=NOON - timedelta(seconds=n)
        )
        for n in range(30)
    ]

    async def all_fed() -> bool:
        return len(await fed(database)) >= 30

    await until(all_fed, 20)
    assert sorted(await fed(database)) == sorted(orders)
    handed = [message.notification_id for channel in (first[0], second[0]) for message in channel.handed]
    assert len(handed) == len(set(handed)) == 210
    assert await database.fetchval("select count(*) from notification_log") == 210
    assert await database.fetchval("select sum(number) from metric_daily where what = 'Email'") == 210
