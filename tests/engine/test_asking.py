"""Orders that ask somebody: send conditions and registers (docs/reference/delivery.md 3, 5, 13 no. 11 to 15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import EMAIL, fed, place, place_all, state, statuses
from tests.support.polling import until
from varsel.delivery.groups import ASKING, LEASED
from varsel.recipients.registers import BuiltinRegisters
from varsel.runtime.errors import RegisterUnavailable
from varsel.store.content import EmailText, OrderContent, Recipient
from varsel.store.database import Database

URL = "https://condition.example/17"
SLOW = "https://slow.example"


class Outbound:
    """Answers in turn; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.tokens: list[str | None] = []

    async def get(
        self, url: str, *, timeout: float, max_bytes: int, token: str | None = None, plain: bool = False
    ) -> Any:
        self.asked.append(url)
        self.tokens.append(token)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return SimpleNamespace(status=status, body=body)


YES = (200, b'{"sendNotification": true}')
NO = (200, b'{"sendNotification": false}')
MARKED_NO = (201, b"\xef\xbb\xbf" + NO[1])
INCONCLUSIVE = [
    (404, b""),
    (200, b""),
    (200, b"nonsense"),
    (200, b'{"SendNotification": true}'),
    (200, b'{"sendNotification": null}'),
    (200, b'{"sendNotification": "true"}'),
    (302, b'{"sendNotification": true}'),
    OSError("no"),
    TimeoutError(),
]


def becomes(database: Database, order: UUID, wanted: str) -> Callable[[], Any]:
    async def ask() -> bool:
        return await state(database, order) == wanted

    return ask


async def waits_again(database: Database) -> bool:
    return bool(await database.fetchval("select asked from due where owner is null"))


async def test_a_condition_that_holds_lets_the_order_go(database: Database, make_worker: MakeWorker) -> None:
    channel, outbound = FakeChannel(), Outbound(YES)
    await make_worker(channel, outbound=outbound)
    order = await place(database, "x@example.org", requested_at=NOON, condition_endpoint=URL)
    await until(becomes(database, order, "Processed"))
    await until(lambda: channel.handed)
    assert outbound.asked == [URL]
    assert outbound.tokens == [None]


@pytest.mark.parametrize("answer", [NO, MARKED_NO], ids=["plain", "marked"])
async def test_a_condition_that_does_not_hold_ends_it(
    database: Database, make_worker: MakeWorker, answer: Any
) -> None:
    channel = FakeChannel()
    await make_worker(channel, outbound=Outbound(answer))
    order = await place(database, "x@example.org", requested_at=NOON, condition_endpoint=URL)
    await until(lambda: fed(database))
    assert await state(database, order) == "SendConditionNotMet"
    assert b'"recipients": [],' in await database.fetchval("select entry from feed")
    assert channel.handed == []
    assert await database.fetchval("select count(*) from due") == 0


@pytest.mark.parametrize("answer", INCONCLUSIVE, ids=str)
async def test_twice_inconclusive_sends(
    database: Database, days: Days, make_worker: MakeWorker, answer: Any
) -> None:
    channel, outbound = FakeChannel(), Outbound(answer, answer)
    await make_worker(channel, outbound=outbound)
    order = await place(database, "x@example.org", requested_at=NOON, condition_endpoint=URL)
    await until(lambda: waits_again(database))
    assert await state(database, order) == "Registered"
    assert channel.handed == []
    days.advance(seconds=61)
    await until(lambda: channel.handed)
    assert len(outbound.asked) == 2


async def test_inconclusive_then_no_ends(database: Database, days: Days, make_worker: MakeWorker) -> None:
    await make_worker(outbound=Outbound(OSError("no"), NO))
    order = await place(database, "x@example.org", requested_at=NOON, condition_endpoint=URL)
    await until(lambda: waits_again(database))
    days.advance(seconds=61)
    await until(becomes(database, order, "SendConditionNotMet"))


async def contacts(database: Database) -> None:
    await database.execute(
        "insert into contact_person (pid, name, email, mobile, reserved) values "
        "('17913949999', 'Kari <Nordmann>', 'kari@example.org', '99999999', false), "
        "('17913949998', 'Ola', 'ola@example.org', null, true), ('17913949997', 'Per', null, null, false)"
    )
    await database.execute(
        "insert into contact_organization (number, name, emails, mobiles) values "
        "('313997901', 'Firma AS', array['post@firma.example', 'POST@firma.example'], array['40000001'])"
    )
    await database.execute(
        "insert into contact_user (number, position, pid, email, mobile, resources) values "
        "('313997901', 0, '17913949999', 'kari@firma.example', null, array['skjema']), "
        "('313997901', 1, '17913949998', 'ola@firma.example', null, array['annet'])"
    )


async def sent(
    database: Database, make_worker: MakeWorker, channel: str, *people: Recipient, **content: Any
) -> Any:
    await contacts(database)
    email, sms = FakeChannel(), FakeChannel("Sms", "link:fake:80")
    await make_worker(email, sms, registers=BuiltinRegisters(database, sandbox=False))
    order = await place(database, *people, requested_at=NOON, channel=channel, **content)

    async def settled() -> bool:
        found = await statuses(database, order)
        return bool(found) and not {"New", "Sending"} & set(found)

    await until(settled)
    return order, email, sms


async def test_a_person_is_found_and_named(database: Database, make_worker: MakeWorker) -> None:
    text = EMAIL.__class__(
        "noreply@varsel.example", "Til $recipientName$", "<p>$recipientName$$recipientNumber$</p>", True
    )
    order, email, sms = await sent(
        database, make_worker, "EmailPreferred", Recipient(person="17913949999"), email=text
    )
    [message] = email.handed
    assert (message.to, message.subject) == ("kari@example.org", "Til Kari <Nordmann>")
    assert message.body == "<p>Kari &lt;Nordmann&gt;</p>"
    assert sms.handed == []
    row = await database.fetchrow("select recipient, recipient_kind, recipient_key from notification")
    assert row["recipient"] == "17913949999"
    assert row["recipient_key"]
    assert order


async def test_a_reserved_person_gets_nothing(database: Database, make_worker: MakeWorker) -> None:
    order, email, sms = await sent(database, make_worker, "EmailAndSms", Recipient(person="17913949998"))
    assert await statuses(database, order) == ["Failed_RecipientReserved", "Failed_RecipientReserved"]
    await until(lambda: fed(database))
    assert await state(database, order) == "Completed"
    assert email.handed == sms.handed == []
    assert {row[0] for row in await database.fetch("select address from notification")} == {""}


async def test_reservation_can_be_ignored(database: Database, make_worker: MakeWorker) -> None:
    _, email, _ = await sent(
        database, make_worker, "Email", Recipient(person="17913949998"), ignore_reservation=True
    )
    assert email.to() == ["ola@example.org"]


async def test_one_address_missing_of_two(database: Database, make_worker: MakeWorker) -> None:
    order, email, _ = await sent(
        database, make_worker, "EmailAndSms", Recipient(person="17913949998"), ignore_reservation=True
    )
    assert await statuses(database, order) == ["Succeeded", "Failed_RecipientNotIdentified"]
    assert email.to() == ["ola@example.org"]


async def test_nobody_known_ends_the_order(database: Database, make_worker: MakeWorker) -> None:
    order, *_ = await sent(database, make_worker, "SmsPreferred", Recipient(person="17913949997"))
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_RecipientNotIdentified"]
    assert b'"destination": ""' in await database.fetchval("select entry from feed")


async def test_only_authorized_users_of_an_organization(database: Database, make_worker: MakeWorker) -> None:
    await contacts(database)
    email = FakeChannel()
    order = await place(database, Recipient(organization="313997901"), requested_at=NOON, channel="Email")
    await database.execute(
        "update orders set resource_id = 'urn:altinn:resource:skjema' where id = $1", order
    )
    await make_worker(email, registers=BuiltinRegisters(database, sandbox=False))
    await until(lambda: len(email.handed) >= 2 or fed(database))
    assert sorted(email.to()) == ["kari@firma.example", "post@firma.example"]
    assert await database.fetchval("select count(*) from notification") == 2


class Broken:
    """Registers that fail so many times."""

    def __init__(self, inner: BuiltinRegisters, times: int, spared_for: float | None = None) -> None:
        self._inner, self.times = inner, times
        self.spared_for = spared_for

    def __getattr__(self, name: str) -> Any:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            if self.times > 0:
                self.times -= 1
                raise RegisterUnavailable(spared_for=self.spared_for)
            return await getattr(self._inner, name)(*args, **kwargs)

        return ask


async def tries(database: Database) -> int:
    return await database.fetchval("select coalesce(max(tries), 0) from due where owner is null")


async def test_a_register_that_is_down_delays_its_own_orders_only(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await contacts(database)
    email = FakeChannel()
    await make_worker(email, registers=Broken(BuiltinRegisters(database, sandbox=False), 2))
    await place(database, Recipient(person="17913949999"), requested_at=NOON, channel="Email")
    await place(database, "direct@example.org", requested_at=NOON)
    await until(lambda: email.handed)
    assert email.to() == ["direct@example.org"]

    async def tried(number: int) -> bool:
        return await tries(database) == number

    await until(lambda: tried(1))
    days.advance(seconds=61)
    await until(lambda: tried(2))
    days.advance(seconds=121)
    await until(lambda: len(email.handed) == 2)


async def test_an_order_that_was_not_asked_about_comes_back_at_once(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    """The register failed others and was left alone for 15 s: this order has not failed, and does not wait a minute and more."""
    await contacts(database)
    email = FakeChannel()
    registers = Broken(BuiltinRegisters(database, sandbox=False), 3, spared_for=15)
    await make_worker(email, registers=registers)
    await place(database, Recipient(person="17913949999"), requested_at=NOON, channel="Email")
    for left in (2, 1, 0):
        await until(lambda left=left: registers.times == left)
        await until(lambda: database.fetchval("select true from due where owner is null"))
        assert await tries(database) == 0
        days.advance(seconds=17)
    await until(lambda: email.handed)


async def test_a_register_that_stays_down_ends_the_order_with_its_life(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(registers=Broken(BuiltinRegisters(database, sandbox=False), 10**6))
    order = await place(database, Recipient(person="17913949999"), requested_at=NOON, channel="Email")

    async def tried() -> bool:
        return await tries(database) == 1

    await until(tried)
    days.advance(hours=49)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]
    assert await state(database, order) == "Completed"


def silent(number: int, email: EmailText = EMAIL, *, url: str = SLOW) -> list[OrderContent]:
    """Orders whose condition is asked of a host that says nothing; `url` may hold `{n}`."""
    return [
        OrderContent(
            (Recipient(email=f"u{n}@slow.example"),),
            email=email,
            condition_endpoint=url.format(n=1000 + n % 40),
        )
        for n in range(number)
    ]


class SlowOutbound:
    """One host that says nothing until it is let go, and others that agree at once."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.open = self.most = 0

    async def get(self, url: str, **_: Any) -> Any:
        if "//slow.example" in url:
            self.open += 1
            self.most = max(self.most, self.open)
            await self.held.wait()
            self.open -= 1
        return SimpleNamespace(status=200, body=YES[1])


async def test_a_slow_condition_delays_its_own_orders_only(
    database: Database, make_worker: MakeWorker
) -> None:
    """300 orders of a host that says nothing stand before some of another host, of the registers, and of nobody."""
    await contacts(database)
    email, outbound = FakeChannel(), SlowOutbound()
    await make_worker(email, outbound=outbound, registers=BuiltinRegisters(database, sandbox=False))
    await place_all(database, silent(300), requested_at=NOON)
    await until(lambda: outbound.open)
    for n in range(3):
        await place(
            database, f"c{n}@example.org", requested_at=NOON, condition_endpoint=f"https://quick.example/{n}"
        )
        await place(database, Recipient(person="17913949999"), requested_at=NOON, channel="Email")
        await place(database, f"d{n}@example.org", requested_at=NOON)
    await until(lambda: len(email.handed) == 9)
    assert not any(address.endswith("slow.example") for address in email.to())
    assert outbound.most <= ASKING  # and the host itself is not overrun
    outbound.held.set()
    await until(lambda: len(email.handed) == 309)


class Half(BuiltinRegisters):
    """Addresses come at once, names never."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, sandbox=False)
        self.held = asyncio.Event()
        self.asked = 0

    async def names(self, persons: Any, organizations: Any) -> dict[str, str]:
        self.asked += 1
        await self.held.wait()
        return {}


async def test_a_slow_name_register_delays_orders_with_keywords_only(
    database: Database, make_worker: MakeWorker
) -> None:
    await contacts(database)
    email, registers = FakeChannel(), Half(database)
    await make_worker(email, registers=registers)
    named = EmailText("noreply@varsel.example", "Til $recipientName$", "Body")
    person = Recipient(person="17913949999")
    await place_all(database, [OrderContent((person,), email=named)] * 100, requested_at=NOON)
    await until(lambda: registers.asked)
    await place(database, person, requested_at=NOON, channel="Email")
    await until(lambda: email.handed)
    assert email.handed[0].subject == EMAIL.subject
    registers.held.set()
    await until(lambda: len(email.handed) == 101)


LONG = EmailText("noreply@varsel.example", "Subject", "x" * 70_000)


async def test_large_orders_wait_for_their_own_condition_only(
    database: Database, make_worker: MakeWorker
) -> None:
    email, outbound = FakeChannel(), SlowOutbound()
    await make_worker(email, outbound=outbound)
    await place_all(database, silent(100, LONG), requested_at=NOON)
    await until(lambda: outbound.open == ASKING)
    await place(database, "direct@example.org", requested_at=NOON, email=LONG)
    await place(
        database,
        "quick@example.org",
        requested_at=NOON,
        email=LONG,
        condition_endpoint="https://quick.example/1",
    )
    await until(lambda: len(email.handed) == 2)
    assert not any(address.endswith("slow.example") for address in email.to())
    assert outbound.most <= ASKING


async def test_a_large_order_of_a_crowded_group_comes_back(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    email, outbound = FakeChannel(), SlowOutbound()
    await make_worker(email, outbound=outbound)
    await place_all(database, silent(LEASED + 6, LONG), requested_at=NOON)

    async def put_back() -> bool:
        return bool(
            await database.fetchval("select count(*) = 6 from due where owner is null and due_at > $1", NOON)
        )

    await until(put_back)
    outbound.held.set()
    await until(lambda: len(email.handed) == LEASED)
    days.advance(seconds=60)
    await until(lambda: len(email.handed) == LEASED + 6)


async def test_a_large_order_waits_for_its_own_register_only(
    database: Database, make_worker: MakeWorker
) -> None:
    await contacts(database)
    email, registers = FakeChannel(), Half(database)
    await make_worker(email, registers=registers)
    person = Recipient(person="17913949999")
    named = EmailText("noreply@varsel.example", "Til $recipientName$", "x" * 70_000)
    await place_all(database, [OrderContent((person,), email=named)] * 3, requested_at=NOON)
    await until(lambda: registers.asked)
    await place(database, "direct@example.org", requested_at=NOON, email=LONG)
    await place(database, person, requested_at=NOON, channel="Email", email=LONG)
    await until(lambda: len(email.handed) == 2)
    registers.held.set()
    await until(lambda: len(email.handed) == 5)


async def test_the_conditions_of_many_hosts_leave_room_for_others(
    database: Database, make_worker: MakeWorker
) -> None:
    """One creator names as many hosts as it likes, all silent."""
    await contacts(database)
    email, outbound = FakeChannel(), SlowOutbound()
    await make_worker(email, outbound=outbound, registers=BuiltinRegisters(database, sandbox=False))
    await place_all(database, silent(1600, url="https://slow.example:{n}/"), requested_at=NOON)
    await until(lambda: outbound.open)
    await place(database, Recipient(person="17913949999"), requested_at=NOON, channel="Email")
    await place(
        database,
        "quick@example.org",
        requested_at=NOON,
        creator="other",
        condition_endpoint="https://quick.example/1",
    )
    await until(lambda: len(email.handed) == 2)


class SlowRights(BuiltinRegisters):
    """Who may read is never answered."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, sandbox=False)
        self.held = asyncio.Event()
        self.asked = 0

    async def authorize(self, pairs: Any, resource: str, action: str) -> set[tuple[str, str]]:
        self.asked += 1
        await self.held.wait()
        return set()


async def test_a_decision_point_delays_organizations_only(
    database: Database, make_worker: MakeWorker
) -> None:
    """A person needs no right, whatever resource the order names."""
    await contacts(database)
    email, registers = FakeChannel(), SlowRights(database)
    await make_worker(email, registers=registers)
    firm = OrderContent((Recipient(organization="313997901"),), email=EMAIL)
    await place_all(database, [firm] * 70, requested_at=NOON, resource_id="skjema")
    await until(lambda: registers.asked)
    await place(
        database, Recipient(person="17913949999"), requested_at=NOON, channel="Email", resource_id="skjema"
    )
    await until(lambda: email.to() == ["kari@example.org"])
    registers.held.set()


async def test_a_name_register_delays_those_it_knows_only(
    database: Database, make_worker: MakeWorker
) -> None:
    """An external identity has no name there, whatever keywords the text has."""
    await contacts(database)
    await database.execute(
        "insert into contact_identity (urn, name, email) values ('urn:altinn:username:ola', null, 'ola@si.example')"
    )
    email, registers = FakeChannel(), Half(database)
    await make_worker(email, registers=registers)
    named = EmailText("noreply@varsel.example", "Til $recipientName$", "Body")
    person = OrderContent((Recipient(person="17913949999"),), email=named)
    await place_all(database, [person] * 70, requested_at=NOON)
    await until(lambda: registers.asked)
    await place(
        database,
        Recipient(identity="urn:altinn:username:ola"),
        requested_at=NOON,
        channel="Email",
        email=named,
    )
    await until(lambda: email.to() == ["ola@si.example"])
    registers.held.set()


async def test_an_unexpected_fault_ends_with_the_life_of_the_order(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    class Faulty(BuiltinRegisters):
        async def persons(self, nins: Any, *, use_stale: bool) -> Any:
            raise RuntimeError

    await make_worker(registers=Faulty(database, sandbox=False))
    order = await place(database, Recipient(person="17913949999"), requested_at=NOON, channel="Email")

    async def tried() -> bool:
        return await tries(database) == 1

    await until(tried)
    days.advance(hours=49)
    await until(lambda: fed(database))
    assert await statuses(database, order) == ["Failed_TTL"]


async def test_a_register_that_stays_down_gives_a_daytime_sms_its_whole_life(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    """Ordered after 17:00 it lives 48 hours from the next opening."""
    await contacts(database)
    sms = FakeChannel("Sms", "link:fake:80")
    registers = Broken(BuiltinRegisters(database, sandbox=False), 2)
    await make_worker(sms, registers=registers)
    evening = NOON.replace(hour=18)
    days.advance(hours=8)
    order = await place(
        database, Recipient(person="17913949999"), requested_at=evening, channel="Sms", policy="Daytime"
    )

    async def tried(number: int) -> bool:
        return await tries(database) == number

    await until(lambda: tried(1))
    days.advance(hours=50)
    await until(lambda: tried(2))
    assert await state(database, order) != "Completed"
