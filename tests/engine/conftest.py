"""A worker on a database of its own, with channels and clocks under the test's hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.engine.endpoints import KEY, Endpoint, listening
from tests.engine.fakes import FakeChannel, NoOutbound, NoResolver
from varsel.delivery.room import Worker
from varsel.delivery.webhooks import WebhookLane
from varsel.runtime.clock import SystemMachine
from varsel.runtime.outbound import GuardedClient
from varsel.runtime.settings import Settings
from varsel.store.database import BY_INDEX, Database, Listener
from varsel.store.secrets import MasterKey

NOON = datetime(2031, 3, 12, 11, 0, tzinfo=UTC)  # a Wednesday, 12:00 in Oslo


class Days:
    """A calendar that stands until it is moved."""

    def __init__(self, start: datetime = NOON) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
async def listener(database_url: str) -> AsyncIterator[Listener]:
    listener = Listener(database_url)
    listener.start()
    await listener.connected.wait()
    yield listener
    await listener.stop()


MakeWorker = Callable[..., Awaitable[Worker]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's own database, opened as a worker opens it: its statements are tried with the plans that they get."""
    opened = await Database.open(database_url, name="test", planner=BY_INDEX)
    yield opened
    await opened.close()


@pytest.fixture
async def make_worker(database: Database, listener: Listener, days: Days) -> AsyncIterator[MakeWorker]:
    """Start a worker: `await make_worker(channel, …, email_settle=0)`; stopped at the end."""
    started: list[Worker] = []

    async def make(
        *channels: Any,
        resolver: Any = None,
        registers: Any = None,
        outbound: Any = None,
        condition_token: Any = None,
        **settings: Any,
    ) -> Worker:
        worker = Worker(
            Settings(**{"stop_seconds": 2, **settings}),
            database,
            listener,
            days,
            SystemMachine(),
            MasterKey(bytes(32)),
            channels or (FakeChannel(), FakeChannel("Sms", "link:fake:80")),
            registers,
            outbound or NoOutbound(),
            resolver=resolver or (None if registers else NoResolver()),
            condition_token=condition_token,
        )
        await worker.start()
        started.append(worker)
        return worker

    yield make
    for worker in started:
        await worker.stop()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with listening() as one:
        yield one


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    client = GuardedClient(SystemMachine(), sandbox=True)
    yield client
    await client.close()


@pytest.fixture
async def lane(database: Database, client: GuardedClient) -> AsyncIterator[WebhookLane]:
    lane = WebhookLane(database, SystemMachine(), client, KEY)
    lane.start()
    yield lane
    await lane.stop()
