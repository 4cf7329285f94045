"""Telling endpoints over real HTTP: what they are told, who signed it, and what becomes of those that do not answer."""

from __future__ import annotations

import json

import msgspec
import pytest
from aiohttp import web

from tests.engine.conftest import Days, MakeWorker
from tests.engine.endpoints import KEY, SECRET, Endpoint, attempts, register, tell
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, state
from tests.support.polling import until
from varsel.channels.model import Accepted, Permanent, Temporary
from varsel.delivery.reports import RawReport, ReportStore
from varsel.delivery.webhook_messages import Event, body_of
from varsel.delivery.webhooks import WebhookLane
from varsel.recipients.registers import BuiltinRegisters
from varsel.review.webhooks_wire import EVENTS, MessageEvent, OrderEvent
from varsel.runtime.clock import SystemMachine
from varsel.runtime.outbound import GuardedClient
from varsel.store.content import Recipient
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.secrets import MasterKey


async def hurry(database: Database) -> None:
    await database.execute("update webhook_event set next_at = clock_timestamp()")
    await database.execute("update webhook set rest_until = null")


async def until_told(database: Database) -> None:
    async def done() -> bool:
        return not await database.fetchval("select count(*) from webhook_event")

    await until(done)


# -- what is told ------------------------------------------------------------------------------------------------------


async def test_an_order_that_ended_is_told_with_its_feed_entry(
    database: Database, days: Days, make_worker: MakeWorker, endpoint: Endpoint, client: GuardedClient
) -> None:
    await register(database, endpoint.url)
    await register(database, endpoint.url, creator="skd")
    sms = FakeChannel("Sms", "link:fake:80", judge=lambda *_: Permanent("Failed", "", ""))
    await make_worker(sms, outbound=client)
    order_id = await place(
        database,
        "+4799999999",
        requested_at=days.now(),
        reference='"\n    "status": "Order_SendConditionNotMet"',
    )
    await until(lambda: endpoint.got)
    [got] = endpoint.got
    row = await database.fetchrow("select seq, entry from feed where order_id = $1", order_id)
    assert row is not None
    assert got.id == f"feed-{row['seq']}"
    event = msgspec.json.decode(got.body, type=OrderEvent)
    assert event.type == "order.completed"
    assert event.data.shipment_id == str(order_id)
    assert event.data.sequence_number == row["seq"]
    page = b'{\n    "sequenceNumber": %d%b' % (row["seq"], row["entry"])
    assert json.loads(page) == got.json["data"]
    assert got.signed_by(SECRET)
    assert not got.signed_by(b"x" * 32)
    assert abs(got.timestamp - SystemMachine().time()) < 60
    await until_told(database)
    assert await attempts(database) == [(200, "HTTP 200")]


async def test_every_change_for_those_who_asked(
    database: Database, days: Days, make_worker: MakeWorker, endpoint: Endpoint, client: GuardedClient
) -> None:
    await register(database, endpoint.url, EVENTS)
    await make_worker(FakeChannel("Sms", "link:fake:80"), outbound=client)
    order_id = await place(database, "+4799999999", requested_at=days.now(), reference="min-ref")

    async def accepted() -> bool:
        return bool(await database.fetchval("select count(*) from awaiting"))

    await until(accepted)
    reports = ReportStore(database)
    reference = await database.fetchval("select reference from awaiting")
    await reports.store([RawReport("link", reference, "DELIVRD", "Delivered", b"")])
    await until(lambda: len(endpoint.got) == 4)
    assert sorted(endpoint.types()) == ["message.changed"] * 3 + ["order.completed"]
    changes = [
        msgspec.json.decode(got.body, type=MessageEvent)
        for got in endpoint.got
        if "message" in got.json["type"]
    ]
    assert [change.data.recipient.status for change in changes] == [
        "SMS_Sending",
        "SMS_Accepted",
        "SMS_Delivered",
    ]
    assert {change.data.shipment_id for change in changes} == {str(order_id)}
    assert changes[0].data.senders_reference == "min-ref"
    assert changes[0].data.recipient.destination == "+4799999999"
    assert len({got.id for got in endpoint.got}) == 4

    # The order is fed: what comes now corrects it.
    await reports.store([RawReport("link", reference, "BARRED", "Failed_BarredReceiver", b"")])
    await until(lambda: len(endpoint.got) == 5)
    correction = msgspec.json.decode(endpoint.got[-1].body, type=MessageEvent)
    assert correction.type == "order.corrected"
    assert correction.data.recipient.status == "SMS_Failed_BarredReceiver"
    assert await state(database, order_id) == "Completed"


async def test_a_correction_is_a_change_to_those_who_asked_for_changes_only(
    database: Database, days: Days, make_worker: MakeWorker, endpoint: Endpoint, client: GuardedClient
) -> None:
    await register(database, endpoint.url, ["message.changed"])
    await make_worker(FakeChannel("Sms", "link:fake:80"), outbound=client)
    await place(database, "+4799999999", requested_at=days.now())
    reports = ReportStore(database)
    await until(lambda: len(endpoint.got) == 2)
    reference = await database.fetchval("select reference from awaiting")
    await reports.store([RawReport("link", reference, "DELIVRD", "Delivered", b"")])
    await until(lambda: len(endpoint.got) == 3)
    await until(lambda: database.fetchval("select true from feed"))
    await reports.store([RawReport("link", reference, "BARRED", "Failed_BarredReceiver", b"")])
    await until(lambda: len(endpoint.got) == 4)
    assert endpoint.types() == ["message.changed"] * 4
    assert endpoint.got[3].json["data"]["recipient"]["status"] == "SMS_Failed_BarredReceiver"


async def test_a_message_that_cannot_be_sent_is_told_too(
    database: Database, days: Days, make_worker: MakeWorker, endpoint: Endpoint, client: GuardedClient
) -> None:
    await register(database, endpoint.url, ["message.changed"])
    await make_worker(registers=BuiltinRegisters(database, sandbox=False), outbound=client)
    await place(database, Recipient(person="17913949999"), requested_at=days.now(), channel="Email")
    await until(lambda: len(endpoint.got) == 1)
    assert endpoint.got[0].json["data"]["recipient"]["status"] == "Email_Failed_RecipientNotIdentified"


async def test_a_step_back_is_told_too(
    database: Database,
    days: Days,
    make_worker: MakeWorker,
    endpoint: Endpoint,
    client: GuardedClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("varsel.delivery.backoff._FIRST", 0.01)
    await register(database, endpoint.url, ["message.changed"])

    def judge(_message: object, count: int) -> Temporary | Accepted:
        return Accepted("ref-1") if count else Temporary(None, "451", "later")

    await make_worker(FakeChannel("Sms", "link:fake:80", judge=judge), outbound=client)
    await place(database, "+4799999999", requested_at=days.now())
    await until(lambda: len(endpoint.got) == 2)
    days.advance(seconds=1)
    await until(lambda: len(endpoint.got) == 4)
    statuses = [got.json["data"]["recipient"]["status"] for got in endpoint.got]
    assert statuses == ["SMS_Sending", "SMS_New", "SMS_Sending", "SMS_Accepted"]


async def test_a_condition_that_was_not_met(
    database: Database, days: Days, endpoint: Endpoint, lane: WebhookLane
) -> None:
    from varsel.delivery.entry import feed_entry
    from varsel.delivery.feed import Sequencer

    await register(database, endpoint.url, ["order.condition-not-met"])
    for name in ("Completed", "SendConditionNotMet"):
        order_id = uuid7()
        entry = feed_entry(
            order_id=order_id,
            kind="Reminder",
            senders_reference=None,
            state=name,
            ended_at=days.now(),
            recipients=(),
        )
        await database.execute(
            "insert into feed_pending (order_id, creator, created_at, entry) values ($1, 'ttd', $2, $3)",
            order_id,
            days.now(),
            entry,
        )
    assert await Sequencer(database, SystemMachine()).run() == 2
    lane.look()
    await until(lambda: endpoint.got)
    await until_told(database)
    assert endpoint.types() == ["order.condition-not-met"]
    assert endpoint.got[0].json["data"]["status"] == "Order_SendConditionNotMet"


def test_an_entry_that_the_feed_has_forgotten(days: Days) -> None:
    order_id = uuid7()
    told = json.loads(body_of(Event(uuid7(), "order.completed", days.now(), 17, None, order_id)))
    assert told["data"] == {"sequenceNumber": 17, "shipmentId": str(order_id)}


# -- who told it -------------------------------------------------------------------------------------------------------


async def test_two_signatures_while_the_secret_changes(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    webhook_id = await register(database, endpoint.url)
    await database.execute(
        "update webhook set previous = secret, secret = $1, previous_until = clock_timestamp() + interval '1 hour'",
        KEY.seal(b"n" * 32),
    )
    await tell(database, webhook_id)
    lane.look()
    await until(lambda: endpoint.got)
    assert len(endpoint.got[0].signatures) == 2
    assert endpoint.got[0].signed_by(SECRET)
    assert endpoint.got[0].signed_by(b"n" * 32)
    await database.execute("update webhook set previous_until = clock_timestamp()")
    await tell(database, webhook_id)
    lane.look()
    await until(lambda: len(endpoint.got) == 2)
    assert not endpoint.got[1].signed_by(SECRET)
    assert endpoint.got[1].signed_by(b"n" * 32)


async def test_a_secret_of_another_master_key(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    webhook_id = await register(database, endpoint.url)
    await database.execute("update webhook set secret = $1", MasterKey(b"x" * 32).seal(SECRET))
    await tell(database, webhook_id)
    lane.look()

    async def tried() -> bool:
        return bool(await attempts(database))

    await until(tried)
    assert await attempts(database) == [(None, "the secret cannot be opened; rotate it")]
    assert endpoint.got == []


# -- those that do not answer ------------------------------------------------------------------------------------------


async def test_tried_again_with_the_same_id(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    endpoint.answers = [500, 302, 404]
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id)

    async def taken() -> bool:
        await hurry(database)
        lane.look()
        return not await database.fetchval("select count(*) from webhook_event")

    await until(taken)
    assert len(endpoint.got) == 4
    assert len({got.id for got in endpoint.got}) == 1
    assert len({got.body for got in endpoint.got}) == 1
    assert [status for status, _ in await attempts(database)] == [500, 302, 404, 200]
    assert await database.fetchval("select failing_since from webhook") is None


async def test_after_a_failure_the_endpoint_rests(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    endpoint.answers = [503]
    endpoint.headers = {"Retry-After": "1000"}
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=5)
    lane.look()

    async def resting() -> bool:
        return bool(
            await database.fetchval(
                "select rest_until > clock_timestamp() + interval '900 seconds' and failing_since is not null from webhook"
            )
        )

    await until(resting)
    await tell(database, webhook_id, "webhook.test")  # does not wait
    lane.look()
    await until(lambda: len(endpoint.got) == 2)
    assert endpoint.types()[1] == "webhook.test"


async def test_one_event_that_is_refused_holds_up_no_other(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    endpoint.answers = [500]
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=5)
    lane.look()
    await until(lambda: endpoint.got)

    async def rested() -> bool:
        await database.execute("update webhook set rest_until = clock_timestamp()")
        lane.look()
        return len(endpoint.got) == 5

    await until(rested)
    assert [got.id for got in endpoint.got] == [f"feed-{number}" for number in range(1, 6)]
    row = await database.fetchrow(
        "select seq, tries, next_at > clock_timestamp() as later from webhook_event"
    )
    assert row is not None
    assert (row["seq"], row["tries"], row["later"]) == (1, 1, True)

    async def failures() -> bool:
        return await database.fetchval("select failures from webhook") == 0

    await until(failures)


async def test_a_slow_endpoint_holds_up_nobody(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    endpoint.gate.clear()
    slow = await register(database, endpoint.url)
    await tell(database, slow, number=3)
    lane.look()
    await until(lambda: endpoint.got)
    quick = Endpoint()
    quick.gate.set()
    application = web.Application()
    application.router.add_post("/hook", quick.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    other = await register(database, f"http://127.0.0.1:{runner.addresses[0][1]}/hook", creator="skd")
    await tell(database, other, number=3)
    lane.look()
    await until(lambda: len(quick.got) == 3)
    assert len(endpoint.got) == 1
    endpoint.gate.set()
    await until_told(database)
    assert [got.id for got in endpoint.got] == ["feed-1", "feed-2", "feed-3"]
    await runner.cleanup()


async def test_turned_off_after_a_day_with_the_reason(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    endpoint.answers = [500, 500]
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=2)
    lane.look()

    async def failing() -> bool:
        return bool(await database.fetchval("select failing_since is not null from webhook"))

    await until(failing)
    assert await database.fetchval("select disabled_at from webhook") is None
    await database.execute("update webhook set failing_since = clock_timestamp() - interval '25 hours'")

    async def off() -> bool:
        await hurry(database)
        lane.look()
        return bool(await database.fetchval("select disabled_at is not null from webhook"))

    await until(off)
    assert await database.fetchval("select disabled_why from webhook") == (
        "Every delivery failed for 24 hours; the last one: HTTP 500"
    )
    await until_told(database)  # what waited is dropped
    assert len(endpoint.got) == 2

    # A test reaches it all the same, and a 2xx turns it on again.
    await tell(database, webhook_id, "webhook.test")
    lane.look()

    async def on() -> bool:
        return bool(
            await database.fetchval("select disabled_at is null and failing_since is null from webhook")
        )

    await until(on)
    assert endpoint.types()[-1] == "webhook.test"


async def test_a_test_that_fails_is_not_tried_again(
    database: Database, endpoint: Endpoint, lane: WebhookLane
) -> None:
    endpoint.answers = [500]
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, "webhook.test")
    lane.look()
    await until(lambda: endpoint.got)
    await until_told(database)
    assert await attempts(database) == [(500, "HTTP 500")]
    assert await database.fetchval("select failing_since from webhook") is None


async def test_gone_turns_off_at_once(database: Database, endpoint: Endpoint, lane: WebhookLane) -> None:
    endpoint.answers = [410]
    webhook_id = await register(database, endpoint.url)
    await tell(database, webhook_id, number=2)
    lane.look()
    await until_told(database)
    assert len(endpoint.got) == 1
    reason = await database.fetchval("select disabled_why from webhook")
    assert reason == "The endpoint answered that it is gone: HTTP 410"


async def test_addresses_that_are_not_called(database: Database, lane: WebhookLane) -> None:
    for url in ("http://169.254.169.254/latest", "http://127.0.0.1:1/hook"):
        webhook_id = await register(database, url)
        await tell(database, webhook_id)
    lane.look()

    async def both() -> bool:
        return len(await attempts(database)) == 2

    await until(both)
    assert {status for status, _ in await attempts(database)} == {None}
