"""What waits, as the page of metrics shows it: right, bounded, and never in the way of the page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.engine.conftest import NOON, Days
from tests.engine.seed import place
from varsel.delivery import queues
from varsel.delivery.queues import Queues
from varsel.delivery.reports import RawReport, ReportStore
from varsel.runtime import metrics
from varsel.runtime.clock import ManualClock, SystemMachine
from varsel.runtime.errors import DatabaseUnavailable
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import uuid7


def shown(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"varsel_{name}", labels)


async def wait_ready(database: Database, channel: str, lane: int, *minutes_ago: float) -> None:
    await database.executemany(
        "insert into ready (notification_id, order_id, creator, channel, lane, ready_at, expires_at) values ($1, $1, 'ttd', $2, $3, $4, $5)",
        [
            (uuid7(), channel, lane, NOON - timedelta(minutes=ago), NOON + timedelta(days=2))
            for ago in minutes_ago
        ],
    )


async def test_every_queue_is_told(database: Database, days: Days) -> None:
    await place(database, "a@example.org", requested_at=NOON - timedelta(minutes=3))
    await place(database, "b@example.org", requested_at=NOON + timedelta(days=1))
    await wait_ready(database, "Email", 0, 1)
    await wait_ready(database, "Sms", 1, 2, 5, -60)
    await ReportStore(database).store(
        [
            RawReport("link", "r", "DELIVRD", "Delivered", b"x"),
            RawReport("link", None, None, None, b"x", reason="MALFORMED"),
        ]
    )
    await database.execute(
        "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, 'x')",
        uuid7(),
        NOON - timedelta(seconds=7),
    )
    await database.execute(
        "insert into awaiting (notification_id, order_id, channel, until, then_status) values ($1, $1, 'Sms', $2, 'Failed_TTL')",
        uuid7(),
        NOON + timedelta(days=1),
    )
    await database.execute(
        "insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker, "
        "begun_at) values ($1, $1, $1, 'ttd', 'Sms', 'link:fake:80', 1, 1, $2, $1, clock_timestamp() - interval '40 seconds')",
        uuid7(),
        NOON,
    )
    await Queues(database, days, SystemMachine()).refresh()
    rows = {
        queue: shown("queue_rows", queue=queue)
        for queue in ("due", "ready", "handoff", "unknown", "awaiting", "parked", "dead", "feed", "webhook")
    }
    assert rows == {
        "due": 1,  # what is due tomorrow does not wait
        "ready": 4,
        "handoff": 1,
        "unknown": 0,
        "awaiting": 1,
        "parked": 1,
        "dead": 1,
        "feed": 1,
        "webhook": 0,
    }
    assert shown("ready_rows", channel="Email", lane="instant") == 1
    assert shown("ready_rows", channel="Sms", lane="ordinary") == 3
    assert shown("ready_rows", channel="Email", lane="composed") == 0
    assert shown("queue_oldest_seconds", queue="due") == 180
    assert shown("queue_oldest_seconds", queue="ready") == 300
    assert shown("ready_oldest_seconds", channel="Email", lane="instant") == 60
    assert shown("queue_oldest_seconds", queue="awaiting") == 0, "nothing is overdue"
    assert 40 <= (shown("queue_oldest_seconds", queue="handoff") or 0) < 100
    assert shown("feed_lag_seconds") == 7


async def test_no_queue_is_counted_beyond_the_limit(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "MOST", 2)
    await wait_ready(database, "Sms", 1, 1, 2, 3)
    await Queues(database, days, SystemMachine()).refresh()
    assert shown("ready_rows", channel="Sms", lane="ordinary") == 2
    assert shown("ready_oldest_seconds", channel="Sms", lane="ordinary") == 180


async def test_no_part_reads_history(database: Database, days: Days) -> None:
    """Facts are partitioned; the figures come from queue tables alone, and from the front of an index where they can be long."""
    await database.execute("set enable_seqscan = off")
    plan = "\n".join(
        row[0]
        for row in await database.fetch(
            "explain "
            + queries.load("varsel.delivery").queue_figures.replace("$1", "now()").replace("$2", "10")
        )
    )
    for fact in ("notification ", "orders", "report_", "feed_2", "attempt"):
        assert f" on {fact}" not in plan
    for index in (
        "due_waiting",
        "ready_waiting",
        "awaiting_until",
        "parked_report_dead",
        "feed_pending_pkey",
    ):
        assert index in plan, plan


async def test_figures_are_asked_for_now_and_then(database: Database, days: Days) -> None:
    clock = ManualClock(NOON)
    figures = Queues(database, days, clock)
    await figures.refresh()
    await wait_ready(database, "Sms", 1, 1)
    await figures.refresh()
    assert shown("ready_rows", channel="Sms", lane="ordinary") == 0
    clock.advance(timedelta(seconds=queues.FRESH))
    await figures.refresh()
    assert shown("ready_rows", channel="Sms", lane="ordinary") == 1


async def test_without_a_database_the_page_shows_no_old_figures(days: Days) -> None:
    class Away:
        async def fetch_within(self, *_: Any) -> Any:
            raise DatabaseUnavailable

    metrics.gauge("queue_rows").labels("due").set(3)
    await Queues(Away(), days, SystemMachine()).refresh()  # type: ignore[arg-type]
    assert shown("queue_rows", queue="due") is None
    assert b"varsel_queue_rows{" not in metrics.render()
