"""A cancel and a handoff at the same time: one of them wins (design promise 4; docs/reference/delivery.md 13 no. 9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.contract.orders.world import World, open_world
from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, state
from tests.support.polling import until
from varsel.store.database import Database


@pytest.fixture
async def api(database: Database) -> AsyncIterator[World]:
    async with open_world(database) as opened:
        yield opened


async def cancel(api: World, order: UUID) -> bool:
    """Through the front door; what the caller is told."""
    answer = await api.send(f"/notifications/api/v1/orders/{order}/cancel", None, method="PUT")
    assert answer.status in (200, 409)
    return bool(answer.status == 200)


async def test_nothing_leaves_after_a_cancel_that_succeeded(
    database: Database, make_worker: MakeWorker, api: World
) -> None:
    channel = FakeChannel()
    await make_worker(channel)
    orders = [await place(database, f"u{n}@example.org", requested_at=NOON) for n in range(60)]
    answers = await asyncio.gather(*(cancel(api, order) for order in reversed(orders)))
    cancelled = {order for order, answer in zip(reversed(orders), answers, strict=True) if answer}
    rest = [order for order in orders if order not in cancelled]

    async def rest_taken() -> bool:
        number = await database.fetchval("select count(*) from attempt")
        return bool(number == len(rest))

    await until(rest_taken)
    assert {message.to for message in channel.handed} == {
        f"u{orders.index(order)}@example.org" for order in rest
    }
    for order in cancelled:
        assert await state(database, order) == "Cancelled"
    assert await database.fetchval("select count(*) from ready") == 0
    assert await database.fetchval("select count(*) from due") == 0
    assert all([await cancel(api, order) for order in cancelled])  # asked again, told the same
    assert not any([await cancel(api, order) for order in rest])


async def test_a_planned_order_can_be_cancelled_until_its_handoff(
    database: Database, make_worker: MakeWorker, api: World
) -> None:
    """The order is planned and in a worker's hands; the cancel comes before the intent."""
    channel = FakeChannel(slots=1)
    channel.gate.clear()
    await make_worker(channel)
    first = await place(database, "first@example.org", requested_at=NOON)
    await until(lambda: channel.at_gate)
    second = await place(database, "second@example.org", requested_at=NOON)

    async def planned() -> bool:
        return await state(database, second) == "Processed"

    await until(planned)
    assert await cancel(api, second) or len(channel.handed) > 1
    assert not await cancel(api, first)
    channel.gate.set()

    async def done() -> bool:
        return bool(await database.fetchval("select count(*) from handoff") == 0)

    await until(done)
