"""An instant message never waits behind a large send (docs/reference/delivery.md 7.11)."""

from __future__ import annotations

from uuid import UUID

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, place_all
from tests.support.polling import until
from varsel.channels.model import MOST_OPEN_HANDOFFS
from varsel.delivery.handoff import KEPT
from varsel.store.content import EmailText, OrderContent, Recipient
from varsel.store.database import Database

TEXT = EmailText("noreply@varsel.example", "Subject", "Body")


async def make_instant(database: Database, order: UUID) -> None:
    """As an instant message whose first try was refused for now."""
    await database.execute("update ready set lane = 0, ready_at = $2 where order_id = $1", order, NOON)


async def test_a_silent_provider_leaves_room_for_instant_messages(
    database: Database, make_worker: MakeWorker
) -> None:
    """The provider answers nothing, on more connections than may be open; then an instant message comes."""
    email = FakeChannel(slots=40)
    email.gate.clear()
    await make_worker(email)
    await place_all(
        database,
        [OrderContent((Recipient(email=f"u{n}@example.org"),), email=TEXT) for n in range(150)],
        requested_at=NOON,
    )
    await until(lambda: email.at_gate == MOST_OPEN_HANDOFFS - KEPT)
    waiting = await place(database, "instant@example.org", requested_at=NOON.replace(hour=23))
    await database.execute("update due set due_at = $1", NOON)

    async def planned() -> bool:
        return bool(await database.fetchval("select count(*) from ready where order_id = $1", waiting))

    await until(planned)
    await make_instant(database, waiting)
    await until(lambda: "instant@example.org" in email.to())
    assert email.at_gate == MOST_OPEN_HANDOFFS - KEPT + 1
    email.gate.set()


async def test_an_instant_message_is_taken_before_those_that_wait(
    database: Database, make_worker: MakeWorker
) -> None:
    email = FakeChannel(slots=4)
    email.gate.clear()
    await make_worker(email)
    await place_all(
        database,
        [OrderContent((Recipient(email=f"u{n}@example.org"),), email=TEXT) for n in range(400)],
        requested_at=NOON,
    )
    await until(lambda: email.at_gate >= 4)
    instant = await place(database, "instant@example.org", requested_at=NOON.replace(hour=23))
    await database.execute("update due set due_at = $1 where order_id = $2", NOON, instant)

    async def planned() -> bool:
        return bool(await database.fetchval("select count(*) from ready where order_id = $1", instant))

    await until(planned)
    await make_instant(database, instant)
    await until(lambda: "instant@example.org" in email.to())
    assert len(email.handed) < 40
    email.gate.set()
