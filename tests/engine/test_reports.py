"""Reports: repeated, reordered, early, unknown, malformed (design promise 6; docs/reference/delivery.md 8, 13 no. 5, 6, 17)."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, state, statuses
from tests.support.polling import until
from varsel.channels.model import Accepted
from varsel.channels.sms.reports import MOST_REPORTS, RESULTS
from varsel.delivery.lookout import Lookout, Places
from varsel.delivery.reports import RawReport, ReportStore, give_up
from varsel.delivery.routes import DeliveryRoutes
from varsel.runtime.clock import SystemMachine
from varsel.runtime.endpoints import ANONYMOUS, Call, Reply
from varsel.runtime.trace import Trace
from varsel.store.database import Database


def sms() -> FakeChannel:
    return FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Accepted(f"ref-{m.to}"))


async def post(database: Database, body: bytes, content_type: bytes = b"application/xml") -> Reply:
    async def never() -> None:
        await asyncio.Event().wait()

    call = Call("POST", "/", {}, b"", {b"content-type": [content_type]}, body, ANONYMOUS, Trace(), {}, never)
    return await DeliveryRoutes(ReportStore(database)).sms_reports(call)


def xml(*reports: tuple[str, str]) -> bytes:
    entries = "".join(
        f"<MSG><ID>{n}</ID><REF>{ref}</REF><RCV>4799999999</RCV><STATE>{word}</STATE></MSG>"
        for n, (ref, word) in enumerate(reports, 1)
    )
    return f'<?xml version="1.0"?><MSGLST>{entries}</MSGLST>'.encode()


@pytest.mark.parametrize("words", list(itertools.permutations(("DELIVRD", "EXPIRED", "DELIVRD"), 3))[:4])
async def test_the_order_of_reports_does_not_matter(
    database: Database, make_worker: MakeWorker, words: tuple[str, ...]
) -> None:
    await make_worker(sms())
    order = await place(database, "+4799999999", requested_at=NOON)

    async def is_accepted() -> bool:
        return await statuses(database, order) == ["Accepted"]

    await until(is_accepted)
    for word in words:
        answer = await post(database, xml(("ref-+4799999999", word)))
        assert answer.status == 200

    async def all_applied() -> bool:
        return await database.fetchval("select count(*) from parked_report") == 0

    await until(all_applied)
    assert await statuses(database, order) == ["Failed_Expired"]
    await until(lambda: fed(database))
    assert len(await fed(database)) == 1
    assert await database.fetchval("select count(*) from report") == 3
    assert await state(database, order) == "Completed"
    assert await database.fetchval("select remaining from orders") == 0


async def test_reports_of_a_list_are_all_applied(database: Database, make_worker: MakeWorker) -> None:
    await make_worker(sms())
    words = list(RESULTS)
    numbers = [f"+47999999{n:02}" for n in range(len(words))]
    order = await place(database, *numbers, requested_at=NOON)

    async def all_accepted() -> bool:
        return set(await statuses(database, order)) == {"Accepted"}

    await until(all_accepted)
    answer = await post(
        database, xml(*((f"ref-{number}", word) for number, word in zip(numbers, words, strict=True)))
    )
    assert answer.status == 200
    assert answer.body == b'<?xml version="1.0"?><MSGLST><MSG><ID>1</ID><STATUS>OK</STATUS></MSG></MSGLST>'
    await until(lambda: fed(database))
    assert await statuses(database, order) == [RESULTS[word] for word in words]


async def test_a_report_before_its_answer_is_applied(database: Database, make_worker: MakeWorker) -> None:
    channel = sms()
    channel.gate.clear()
    await make_worker(channel)
    order = await place(database, "+4799999999", requested_at=NOON)
    await until(lambda: channel.at_gate)
    await post(database, xml(("ref-+4799999999", "DELIVRD")))
    channel.gate.set()
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]
    assert await database.fetchval("select count(*) from awaiting") == 0


async def test_a_late_report_corrects_and_erases_nothing(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(sms())
    order = await place(database, "+4799999999", requested_at=NOON)

    async def is_accepted() -> bool:
        return await statuses(database, order) == ["Accepted"]

    await until(is_accepted)
    days.advance(hours=48, seconds=301)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]
    entry = await database.fetchval("select entry from feed")
    await post(database, xml(("ref-+4799999999", "DELIVRD")))

    async def is_delivered() -> bool:
        return await statuses(database, order) == ["Delivered"]

    await until(is_delivered)
    assert await database.fetchval("select corrected from notification")
    assert await database.fetchval("select entry from feed") == entry
    await post(database, xml(("ref-+4799999999", "nonsense")))

    async def is_failed() -> bool:
        return await statuses(database, order) == ["Failed"]

    await until(is_failed)
    assert len(await fed(database)) == 1


async def test_a_report_about_nothing_waits_and_is_the_operators_then(database: Database) -> None:
    assert (await post(database, xml(("nobody", "DELIVRD")))).status == 200
    assert await database.fetchval("select dead_at is null from parked_report")
    await database.execute("update parked_report set give_up_at = clock_timestamp()")
    assert await give_up(database) == 1
    assert await database.fetchval("select reason from parked_report") == "RETRY_THRESHOLD_EXCEEDED"


async def test_a_report_that_nobody_was_there_to_apply_is_applied_later(
    database: Database, make_worker: MakeWorker
) -> None:
    """No worker ran for longer than a report waits for its message; the message was known all the time."""
    worker = await make_worker(sms())
    order = await place(database, "+4799999999", requested_at=NOON)

    async def is_accepted() -> bool:
        return await statuses(database, order) == ["Accepted"]

    async def is_delivered() -> bool:
        return await statuses(database, order) == ["Delivered"]

    async def hopeless() -> bool:
        places = Places(NOON, 0, UUID(int=0), NOON, ())
        found = await Lookout(database, SystemMachine()).look(NOON, timedelta(seconds=60), NOON, places)
        return bool(found["given_up"])

    await until(is_accepted)
    await worker.stop()
    await post(database, xml(("ref-+4799999999", "DELIVRD"), ("nobody", "DELIVRD")))
    await database.execute("update parked_report set give_up_at = clock_timestamp() - interval '1 minute'")
    assert await hopeless()
    assert await give_up(database) == 1
    assert (
        await database.fetchval("select reference from parked_report where dead_at is not null") == "nobody"
    )
    assert not await hopeless(), "what is only to be applied is not looked at again and again"
    await make_worker(sms())
    await until(is_delivered)


async def test_a_report_that_says_nothing_is_given_up_though_its_message_is_known(database: Database) -> None:
    await database.execute("insert into provider_reference values ('link', 'r', uuidv7(), uuidv7())")
    await ReportStore(database).store([RawReport("link", "r", "odd", None, b"")])
    await database.execute("update parked_report set dead_at = null, give_up_at = clock_timestamp()")
    assert await give_up(database) == 1


async def test_a_reference_that_is_given_again_is_the_newer_messages(
    database: Database, make_worker: MakeWorker
) -> None:
    """The counter of a gateway began anew."""
    await make_worker(FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Accepted("1")))

    async def accepted_then(word: str, status: str) -> UUID:
        order = await place(database, "+4799999999", requested_at=NOON)

        async def is_accepted() -> bool:
            return await statuses(database, order) == ["Accepted"]

        async def has_ended() -> bool:
            return await statuses(database, order) == [status]

        await until(is_accepted)
        await post(database, xml(("1", word)))
        await until(has_ended)
        return order

    first = await accepted_then("DELIVRD", "Delivered")
    await accepted_then("BARRED", "Failed_BarredReceiver")
    assert await statuses(database, first) == ["Delivered"], "it is not corrected by a report about another"


async def test_one_reference_for_two_messages_at_once(database: Database, make_worker: MakeWorker) -> None:
    await make_worker(FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Accepted("1")))
    order = await place(database, "+4799999998", "+4799999999", requested_at=NOON)

    async def are_accepted() -> bool:
        return await statuses(database, order) == ["Accepted", "Accepted"]

    await until(are_accepted)
    assert await database.fetchval("select count(*) from attempt where outcome = 'accepted'") == 2
    assert await database.fetchval("select count(*) from provider_reference") == 1


async def test_a_long_reference_finds_its_message(database: Database, make_worker: MakeWorker) -> None:
    reference = "r" * 250 + "x" * 80
    await make_worker(FakeChannel("Sms", "link:fake:80", judge=lambda m, n: Accepted(reference)))
    order = await place(database, "+4799999999", requested_at=NOON)

    async def is_accepted() -> bool:
        return await statuses(database, order) == ["Accepted"]

    await until(is_accepted)
    await post(database, xml((reference, "DELIVRD")))
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", 1),
        (b"not xml", 1),
        (b"<MSGLST></MSGLST>", 1),
        (b"<MSGLST><MSG><ID>1</ID><REF>r</REF></MSG></MSGLST>", 1),
        pytest.param(xml(*[("r", "DELIVRD")] * (MOST_REPORTS + 1)), 1, id="too-many"),
        (b"\xff\x00\x01", 1),
    ],
)
async def test_what_is_no_report_is_kept_and_refused(database: Database, body: bytes, kept: int) -> None:
    answer = await post(database, body, b"text/plain; charset=utf-8")
    assert answer.status == 400
    assert answer.body
    assert await database.fetchval("select count(*) from report where raw = $1", body) == kept
    assert await database.fetchval("select reason from parked_report") == "MALFORMED"


async def test_a_report_without_a_reference_is_kept(database: Database) -> None:
    body = b"<MSGLST><MSG><ID>1</ID><RCV>4799999999</RCV><STATE>DELIVRD</STATE></MSG></MSGLST>"
    assert (await post(database, body)).status == 200
    assert await database.fetchval("select reason from parked_report") == "INVALID_NOTIFICATION_IDENTIFIER"


async def test_a_bounce_ends_an_email(database: Database, make_worker: MakeWorker) -> None:
    await make_worker()
    order = await place(database, "x@example.org", requested_at=NOON)

    async def is_taken() -> bool:
        return await statuses(database, order) == ["Succeeded"]

    await until(is_taken)
    one = await database.fetchval("select id from notification")
    await ReportStore(database).store([RawReport("dsn", one.hex, "failed", "Failed_Bounced", b"raw")])
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_Bounced"]
