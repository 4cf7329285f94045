"""Months of facts go when their time is over, and never while something of them lives (design 4.1, docs/decisions/0011-months-that-go.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.seed import place
from tests.support.months import MARCH, id_of, make_month, old_order, standing
from tests.support.polling import until
from varsel.delivery import months, parked
from varsel.delivery.months import Months
from varsel.delivery.reports import RawReport, ReportStore
from varsel.delivery.retention import Retention
from varsel.runtime.clock import SystemMachine
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.partitions import MONTHLY, ensure_partitions, month_start, monthly_name

OF_ORDERS = {"orders", "order_content", "notification", "attempt", "notification_log"}


def keeper(database: Database, days: Days, **settings: int) -> Months:
    return Months(database, days, SystemMachine(), Settings(**settings))


async def count(database: Database, table: str) -> int:
    return await database.fetchval(f"select count(*) from {table}")


async def test_a_month_goes_with_all_that_lies_in_it(database: Database, days: Days) -> None:
    await make_month(database)
    order, _ = await old_order(database)
    await old_order(database, state="Cancelled")
    await old_order(database, state="SendConditionNotMet")
    await keeper(database, days).drop()
    assert await standing(database) == set()
    for table in (*OF_ORDERS, "fed"):
        assert await count(database, table) == 0
    assert await count(database, "idempotency") == 3, "an idempotency id is taken for ever"
    assert await count(database, "provider_reference") == 3, "a reference is known for ever"
    assert await database.fetchval("select order_id from provider_reference where order_id = $1", order)
    async with database.connection() as connection:
        assert await ensure_partitions(connection) == [], "and nobody makes the month anew"


async def test_other_months_stay_as_they_are(database: Database, days: Days) -> None:
    """What still gets rows stays, whatever the calendar of a sandbox says."""
    await make_month(database)
    order = await place(database, "kari@example.org", requested_at=NOON)
    await database.execute("delete from due")
    await database.execute("update orders set state = 'Completed', ended_at = $1", NOON - timedelta(days=365))
    days.advance(days=365 * 20)
    await keeper(database, days).drop()
    assert await standing(database) == set()
    assert await standing(database, month_start(datetime.now(UTC))) == set(MONTHLY)
    assert await standing(database, month_start(datetime.now(UTC), -1)) == set(MONTHLY)
    assert await database.fetchval("select id from orders") == order


async def test_zero_keeps_orders_and_trail_for_ever(database: Database, days: Days) -> None:
    await make_month(database)
    await old_order(database)
    days.advance(days=365 * 100)
    await keeper(database, days, keep_order_days=0, keep_audit_days=0).drop()
    assert await standing(database) == {*OF_ORDERS, "audit_event"}, "raw reports name numbers and go"


async def test_the_time_counts_from_the_last_end_in_the_month(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_month(database)
    await old_order(database)
    await old_order(database, ended=days.now() - timedelta(days=399))
    months = keeper(database, days, keep_order_days=400)
    await months.drop()
    assert await standing(database) >= OF_ORDERS
    # Its end is known now, and the month is not read through again before that is long enough ago.
    days.advance(hours=1)
    with monkeypatch.context() as patch:
        patch.delattr(Database, "transaction")
        await months.drop()
    days.advance(days=2)
    await months.drop()
    assert await standing(database) == set()
    assert await count(database, "retention") == 0


Wait = Callable[[Database, UUID, UUID], Awaitable[object]]
WAITING: dict[str, tuple[Wait, str]] = {
    "due": (
        lambda d, o, n: d.execute(
            "insert into due (order_id, creator, due_at) values ($1, 'ttd', $2)", o, NOON
        ),
        "delete from due",
    ),
    "ready": (
        lambda d, o, n: d.execute(
            "insert into ready (notification_id, order_id, creator, channel, ready_at, expires_at) values ($2, $1, 'ttd', 'Sms', $3, $3)",
            o,
            n,
            NOON,
        ),
        "delete from ready",
    ),
    "held": (
        lambda d, o, n: d.execute(
            "insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker, "
            "unknown_at) values ($2, $2, $1, 'ttd', 'Sms', 'link:a:1', 1, 1, $3, $2, now())",
            o,
            n,
            NOON,
        ),
        "delete from handoff",
    ),
    "polled": (
        lambda d, o, n: d.execute(
            "insert into awaiting (notification_id, order_id, channel, until, then_status, poll_at) values ($2, $1, 'Email', $3, 'Failed_TTL', now())",
            o,
            n,
            NOON,
        ),
        "delete from awaiting",
    ),
    "in reserve": (
        lambda d, o, n: d.execute(
            "insert into reserve (order_id, id, creator, channel, position, recipient_kind, address, daytime) "
            "values ($1, $2, 'ttd', 'Sms', 0, 'direct', '', false)",
            o,
            n,
        ),
        "delete from reserve",
    ),
    "a report to be settled": (
        lambda d, o, n: d.execute(
            "insert into parked_report (report_id, provider, reference, status, received_at, give_up_at) "
            "values ($1, 'dsn', $2, 'Failed_Bounced', now(), now())",
            o,
            n.hex,
        ),
        "delete from parked_report",
    ),
    "to be fed": (
        lambda d, o, n: d.execute(
            "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, '')",
            o,
            NOON,
        ),
        "delete from feed_pending",
    ),
    "to be told": (
        lambda d, o, n: d.execute(
            "with w as (insert into webhook (id, creator, url, events, secret, created_at) values ($2, 'ttd', '', '{}', '', now()) returning id) "
            "insert into webhook_event (webhook_id, type, order_id, at) select id, 'order.corrected', $1, now() from w",
            o,
            n,
        ),
        "delete from webhook_event",
    ),
    "not ended, and in nobody's hands": (
        lambda d, o, n: d.execute("update orders set ended_at = null, state = 'Processed' where id = $1", o),
        "update orders set ended_at = created_at, state = 'Completed'",
    ),
}


async def test_what_waits_keeps_its_month(database: Database, days: Days) -> None:
    keep = keeper(database, days)
    for kind, (wait, over) in WAITING.items():
        await make_month(database)
        await old_order(database)
        order, message = await old_order(database)
        await wait(database, order, message)
        await keep.drop()
        assert await standing(database) >= OF_ORDERS, kind
        for table in (*OF_ORDERS, "fed"):
            assert await count(database, table) == 2, f"{kind}: {table} is not as it was"
        await database.execute(over)
        await keep.drop()
        assert await standing(database) == set(), kind


async def test_an_order_for_the_end_of_time_keeps_its_month(database: Database, days: Days) -> None:
    await make_month(database)
    await make_month(database, month_start(MARCH, 1))
    order, _ = await old_order(database, state="Registered", requested_at=datetime(9999, 12, 31, tzinfo=UTC))
    await old_order(database, MARCH + timedelta(days=40))
    await database.execute("update orders set ended_at = null where id = $1", order)
    await database.execute(
        "insert into due (order_id, creator, due_at) select id, creator, requested_at from orders where id = $1",
        order,
    )
    days.advance(days=365 * 50)
    await keeper(database, days).drop()
    assert await standing(database) >= OF_ORDERS
    assert await standing(database, month_start(MARCH, 1)) == set(), "the month after it goes all the same"


async def test_a_month_that_somebody_reads_is_left_for_the_next_time(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop that waited for its lock would make every order wait behind it, so none is asked for."""
    await make_month(database)
    await old_order(database)
    keep = keeper(database, days)
    async with database.transaction() as reader:
        for table in MONTHLY:
            await reader.fetch(f"select * from {table}")
        with monkeypatch.context() as patch:
            patch.setattr(keep, "_may_go", lambda month: asyncio.sleep(0, result=True))
            patch.delattr(Database, "transaction")
            await keep.drop()
        assert await standing(database) == set(MONTHLY)
        assert await count(database, "orders") == 1
    await keep.drop()
    assert await standing(database) == set()


async def test_a_reader_who_came_in_between_is_not_waited_for(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_month(database)
    await old_order(database)
    keep = keeper(database, days)
    # Nobody holds the table when it is looked at, and then somebody does for an hour.
    monkeypatch.setattr(keep, "_held", lambda *tables: asyncio.sleep(0, result=False))
    async with database.transaction() as reader:
        await reader.fetch("select * from orders")
        await keep.drop()
        assert await standing(database) >= OF_ORDERS
        assert await count(database, "metric_monthly") == 0, "nothing was added up for orders that stay"
    await keep.drop()
    assert await standing(database) == set()
    assert await count(database, "metric_monthly") == 1


async def test_short_transactions_do_not_keep_a_month(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them holds the table when it is looked at; none does at both looks."""
    monkeypatch.setattr(months, "MOMENT", 0)
    await make_month(database)
    await old_order(database)
    keep = keeper(database, days)
    looks = iter([[("orders", "3/17"), ("orders", "4/2")], [("orders", "3/18"), ("orders", "5/9")]])
    fetch = database.fetch

    async def busy(sql: str, *args: object) -> object:
        return (
            next(looks, [])
            if "pg_locks" in sql and args[0] == ["orders", "orders_2020_03"]
            else await fetch(sql, *args)
        )

    monkeypatch.setattr(database, "fetch", busy)
    await keep.drop()
    assert next(looks, None) is None
    assert await standing(database) == set()


async def test_two_workers_at_once(database: Database, days: Days) -> None:
    await make_month(database)
    for _ in range(3):
        await old_order(database)
    await asyncio.gather(*(keeper(database, days).drop() for _ in range(4)))
    await keeper(database, days).drop()
    assert await standing(database) == set()
    assert await database.fetchval("select orders from metric_monthly") == 3, "added up once"


async def test_a_round_that_was_cut_short_is_taken_up_again(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies just before the orders' partition goes, or just after one of the others went."""
    drop = Months._drop
    for number, table in enumerate(("orders", *sorted(OF_ORDERS - {"orders"})), 1):
        await make_month(database)
        await old_order(database)

        async def dies(self: Months, month: months.Month, *rest: object, at: str = table) -> None:
            if at == "orders" == month.table:
                raise asyncio.CancelledError
            await drop(self, month, *rest)  # type: ignore[arg-type]
            if month.table == at:
                raise asyncio.CancelledError

        monkeypatch.setattr(Months, "_drop", dies)
        with pytest.raises(asyncio.CancelledError):
            await keeper(database, days).drop()
        monkeypatch.setattr(Months, "_drop", drop)
        # Also where nothing more is to be dropped: what was begun is ended.
        await keeper(database, days, keep_order_days=1095 if table == "orders" else 0).drop()
        assert await standing(database) == set(), table
        assert await count(database, "fed") == 0
        assert await database.fetchval("select orders from metric_monthly") == number


async def test_a_month_that_is_being_put_aside_is_left_alone(database: Database, days: Days) -> None:
    await make_month(database)
    await old_order(database)
    await database.execute("alter table orders detach partition orders_2020_03")
    await keeper(database, days).drop()
    assert await standing(database) >= OF_ORDERS


async def test_a_month_on_which_something_hangs_stays(database: Database, days: Days) -> None:
    await make_month(database)
    await make_month(database, month_start(MARCH, 1))
    await old_order(database)
    await database.execute("create view own_report as select id from orders_2020_03")
    await keeper(database, days).drop()
    assert await standing(database) >= OF_ORDERS
    assert await standing(database, month_start(MARCH, 1)) == set()
    assert await count(database, "metric_monthly") == 0


async def test_the_monthly_page_counts_what_is_gone(database: Database, days: Days) -> None:
    from varsel.review.figures import Month, lines

    await make_month(database)
    await make_month(database, month_start(MARCH, 1))
    april = MARCH + timedelta(days=35)
    await old_order(database)
    await old_order(database, status="Failed_Bounced", creator="skd")
    await old_order(database, requested_at=april)
    await old_order(database, state="Cancelled", requested_at=april)
    await old_order(database, state="Void")
    living, message = await old_order(database, april, requested_at=april)
    await database.execute("update notification set channel = 'Sms', sms_parts = 3 where id = $1", message)
    before = [await lines(database, Month(2020, number)) for number in (3, 4)]
    assert before == [
        [("skd", 1, 1, 0, 0, 0), ("ttd", 1, 1, 1, 0, 0)],
        [("ttd", 3, 2, 2, 3, 3)],
    ]
    await database.execute("update orders set ended_at = null where id = $1", living)
    await keeper(database, days).drop()
    assert await standing(database) == set(), "one of two months"
    assert await count(database, "orders") == 1
    assert [await lines(database, Month(2020, number)) for number in (3, 4)] == before
    await database.execute("update orders set ended_at = created_at")
    await keeper(database, days).drop()
    assert await count(database, "orders") == 0
    assert [await lines(database, Month(2020, number)) for number in (3, 4)] == before


async def test_a_report_after_its_month_is_the_operators(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await make_month(database)
    _, message = await old_order(database)
    await keeper(database, days).drop()
    worker = await make_worker()
    await ReportStore(database).store(
        [RawReport("dsn", message.hex, "failed 5.1.1", "Failed_Bounced", b"raw")]
    )
    await until(lambda: database.fetchval("select dead_at from parked_report"))
    [found] = await parked.parked(database, parked.Choice())
    assert (found.reason, found.known, found.attempts) == ("NOTIFICATION_EXPIRED", True, 1)
    assert await parked.raw(database, found.id) == b"raw"
    # Tried again it is the operator's again.
    assert await parked.retry(database, parked.Choice()) == (1, 0)
    await until(lambda: database.fetchval("select dead_at from parked_report where attempts = 2"))
    assert await database.fetchval("select reason from parked_report") == "NOTIFICATION_EXPIRED"
    assert worker.id


async def test_reports_beside_it_are_applied(database: Database, days: Days, make_worker: MakeWorker) -> None:
    await make_month(database)
    await make_month(database, month_start(MARCH, 1))
    _, gone = await old_order(database)
    _, there = await old_order(database, MARCH + timedelta(days=40), ended=days.now())
    await keeper(database, days).drop()
    await ReportStore(database).store(
        [RawReport("dsn", one.hex, "failed 5.1.1", "Failed_Bounced", b"raw") for one in (gone, there)]
    )
    await make_worker()
    await until(lambda: database.fetchval("select corrected from notification where id = $1", there))
    rows = await database.fetch("select reference, reason from parked_report")
    assert [tuple(row) for row in rows] == [(gone.hex, "NOTIFICATION_EXPIRED")]


async def test_the_trail_goes_by_its_own_time(database: Database, days: Days) -> None:
    await make_month(database)
    await database.execute(
        "insert into audit_event (id, actor, action) values ($1, 'operator', 'key.added')", id_of(MARCH)
    )
    await keeper(database, days, keep_order_days=0, keep_audit_days=36_500).drop()
    assert await count(database, "audit_event") == 1
    await keeper(database, days, keep_order_days=0, keep_audit_days=400).drop()
    assert await standing(database) == OF_ORDERS


async def test_blocks_of_the_feed_that_are_empty_go(database: Database, days: Days) -> None:
    async def blocks() -> list[str]:
        rows = await database.fetch(
            "select relname from pg_class where relname ~ '^feed_[0-9]{6}$' order by 1"
        )
        return [row[0] for row in rows]

    await database.execute("update feed_counter set last = 12000000")
    async with database.connection() as connection:
        await ensure_partitions(connection)
    await database.execute("insert into feed values (7000000, 'ttd', $1, $2, '')", uuid7(), NOON)
    await keeper(database, days).drop()
    assert await blocks() == [f"feed_00000{number}" for number in (1, 2, 3, 4)]
    days.advance(days=100)
    await Retention(database, days, SystemMachine(), Settings()).run()
    assert await blocks() == [f"feed_00000{number}" for number in (2, 3, 4)], (
        "the one that is being filled stays"
    )
    async with database.connection() as connection:
        assert await ensure_partitions(connection) == []


async def test_any_number_of_days_is_a_time(database: Database, days: Days) -> None:
    await make_month(database)
    await old_order(database)
    most = 10**12
    settings = Settings(
        keep_feed_days=most,
        keep_text_days=most,
        keep_identity_days=most,
        keep_order_days=most,
        keep_audit_days=most,
    )
    await Retention(database, days, SystemMachine(), settings).run()
    assert await standing(database) == set(MONTHLY)
    assert monthly_name("orders", MARCH) == "orders_2020_03"
