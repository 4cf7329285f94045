"""SMS whose answer was lost are found by the receiver of their report, and nothing is guessed (design 4.1, 13 no. 4)."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, statuses
from tests.engine.test_reports import post
from tests.support.polling import until
from varsel.channels.model import Accepted, Unknown
from varsel.channels.sms.reports import RESULTS
from varsel.delivery.lost_answers import LostAnswers
from varsel.runtime.clock import SystemMachine
from varsel.runtime.settings import Settings
from varsel.store.database import Database

NUMBER = "+47 999 99 999"


def report(reference: str, receiver: str = "4799999999", word: str = "DELIVRD") -> bytes:
    return (
        f"<MSGLST><MSG><ID>1</ID><REF>{reference}</REF><RCV>{receiver}</RCV><STATE>{word}</STATE></MSG></MSGLST>"
    ).encode()


async def lost(database: Database, make_worker: MakeWorker, *, before: int = 1) -> tuple[UUID, FakeChannel]:
    """An order whose SMS may have left; the first `before` SMS get no answer, the others do."""
    channel = FakeChannel(
        "Sms",
        "link:fake:80",
        judge=lambda m, n: Unknown("no answer") if len(channel.handed) < before else Accepted("known"),
    )
    await make_worker(channel, unknown_settle_seconds=0)
    order = await place(database, NUMBER, requested_at=NOON)
    await until(lambda: is_unknown(database, order))
    return order, channel


async def is_unknown(database: Database, order: UUID) -> bool:
    return bool(
        await database.fetchval(
            "select exists (select from handoff where order_id = $1 and unknown_at is not null)", order
        )
    )


@pytest.mark.parametrize("word", ["DELIVRD", "UNDELIV"])
async def test_a_report_ends_an_sms_whose_answer_was_lost(
    database: Database, make_worker: MakeWorker, word: str
) -> None:
    order, channel = await lost(database, make_worker)
    await post(database, report("R1", word=word))
    await until(lambda: fed(database))
    assert await statuses(database, order) == [RESULTS[word]]
    assert len(channel.handed) == 1, "never sent again"
    row = await database.fetchrow("select outcome, settled_by from attempt")
    assert tuple(row or ()) == ("unknown", "report")
    # Its reference is known now: a later report of it is applied like any other.
    await post(database, report("R1", word="BARRED"))
    await until(lambda: nothing_waits(database))


async def nothing_waits(database: Database) -> bool:
    return await database.fetchval("select count(*) from parked_report") == 0


async def test_a_report_that_was_given_up_before_the_answer_was_missed(
    database: Database, make_worker: MakeWorker
) -> None:
    order, _ = await lost(database, make_worker)
    await post(database, report("R1"))
    await database.execute(
        "update parked_report set dead_at = clock_timestamp(), reason = 'RETRY_THRESHOLD_EXCEEDED'"
    )
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]


@pytest.mark.parametrize(
    "reports",
    [
        pytest.param([report("R1", "4791111111")], id="another number"),
        pytest.param([report("R1"), report("R2")], id="two references"),
    ],
)
async def test_what_is_not_clear_is_not_guessed(
    database: Database, make_worker: MakeWorker, reports: list[bytes]
) -> None:
    order, _ = await lost(database, make_worker, before=2)
    clear = await place(database, "+4798765432", requested_at=NOON)
    await until(lambda: is_unknown(database, clear))
    for one in (*reports, report("R9", "4798765432")):
        await post(database, one)
    # The clear one is found in the same look as the others.
    await until(lambda: fed(database))
    assert await fed(database) == [clear]
    assert await statuses(database, order) == ["Sending"]
    assert await database.fetchval("select count(*) from parked_report") == len(reports)


async def test_an_answer_that_may_still_come_leaves_a_number_unclear(
    database: Database, make_worker: MakeWorker
) -> None:
    """Two SMS to one number are open; the report may be that of the one that waits for its answer."""
    order, channel = await lost(database, make_worker, before=1)
    channel.gate.clear()
    second = await place(database, NUMBER, requested_at=NOON)
    await until(lambda: channel.at_gate == 2)
    lookup = LostAnswers(database, SystemMachine(), Settings(unknown_settle_seconds=0), early=lambda: None)
    await post(database, report("known"))
    assert await lookup.find() == 0
    channel.gate.set()
    await until(lambda: fed(database))
    assert await fed(database) == [second]
    assert await statuses(database, order) == ["Sending"]
