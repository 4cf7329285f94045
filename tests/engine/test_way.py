"""The way of an order, from due to its number in the feed (docs/reference/delivery.md 1.2)."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, state, statuses
from tests.support.polling import until
from varsel.channels.model import Permanent, Temporary, Unknown
from varsel.delivery.reports import RawReport, ReportStore
from varsel.review.feed import FeedReader
from varsel.review.query import FeedQuery
from varsel.store.database import Database


async def test_an_email_goes_from_due_to_the_feed(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    email = FakeChannel()
    await make_worker(email)
    order = await place(database, "kari@example.org", requested_at=NOON, reference='a "case" æ')
    await until(lambda: _is(database, order, ["Succeeded"]))
    assert await state(database, order) == "Processed"
    assert email.to() == ["kari@example.org"]
    days.advance(seconds=901)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]
    assert await state(database, order) == "Completed"
    page = await FeedReader(database).page("ttd", FeedQuery(0, 500, descending=False))
    assert json.loads(page) == [
        {
            "sequenceNumber": 1,
            "shipmentId": str(order),
            "sendersReference": 'a "case" æ',
            "recipients": [
                {
                    "destination": "kari@example.org",
                    "status": "Email_Delivered",
                    "lastUpdate": "2031-03-12T11:15:01Z",
                }
            ],
            "status": "Order_Completed",
            "lastUpdate": "2031-03-12T11:15:01Z",
            "shipmentType": "Notification",
        }
    ]
    assert page.decode() == json.dumps(json.loads(page), indent=2, ensure_ascii=False)
    logged = await database.fetchrow("select status, destination, reference from notification_log")
    assert logged["status"] == "Delivered"
    assert logged["destination"] == "kari@example.org"
    assert logged["reference"].startswith("ref-")
    sums = await database.fetch("select what, status, sum(number) from metric_daily group by 1, 2 order by 1")
    assert [tuple(row) for row in sums] == [("Email", "Delivered", 1), ("orders", "Completed", 1)]
    assert await database.fetchval("select count(*) from attempt where outcome = 'accepted'") == 1


async def test_an_sms_ends_by_its_report(database: Database, make_worker: MakeWorker) -> None:
    await make_worker()
    order = await place(database, "+4799999999", requested_at=NOON)
    await until(lambda: _is(database, order, ["Accepted"]))
    reference = await database.fetchval("select reference from notification")
    await ReportStore(database).store([RawReport("link", reference, "DELIVRD", "Delivered", b"{}")])
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]
    assert await database.fetchval("select count(*) from awaiting") == 0
    assert await database.fetchval("select count(*) from parked_report") == 0
    assert await database.fetchval("select count(*) from report") == 1


async def test_several_recipients_end_their_order_together(
    database: Database, make_worker: MakeWorker
) -> None:
    sms = FakeChannel(
        "Sms",
        "link:fake:80",
        judge=lambda message, _: Permanent("Failed_InvalidRecipient", "", "Invalid RCV"),
    )
    await make_worker(sms)
    order = await place(database, *(f"+479999{n:04}" for n in range(40)), requested_at=NOON)
    await until(lambda: fed(database))
    assert set(await statuses(database, order)) == {"Failed_InvalidRecipient"}
    assert await fed(database) == [order]
    assert len(sms.handed) == 40
    entry = await database.fetchval("select entry from feed")
    assert entry.count(b"SMS_Failed_InvalidRecipient") == 40


async def test_a_refusal_before_the_intent_ends_a_message(
    database: Database, make_worker: MakeWorker
) -> None:
    email = FakeChannel(judge=lambda message, _: Permanent("Failed_InvalidEmailFormat", "before", "no"))
    await make_worker(email)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_InvalidEmailFormat"]
    assert email.handed == []
    assert await database.fetchval("select count(*) from ready") == 0


async def test_a_temporary_refusal_waits_and_goes_again(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    email = FakeChannel(judge=lambda m, n: Temporary(0.05, "451", "later") if n < 2 else _ok(m))
    await make_worker(email)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: _attempts(database, 1))
    days.advance(seconds=1)
    await until(lambda: _attempts(database, 2))
    days.advance(seconds=1)
    await until(lambda: _is(database, order, ["Succeeded"]))
    rows = await database.fetch("select number, outcome from attempt order by number")
    assert [tuple(row) for row in rows] == [(1, "temporary"), (2, "temporary"), (3, "accepted")]


async def test_what_is_never_taken_ends_with_its_life(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(FakeChannel(judge=lambda m, n: Temporary(3600, "451", "later")))
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: _attempts(database, 1))
    assert await statuses(database, order) == ["New"]
    days.advance(hours=48, seconds=1)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]


async def test_nothing_leaves_before_its_time_or_outside_the_window(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    email, sms = FakeChannel(), FakeChannel("Sms", "link:fake:80")
    await make_worker(email, sms)
    await place(database, "x@example.org", requested_at=NOON + timedelta(minutes=1))
    evening = NOON + timedelta(hours=5)  # 17:00 in Oslo: closed
    await place(database, "+4799999999", requested_at=evening, policy="Daytime")
    anytime = await place(database, "+4799999998", requested_at=NOON)
    await until(lambda: _is(database, anytime, ["Accepted"]))
    assert email.handed == []
    days.moment = evening
    await until(lambda: email.handed)
    await until(lambda: _count(database, "select count(*) from due", 0))
    assert sms.to() == ["+4799999998"]
    assert await database.fetchval("select ready_at from ready") == NOON.replace(day=13, hour=8)
    days.moment = NOON.replace(day=13, hour=8)
    await until(lambda: len(sms.handed) == 2)
    assert await database.fetchval(
        "select expires_at from notification where address = '+4799999999'"
    ) == NOON.replace(day=15, hour=8)


async def test_an_unknown_email_is_sent_again_through_the_same_provider(
    database: Database, make_worker: MakeWorker
) -> None:
    first = FakeChannel(name="smtp:first:25", judge=lambda m, n: Unknown("lost") if n < 1 else _ok(m))
    second = FakeChannel(name="smtp:second:25")
    await make_worker(first, second, unknown_settle_seconds=0.1)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: _is(database, order, ["Succeeded"]))
    assert len(first.handed) == 2
    assert first.handed[0].notification_id == first.handed[1].notification_id
    assert second.handed == []
    rows = await database.fetch("select outcome, settled_by from attempt order by number")
    assert [tuple(row) for row in rows] == [("unknown", "resend"), ("accepted", None)]


async def test_an_unknown_sms_is_held_until_its_life_is_over(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    sms = FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Unknown("lost"))
    await make_worker(sms, unknown_settle_seconds=0.1)
    order = await place(database, "+4799999999", requested_at=NOON)
    await until(lambda: _count(database, "select count(*) from handoff where unknown_at is not null", 1))
    days.advance(hours=48, seconds=1)
    assert await statuses(database, order) == ["Sending"]
    days.advance(seconds=300)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]
    assert len(sms.handed) == 1
    assert await database.fetchval("select settled_by from attempt") == "expiry"


async def test_a_provider_that_is_down_gives_way_to_the_next(
    database: Database, make_worker: MakeWorker
) -> None:
    first = FakeChannel(name="smtp:first:25", judge=lambda m, n: Temporary(30, "before", "down", "provider"))
    second = FakeChannel(name="smtp:second:25")
    await make_worker(first, second)
    order = await place(database, "x@example.org", requested_at=NOON)
    await until(lambda: _is(database, order, ["Succeeded"]))
    assert len(second.handed) == 1
    assert await database.fetchval("select paused_until > clock_timestamp() from provider_state")
    assert await database.fetchval("select count(*) from attempt") == 1


async def test_an_order_that_cannot_be_planned_fails_alone(
    database: Database, make_worker: MakeWorker
) -> None:
    await make_worker()
    good = await place(database, "x@example.org", requested_at=NOON)
    bad = await place(database, "+4799999999", requested_at=NOON, sms=None)
    garbage = await place(database, "y@example.org", requested_at=NOON + timedelta(seconds=1))
    await database.execute("update order_content set content = 'not json' where order_id = $1", garbage)
    later = await place(database, "z@example.org", requested_at=NOON)
    await until(lambda: _is(database, later, ["Succeeded"]))
    await until(lambda: _is(database, good, ["Succeeded"]))
    await until(lambda: _is(database, bad, ["Failed"]))
    assert await state(database, bad) == "Completed"


async def _is(database: Database, order: object, wanted: list[str]) -> bool:
    return await statuses(database, order) == wanted  # type: ignore[arg-type]


async def _attempts(database: Database, number: int) -> bool:
    return await _count(database, "select count(*) from attempt", number)


async def _count(database: Database, sql: str, number: int) -> bool:
    return bool(await database.fetchval(sql) == number)


def _ok(message: object) -> object:
    from varsel.channels.model import Accepted

    return Accepted(f"ref-{message.notification_id}")  # type: ignore[attr-defined]
