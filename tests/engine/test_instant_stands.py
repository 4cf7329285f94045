"""An instant order stands before its outcome is stored: a crash between the two leaves it in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.engine.conftest import NOON, Days
from tests.engine.fakes import FakeChannel
from tests.engine.seed import SMS
from varsel.channels.model import Accepted, Outcome, Temporary, Unknown
from varsel.delivery.instant import InstantSender
from varsel.runtime.clock import SystemMachine
from varsel.runtime.settings import Settings
from varsel.store.content import OrderContent, Recipient, encode
from varsel.store.database import Database
from varsel.store.ids import uuid7

TO = "+4790000001"


@pytest.mark.parametrize(
    ("outcome", "table"),
    [
        (Accepted("ref-1"), "awaiting"),
        (Temporary(60.0, "busy", "later"), "ready"),
        (Unknown("no answer"), "handoff"),
    ],
)
async def test_an_instant_order_stands_with_its_outcome(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, table: str
) -> None:
    channel = FakeChannel("Sms", "link:fake:80", judge=lambda *_: outcome)
    sender = await InstantSender.open(Settings(), database, days, SystemMachine(), [channel])
    prepared = sender.prepare("Sms")
    assert prepared is not None
    order, message = uuid7(), uuid7()
    content = OrderContent((Recipient(mobile=TO),), sms=SMS, time_to_live=600)
    expires = NOON + timedelta(minutes=10)
    await database.execute(
        "insert into orders (id, creator, kind, channel, requested_at, created_at, state, state_at, remaining) "
        "values ($1, 'ttd', 'Instant', 'Sms', $2, $2, 'Attempting', $2, 1)",
        order,
        NOON,
    )
    await database.execute(
        "insert into order_content (order_id, content) values ($1, $2)", order, encode(content)
    )
    await database.execute(
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, expires_at) "
        "values ($1, $2, 'ttd', 'Sms', 0, 'direct', $3, 'Sending', 10, $4, $5)",
        order,
        message,
        TO,
        NOON,
        expires,
    )
    await database.execute(
        "insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker) "
        "values ($1, $2, $3, 'ttd', 'Sms', $4, 1, 0, $5, $6)",
        prepared.attempt_id,
        message,
        order,
        prepared.provider,
        expires,
        sender.id,
    )
    # The process dies as soon as the outcome is on disk.
    drain = sender._outcomes.drain

    class Died(BaseException):
        pass

    async def die() -> None:
        await drain()
        raise Died

    monkeypatch.setattr(sender._outcomes, "drain", die)
    with pytest.raises(Died):
        await sender.send(
            prepared,
            order_id=order,
            notification_id=message,
            creator="ttd",
            address=TO,
            content=content,
            expires_at=expires,
        )
    assert await database.fetchval(f"select count(*) from {table} where notification_id = $1", message) == 1
    assert await database.fetchval("select state from orders where id = $1", order) == "Processed"
    monkeypatch.undo()
    await sender.close()
