"""A database without space stops accepting with 503 and loses nothing (docs/reference/delivery.md 13 no. 1)."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.contract.orders.bodies import chain
from tests.contract.orders.world import CHAIN, open_world
from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, statuses
from tests.support.polling import until
from varsel.orders import accept
from varsel.store.database import Database


async def fill_disk(database: Database, table: str) -> None:
    """Every row of this table meets a full disk, as PostgreSQL tells it."""
    await database.execute(
        "create or replace function refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$"
    )
    await database.execute(
        f"create trigger full_disk before insert on {table} for each row execute function refuse()"
    )


async def free_disk(database: Database, table: str) -> None:
    await database.execute(f"drop trigger full_disk on {table}")


@pytest.mark.parametrize("table", ["orders", "due", "idempotency"])
async def test_nothing_is_accepted_and_nothing_is_left(
    database: Database, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(accept, "_LOOK_UP_FOR", 0.0)
    body = chain(idempotencyId=str(uuid4()))
    async with open_world(database) as world:
        before = await world.stored()
        await fill_disk(database, table)
        refused = await world.send(CHAIN, body)
        assert refused.status == 503
        assert refused.headers["retry-after"]
        assert b"extend" not in refused.content
        assert await world.stored() == before
        await free_disk(database, table)
        assert (await world.send(CHAIN, body)).status == 201  # its key was not spent
        assert (await world.send(CHAIN, body)).status == 200


async def test_what_was_handed_over_is_kept_until_it_can_be_stored(
    database: Database, make_worker: MakeWorker
) -> None:
    sms = FakeChannel("Sms", "link:fake:80")
    sms.gate.clear()
    await make_worker(sms)
    order = await place(database, "+4799999999", requested_at=NOON)
    await until(lambda: sms.at_gate)
    await fill_disk(database, "attempt")
    sms.gate.set()
    later = await place(database, "+4799999998", requested_at=NOON)

    async def waits() -> bool:
        return await statuses(database, later) == ["Sending"]

    await until(waits)
    assert await statuses(database, order) == ["Sending"]
    await free_disk(database, "attempt")

    async def stored() -> bool:
        return await statuses(database, order) == await statuses(database, later) == ["Accepted"]

    await until(stored)
    assert sorted(sms.to()) == ["+4799999998", "+4799999999"]
