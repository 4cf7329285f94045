"""The pace of messages over all workers, and who does not wait for it (docs/reference/delivery.md 7.11)."""

from __future__ import annotations

import asyncio
import time

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place_all
from tests.support.polling import until
from varsel.delivery.pace import Limits, Pace, StoredLedger
from varsel.runtime.clock import SystemMachine
from varsel.store.content import EmailText, OrderContent, Recipient
from varsel.store.database import Database

TEXT = EmailText("noreply@varsel.example", "Subject", "Body")


async def test_a_paced_domain_holds_nobody_else_up(database: Database, make_worker: MakeWorker) -> None:
    """Two workers; 60 messages to a domain of one a second stand before 60 to others."""
    email = FakeChannel()
    begun = time.monotonic()
    await make_worker(email, pace="@slow.example=1")
    await make_worker(email, pace="@slow.example=1")
    for domain in ("slow.example", "other.example"):
        await place_all(
            database,
            [OrderContent((Recipient(email=f"u{n}@{domain}"),), email=TEXT) for n in range(60)],
            requested_at=NOON,
        )

    def to(domain: str) -> int:
        return sum(address.endswith(domain) for address in email.to())

    async def others_are_sent() -> bool:
        return to("other.example") == 60 and to("slow.example") >= 1

    await until(others_are_sent)
    assert to("slow.example") <= time.monotonic() - begun + 2
    waiting = await database.fetchval(
        "select count(*) from ready where domain = 'slow.example' and owner is null and not_before is not null"
    )
    assert waiting > 0
    assert len(set(email.to())) == len(email.to())


async def test_workers_share_the_seconds_of_the_database(database: Database) -> None:
    """Four at once, each asking for more than there is: no second is overdrawn."""
    limits = Limits.read(["@example.org=10"], [])
    paces = [Pace(limits, StoredLedger(database), SystemMachine()) for _ in range(4)]
    waits = await asyncio.gather(*(pace.admit("smtp:a:25", ["example.org"] * 8) for pace in paces))
    seconds = await database.fetchval("select count(*) from pacing")
    going = sum(wait == 0 for some in waits for wait in some)
    assert 8 <= going <= 10 * seconds
