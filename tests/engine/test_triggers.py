"""The triggers that work through orders: docs/reference/notifications-api.md 1.3, 1.7.6 and 2.22."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.seed import fed, place, state, statuses
from tests.support.checked import checked_api
from tests.support.polling import until
from varsel.delivery import triggers
from varsel.delivery.room import DeliveryRoom
from varsel.runtime.asgi import Api
from varsel.runtime.clock import SystemMachine
from varsel.runtime.endpoints import ANONYMOUS, Call, Caller, Policy
from varsel.runtime.settings import Settings
from varsel.store.database import Database

DUE, EXPIRED = (
    f"/notifications/api/v1/trigger/{name}" for name in ("pastdueorders", "terminateexpirednotifications")
)


class Anybody:
    async def authorize(self, policy: Policy, call: Call) -> Caller:
        assert policy is Policy.INTERNAL
        return ANONYMOUS


class Broken:
    """A database that fails at everything but waking."""

    def wake(self, *topics: str) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("broken")


async def client(database: Any, days: Days) -> httpx2.AsyncClient:
    room = await DeliveryRoom.open(Settings(), database, days, SystemMachine())
    transport = httpx2.ASGITransport(app=checked_api(Api(room.bound, Anybody())))
    return httpx2.AsyncClient(transport=transport, base_url="https://varsel.example.org")


@pytest.fixture
async def http(database: Database, days: Days) -> AsyncIterator[httpx2.AsyncClient]:
    async with await client(database, days) as opened:
        yield opened


async def test_due_orders_are_taken_up_when_it_answers(
    database: Database, days: Days, make_worker: MakeWorker, http: httpx2.AsyncClient
) -> None:
    await make_worker()
    orders = [
        await place(database, f"kari{number}@example.org", requested_at=NOON + timedelta(hours=1))
        for number in range(5)
    ]
    later = await place(database, "ola@example.org", requested_at=NOON + timedelta(hours=3))
    days.advance(hours=2)
    answer = await http.post(DUE)
    assert (answer.status_code, answer.content) == (200, b"")
    # Nobody told the worker that the calendar was moved: without the trigger it looks once a second.
    assert (
        await database.fetchval("select count(*) from due where owner is null and order_id = any($1)", orders)
        == 0
    )
    assert await state(database, later) == "Registered"
    for order in orders:
        await until(lambda order=order: processed(database, order))


async def processed(database: Database, order: Any) -> bool:
    return await state(database, order) == "Processed"


async def test_it_does_not_wait_for_workers_that_are_not_there(
    database: Database, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "PATIENCE", 0.0)
    order = await place(database, "kari@example.org", requested_at=NOON)
    assert (await http.post(DUE)).status_code == 200
    assert await state(database, order) == "Registered"


async def test_expired_messages_have_ended_when_it_answers(
    database: Database, days: Days, make_worker: MakeWorker, http: httpx2.AsyncClient
) -> None:
    worker = await make_worker()
    sms = await place(database, "+4799999999", requested_at=NOON)
    email = await place(database, "kari@example.org", requested_at=NOON)
    for order, status in ((sms, "Accepted"), (email, "Succeeded")):
        await until(lambda order=order, status=status: has(database, order, status))
    await worker.stop()
    days.advance(hours=48)
    await database.execute(
        "update awaiting set then_status = 'Failed_TTL', until = $1", days.now() + timedelta(minutes=5)
    )
    assert (await http.post(EXPIRED)).status_code == 200
    assert await statuses(database, sms) == ["Accepted"], "five minutes of grace"
    days.advance(minutes=5)
    answer = await http.post(EXPIRED)
    assert (answer.status_code, answer.content) == (200, b"")
    for order in (sms, email):
        assert await statuses(database, order) == ["Failed_TTL"]
        assert await state(database, order) == "Completed"
    assert await database.fetchval("select count(*) from feed_pending") == 2
    await make_worker()
    await until(lambda: both_fed(database))


async def has(database: Database, order: Any, status: str) -> bool:
    return await statuses(database, order) == [status]


async def both_fed(database: Database) -> bool:
    return len(await fed(database)) == 2


async def test_what_was_not_sent_in_its_life_ends_too(
    database: Database, days: Days, http: httpx2.AsyncClient, make_worker: MakeWorker
) -> None:
    worker = await make_worker()
    order = await place(database, "+4799999999", requested_at=NOON + timedelta(hours=8), policy="Daytime")
    days.advance(hours=8)  # 20:00 in Oslo: it waits for the morning
    database.wake("due")
    await until(lambda: has(database, order, "New"))
    await worker.stop()
    days.advance(hours=100)
    assert (await http.post(EXPIRED)).status_code == 200
    assert await statuses(database, order) == ["Failed_TTL"]


@pytest.mark.parametrize("path", [DUE, EXPIRED])
async def test_a_failure_is_a_sentence(days: Days, path: str) -> None:
    async with await client(Broken(), days) as http:
        answer = await http.post(path)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text


@pytest.mark.parametrize("path", [DUE, EXPIRED])
async def test_they_declare_json(http: httpx2.AsyncClient, path: str) -> None:
    assert (await http.post(path, headers={"content-type": "application/json"})).status_code == 200
    refused = await http.post(path, headers={"content-type": "text/plain"})
    assert (refused.status_code, refused.content) == (415, b"")
    assert (await http.get(path)).status_code == 405
