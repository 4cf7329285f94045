"""A cancel and a handoff at the same time: one of them wins (design promise 4; docs/reference/delivery.md 13 no. 9)."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, state
from tests.support.polling import until
from varsel.store.database import Database


async def cancel(database: Database, order: UUID) -> bool:
    """As the front door cancels: the order row locked, nothing handed over, unsent rows gone."""
    async with database.transaction() as connection:
        now = await connection.fetchval("select state from orders where id = $1 for update", order)
        if now not in ("Registered", "Processing", "Processed"):
            return False
        if await connection.fetchval(
            "select exists (select from handoff where order_id = $1) or exists (select from attempt where order_id = $1)",
            order,
        ):
            return False
        await connection.execute("delete from due where order_id = $1", order)
        await connection.execute("delete from ready where order_id = $1", order)
        await connection.execute("delete from notification where order_id = $1", order)
        await connection.execute("update orders set state = 'Cancelled', remaining = 0 where id = $1", order)
        return True


async def test_nothing_leaves_after_a_cancel_that_succeeded(
    database: Database, make_worker: MakeWorker
) -> None:
    channel = FakeChannel()
    await make_worker(channel)
    orders = [await place(database, f"u{n}@example.org", requested_at=NOON) for n in range(60)]
    answers = await asyncio.gather(*(cancel(database, order) for order in reversed(orders)))
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


async def test_a_planned_order_can_be_cancelled_until_its_handoff(
    database: Database, make_worker: MakeWorker
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
    assert await cancel(database, second) or len(channel.handed) > 1
    assert not await cancel(database, first)
    channel.gate.set()

    async def done() -> bool:
        return bool(await database.fetchval("select count(*) from handoff") == 0)

    await until(done)
