"""An instant order stands before its outcome is stored, or is void: nothing between leaves it in anybody's way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.engine.conftest import NOON, Days
from tests.engine.fakes import FakeChannel
from tests.engine.seed import SMS
from varsel.channels.model import Accepted, Outcome, Temporary, Unknown
from varsel.delivery import instant
from varsel.delivery.instant import InstantSender
from varsel.delivery.transact import transact
from varsel.runtime.clock import SystemMachine
from varsel.runtime.errors import DatabaseUnavailable
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
    sender, stored = await an_order(database, days, channel)
    order, message = stored["order_id"], stored["notification_id"]
    # The process dies as soon as the outcome is on disk.
    drain = sender._outcomes.drain

    class Died(BaseException):
        pass

    async def die() -> None:
        await drain()
        raise Died

    monkeypatch.setattr(sender._outcomes, "drain", die)
    with pytest.raises(Died):
        await sender.send(**stored)
    assert await database.fetchval(f"select count(*) from {table} where notification_id = $1", message) == 1
    assert await database.fetchval("select state from orders where id = $1", order) == "Processed"
    monkeypatch.undo()
    await sender.close()


async def an_order(
    database: Database, days: Days, *channels: FakeChannel
) -> tuple[InstantSender, dict[str, Any]]:
    """An instant order as it stands when its sender is called, and what that is called with."""
    sender = await InstantSender.open(Settings(), database, days, SystemMachine(), channels)
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
    return sender, {
        "prepared": prepared,
        "order_id": order,
        "notification_id": message,
        "creator": "ttd",
        "address": TO,
        "content": content,
        "expires_at": expires,
    }


REFUSED = Temporary(60.0, "LOGON", "the log-on was refused", "provider")


async def test_a_refused_order_is_void_however_long_the_database_is_away(
    database: Database, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the caller is told was not sent is not sent later: nothing of it stays open while this process lives."""
    monkeypatch.setattr(instant, "_AGAIN_SECONDS", 0.01)
    sender, stored = await an_order(
        database, days, FakeChannel("Sms", "link:fake:80", judge=lambda *_: REFUSED)
    )
    tried = 0

    async def away(*args: Any) -> Any:
        nonlocal tried
        tried += 1
        if tried < 4:
            raise DatabaseUnavailable
        return await transact(*args)

    monkeypatch.setattr(instant, "transact", away)
    assert await sender.send(**stored) is False
    assert await database.fetchval("select state from orders") == "Void"
    for table in ("handoff", "notification", "order_content", "attempt"):
        assert await database.fetchval(f"select count(*) from {table}") == 0
    await sender.close()


async def test_the_next_provider_takes_what_the_first_refused(database: Database, days: Days) -> None:
    first = FakeChannel("Sms", "link:first:80", judge=lambda *_: REFUSED)
    second = FakeChannel("Sms", "link:second:80")
    sender, stored = await an_order(database, days, first, second)
    assert await sender.send(**stored) is True
    assert (len(first.handed), len(second.handed)) == (1, 1)
    assert await database.fetchval("select state from orders") == "Processed"
    assert await database.fetchval("select count(*) from handoff") == 0
    rows = await database.fetch("select number, provider, outcome, code from attempt order by number")
    assert [tuple(row) for row in rows] == [
        (1, "link:first:80", "temporary", "LOGON"),
        (2, "link:second:80", "accepted", None),
    ]
    assert await database.fetchval("select provider from notification") == "link:second:80"
    await sender.close()


@pytest.mark.parametrize(
    ("end", "sent", "tried"),
    [
        (Unknown("no answer"), True, (1, 0)),  # it may have been taken
        (Temporary(60.0, "busy", "later"), True, (1, 0)),  # the message's own fault
        (REFUSED, False, (1, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_another_provider_only_for_what_was_certainly_not_taken(
    database: Database, days: Days, end: Outcome, sent: bool, tried: tuple[int, int]
) -> None:
    channels = [FakeChannel("Sms", f"link:{name}:80", judge=lambda *_: end) for name in ("first", "second")]
    sender, stored = await an_order(database, days, *channels)
    assert await sender.send(**stored) is sent
    assert tuple(len(channel.handed) for channel in channels) == tried
    state = await database.fetchval("select state from orders")
    assert state == ("Processed" if sent else "Void")
    if not sent:
        for table in ("handoff", "notification", "attempt"):
            assert await database.fetchval(f"select count(*) from {table}") == 0
    await sender.close()
