"""E-mail through a provider that decides later: questions, lost answers, throttling and reports, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from aiohttp import web

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, state, statuses
from tests.support.polling import until
from varsel.channels.email.acs import AcsChannel, AcsEndpoint
from varsel.channels.email.acs_rest import AccessKey
from varsel.channels.model import Temporary
from varsel.channels.polling import Standing
from varsel.delivery.polling import AT_ONCE, MOST_POLLS, Poller, poll_pause
from varsel.delivery.reports import ReportStore
from varsel.delivery.routes import DeliveryRoutes
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import ANONYMOUS, Call
from varsel.runtime.settings import Settings
from varsel.runtime.trace import Trace
from varsel.sandbox.acs import AcsMail, AcsSimulator, delivery_event
from varsel.store.database import Database
from varsel.store.ids import uuid7

KEY = b"a key of the sandbox's own"


def call(body: bytes) -> Call:
    async def never() -> None:
        await asyncio.Event().wait()

    return Call("POST", "/reports", {}, b"", {}, body, ANONYMOUS, Trace(), {}, never)


@dataclass
class Azure:
    """The provider, with reports going to the real endpoint."""

    simulator: AcsSimulator
    channel: AcsChannel
    routes: DeliveryRoutes
    answers: list[int] = field(default_factory=list)


@pytest.fixture
async def azure(database: Database) -> AsyncIterator[Azure]:
    async def keep(_mail: AcsMail) -> None:
        pass

    async def nap(_seconds: float) -> None:
        await asyncio.sleep(0.05)

    routes = DeliveryRoutes(ReportStore(database))
    simulator = AcsSimulator("127.0.0.1", 0, KEY, keep, now=lambda: NOON, sleep=nap)
    await simulator.start()
    endpoint = AcsEndpoint(
        f"http://127.0.0.1:{simulator.port}", f"acs:127.0.0.1:{simulator.port}", AccessKey(KEY)
    )
    channel = AcsChannel(endpoint, lambda: NOON, slots=4)
    far = Azure(simulator, channel, routes)

    async def report(request: web.Request) -> web.Response:
        reply = await routes.email_reports(call(await request.read()))
        far.answers.append(reply.status)
        return web.Response(status=reply.status, body=reply.body)

    application = web.Application()
    application.router.add_post("/", report)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    simulator.report_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield far
    await channel.close()
    await simulator.close()
    await runner.cleanup()


async def until_status(database: Database, order_id: UUID, status: str) -> None:
    async def there() -> bool:
        return await statuses(database, order_id) == [status]

    await until(there)


async def until_waiting(database: Database, order_id: UUID) -> None:
    async def there() -> bool:
        return bool(await database.fetchval("select count(*) from awaiting where order_id = $1", order_id))

    await until(there)


async def ask_now(database: Database) -> None:
    await database.execute("update awaiting set poll_at = clock_timestamp() where poll_at is not null")


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ("", "Delivered"),
        ("+early", "Delivered"),
        ("+late", "Delivered"),
        ("+bounce", "Failed_Bounced"),
        ("+failed", "Failed"),
        ("+spam", "Failed_FilteredSpam"),
        ("+quarantine", "Failed_Quarantined"),
        ("+blocked", "Failed_SupressedRecipient"),
        ("+expanded", "Failed"),
    ],
)
async def test_every_report_word(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker, tag: str, status: str
) -> None:
    await make_worker(azure.channel)
    order_id = await place(database, f"kari{tag}@example.org", requested_at=days.now())
    await until_status(database, order_id, status)

    async def ended() -> bool:
        return await state(database, order_id) == "Completed"

    await until(ended)
    assert len(azure.simulator.submissions) == 1
    assert await database.fetchval("select count(*) from parked_report") == 0


async def test_sending_until_the_provider_has_decided(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(azure.channel)
    order_id = await place(database, "kari+never@example.org", requested_at=days.now())
    await until_waiting(database, order_id)
    assert await statuses(database, order_id) == ["Sending"]
    row = await database.fetchrow("select reference, poll_at > clock_timestamp() as later from awaiting")
    assert row is not None
    assert row["later"]
    assert row["reference"] == azure.simulator.submissions[0]
    assert azure.simulator.questions.total() == 0  # not before its time

    await ask_now(database)  # "Running"

    async def asked_once() -> bool:
        return await database.fetchval("select polls from awaiting") == 1

    await until(asked_once)
    assert await statuses(database, order_id) == ["Sending"]
    await ask_now(database)
    await until_status(database, order_id, "Succeeded")
    assert await database.fetchval("select poll_at from awaiting") is None
    days.advance(days=3)
    await until_status(database, order_id, "Failed_TTL")
    assert len(azure.simulator.submissions) == 1


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ("+suppressed", "Failed_SupressedRecipient"),
        ("+dropped", "Failed"),
        ("+canceled", "Failed"),
    ],
)
async def test_an_operation_that_fails(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker, tag: str, status: str
) -> None:
    await make_worker(azure.channel)
    order_id = await place(database, f"kari{tag}@example.org", requested_at=days.now())
    await until_waiting(database, order_id)

    async def there() -> bool:
        await ask_now(database)
        return await statuses(database, order_id) == [status]

    await until(there)
    raw = await database.fetchval("select raw from report where provider = 'acs'")
    assert b"kari" not in raw
    assert len(azure.simulator.submissions) == 1


async def test_a_fault_while_asking_never_submits_again(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(azure.channel)
    order_id = await place(database, "kari+poll-503@example.org", requested_at=days.now())
    await until_status(database, order_id, "Delivered")  # its report comes all the same
    second = await place(database, "ola+stuck@example.org", requested_at=days.now())
    await until_waiting(database, second)
    await database.execute("update awaiting set polls = $1", MOST_POLLS - 1)
    await ask_now(database)

    async def given_up() -> bool:
        return await database.fetchval("select poll_at from awaiting") is None

    await until(given_up)
    assert await statuses(database, second) == ["Sending"]
    assert len(azure.simulator.submissions) == 2


async def test_an_operation_id_of_the_providers_own(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    """It takes the message under another id than ours: questions and reports go by that one."""
    theirs = "0A1B2C3D-0000-4000-8000-00000000000F"
    asked: list[str] = []

    async def take(_request: web.Request) -> web.Response:
        return web.json_response({"id": theirs, "status": "Running"}, status=202)

    async def tell(request: web.Request) -> web.Response:
        asked.append(request.match_info["id"])
        return web.json_response({"id": theirs, "status": "Succeeded", "error": None})

    application = web.Application()
    application.router.add_post("/emails:send", take)
    application.router.add_get("/emails/operations/{id}", tell)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    channel = AcsChannel(
        AcsEndpoint(f"http://127.0.0.1:{port}", f"acs:127.0.0.1:{port}", AccessKey(KEY)), lambda: NOON
    )
    await make_worker(channel)
    order_id = await place(database, "kari@example.org", requested_at=days.now())
    await until_waiting(database, order_id)
    await ask_now(database)
    await until_status(database, order_id, "Succeeded")
    assert set(asked) == {theirs.lower()}
    reply = await azure.routes.email_reports(call(json.dumps([event(messageId=theirs)]).encode()))
    assert reply.status == 200
    await until_status(database, order_id, "Delivered")
    await channel.close()
    await runner.cleanup()


async def test_a_lost_answer_is_found_and_not_sent_again(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(azure.channel, unknown_settle_seconds=0)
    azure.simulator.report_url = None
    order_id = await place(database, "kari+drop@example.org", requested_at=days.now())
    await until_waiting(database, order_id)

    async def decided() -> bool:
        await ask_now(database)
        return await statuses(database, order_id) == ["Succeeded"]

    await until(decided)
    assert len(azure.simulator.submissions) == 1
    assert await database.fetchval("select count(*) from handoff") == 0


async def test_what_the_provider_does_not_know_is_sent_again(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(azure.channel, unknown_settle_seconds=0)
    await place(database, "kari+lost@example.org", requested_at=days.now())
    await until(lambda: len(azure.simulator.submissions) >= 2)
    assert len(set(azure.simulator.submissions)) == len(azure.simulator.submissions)
    rows = await database.fetch("select outcome, settled_by from attempt order by number")
    assert (rows[0]["outcome"], rows[0]["settled_by"]) == ("unknown", "resend")


async def test_what_the_provider_never_took_may_go_to_another(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    """An unknown handoff pins its message to its provider, until that says that it has no such message."""
    second = FakeChannel(name="smtp:second:25")
    await make_worker(azure.channel, second, unknown_settle_seconds=0)
    azure.simulator.report_url = None
    order_id = await place(database, "kari+lost@example.org", requested_at=days.now())
    await until(lambda: azure.simulator.submissions)
    # It rests from now on, for all workers.
    await database.execute(
        "insert into provider_state (provider, paused_until) values ($1, clock_timestamp() + '1 hour')"
        " on conflict (provider) do update set paused_until = excluded.paused_until",
        azure.channel.name,
    )
    await until_status(database, order_id, "Succeeded")
    assert len(second.handed) == 1


class Slow:
    """A provider that answers every question the same."""

    name = "acs:slow:443"

    def __init__(self, stand: Standing) -> None:
        self.answer = stand
        self.asked: list[str] = []

    async def stand(self, reference: str) -> Standing:
        self.asked.append(reference)
        return self.answer


def asking(database: Database, days: Days, far: Slow, machine: ManualClock) -> Poller:
    return Poller(
        database, days, machine, Settings(unknown_settle_seconds=0), {far.name: far}, early=lambda: None
    )


async def test_a_provider_that_asks_for_time_is_asked_nothing_before(database: Database, days: Days) -> None:
    far, machine = Slow(Temporary(120.0, "HTTP 429", "later", "provider")), ManualClock(NOON)
    poller = asking(database, days, far, machine)
    for number in range(AT_ONCE + 5):
        await database.execute(
            "insert into awaiting (notification_id, order_id, channel, until, then_status, provider, reference, poll_at)"
            " values ($1, $1, 'Email', $2, 'Failed_TTL', $3, $4, clock_timestamp())",
            uuid7(),
            NOON,
            far.name,
            str(number),
        )
    await poller.ask_accepted()
    assert len(far.asked) <= AT_ONCE
    soonest = await database.fetchval(
        "select extract(epoch from min(poll_at) - clock_timestamp()) from awaiting"
    )
    assert soonest > 110
    asked = len(far.asked)
    await ask_now(database)
    await open_handoffs(database, far, 1)
    for seconds, more in ((119, 0), (1, 1)):
        machine.advance(timedelta(seconds=seconds))
        await poller.ask_accepted()
        await poller.ask_unknown()
        assert (len(far.asked) > asked) == bool(more)


async def open_handoffs(database: Database, far: Slow, number: int) -> list[UUID]:
    """So many handoffs that are unknown, the oldest first."""
    ids = [uuid7() for _ in range(number)]
    await database.execute(
        "insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker,"
        " unknown_at) select id, id, id, 'ttd', 'Email', $2, 1, 1, $3, id, clock_timestamp() - interval '1 hour'"
        " from unnest($1::uuid[]) as w (id)",
        ids,
        far.name,
        NOON + timedelta(days=2),
    )
    return ids


async def test_handoffs_about_which_nothing_can_be_learned_stand_in_nobodys_way(
    database: Database, days: Days
) -> None:
    far, machine = (
        Slow(Temporary(None, "HTTP 500", "the provider did not say", "provider")),
        ManualClock(NOON),
    )
    poller = asking(database, days, far, machine)
    ids = await open_handoffs(database, far, 450)
    for _ in range(4):
        await poller.ask_unknown()
        machine.advance(timedelta(seconds=1))
    assert sorted(far.asked) == sorted(str(one) for one in ids)
    machine.advance(timedelta(seconds=10))
    for _ in range(3):
        await poller.ask_unknown()
    assert len(far.asked) == 2 * len(ids)


async def test_throttling_pauses_the_provider(
    database: Database, azure: Azure, days: Days, make_worker: MakeWorker
) -> None:
    worker = await make_worker(azure.channel)
    await place(database, "kari+temporary@example.org", requested_at=days.now())

    async def paused() -> bool:
        return bool(
            await database.fetchval(
                "select count(*) from provider_state where paused_until > clock_timestamp()"
            )
        )

    await until(paused)
    await place(database, "ola@example.org", requested_at=days.now())
    row = await database.fetchrow(
        "select provider, extract(epoch from paused_until - updated_at)::float as seconds from provider_state"
    )
    assert row is not None
    assert row["provider"] == azure.channel.name
    assert 4 < row["seconds"] <= 5.1
    assert len(azure.simulator.submissions) == 1
    await worker.stop()


def event(**data: object) -> dict[str, object]:
    found = delivery_event("op-1", "noreply@varsel.example.org", "kari@example.org", "Delivered", NOON)
    found["data"] = {**found["data"], **data}
    return found


async def test_the_handshake_of_a_subscription(azure: Azure) -> None:
    handshake = [
        {
            "id": "1",
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "data": {"validationCode": "512d38b6", "validationUrl": "https://rp.example/validate"},
        }
    ]
    reply = await azure.routes.email_reports(call(json.dumps(handshake).encode()))
    assert reply.status == 200
    assert json.loads(reply.body) == {"validationResponse": "512d38b6"}


async def test_the_handshake_of_cloud_events(azure: Azure) -> None:
    asked = call(b"")
    asked.headers = {b"webhook-request-origin": [b"eventgrid.azure.net"]}
    reply = await azure.routes.email_handshake(asked)
    assert reply.status == 200
    told = dict(reply.headers)
    assert told[b"webhook-allowed-origin"] == b"eventgrid.azure.net"
    assert told[b"webhook-allowed-rate"] == b"*"
    nobody = await azure.routes.email_handshake(call(b""))
    assert nobody.status == 400
    assert nobody.body


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (event(status="SomethingNew"), "UNRECOGNIZED_SEND_RESULT"),
        (event(status=None), "UNRECOGNIZED_SEND_RESULT"),
        (event(messageId=None), "INVALID_NOTIFICATION_IDENTIFIER"),
        (event(messageId=7), "INVALID_NOTIFICATION_IDENTIFIER"),
        (
            {**event(), "eventType": "Microsoft.Communication.EmailEngagementTrackingReportReceived"},
            "MALFORMED",
        ),
        ({"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}, "MALFORMED"),
        ({}, "MALFORMED"),
        (7, "MALFORMED"),
        ("\x00", "MALFORMED"),
    ],
)
async def test_what_cannot_be_applied_is_the_operators(
    database: Database, azure: Azure, sent: object, reason: str
) -> None:
    reply = await azure.routes.email_reports(call(json.dumps([sent]).encode()))
    assert reply.status == 200
    assert await database.fetchval("select reason from parked_report where dead_at is not null") == reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"7",
        b"\xff",
        b'"x"',
        b"null",
        b"9" * 5000,
        b"[" * 100_000,
        b'[{"x":' + b"[" * 100_000 + b'"' + b'\\"' * 100_000,
        b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b"[" * 2000 + b"]" * 2000 + b"]",
        b"[" * 2000 + b"]" * 2000 + b"7",
        b"[" + b"[" * 2000 + b"]" * 2000 + b",7 8]",
        b"[" + b"1," * 5000 + b"1]",
        b"[" + b"[" * 2000 + b"]" * 2000 + b",1" * 5000 + b"]",
        b"[" + b" " * (2 << 20) + b"]",
    ],
    ids=lambda body: f"{body[:12]!r}-{len(body)}",
)
async def test_no_events_at_all(database: Database, azure: Azure, body: bytes) -> None:
    reply = await azure.routes.email_reports(call(body))
    assert reply.status == 400
    assert await database.fetchval("select raw from report") == body
    assert await database.fetchval("select reason from parked_report") == "MALFORMED"


@pytest.mark.parametrize("odd", [b"[" * 1200 + b"]" * 1200, b"9" * 5000])
async def test_an_event_that_cannot_be_read_takes_no_other_with_it(
    database: Database, azure: Azure, odd: bytes
) -> None:
    handshake = (
        b'{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"c"}}'
    )
    strange = json.dumps(event(messageId="op-2", x=0)).encode().replace(b'"x": 0', b'"x": ' + odd)
    others = [json.dumps(event(messageId=f"op-{n}", note='[{,"\\')).encode() for n in (1, 3)]
    body = b" [" + b" , ".join((others[0], strange, handshake, others[1])) + b"]\n"
    reply = await azure.routes.email_reports(call(body))
    assert json.loads(reply.body) == {"validationResponse": "c"}
    rows = await database.fetch("select reference, reason from parked_report order by report_id")
    assert [tuple(row) for row in rows] == [("op-1", None), (None, "MALFORMED"), ("op-3", None)]
    assert await database.fetchval("select raw from report where reference is null") == strange


async def test_several_events_and_cloud_events(database: Database, azure: Azure) -> None:
    cloud = event(messageId="op-2", status="Bounced")
    cloud["type"] = cloud.pop("eventType")
    reply = await azure.routes.email_reports(call(json.dumps([event(), cloud]).encode()))
    assert reply.status == 200
    rows = await database.fetch("select reference, status from parked_report order by reference")
    assert [tuple(row) for row in rows] == [("op-1", "Delivered"), ("op-2", "Failed_Bounced")]
    single = await azure.routes.email_reports(call(json.dumps(event(messageId="op-3")).encode()))
    assert single.status == 200


def test_pauses_grow_and_end() -> None:
    pauses = [poll_pause(number, None) for number in range(MOST_POLLS)]
    seconds = [pause.total_seconds() for pause in pauses if pause is not None]
    assert pauses[-1] is None
    assert len(seconds) == MOST_POLLS - 1
    assert 6.4 <= seconds[0] <= 9.6
    assert max(seconds) <= 360
    assert seconds[5] > seconds[0]
    assert poll_pause(0, 120.0) == poll_pause(0, 120.0)
    longer = poll_pause(0, 120.0)
    assert longer is not None
    assert longer.total_seconds() == 120
