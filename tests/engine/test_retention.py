"""What is forgotten, and when (design 4.1, privacy at rest; docs/reference/delivery.md 9.3)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from uuid import UUID

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place
from tests.support.polling import until
from varsel.channels.model import Permanent
from varsel.delivery import retention
from varsel.delivery.retention import Retention
from varsel.runtime.clock import SystemMachine
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.content import Attachment, OrderContent, Recipient, SmsText, decode
from varsel.store.database import Database


async def ended_order(database: Database, make_worker: MakeWorker) -> UUID:
    await make_worker(FakeChannel(judge=lambda m, n: Permanent("Failed", "", "")))
    order = await place(database, "kari@example.org", requested_at=NOON)
    await until(lambda: fed(database))
    return order


async def contents(database: Database) -> list[OrderContent]:
    return [decode(row[0]) for row in await database.fetch("select content from order_content")]


async def test_texts_then_identities_then_the_feed(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    order = await ended_order(database, make_worker)
    keeper = Retention(database, days, SystemMachine(), Settings())
    days.advance(days=29)
    await keeper.run()
    assert await database.fetchval("select count(*) from order_content") == 1
    days.advance(days=2)
    await keeper.run()
    [content] = await contents(database)
    assert content == OrderContent((Recipient(email="kari@example.org"),))
    assert await database.fetchval("select address from notification") == "kari@example.org"
    days.advance(days=60)
    await keeper.run()
    assert await contents(database) == []
    row = await database.fetchrow("select * from notification where order_id = $1", order)
    assert (row["address"], row["recipient"], row["status"]) == ("", None, "Failed")
    assert await database.fetchval("select destination from notification_log") == ""
    assert await database.fetchval("select count(*) from feed") == 0
    assert await database.fetchval("select count(*) from orders") == 1


async def test_a_living_order_keeps_everything(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await ended_order(database, make_worker)
    await place(database, "later@example.org", requested_at=NOON + timedelta(days=400))
    days.advance(days=200)
    await Retention(database, days, SystemMachine(), Settings()).run()
    assert await database.fetchval("select count(*) from order_content") == 1
    assert await database.fetchval("select count(*) from due") == 1


async def test_orders_that_ended_together_are_all_found(
    database: Database, days: Days, monkeypatch: object
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)  # type: ignore[attr-defined]

    async def end(number: int, at: datetime) -> None:
        for _ in range(number):
            order = await place(database, "x@example.org", requested_at=NOON)
            await database.execute(
                "update orders set state = 'Completed', ended_at = $2 where id = $1", order, at
            )

    await end(2, NOON)
    await end(5, NOON + timedelta(seconds=1))
    await end(1, NOON + timedelta(seconds=2))
    days.advance(days=40)
    await Retention(database, days, SystemMachine(), Settings()).run()
    assert [one.email for one in await contents(database)] == [None] * 8


async def test_recipients_may_go_before_texts(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await ended_order(database, make_worker)
    keeper = Retention(
        database,
        days,
        SystemMachine(),
        Settings(keep_identity_days=10, keep_text_days=20, keep_order_days=30),
    )
    days.advance(days=11)
    await keeper.run()
    [content] = await contents(database)
    assert content.recipients == ()
    assert content.email is not None
    days.advance(days=10)
    await keeper.run()
    assert await contents(database) == []


async def test_everything_but_the_order_is_stripped_with_the_texts(database: Database, days: Days) -> None:
    """Also of orders of which nothing was ever sent."""
    for state in ("Cancelled", "SendConditionNotMet", "Completed"):
        order = await place(
            database,
            "kari@example.org",
            requested_at=NOON,
            sms=SmsText("Varsel", "Text"),
            condition_endpoint="https://sender.example.org/conditions/17",
            ignore_reservation=True,
            attachments=(Attachment("brev.pdf", "application/pdf", None),),
        )
        await database.execute(
            "update orders set state = $2, ended_at = $3 where id = $1", order, state, NOON
        )
    days.advance(days=31)
    keeper = Retention(database, days, SystemMachine(), Settings())
    await keeper.run()
    left = OrderContent((Recipient(email="kari@example.org"),), ignore_reservation=True)
    assert await contents(database) == [left] * 3
    days.advance(days=60)
    await keeper.run()
    assert await contents(database) == []


async def test_a_content_that_cannot_be_read_keeps_no_other(database: Database, days: Days) -> None:
    for content in (b"no JSON", b"\xff\xfe"):
        for raw in (None, content):
            order = await place(database, "kari@example.org", requested_at=NOON)
            await database.execute(
                "update orders set state = 'Completed', ended_at = $2 where id = $1", order, NOON
            )
            if raw is not None:
                await database.execute(
                    "update order_content set content = $2 where order_id = $1", order, raw
                )
    days.advance(days=31)
    await Retention(database, days, SystemMachine(), Settings()).run()
    assert await database.fetchval("select count(*) from order_content") == 0


async def test_the_calendar_may_be_taken_back(database: Database, days: Days) -> None:
    """What ends then, ends before what was forgotten already."""

    async def end() -> None:
        order = await place(database, "kari@example.org", requested_at=NOON)
        await database.execute(
            "update orders set state = 'Completed', ended_at = $2 where id = $1", order, days.now()
        )

    keeper = Retention(database, days, SystemMachine(), Settings())
    days.advance(days=400)
    await end()
    days.advance(days=40)
    await keeper.run()
    days.advance(days=-440)
    await end()
    await keeper.run()
    assert sum(one.email is None for one in await contents(database)) == 1
    days.advance(days=31)
    await keeper.run()
    assert [one.email for one in await contents(database)] == [None, None]


async def test_a_round_reads_no_order_that_ended_lately(database: Database) -> None:
    """However many there are, and also before the first one is old enough."""
    await database.execute(
        "insert into orders (id, creator, kind, channel, requested_at, created_at, state, state_at, ended_at) "
        "select uuidv7(), 'ttd', 'Notification', 'Sms', at, at, 'Completed', at, case when n % 2 = 0 then at end "
        "from generate_series(1, 20000) n, (select $1::timestamptz as at) t",
        NOON,
    )
    await database.execute("vacuum analyze orders")
    sql = queries.load("varsel.delivery")
    long_ago = NOON - timedelta(days=30)
    for name, values in (("first_end", [long_ago]), ("ended_orders", [long_ago, long_ago, 10_000])):
        async with database.transaction() as connection:
            await connection.execute(sql.plan_facts)
            plan = await connection.fetch(
                "explain (analyze, buffers, timing off) " + getattr(sql, name), *values
            )
        text = "\n".join(row[0] for row in plan)
        read = sum(map(int, re.findall(r"(?:hit|read)=(\d+)", text.split("Planning")[0].splitlines()[1])))
        assert read < 50, text


async def test_sums_are_folded_and_stay_the_same(database: Database, days: Days) -> None:
    for number in (1, 2, 3):
        await database.execute(
            "insert into metric_daily (day, creator, what, status, number, parts) values ($1, 'ttd', 'Sms', 'Delivered', $2, $2)",
            NOON.date(),
            number,
        )
    days.advance(days=5)
    await Retention(database, days, SystemMachine(), Settings()).run()
    rows = await database.fetch("select number, parts from metric_daily")
    assert [tuple(row) for row in rows] == [(6, 6)]


async def test_months_of_raw_reports_go(database: Database, days: Days) -> None:
    await database.execute(
        "create table report_2020_01 partition of report for values from "
        "('016f5e66-e800-0000-0000-000000000000') to ('016ffe0d-9000-0000-0000-000000000000')"
    )
    await Retention(database, days, SystemMachine(), Settings()).run()
    names = [
        row["relname"]
        for row in await database.fetch("select relname from pg_class where relname like 'report_2%'")
    ]
    assert "report_2020_01" not in names
    assert len([name for name in names if not name.endswith("pkey")]) >= 4


async def test_a_month_that_somebody_reads_is_left_for_the_next_time(database: Database, days: Days) -> None:
    """A drop that waited for its lock would make every report wait behind it."""
    await database.execute(
        "create table report_2020_01 partition of report for values from "
        "('016f5e66-e800-0000-0000-000000000000') to ('016ffe0d-9000-0000-0000-000000000000')"
    )
    retention = Retention(database, days, SystemMachine(), Settings())
    async with database.transaction() as reader:
        await reader.fetch("select * from report")
        await retention.run()
        assert await database.fetchval("select to_regclass('report_2020_01') is not null")
    await retention.run()
    assert await database.fetchval("select to_regclass('report_2020_01') is null")
