"""One poison row never stops a queue (docs/reference/delivery.md 13 no. 20).

The poison is a row that the database refuses to change, whatever the statement: no code of ours foresees it.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, state, statuses
from tests.support.polling import until
from varsel.channels.model import Accepted, Permanent, Temporary
from varsel.delivery.reports import RawReport, ReportStore
from varsel.delivery.transact import in_halves
from varsel.store.database import Database


async def poison(database: Database, table: str, order: UUID, column: str = "order_id") -> None:
    """From now on no row of this order can be written in `table`."""
    await database.execute(
        "create or replace function refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'poison' using errcode = 'check_violation'; end $$"
    )
    await database.execute(
        f"create trigger poison before insert or update on {table} for each row "
        f"when (new.{column} = '{order}') execute function refuse()"
    )


async def test_the_expiry_of_others_goes_on(database: Database, days: Days, make_worker: MakeWorker) -> None:
    """Five SMS without a report come to the end of their lives; the third cannot be changed."""
    sms = FakeChannel("Sms", "link:fake:80")
    await make_worker(sms)
    orders = [await place(database, f"+474000000{n}", requested_at=NOON, creator=f"c{n}") for n in range(5)]

    async def accepted() -> bool:
        return await database.fetchval("select count(*) from awaiting") == 5

    await until(accepted)
    await poison(database, "notification", orders[2])
    days.advance(hours=49)
    others = [order for order in orders if order != orders[2]]

    async def ended() -> bool:
        return set(await fed(database)) == set(others)

    await until(ended)
    assert await statuses(database, orders[2]) == ["Accepted"]


async def test_messages_never_sent_expire_beside_it(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(FakeChannel(judge=lambda m, n: Temporary(7200, "before", "down", "provider")))
    orders = [await place(database, f"u{n}@example.org", requested_at=NOON) for n in range(5)]

    async def planned() -> bool:
        return await database.fetchval("select count(*) from ready where owner is null") == 5

    await until(planned)
    await poison(database, "notification", orders[0])
    days.advance(hours=49)

    async def ended() -> bool:
        return set(await fed(database)) == set(orders[1:])

    await until(ended)


async def test_the_feed_goes_on(database: Database, make_worker: MakeWorker) -> None:
    """Twelve orders end; the entry of one cannot be written into the feed."""
    email = FakeChannel(judge=lambda m, n: Permanent("Failed", "550", ""))
    bad = await place(database, "bad@example.org", requested_at=NOON)
    await poison(database, "feed", bad)
    orders = [await place(database, f"u{n}@example.org", requested_at=NOON) for n in range(11)]
    await make_worker(email)

    async def numbered() -> bool:
        return set(await fed(database)) == set(orders)

    await until(numbered)
    late = await place(database, "late@example.org", requested_at=NOON)

    async def also() -> bool:
        return set(await fed(database)) == {*orders, late}

    await until(also)
    numbers = [row[0] for row in await database.fetch("select seq from feed order by seq")]
    assert numbers == list(range(1, 13))
    assert await state(database, bad) == "Completed"
    assert (
        await database.fetchval("select order_id from feed_pending") == bad
    )  # kept, for whoever finds the cause


async def test_another_creators_sends_go_on(database: Database, make_worker: MakeWorker) -> None:
    """Outcomes are stored in groups; one of them cannot be stored, and its message counts as unknown."""
    sms = FakeChannel("Sms", "link:fake:80")
    sms.gate.clear()
    await make_worker(sms)
    orders = [await place(database, f"+474000000{n}", requested_at=NOON, creator=f"c{n}") for n in range(6)]
    await until(lambda: sms.at_gate == 6)
    await poison(database, "attempt", orders[4])
    sms.gate.set()

    async def stored() -> bool:
        return await database.fetchval("select count(*) from awaiting") == 5

    await until(stored)
    assert await statuses(database, orders[4]) == ["Sending"]
    assert await database.fetchval("select order_id from handoff where unknown_at is not null") == orders[4]
    more = await place(database, "+4740000009", requested_at=NOON)

    async def goes() -> bool:
        return await statuses(database, more) == ["Accepted"]

    await until(goes)


async def test_reports_about_others_are_applied(database: Database, make_worker: MakeWorker) -> None:
    sms = FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Accepted(f"ref-{m.to}"))
    await make_worker(sms)
    orders = [await place(database, f"+474000000{n}", requested_at=NOON) for n in range(5)]

    async def accepted() -> bool:
        return await database.fetchval("select count(*) from awaiting") == 5

    await until(accepted)
    await poison(database, "notification", orders[1])
    await ReportStore(database).store(
        [RawReport("link", f"ref-+474000000{n}", "DELIVRD", "Delivered", b"<x/>") for n in range(5)]
    )

    async def ended() -> bool:
        return set(await fed(database)) == {order for order in orders if order != orders[1]}

    await until(ended)


async def test_planning_goes_on(database: Database, make_worker: MakeWorker) -> None:
    orders = [await place(database, f"u{n}@example.org", requested_at=NOON) for n in range(6)]
    await poison(database, "ready", orders[3])
    email = FakeChannel()
    await make_worker(email)
    await until(lambda: len(email.handed) == 5)


async def test_a_webhook_deleted_meanwhile_is_no_poison() -> None:
    """A statement may meet a foreign key that is just going away: once more, and it is gone."""
    tried: list[int] = []
    bad: list[int] = []

    async def work(items: object) -> None:
        tried.append(1)
        if len(tried) == 1:
            raise asyncpg.ForeignKeyViolationError("webhook")

    async def refuse(item: int, error: BaseException) -> None:
        bad.append(item)

    await in_halves([7], work, refuse)
    assert (len(tried), bad) == (2, [])
