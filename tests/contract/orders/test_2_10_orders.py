"""What POST …/future/orders accepts and stores: docs/reference/notifications-api.md 1.4, 2.10 and section 5."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.orders.bodies import chain, email, put, reminder, sms
from tests.contract.orders.world import BASE, CHAIN, NOW, PUBLIC, World
from varsel.store.content import OrderContent, decode

E, S = "recipient.recipientEmail", "recipient.recipientSms"


async def content_of(world: World, shipment: str) -> OrderContent:
    return decode(
        await world.database.fetchval("select content from order_content where order_id = $1", shipment)
    )


async def row_of(world: World, shipment: str) -> dict[str, Any]:
    row = await world.database.fetchrow(
        "select o.*, d.due_at from orders o left join due d on d.order_id = o.id where o.id = $1", shipment
    )
    assert row is not None
    return dict(row)


async def ordered(world: World, body: Any, **rest: Any) -> dict[str, Any]:
    answer = await world.send(CHAIN, body, **rest)
    assert answer.status == 201, answer.content
    return answer.json["notification"]


async def test_the_receipt(world: World) -> None:
    body = chain(sendersReference="main", reminders=[reminder(sendersReference="first"), reminder()])
    answer = await world.send(CHAIN, body)
    assert answer.status == 201
    receipt = answer.json
    assert answer.headers["location"] == f"{PUBLIC}{BASE}/orders/chain/{receipt['notificationOrderId']}"
    assert set(receipt) == {"notificationOrderId", "notification"}
    main = receipt["notification"]
    assert main["sendersReference"] == "main"
    assert [list(item) for item in main["reminders"]] == [["shipmentId", "sendersReference"], ["shipmentId"]]
    assert answer.content.startswith(b'{\n  "notificationOrderId": "')
    assert await world.stored() == {
        "idempotency": 1,
        "orders": 3,
        "order_content": 3,
        "due": 3,
        "notification": 0,
        "handoff": 0,
    }


async def test_what_is_stored(world: World) -> None:
    body = chain(
        requestedSendTime="2031-03-20T08:00:00.1234567+02:00",
        conditionEndpoint="http://localhost:5090/x",
        dialogportenAssociation={"dialogId": "d", "transmissionId": "t"},
        fallbackOnFailure=True,
        reminders=[
            reminder(sendersReference="r1"),
            {"recipient": email(), "requestedSendTime": "2031-03-15T00:00:00Z"},
            {"recipient": email(), "delayMinutes": 90},
        ],
    )
    main = await ordered(world, body)
    send_at = datetime(2031, 3, 20, 6, 0, 0, 123456, UTC)
    stored = await row_of(world, main["shipmentId"])
    assert (stored["kind"], stored["channel"], stored["state"]) == ("Notification", "Email", "Registered")
    assert (stored["requested_at"], stored["due_at"], stored["created_at"]) == (send_at, send_at, NOW)
    assert (stored["dialog_id"], stored["transmission_id"], stored["position"]) == ("d", "t", 0)
    content = await content_of(world, main["shipmentId"])
    assert content.condition_endpoint == "http://localhost:5090/x"
    assert content.fallback_on_failure
    first, second, third = [await row_of(world, item["shipmentId"]) for item in main["reminders"]]
    assert (first["kind"], first["channel"], first["sending_policy"], first["position"]) == (
        "Reminder",
        "Sms",
        "Daytime",
        1,
    )
    assert first["requested_at"] == send_at + timedelta(days=7)
    assert second["requested_at"] == datetime(
        2031, 3, 15, tzinfo=UTC
    )  # before the main order, and allowed (item 23)
    assert third["requested_at"] == send_at + timedelta(minutes=90)
    assert {row["chain_id"] for row in (stored, first, second, third)} == {stored["chain_id"]}


async def test_item_22_a_reminder_counts_from_now_when_no_time_is_given(world: World) -> None:
    main = await ordered(world, chain(reminders=[reminder(delayDays=2)]))
    assert (await row_of(world, main["shipmentId"]))["requested_at"] == NOW
    assert (await row_of(world, main["reminders"][0]["shipmentId"]))["requested_at"] == NOW + timedelta(
        days=2
    )


async def test_item_19_the_present_moment_is_not_past(world: World) -> None:
    assert (await world.send(CHAIN, chain(requestedSendTime="2031-03-14T12:00:00Z"))).status == 201
    assert (
        await world.send(CHAIN, chain(requestedSendTime="9999-12-31T23:59:59Z", idempotencyId="9999"))
    ).status == 201


@pytest.mark.parametrize("reminders", [None, []])
async def test_item_47_no_reminders(world: World, reminders: Any) -> None:
    assert "reminders" not in await ordered(world, chain(reminders=reminders))
    assert "reminders" not in (await world.send(CHAIN, chain(reminders=reminders))).json["notification"]


async def test_item_24_subjects_have_one_line(world: World) -> None:
    main = await ordered(world, put(chain(), f"{E}.emailSettings.subject", "A\nB - \r\nC\n\rD"))
    content = await content_of(world, main["shipmentId"])
    assert content.email is not None
    assert content.email.subject == "A B -  C  D"


async def test_item_24_bodies_are_kept(world: World) -> None:
    main = await ordered(world, put(chain(), f"{E}.emailSettings.body", " A\r\nB\n"))
    content = await content_of(world, main["shipmentId"])
    assert content.email is not None
    assert content.email.body == " A\r\nB\n"


@pytest.mark.parametrize(
    ("sent", "kept"), [("  Varsel ", "Varsel"), ("  ", "Altinn"), ("", "Altinn"), (None, "Altinn")]
)
async def test_item_25_sender_names_are_trimmed(world: World, sent: Any, kept: str) -> None:
    main = await ordered(world, put(chain(recipient=sms()), f"{S}.smsSettings.sender", sent))
    content = await content_of(world, main["shipmentId"])
    assert content.sms is not None
    assert content.sms.sender == kept


@pytest.mark.parametrize(
    ("sent", "kept"), [(" noreply@example.org ", "noreply@example.org"), (None, "noreply@altinn.cloud")]
)
async def test_sender_addresses_are_trimmed(world: World, sent: Any, kept: str) -> None:
    main = await ordered(world, put(chain(), f"{E}.emailSettings.senderEmailAddress", sent))
    content = await content_of(world, main["shipmentId"])
    assert content.email is not None
    assert content.email.sender == kept


@pytest.mark.parametrize(
    "address", [" kari@example.org ", "æge_sjøåsen@example.com", "a+b@sub.example.museum"]
)
async def test_item_29_addresses_are_kept_as_sent(world: World, address: str) -> None:
    main = await ordered(world, put(chain(), f"{E}.emailAddress", address))
    assert (await content_of(world, main["shipmentId"])).recipients[0].email == address


@pytest.mark.parametrize(
    "number", ["+4740000001", "004740000000", "+47 99 99 99 99", "+47 99999999 ", "+233242426224"]
)
async def test_item_30_numbers_are_kept_as_sent(world: World, number: str) -> None:
    main = await ordered(world, put(chain(recipient=sms()), f"{S}.phoneNumber", number))
    assert (await content_of(world, main["shipmentId"])).recipients[0].mobile == number


async def test_item_9_reading_is_tolerant(world: World) -> None:
    odd = {
        "IDEMPOTENCYID": "odd",
        "unknown": {"deep": [1, {"x": None}]},
        "recipient": {
            "RecipientSms": {
                "phonenumber": "+4799999999",
                "smsSettings": {"BODY": "x", "sendingTimePolicy": "anytime"},
            }
        },
        "reminders": [
            {
                "delayDays": "3",
                "recipient": {
                    "recipientEmail": {
                        "emailAddress": "a@b.no",
                        "emailSettings": {"subject": "x", "body": "y", "contentType": 1},
                    }
                },
            }
        ],
    }
    main = await ordered(world, odd)
    assert (await row_of(world, main["shipmentId"]))["sending_policy"] == "Anytime"
    later = main["reminders"][0]["shipmentId"]
    assert (await row_of(world, later))["requested_at"] == NOW + timedelta(days=3)
    content = await content_of(world, later)
    assert content.email is not None
    assert content.email.html


async def test_the_last_of_repeated_members_wins(world: World) -> None:
    body = json.dumps(chain()).encode()
    main = await ordered(world, body[:-1] + b', "sendersReference": "1", "SENDERSREFERENCE": "2"}')
    assert main["sendersReference"] == "2"


async def test_a_byte_order_mark_and_depth_32(world: World) -> None:
    deep = json.dumps(put(chain(), "odd", json.loads("[" * 31 + "]" * 31))).encode()
    assert (await world.send(CHAIN, b"\xef\xbb\xbf" + deep)).status == 201


async def test_item_42_a_repeat_gets_the_first_receipt(world: World) -> None:
    first = await world.send(CHAIN, chain(reminders=[reminder()]))
    again = await world.send(CHAIN, chain(reminders=[reminder()]))
    assert (again.status, again.content) == (200, first.content)
    assert "location" not in again.headers
    assert "varsel-idempotency" not in again.headers
    other = await world.send(CHAIN, chain(recipient=sms()))
    assert (other.status, other.content) == (200, first.content)
    assert other.headers["varsel-idempotency"] == "body-differs"
    assert (await world.stored())["orders"] == 2


async def test_the_same_request_in_another_spelling_is_the_same(world: World) -> None:
    await world.send(CHAIN, chain(requestedSendTime="2031-03-20T08:00:00Z"))
    body = json.dumps(chain(requestedSendTime="2031-03-20T09:00:00+01:00", SendersReference=None), indent=3)
    again = await world.send(CHAIN, body.encode())
    assert again.status == 200
    assert "varsel-idempotency" not in again.headers


async def test_item_44_two_creators_two_orders(world: World) -> None:
    assert (await world.send(CHAIN, chain())).status == 201
    assert (await world.send(CHAIN, chain(), creator="skd")).status == 201
    assert (await world.send(CHAIN, chain(), creator="TTD")).status == 201  # exact, case-sensitive


async def test_item_45_a_repeat_is_judged_first(world: World) -> None:
    body = chain(requestedSendTime="2031-03-14T12:00:01Z")
    assert (await world.send(CHAIN, body)).status == 201
    world.clock.advance(timedelta(seconds=2))
    assert (await world.send(CHAIN, body)).keys == {"RequestedSendTime"}


async def test_a_chain_may_have_many_reminders(world: World) -> None:
    main = await ordered(world, chain(reminders=[reminder(sendersReference=str(n)) for n in range(1001)]))
    assert [item["sendersReference"] for item in main["reminders"]] == [str(n) for n in range(1001)]
    assert (await world.stored())["orders"] == 1002
    assert await world.database.fetchval("select max(position) from orders") == 1001
    again = await world.send(CHAIN, chain(reminders=[reminder(sendersReference=str(n)) for n in range(1001)]))
    assert again.status == 200
    assert (await world.stored())["due"] == 1002


async def test_an_idempotency_id_may_be_long(world: World) -> None:
    assert (await world.send(CHAIN, chain(idempotencyId="x" * 100_000))).status == 201
    assert (await world.send(CHAIN, chain(idempotencyId="x" * 100_000))).status == 200


async def test_stale_contacts_of_a_creator(database: Any) -> None:
    from tests.contract.orders.bodies import person
    from tests.contract.orders.world import open_world

    await database.execute(
        "insert into contact_person (pid, email, stale) values ('12839010182', 'old@example.org', true)"
    )
    async with open_world(database, stale_contact_creators=("SKD",)) as world:
        main = await ordered(world, chain(recipient=person()), creator="skd")
        assert (await content_of(world, main["shipmentId"])).use_stale
        assert (await world.send(CHAIN, chain(recipient=person()))).status == 422
