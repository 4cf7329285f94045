"""Instant messages: docs/reference/notifications-api.md 2.12 to 2.14 and section 5."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.contract.orders.bodies import ABSENT, chain, instant_email, instant_sms, put, wrapped_sms
from tests.contract.orders.test_2_10_orders import content_of, row_of
from tests.contract.orders.world import BASE, CHAIN, NOW, PUBLIC, World, open_world
from tests.support.polling import until
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.queries import load

SMS, EMAIL, WRAPPED = f"{CHAIN}/instant/sms", f"{CHAIN}/instant/email", f"{CHAIN}/instant"
GOOD = {SMS: instant_sms(), EMAIL: instant_email(), WRAPPED: wrapped_sms()}
NAME = "request"
R, E, W = "recipientSms", "recipientEmail", "recipient.recipientSms"
DEEP = "InstantNotificationRecipient.ShortMessageDeliveryDetails"

ROWS: list[tuple[str, str, Any, set[str]]] = [
    *((path, "no body", b"", {"", NAME}) for path in GOOD),
    *((path, "not JSON", b"{", {"$", NAME}) for path in GOOD),
    *((path, "idempotencyId missing", ("idempotencyId", ABSENT), {"$", NAME}) for path in GOOD),
    *((path, "idempotencyId blank", ("idempotencyId", " "), {"IdempotencyId"}) for path in GOOD),
    *((path, "NUL", ("sendersReference", "\x00"), {"SendersReference"}) for path in GOOD),
    (SMS, "recipient missing", (R, ABSENT), {"$", NAME}),
    *((SMS, f"{name} missing", (f"{R}.{name}", ABSENT), {f"$.{R}", NAME}) for name in ("phoneNumber", "timeToLiveInSeconds", "smsSettings")),
    (SMS, "body missing", (f"{R}.smsSettings.body", ABSENT), {f"$.{R}.smsSettings", NAME}),
    (SMS, "recipient null", (R, None), {"RecipientSms"}),
    (SMS, "settings null", (f"{R}.smsSettings", None), {"RecipientSms.ShortMessageContent"}),
    (SMS, "body blank", (f"{R}.smsSettings.body", " "), {"RecipientSms.ShortMessageContent.Body"}),
    (SMS, "odd sender", (f"{R}.smsSettings.sender", "\ud800"), {"RecipientSms.ShortMessageContent.Sender"}),
    *((SMS, f"number {number!r}", (f"{R}.phoneNumber", number), {"RecipientSms.PhoneNumber"}) for number in (None, "", "99999999", "+4750000004")),
    *((SMS, f"time to live {seconds}", (f"{R}.timeToLiveInSeconds", seconds), {"RecipientSms.TimeToLiveInSeconds"}) for seconds in (59, 172_801, 0, -1)),
    (SMS, "time to live null", (f"{R}.timeToLiveInSeconds", None), {f"$.{R}.timeToLiveInSeconds", NAME}),
    (SMS, "time to live 360.5", (f"{R}.timeToLiveInSeconds", 360.5), {f"$.{R}.timeToLiveInSeconds", NAME}),
    (WRAPPED, "recipient missing", ("recipient", ABSENT), {"$", NAME}),
    (WRAPPED, "recipientSms missing", (W, ABSENT), {"$.recipient", NAME}),
    (WRAPPED, "recipient null", ("recipient", None), {"InstantNotificationRecipient"}),
    (WRAPPED, "recipientSms null", (W, None), {DEEP}),
    (WRAPPED, "settings null", (f"{W}.smsSettings", None), {f"{DEEP}.ShortMessageContent"}),
    (WRAPPED, "number", (f"{W}.phoneNumber", "1"), {f"{DEEP}.PhoneNumber"}),
    (WRAPPED, "time to live", (f"{W}.timeToLiveInSeconds", 59), {f"{DEEP}.TimeToLiveInSeconds"}),
    (WRAPPED, "body blank", (f"{W}.smsSettings.body", ""), {f"{DEEP}.ShortMessageContent.Body"}),
    (WRAPPED, "odd body", (f"{W}.smsSettings.body", "\x00"), {f"{DEEP}.ShortMessageContent.Body"}),
    (EMAIL, "recipient missing", (E, ABSENT), {"$", NAME}),
    (EMAIL, "address missing", (f"{E}.emailAddress", ABSENT), {f"$.{E}", NAME}),
    (EMAIL, "settings missing", (f"{E}.emailSettings", ABSENT), {f"$.{E}", NAME}),
    (EMAIL, "subject missing", (f"{E}.emailSettings.subject", ABSENT), {f"$.{E}.emailSettings", NAME}),
    (EMAIL, "recipient null", (E, None), {"InstantEmailDetails"}),
    *((EMAIL, f"address {address!r}", (f"{E}.emailAddress", address), {"InstantEmailDetails.EmailAddress"}) for address in (None, " ", "kari@example")),
    (EMAIL, "settings null", (f"{E}.emailSettings", None), {"InstantEmailDetails.EmailSettings"}),
    (EMAIL, "subject blank", (f"{E}.emailSettings.subject", ""), {"InstantEmailDetails.EmailSettings.Subject"}),
    (EMAIL, "body blank", (f"{E}.emailSettings.body", " "), {"InstantEmailDetails.EmailSettings.Body"}),
    *((EMAIL, f"sender {sender!r}", (f"{E}.emailSettings.senderEmailAddress", sender), {"InstantEmailDetails.EmailSettings.SenderEmailAddress"}) for sender in ("", "x")),
    (EMAIL, "contentType 7", (f"{E}.emailSettings.contentType", 7), {"InstantEmailDetails.EmailSettings.ContentType"}),
    (EMAIL, "contentType null", (f"{E}.emailSettings.contentType", None), {f"$.{E}.emailSettings.contentType", NAME}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "keys"),
    [(row[0], *row[2:]) for row in ROWS],
    ids=[f"{row[0].rpartition('/')[2]}: {row[1]}" for row in ROWS],
)
async def test_a_wrong_order_is_refused_with_its_keys(
    refusing: World, path: str, change: Any, keys: set[str]
) -> None:
    answer = await refusing.send(path, put(GOOD[path], *change) if isinstance(change, tuple) else change)
    assert answer.status == 400, answer.content
    assert answer.keys == keys


@pytest.mark.parametrize("path", GOOD)
async def test_no_organisation(refusing: World, path: str) -> None:
    for blank in ("-", "  "):
        assert (await refusing.send(path, GOOD[path], creator=blank)).status in (401, 403)


@dataclass
class Prepared:
    attempt_id: UUID
    worker: UUID
    provider: str = "fake"


class FakeSender:
    """Notes what is sent. `answers` are used up one by one, True after the last; `gate` holds a message back."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sent: list[dict[str, Any]] = []
        self.answers: list[bool] = []
        self.available = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.sql = load("varsel.delivery")

    def prepare(self, kind: str) -> Prepared | None:
        return Prepared(uuid7(), uuid7(), f"fake:{kind}") if self.available else None

    async def send(self, prepared: Prepared, **message: Any) -> bool:
        row = await self.database.fetchrow("select * from handoff where attempt_id = $1", prepared.attempt_id)
        assert row is not None, "nothing may leave before its intent is stored"
        assert row["provider"] == prepared.provider
        self.sent.append(message)
        await self.gate.wait()
        if self.answers and not self.answers.pop(0):
            await self.database.execute(self.sql.void_instant, message["order_id"], NOW)
            return False
        await self.database.execute("delete from handoff where attempt_id = $1", prepared.attempt_id)
        await self.database.execute(self.sql.instant_stands, message["order_id"], NOW)
        return True


@pytest.fixture
async def sender(database: Database) -> FakeSender:
    return FakeSender(database)


@pytest.fixture
async def world(database: Database, sender: FakeSender) -> AsyncIterator[World]:
    async with open_world(database, sender=sender) as opened:
        yield opened


@pytest.mark.parametrize("path", GOOD)
async def test_sent(world: World, sender: FakeSender, path: str) -> None:
    answer = await world.send(path, put(GOOD[path], "sendersReference", "ref"))
    assert answer.status == 201
    receipt = answer.json
    assert answer.headers["location"] == f"{PUBLIC}{BASE}/orders/chain/{receipt['notificationOrderId']}"
    shipment = receipt["notification"]["shipmentId"]
    assert receipt["notification"] == {"shipmentId": shipment, "sendersReference": "ref"}
    row = await row_of(world, shipment)
    channel = "Email" if path == EMAIL else "Sms"
    assert (row["kind"], row["channel"], row["state"], row["due_at"]) == (
        "Instant",
        channel,
        "Processed",
        None,
    )
    [message] = sender.sent
    life = timedelta(hours=48) if path == EMAIL else timedelta(seconds=360)
    assert message["expires_at"] == NOW + life
    stored = await world.database.fetchrow("select * from notification")
    assert stored is not None
    assert (stored["status"], stored["rank"], stored["expires_at"]) == ("Sending", 10, NOW + life)
    assert stored["id"] == message["notification_id"]
    again = await world.send(path, GOOD[path])
    assert (again.status, again.content, again.headers["varsel-idempotency"]) == (
        200,
        answer.content,
        "body-differs",
    )
    assert "location" not in again.headers
    assert len(sender.sent) == 1


async def test_items_24_and_25_texts_are_kept(world: World, sender: FakeSender) -> None:
    await world.send(EMAIL, put(GOOD[EMAIL], f"{E}.emailSettings.subject", "A\r\nB"))
    await world.send(SMS, put(GOOD[SMS], f"{R}.smsSettings.sender", "  Varsel "))
    await world.send(WRAPPED, put(put(GOOD[WRAPPED], f"{W}.smsSettings.sender", " "), "idempotencyId", "3"))
    email, named, blank = (message["content"] for message in sender.sent)
    assert email.email.subject == "A\r\nB"
    assert named.sms.sender == "  Varsel "
    assert blank.sms.sender == "Altinn"


@pytest.mark.parametrize(
    ("text", "parts"), [("x" * 159 + "\r\n", 1), ("x" * 100 + "\x7f", 1), ("x" * 1500 + "😀", 8)]
)
async def test_parts_are_those_of_the_text_as_it_is_sent(world: World, text: str, parts: int) -> None:
    """docs/reference/delivery.md 7.10; the length stays that of the ordered text."""
    assert (await world.send(SMS, put(GOOD[SMS], f"{R}.smsSettings.body", text))).status == 201
    row = await world.database.fetchrow("select sms_parts, body_length from notification")
    assert row is not None
    assert tuple(row) == (parts, len(text))


@pytest.mark.parametrize("seconds", [60, 172_800, "61"])
async def test_limits_of_the_time_to_live(world: World, seconds: Any) -> None:
    answer = await world.send(SMS, put(GOOD[SMS], f"{R}.timeToLiveInSeconds", seconds))
    assert answer.status == 201
    assert (await content_of(world, answer.json["notification"]["shipmentId"])).time_to_live == int(seconds)


async def test_item_43_one_family(world: World, sender: FakeSender) -> None:
    assert (await world.send(CHAIN, chain(idempotencyId="same"))).status == 201
    first = await world.send(SMS, put(GOOD[SMS], "idempotencyId", "same"))
    second = await world.send(EMAIL, put(GOOD[EMAIL], "idempotencyId", "same"))
    assert (first.status, second.status, second.content) == (201, 200, first.content)
    assert len(sender.sent) == 1


async def test_item_46_a_refusal_stores_nothing_and_frees_the_key(world: World, sender: FakeSender) -> None:
    sender.answers = [False]
    answer = await world.send(SMS, GOOD[SMS])
    assert (answer.status, answer.json["code"]) == (503, "NOT-00004")
    stored = await world.stored()
    assert (stored["idempotency"], stored["notification"], stored["handoff"], stored["order_content"]) == (
        0,
        0,
        0,
        0,
    )
    assert (await world.send(SMS, GOOD[SMS])).status == 201


async def test_no_provider(world: World, sender: FakeSender) -> None:
    sender.available = False
    answer = await world.send(SMS, GOOD[SMS])
    assert (answer.status, answer.json["code"]) == (503, "NOT-00004")
    assert set((await world.stored()).values()) == {0}


async def test_parallel_repeats_wait_for_the_first(world: World, sender: FakeSender) -> None:
    sender.gate.clear()
    requests = [asyncio.create_task(world.send(SMS, GOOD[SMS])) for _ in range(20)]
    await until(lambda: len(sender.sent) == 1)
    sender.gate.set()
    answers = await asyncio.gather(*requests)
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert len(sender.sent) == 1


async def test_a_repeat_takes_over_when_the_first_is_refused(world: World, sender: FakeSender) -> None:
    sender.gate.clear()
    sender.answers = [False, True]
    requests = [asyncio.create_task(world.send(SMS, GOOD[SMS])) for _ in range(5)]
    await until(lambda: len(sender.sent) == 1)
    sender.gate.set()
    answers = await asyncio.gather(*requests)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201, 503]


async def test_a_caller_who_leaves_does_not_stop_a_message(world: World, sender: FakeSender) -> None:
    sender.gate.clear()
    request = asyncio.create_task(world.send(SMS, GOOD[SMS]))
    await until(lambda: len(sender.sent) == 1)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    sender.gate.set()
    await world.room.close()
    assert await world.database.fetchval("select state from orders") == "Processed"
    assert (await world.send(SMS, GOOD[SMS])).status == 200
