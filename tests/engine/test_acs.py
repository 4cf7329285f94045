"""E-mail through a provider that decides later: questions, lost answers, throttling and reports, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from aiohttp import web

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.seed import place, state, statuses
from tests.support.polling import until
from varsel.channels.email.acs import AcsChannel, AcsEndpoint
from varsel.channels.email.acs_rest import AccessKey
from varsel.delivery.polling import MOST_POLLS, poll_pause
from varsel.delivery.reports import ReportStore
from varsel.delivery.routes import DeliveryRoutes
from varsel.runtime.endpoints import ANONYMOUS, Call
from varsel.runtime.trace import Trace
from varsel.sandbox.acs import AcsMail, AcsSimulator, delivery_event
from varsel.store.database import Database

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


@pytest.mark.parametrize("body", [b"", b"{", b"7", b"\xff", b'"x"', b"null"])
async def test_no_events_at_all(database: Database, azure: Azure, body: bytes) -> None:
    reply = await azure.routes.email_reports(call(body))
    assert reply.status == 400
    assert await database.fetchval("select raw from report") == body


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
