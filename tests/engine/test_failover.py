"""Which provider gets a message, and what one bad message or statement does to a lane (docs/reference/delivery.md 11.3, 13 no. 20)."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, statuses
from tests.support.polling import until
from varsel.channels.model import Accepted, Message, Outcome, Temporary, Unknown
from varsel.delivery import room
from varsel.delivery.dispatch import Dispatcher
from varsel.delivery.pace import Pace
from varsel.store.database import Database


async def test_nothing_goes_elsewhere_after_an_unknown(
    database: Database, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown, sent again and refused for now: the other provider would make a second copy (design 4.1)."""
    claims = 0
    claim = Dispatcher._claim

    async def counted(self: Dispatcher) -> None:
        nonlocal claims
        claims += self.kind == "Email"
        await claim(self)

    monkeypatch.setattr(Dispatcher, "_claim", counted)
    ends: list[Outcome] = [Unknown("no answer"), Temporary(0.4, "421", "later", "provider"), Accepted("ref")]
    first = FakeChannel(judge=lambda m, n: ends[min(n, 2)])
    second = FakeChannel(name="smtp:second:25")
    await make_worker(first, second, unknown_settle_seconds=0)
    order = await place(database, "x@example.org", requested_at=NOON)

    async def taken() -> bool:
        return await statuses(database, order) == ["Succeeded"]

    await until(taken)
    assert len(first.handed) == 3
    assert second.handed == []
    assert claims < 40, "while its provider rests a message is not claimed over and over"


async def test_another_provider_takes_what_the_first_refused(
    database: Database, make_worker: MakeWorker
) -> None:
    first = FakeChannel(judge=lambda m, n: Temporary(60, "421", "later", "provider"))
    second = FakeChannel(name="smtp:second:25")
    await make_worker(first, second)
    order = await place(database, "x@example.org", requested_at=NOON)

    async def taken() -> bool:
        return await statuses(database, order) == ["Succeeded"]

    await until(taken)
    assert (len(first.handed), len(second.handed)) == (1, 1)


@pytest.mark.parametrize("after", [0.0, -1.0])
async def test_a_refusal_without_a_time_to_come_pauses_like_one_without_a_time(
    database: Database, make_worker: MakeWorker, after: float
) -> None:
    channel = FakeChannel(judge=lambda m, n: Temporary(after, "HTTP 429", "later", "provider"))
    await make_worker(channel)
    order = await place(database, "x@example.org", requested_at=NOON)
    rest = await until(
        lambda: database.fetchval(
            "select extract(epoch from paused_until - clock_timestamp()) from provider_state"
        )
    )
    assert 50 < rest <= 60
    assert await statuses(database, order) == ["New"]
    assert len(channel.handed) == 1


async def test_a_provider_that_makes_everything_unknown_gives_way(
    database: Database, make_worker: MakeWorker
) -> None:
    """A gateway that answers 502 to all refuses nothing: what it got is held, and the others must not follow."""
    first = FakeChannel("Sms", "link:first:80", slots=1, judge=lambda m, n: Unknown("HTTP 502"))
    second = FakeChannel("Sms", "link:second:80")
    await make_worker(first, second)
    orders = [await place(database, f"+479000{n:04d}", channel="Sms", requested_at=NOON) for n in range(20)]

    async def told() -> list[str]:
        return [status for order in orders for status in await statuses(database, order)]

    async def others_taken() -> bool:
        return sorted(await told()) == ["Accepted"] * len(second.handed) + ["Sending"] * len(first.handed)

    await until(lambda: len(first.handed) + len(second.handed) == len(orders))
    await until(others_taken)
    assert 5 <= len(first.handed) <= 8, "four batches may be under way at the fifth"
    paused = await database.fetchrow(
        "select provider, extract(epoch from paused_until - updated_at)::float as rest from provider_state"
    )
    assert paused is not None
    assert paused["provider"] == "link:first:80"
    assert 4 < paused["rest"] <= 5


async def test_a_message_at_which_a_channel_fails_does_not_stop_others(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    """An error that no outcome stands for: the message is tried again later, alone sooner or later, and not at once for ever."""
    tried = 0

    def judge(message: Message, _count: int) -> Outcome:
        nonlocal tried
        if message.to == "bad@example.org":
            tried += 1
            raise LookupError("no such thing")
        return Accepted("ref")

    await make_worker(FakeChannel(judge=judge, slots=1))
    bad = await place(database, "bad@example.org", requested_at=NOON)
    others = [await place(database, f"u{n}@example.org", requested_at=NOON) for n in range(4)]

    async def tried_once() -> bool:
        return bool(await database.fetchval("select count(*) from ready where tries = 1 and owner is null"))

    await until(tried_once)
    others += [await place(database, f"v{n}@example.org", requested_at=NOON) for n in range(4)]

    days.advance(seconds=10)

    async def taken() -> bool:
        # Those that stood behind it in its batch, once or twice, wait by both clocks.
        await database.execute(
            "update ready set not_before = null, ready_at = $1 "
            "where notification_id in (select id from notification where address <> 'bad@example.org')",
            NOON,
        )
        return [await statuses(database, order) for order in others] == [["Succeeded"]] * 8

    await until(taken)
    assert tried <= 2
    assert await statuses(database, bad) == ["New"]


async def test_a_failed_statement_does_not_end_a_lane(
    database: Database, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    admit = Pace.admit

    async def admitted(self: Pace, *args: Any) -> list[float]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        return await admit(self, *args)

    monkeypatch.setattr(Pace, "admit", admitted)
    await make_worker(FakeChannel(), pace=("smtp:fake:25=100",))
    order = await place(database, "x@example.org", requested_at=NOON)

    async def taken() -> bool:
        return await statuses(database, order) == ["Succeeded"]

    await until(taken)


async def test_a_failed_renewal_is_not_the_last(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "RENEW_SECONDS", 0.01)
    renewed = 0

    async def renew(_worker: room.Worker) -> None:
        nonlocal renewed
        renewed += 1
        if renewed == 1:
            raise asyncpg.DeadlockDetectedError("deadlock detected")

    monkeypatch.setattr(room.Worker, "_renew", renew, raising=False)
    await make_worker()
    await until(lambda: renewed > 2)
