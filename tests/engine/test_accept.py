"""Grouped commits (docs/design.md, promises 1 and 7): races, refused rows, lost connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import asyncpg
import pytest

from tests.support.polling import until
from varsel.orders import accept
from varsel.orders.accept import Flusher
from varsel.orders.model import Entry, Key, NewOrder
from varsel.runtime.clock import ManualClock
from varsel.runtime.errors import DatabaseUnavailable
from varsel.store.database import Database
from varsel.store.ids import uuid7

NOW = datetime(2031, 3, 14, 12, 0, tzinfo=UTC)


def entry(name: str | None = None, creator: str = "ttd", orders: int = 1, **changes: Any) -> Entry:
    chain = uuid7() if name is not None else None
    rows = [
        NewOrder(
            **{
                "id": uuid7(), "chain_id": chain, "position": position, "creator": creator, "kind": "Notification", "channel": "Email",
                "sending_policy": "Anytime", "senders_reference": None, "resource_id": None, "resource_action": None, "dialog_id": None,
                "transmission_id": None, "requested_at": NOW + timedelta(days=1), "created_at": NOW, "content": b"{}",
            }
            | changes
        )
        for position in range(orders)
    ]  # fmt: skip
    if chain is None:
        return Entry(rows)
    return Entry(
        rows, Key(creator, "chain", sha256(name.encode()).digest(), b"mac", str(chain).encode(), chain)
    )


@pytest.fixture
def flusher(database: Database) -> Flusher:
    return Flusher(database, ManualClock(NOW))


async def count(database: Database, table: str = "orders") -> int:
    return await database.fetchval(f"select count(*) from {table}")


async def test_fifty_parallel_repeats_make_one_order(database: Database, flusher: Flusher) -> None:
    answers = await asyncio.gather(*(flusher.store(entry("same")) for _ in range(50)))
    assert Counter(answer.first for answer in answers) == {True: 1, False: 49}
    assert len({answer.receipt for answer in answers}) == 1
    assert (
        await count(database) == await count(database, "due") == await count(database, "order_content") == 1
    )


async def test_two_processes_race(database: Database, database_url: str) -> None:
    other = await Database.open(database_url, name="other")
    flushers = [Flusher(database, ManualClock(NOW)), Flusher(other, ManualClock(NOW))]
    names = [f"n{number}" for number in range(40)]
    answers = await asyncio.gather(
        *(flusher.store(entry(name)) for name in names for flusher in flushers),
        *(flusher.store(entry(name)) for name in reversed(names) for flusher in flushers),
    )
    assert sum(answer.first for answer in answers) == 40
    assert len({answer.receipt for answer in answers}) == 40
    assert await count(database) == 40
    await other.close()


async def test_first_generation_orders_have_no_key(database: Database, flusher: Flusher) -> None:
    answers = await asyncio.gather(
        *(flusher.store(entry()) for _ in range(20)), flusher.store(entry("keyed"))
    )
    assert all(answer.first for answer in answers)
    assert (await count(database), await count(database, "due"), await count(database, "idempotency")) == (
        21,
        21,
        1,
    )


async def test_one_bad_row_does_not_fail_its_neighbours(database: Database, flusher: Flusher) -> None:
    good = [entry(f"good {number}") for number in range(30)]
    poison = entry("poison", channel="Pigeon")
    answers = await asyncio.gather(
        *(flusher.store(each) for each in [*good[:17], poison, *good[17:]]), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(asyncpg.CheckViolationError) == 1
    assert sum(1 for answer in answers if not isinstance(answer, BaseException) and answer.first) == 30
    assert await count(database) == await count(database, "idempotency") == 30
    assert (await flusher.store(entry("poison"))).first  # its key was not kept


async def test_a_caller_who_leaves_stops_nothing(database: Database, flusher: Flusher) -> None:
    waiting = [asyncio.create_task(flusher.store(entry(f"n{number}"))) for number in range(10)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await flusher.close()
    assert isinstance(answers[3], asyncio.CancelledError)
    assert await count(database) == 10


async def test_a_long_chain_is_stored_whole_or_not_at_all(database: Database, flusher: Flusher) -> None:
    long = entry("long", orders=701)
    assert (await flusher.store(long)).first
    assert await count(database) == await count(database, "due") == 701
    bad = entry("bad", orders=701)
    bad.orders[700].kind = "Pigeon"
    with pytest.raises(asyncpg.CheckViolationError):
        await flusher.store(bad)
    assert (await count(database), await count(database, "idempotency")) == (701, 1)


class Cutting:
    """A database whose connections break after their statement: committed or not, the client does not learn it."""

    def __init__(self, real: Database, *, committed: bool, cuts: int = 1) -> None:
        self.real = real
        self.committed = committed
        self.cuts = cuts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    @asynccontextmanager
    async def connection(self) -> Any:
        async with self.real.connection() as connection:
            yield _CutConnection(connection, self)


class _CutConnection:
    def __init__(self, real: Any, cutting: Cutting) -> None:
        self.real = real
        self.cutting = cutting

    async def fetch(self, *args: Any) -> Any:
        if self.cutting.cuts:
            self.cutting.cuts -= 1
            if self.cutting.committed:
                await self.real.fetch(*args)
            raise DatabaseUnavailable from ConnectionResetError()
        return await self.real.fetch(*args)


@pytest.mark.parametrize("committed", [True, False])
async def test_an_unknown_commit_is_looked_up_before_anyone_is_answered(
    database: Database, committed: bool
) -> None:
    flusher = Flusher(Cutting(database, committed=committed), ManualClock(NOW))
    taken = entry("taken")
    assert (await Flusher(database, ManualClock(NOW)).store(taken)).first
    keyed, loose = entry("fresh"), entry()
    answers = await asyncio.gather(flusher.store(keyed), flusher.store(loose), flusher.store(entry("taken")))
    assert [answer.first for answer in answers] == [True, True, False]
    assert answers[0].receipt == keyed.key.receipt
    assert answers[2].receipt == taken.key.receipt
    assert await count(database) == await count(database, "due") == 3


async def test_a_second_run_does_not_let_a_processed_order_fall_due_again(database: Database) -> None:
    class Processing(Cutting):
        async def processed(self) -> None:
            await self.real.execute("delete from due")

    cutting = Processing(database, committed=True)
    flusher = Flusher(cutting, ManualClock(NOW))
    task = asyncio.create_task(flusher.store(entry()))
    await until(lambda: not cutting.cuts)
    await until(lambda: count(database))
    await cutting.processed()
    assert (await task).first
    assert await count(database, "due") == 0


async def test_no_database_no_answer_but_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_LOOK_UP_FOR", 0.0)
    flusher = Flusher(Cutting(database, committed=False, cuts=100), ManualClock(NOW))
    with pytest.raises(DatabaseUnavailable):
        await flusher.store(entry("x"))
    assert await count(database) == 0


async def test_due_orders_wake_the_workers(
    database: Database, flusher: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(database, "wake", lambda *topics: woken.extend(topics))
    await flusher.store(entry("later"))
    assert woken == []
    await flusher.store(entry("now", requested_at=NOW))
    assert woken == ["due"]
