"""What the v1 order endpoints accept, store and answer: docs/reference/notifications-api.md 2.1 to 2.3 and section 5."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.orders.bodies import put, v1_channel, v1_email, v1_sms
from tests.contract.orders.test_2_10_orders import content_of, row_of
from tests.contract.orders.world import BASE, PUBLIC, World
from varsel.store.content import OrderContent

EMAIL, SMS, CHANNEL = f"{BASE}/orders/email", f"{BASE}/orders/sms", f"{BASE}/orders"


async def placed(world: World, path: str, body: Any) -> OrderContent:
    answer = await world.send(path, body)
    assert answer.status == 202, answer.content
    return await content_of(world, answer.json["orderId"])


async def contacts(world: World) -> None:
    await world.database.execute(
        "insert into contact_person (pid, email, mobile, reserved) values "
        "('12839010182', 'kari@example.org', '99999999', false), ('12839010183', 'ola@example.org', null, true), "
        "('12839010184', null, '+4740000001', false)"
    )
    await world.database.execute(
        "insert into contact_organization (number, emails, mobiles) values ('312345609', '{post@example.org}', '{}'), ('312345610', '{}', '{}')"
    )
    await world.database.execute(
        "insert into contact_user (number, position, pid, email) values ('312345610', 0, '12839010182', 'kari@example.org')"
    )


@pytest.mark.parametrize(("path", "body"), [(EMAIL, v1_email()), (SMS, v1_sms()), (CHANNEL, v1_channel())])
async def test_item_40_direct_orders(world: World, path: str, body: Any) -> None:
    answer = await world.send(path, body)
    assert answer.status == 202
    order = answer.json["orderId"]
    assert answer.json == {"orderId": order}
    assert answer.headers["location"] == f"{PUBLIC}{BASE}/orders/{order}"
    row = await row_of(world, order)
    assert (row["chain_id"], row["kind"], row["state"], row["sending_policy"]) == (
        None,
        "Notification",
        "Registered",
        None,
    )
    again = await world.send(path, body)
    assert again.json["orderId"] != order


@pytest.mark.parametrize("path", [f"{BASE}/orders/sms/", f"{BASE}/Orders/SMS", f"{BASE}/ORDERS/sms/"])
async def test_item_1_paths(world: World, path: str) -> None:
    assert (await world.send(path, v1_sms())).status == 202


async def test_item_19_four_minutes_ago(world: World) -> None:
    assert (await world.send(EMAIL, v1_email(requestedSendTime="2031-03-14T11:56:00Z"))).status == 202
    assert (await world.send(EMAIL, v1_email(requestedSendTime="2031-03-14T11:55:00Z"))).status == 202


async def test_item_11_content_type_null(world: World) -> None:
    content = await placed(world, EMAIL, v1_email(contentType=None))
    assert content.email is not None
    assert not content.email.html


async def test_items_24_to_27_texts_and_senders(world: World) -> None:
    content = await placed(world, EMAIL, v1_email(subject="A\nB - \r\nC\n\rD", contentType="Html"))
    assert content.email is not None
    assert (content.email.subject, content.email.sender, content.email.html) == (
        "A B -  C  D",
        "noreply@altinn.cloud",
        True,
    )
    content = await placed(world, SMS, v1_sms(senderNumber="  Varsel "))
    assert content.sms is not None
    assert content.sms.sender == "  Varsel "
    for sender in (None, ""):
        content = await placed(world, SMS, v1_sms(senderNumber=sender))
        assert content.sms is not None
        assert content.sms.sender == "Altinn"
    body = put(
        put(v1_channel(), "emailTemplate.fromAddress", "not an address"), "smsTemplate.senderNumber", ""
    )
    content = await placed(world, CHANNEL, put(body, "emailTemplate.subject", "x\ny"))
    assert content.email is not None
    assert content.sms is not None
    assert (content.email.sender, content.email.subject, content.sms.sender) == (
        "not an address",
        "x y",
        "Altinn",
    )


async def test_items_33_and_34_what_is_kept(world: World) -> None:
    both = [{"emailAddress": "kari@example.org", "mobileNumber": "not a number", "isReserved": True}]
    content = await placed(world, CHANNEL, v1_channel("Email", recipients=both))
    assert (content.recipients[0].email, content.recipients[0].mobile) == ("kari@example.org", "not a number")
    content = await placed(
        world,
        EMAIL,
        v1_email(recipients=both, resourceId="free text", resourceAction="", ignoreReservation=None),
    )
    assert (content.recipients[0].mobile, content.ignore_reservation) == (None, None)
    content = await placed(
        world, EMAIL, v1_email(ignoreReservation=False, conditionEndpoint="https://sender.example.org/1")
    )
    assert (content.ignore_reservation, content.condition_endpoint) == (False, "https://sender.example.org/1")


@pytest.mark.parametrize(
    ("recipients", "status", "reserved", "missing"),
    [
        ([{"nationalIdentityNumber": "12839010182"}], "Success", [], []),
        ([{"nationalIdentityNumber": "12839010182"}, {"organizationNumber": "312345699"}], "PartialSuccess", [], ["312345699"]),
        ([{"nationalIdentityNumber": "12839010183"}, {"emailAddress": "x@example.org"}], "Failed", ["12839010183"], []),
        ([{"nationalIdentityNumber": "12839010184"}], "Failed", [], ["12839010184"]),
        ([{"nationalIdentityNumber": "00000000000"}] * 2, "Failed", [], ["00000000000"]),
    ],
)  # fmt: skip
async def test_items_39_and_41_lookup(
    world: World, recipients: Any, status: str, reserved: Any, missing: Any
) -> None:
    await contacts(world)
    answer = await world.send(EMAIL, v1_email(recipients=recipients, ignoreReservation=True))
    assert answer.status == 202
    assert answer.json["recipientLookup"] == {
        "status": status,
        "isReserved": reserved,
        "missingContact": missing,
    }


async def test_lookup_goes_by_channel(world: World) -> None:
    await contacts(world)
    persons = [{"nationalIdentityNumber": "12839010184"}]
    assert (await world.send(SMS, v1_sms(recipients=persons))).json["recipientLookup"]["status"] == "Success"
    assert (await world.send(CHANNEL, v1_channel("Email", recipients=persons))).json["recipientLookup"][
        "status"
    ] == "Failed"
    assert (await world.send(CHANNEL, v1_channel("EmailPreferred", recipients=persons))).json[
        "recipientLookup"
    ]["status"] == "Success"


async def test_ten_thousand_recipients(world: World) -> None:
    many = [{"nationalIdentityNumber": f"{number:011}"} for number in range(10_000)]
    answer = await world.send(EMAIL, v1_email(recipients=many))
    assert answer.status == 202
    assert len(answer.json["recipientLookup"]["missingContact"]) == 10_000
