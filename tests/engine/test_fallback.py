"""The other channel when the chosen one fails (`fallbackOnFailure`; docs/reference/delivery.md 3.7)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import SMS, fed, place, state, statuses
from tests.support.polling import until
from varsel.channels.model import Accepted, Message, Outcome, Permanent, Temporary
from varsel.delivery.reports import RawReport, ReportStore
from varsel.orders.cancel import cancel_order
from varsel.recipients.registers import BuiltinRegisters
from varsel.store.content import Recipient
from varsel.store.database import Database

KARI = Recipient(person="17913949999")
FIRM = Recipient(organization="313997901")
BOUNCED = Permanent("Failed_Bounced", "550", "no such user")

Start = Callable[..., Awaitable[tuple[UUID, FakeChannel, FakeChannel]]]


@pytest.fixture
async def start(database: Database, make_worker: MakeWorker) -> Start:
    """Place one order; e-mail whose address is among `failing` is refused for good, and so are numbers."""
    await database.execute(
        "insert into contact_person (pid, name, email, mobile) values ('17913949999', 'Kari', 'kari@example.org', '99999999')"
    )
    await database.execute(
        "insert into contact_organization (number, name, emails, mobiles) values "
        "('313997901', 'Firma AS', array['a@firma.example', 'b@firma.example'], array['40000001'])"
    )

    async def go(
        recipient: Recipient,
        channel: str = "EmailPreferred",
        failing: tuple[str, ...] = (),
        flag: bool = True,
        down: bool = False,
        **more: Any,
    ) -> tuple[UUID, FakeChannel, FakeChannel]:
        def judge(message: Message, _: int) -> Outcome:
            if down:
                return Temporary(7200, "before", "down", "provider")
            if message.to in failing:
                return BOUNCED if "@" in message.to else Permanent("Failed", "", "")
            return Accepted(f"ref-{message.to}")

        email, sms = FakeChannel(judge=judge), FakeChannel("Sms", "link:fake:80", judge=judge)
        await make_worker(email, sms, registers=BuiltinRegisters(database, sandbox=False))
        order = await place(
            database, recipient, requested_at=NOON, channel=channel, fallback_on_failure=flag, **more
        )
        return order, email, sms

    return go


async def reported(database: Database, reference: str, status: str) -> None:
    await ReportStore(database).store([RawReport("link", reference, status, status, b"<x/>")])


def have(database: Database, order: UUID, *wanted: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await statuses(database, order) == list(wanted)

    return ask


async def reserve(database: Database) -> int:
    return await database.fetchval("select count(*) from reserve")


async def test_an_email_that_fails_is_followed_by_an_sms(database: Database, start: Start) -> None:
    order, _, sms = await start(KARI, failing=("kari@example.org",))
    await until(have(database, order, "Failed_Bounced", "Accepted"))
    assert sms.to() == ["+4799999999"]
    assert await state(database, order) == "Processed"
    assert await fed(database) == []
    await reported(database, "ref-+4799999999", "Delivered")
    await until(lambda: fed(database))
    assert await state(database, order) == "Completed"
    entry = json.loads(b'{"a": 1' + await database.fetchval("select entry from feed"))
    assert [(one["destination"], one["status"]) for one in entry["recipients"]] == [
        ("kari@example.org", "Email_Failed_Bounced"),
        ("+4799999999", "SMS_Delivered"),
    ]
    assert await database.fetchval("select remaining from orders") == 0


async def test_the_other_way_round_and_only_once(database: Database, start: Start) -> None:
    order, email, _ = await start(KARI, "SmsPreferred")
    await until(have(database, order, "Accepted"))
    for _ in range(3):
        await reported(database, "ref-+4799999999", "Failed_BarredReceiver")
    await until(have(database, order, "Succeeded", "Failed_BarredReceiver"))
    await reported(database, "ref-+4799999999", "Failed")

    async def read() -> bool:
        return await database.fetchval("select count(*) from parked_report") == 0

    await until(read)
    assert email.to() == ["kari@example.org"]
    assert await reserve(database) == 0


async def test_an_email_that_arrives_has_no_sequel(database: Database, days: Days, start: Start) -> None:
    order, _, sms = await start(KARI)
    await until(have(database, order, "Succeeded"))
    assert await reserve(database) == 1
    days.advance(minutes=16)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Delivered"]
    assert (sms.to(), await reserve(database)) == ([], 0)


async def test_a_message_that_may_have_arrived_has_no_sequel(
    database: Database, days: Days, start: Start
) -> None:
    order, email, _ = await start(KARI, "SmsPreferred")
    await until(have(database, order, "Accepted"))
    days.advance(hours=49)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]
    assert (email.to(), await reserve(database)) == ([], 0)


async def test_without_the_wish_a_failure_is_the_end(database: Database, start: Start) -> None:
    order, _, sms = await start(KARI, failing=("kari@example.org",), flag=False)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_Bounced"]
    assert sms.to() == []


async def test_one_address_that_works_is_enough(database: Database, days: Days, start: Start) -> None:
    order, _, sms = await start(FIRM, failing=("a@firma.example",))
    await until(have(database, order, "Failed_Bounced", "Succeeded"))
    days.advance(minutes=16)
    await until(lambda: fed(database))
    assert sms.to() == []


async def test_every_address_failed_and_then_the_number_too(database: Database, start: Start) -> None:
    order, email, sms = await start(FIRM, failing=("a@firma.example", "b@firma.example", "+4740000001"))
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_Bounced", "Failed_Bounced", "Failed"]
    assert (len(email.handed), len(sms.handed), len(await fed(database))) == (2, 1, 1)


@pytest.mark.parametrize("scheme", ["EmailAndSms", "Email"])
async def test_no_other_channel(database: Database, start: Start, scheme: str) -> None:
    """Both are used already, or the order has no text for the other."""
    order, _, sms = await start(
        KARI, scheme, failing=("kari@example.org", "+4799999999"), sms=None if scheme == "Email" else SMS
    )
    await until(lambda: fed(database))
    assert len(sms.handed) == (scheme == "EmailAndSms")
    assert await state(database, order) == "Completed"


async def test_a_daytime_sms_waits_for_its_window(database: Database, days: Days, start: Start) -> None:
    days.advance(hours=7)  # 19:00 in Oslo
    order, _, sms = await start(KARI, failing=("kari@example.org",), policy="Daytime")
    await until(have(database, order, "Failed_Bounced", "New"))
    assert sms.to() == []
    days.advance(hours=15)
    await until(have(database, order, "Failed_Bounced", "Accepted"))
    expires = await database.fetchval("select expires_at from notification where channel = 'Sms'")
    assert expires.isoformat() == "2031-03-15T08:00:00+00:00"  # 48 hours from 09:00 in Oslo


async def test_a_cancelled_order_keeps_nothing_in_reserve(
    database: Database, days: Days, make_worker: MakeWorker, start: Start
) -> None:
    order, email, _ = await start(KARI, down=True)
    await until(lambda: reserve(database))
    await cancel_order(database, order, "ttd", days.now(), "http://varsel.example")
    assert await reserve(database) == 0
    assert email.to() == []
