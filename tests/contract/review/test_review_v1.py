"""docs/reference/notifications-api.md 2.4, 2.5, 2.6, 2.8, 2.9, 3.9 and the receipts of chains, with their items of section 5."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contract.review.world import DIRECT, KARI, NOW, PUBLIC, SMS, World
from varsel.delivery.retention import Retention
from varsel.runtime.clock import SystemMachine
from varsel.runtime.settings import Settings
from varsel.store.content import EmailText, OrderContent, Recipient
from varsel.store.ids import uuid7
from varsel.store.order_status import order_status

READS = ("", "/status", "/notifications/email", "/notifications/sms")


async def test_2_4_an_order_with_everything(world: World) -> None:
    content = OrderContent(
        (Recipient(email="kari@example.org"), Recipient(person=KARI), Recipient(organization="312345609")),
        EmailText("noreply@varsel.example.org", "Ny melding fra $recipientName$", "<p>Hei</p>", html=True),
        SMS.sms,
        condition_endpoint="https://sender.example.org/conditions/17",
        ignore_reservation=False,
    )
    order = await world.add_order(
        content,
        channel="EmailPreferred",
        resource="urn:altinn:resource:example-resource",
        action="read",
        requested_at=NOW.replace(microsecond=0),
    )
    url = f"{PUBLIC}/notifications/api/v1/orders/{order}"
    answer = await world.get(f"orders/{order}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "id": str(order),
        "sendersReference": "ref-1",
        "requestedSendTime": "2031-03-14T08:00:41Z",
        "creator": "ttd",
        "created": "2031-03-14T07:58:41.5Z",
        "notificationChannel": "EmailPreferred",
        "ignoreReservation": False,
        "resourceId": "urn:altinn:resource:example-resource",
        "resourceAction": "read",
        "recipients": [
            {"emailAddress": "kari@example.org"},
            {"nationalIdentityNumber": KARI},
            {"organizationNumber": "312345609"},
        ],
        "conditionEndpoint": "https://sender.example.org/conditions/17",
        "emailTemplate": {
            "fromAddress": "noreply@varsel.example.org",
            "subject": "Ny melding fra $recipientName$",
            "body": "<p>Hei</p>",
            "contentType": "Html",
        },
        "smsTemplate": {"body": "Hei på deg", "senderNumber": "Varsel"},
        "links": {"self": url, "status": url + "/status"},
    }


async def test_2_4_what_is_not_set_is_left_out(world: World) -> None:
    order = await world.add_order(SMS, channel="Sms", reference=None)
    found = (await world.get(f"orders/{order}")).json()
    assert set(found) == {
        "id",
        "requestedSendTime",
        "creator",
        "created",
        "notificationChannel",
        "recipients",
        "smsTemplate",
        "links",
    }
    assert found["recipients"] == [{"mobileNumber": "+4799999999"}]


async def test_2_4_an_external_identity_is_an_empty_object(world: World) -> None:
    order = await world.add_order(
        OrderContent((Recipient(identity="urn:altinn:username:ola"),), DIRECT.email)
    )
    assert (await world.get(f"orders/{order}")).json()["recipients"] == [{}]


@pytest.mark.parametrize("kind", ["Notification", "Reminder", "Instant", "Composed"])
async def test_2_4_takes_v2_shipments_of_every_kind(world: World, kind: str) -> None:
    order = await world.add_order(kind=kind)
    for read in READS:
        assert (await world.get(f"orders/{order}{read}")).status_code == 200


async def test_2_4_after_retention_the_texts_are_gone(world: World) -> None:
    order = await world.add_order(None, state="Completed")
    found = (await world.get(f"orders/{order}")).json()
    assert found["recipients"] == []
    assert "emailTemplate" not in found
    assert (await world.get(f"orders/{order}/status")).status_code == 200


async def test_2_4_recipients_are_shown_until_they_are_forgotten_too(world: World) -> None:
    """Texts go 30 days after the end, and who was written to 60 days later."""
    content = OrderContent(
        (Recipient(email="kari@example.org", mobile="+4799999999"), Recipient(person=KARI)),
        DIRECT.email,
        SMS.sms,
        condition_endpoint="https://sender.example.org/conditions/17",
        ignore_reservation=True,
    )
    order = await world.add_order(content, state="Completed", channel="EmailAndSms")
    await world.database.execute("update orders set ended_at = $1", NOW)
    for days in (31, 91):
        world.clock.advance(timedelta(days=days))
        await Retention(world.database, world.clock, SystemMachine(), Settings()).run()
        found = (await world.get(f"orders/{order}")).json()
        assert not {"emailTemplate", "smsTemplate", "conditionEndpoint"} & set(found)
        listed = (await world.get("orders?sendersReference=ref-1")).json()
        assert listed["orders"] == [found]
        if days == 31:
            assert found["ignoreReservation"]
            assert found["recipients"] == [
                {"emailAddress": "kari@example.org", "mobileNumber": "+4799999999"},
                {"nationalIdentityNumber": KARI},
            ]
        else:
            assert found["recipients"] == []
        assert (await world.get(f"orders/{order}/status")).status_code == 200


@pytest.mark.parametrize("read", READS)
async def test_2_4_unknown_or_anothers_order_is_an_empty_404(world: World, read: str) -> None:
    theirs = await world.add_order(creator="skd")
    void = await world.add_order(state="Void")
    for order in (uuid7(), theirs, void):
        answer = await world.get(f"orders/{order}{read}")
        assert (answer.status_code, answer.content) == (404, b"")
    assert (await world.get(f"orders/{theirs}{read}", "TTD")).status_code == 404, "creators match exactly"


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "wrong", ["not-a-uuid", "email", "sms", "123", "c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e9"]
)
async def test_2_4_an_id_that_is_no_uuid_is_400(refusing: World, read: str, wrong: str) -> None:
    answer = await refusing.get(f"orders/{wrong}{read}")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"id"}


@pytest.mark.parametrize("read", READS)
async def test_1_6_validation_comes_before_the_organisation(world: World, read: str) -> None:
    order = await world.add_order()
    assert (await world.get(f"orders/not-a-uuid{read}", "")).status_code == 400
    assert (await world.get(f"orders/{order}{read}", "")).status_code == 403
    assert (await world.get(f"orders/{order}{read}", None)).status_code == 401


async def test_1_2_ids_in_any_textual_form(world: World) -> None:
    order = await world.add_order()
    for text in (str(order).upper(), order.hex, f"{{{order}}}"):
        answer = await world.get(f"orders/{text}")
        assert answer.json()["id"] == str(order)


async def test_2_5_orders_by_reference(world: World) -> None:
    mine = [
        await world.add_order(reference="Saken"),
        await world.add_order(reference="Saken", kind="Reminder"),
    ]
    await world.add_order(reference="saken")
    await world.add_order(reference="Saken", creator="skd")
    await world.add_order(reference=None)
    found = (await world.get("orders?sendersReference=Saken")).json()
    assert found["count"] == 2
    assert [order["id"] for order in found["orders"]] == [str(order) for order in mine]


@pytest.mark.parametrize(
    "query", ["sendersReference=none", "SENDERSREFERENCE=none", "sendersReference=a%00b"]
)
async def test_2_5_no_match_is_an_empty_list(world: World, query: str) -> None:
    answer = await world.get(f"orders?{query}")
    assert answer.status_code == 200
    assert answer.json() == {"count": 0, "orders": []}


@pytest.mark.parametrize("query", ["", "?sendersReference=", "?sendersReference=%20%09", "?other=1"])
async def test_2_5_a_reference_is_required(refusing: World, query: str) -> None:
    answer = await refusing.get(f"orders{query}")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"sendersReference"}


async def test_2_5_many_orders_are_listed_off_the_event_loop(world: World) -> None:
    content = OrderContent(
        tuple(Recipient(email=f"kari{number}@example.org") for number in range(1_500)), DIRECT.email
    )
    order = await world.add_order(content, reference="large")
    await world.add_order(content, reference="large")
    assert len((await world.get(f"orders/{order}")).json()["recipients"]) == 1_500
    assert (await world.get("orders?sendersReference=large")).json()["count"] == 2


async def test_2_6_a_new_order_has_no_summary(world: World) -> None:
    order = await world.add_order(state="Registered")
    found = (await world.get(f"orders/{order}/status")).json()
    assert found["processingStatus"]["status"] == "Registered"
    assert found["processingStatus"]["description"]
    assert found["processingStatus"]["lastUpdate"] == "2031-03-14T08:00:41.5Z"
    assert "notificationsStatusSummary" not in found
    assert not {"recipients", "emailTemplate", "links"} & set(found)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("Registered", "Registered"),
        ("Processing", "Processing"),
        ("Attempting", "Processing"),
        ("Processed", "Completed"),
        ("Completed", "Completed"),
        ("SendConditionNotMet", "SendConditionNotMet"),
        ("Cancelled", "Cancelled"),
    ],
)
async def test_5_50_processed_is_completed_in_v1(world: World, state: str, shown: str) -> None:
    order = await world.add_order(state=state)
    assert (await world.get(f"orders/{order}/status")).json()["processingStatus"]["status"] == shown
    told = {"Attempting": "Order_Processing"}.get(state, f"Order_{state}")
    assert (await world.get(f"future/shipment/{order}")).json()["status"] == told


async def test_2_6_and_5_51_the_summary_counts_by_channel(world: World) -> None:
    order = await world.add_order(channel="EmailAndSms")
    for position, status in enumerate(("Succeeded", "Delivered", "Failed_Bounced", "New")):
        await world.add_message(order, "Email", status=status, position=position)
    for position, status in enumerate(("Accepted", "Delivered", "Failed_TTL")):
        await world.add_message(order, "Sms", "+4799999999", status, position=position)
    found = (await world.get(f"orders/{order}/status")).json()["notificationsStatusSummary"]
    url = f"{PUBLIC}/notifications/api/v1/orders/{order}/notifications"
    assert found == {
        "email": {"links": {"self": f"{url}/email"}, "generated": 4, "succeeded": 2},
        "sms": {"links": {"self": f"{url}/sms"}, "generated": 3, "succeeded": 1},
    }
    results = (await world.get(f"orders/{order}/notifications/sms")).json()
    assert (results["generated"], results["succeeded"]) == (3, 2), "the list counts Delivered too"


async def test_2_6_a_channel_without_notifications_is_left_out(world: World) -> None:
    order = await world.add_order(SMS, channel="Sms")
    await world.add_message(order, "Sms", "+4799999999", "New")
    assert set((await world.get(f"orders/{order}/status")).json()["notificationsStatusSummary"]) == {"sms"}


async def test_2_6_the_shape_can_be_read_inside_a_transaction(world: World) -> None:
    order = await world.add_order(state="Registered")
    async with world.database.transaction() as connection:
        await connection.execute("update orders set state = 'Cancelled' where id = $1", order)
        found = await order_status(connection, order, "ttd", PUBLIC)
    assert found is not None
    assert found.processing_status.status == "Cancelled"


async def test_2_8_email_results(world: World) -> None:
    order = await world.add_order(OrderContent((Recipient(person=KARI),), DIRECT.email))
    first = await world.add_message(order, position=0)
    second = await world.add_message(
        order, address="", status="Failed_RecipientReserved", person=KARI, position=1
    )
    third = await world.add_message(order, status="Failed_TTL", organization="312345609", position=2)
    await world.add_message(order, "Sms", "+4799999999", "Delivered")
    found = (await world.get(f"orders/{order}/notifications/email")).json()
    assert (found["orderId"], found["sendersReference"]) == (str(order), "ref-1")
    assert (found["generated"], found["succeeded"]) == (3, 1)
    assert [one["id"] for one in found["notifications"]] == [str(first), str(second), str(third)]
    assert [one["succeeded"] for one in found["notifications"]] == [True, False, False]
    assert [one["recipient"] for one in found["notifications"]] == [
        {"emailAddress": "kari@example.org"},
        {"emailAddress": "", "nationalIdentityNumber": KARI},
        {"emailAddress": "kari@example.org", "organizationNumber": "312345609"},
    ]
    statuses = [one["sendStatus"]["status"] for one in found["notifications"]]
    assert statuses == ["Delivered", "Failed_RecipientReserved", "Failed"], (
        "5.52: the time to live is hidden in v1"
    )
    assert found["notifications"][0]["sendStatus"]["lastUpdate"] == "2031-03-14T08:00:41.5Z"
    assert all(one["sendStatus"]["description"] for one in found["notifications"])


async def test_2_9_sms_results(world: World) -> None:
    order = await world.add_order(SMS, channel="Sms", reference=None)
    await world.add_message(order, "Sms", "+4799999999", "Accepted")
    found = (await world.get(f"orders/{order}/notifications/sms")).json()
    assert "sendersReference" not in found
    assert found["notifications"][0]["recipient"] == {"mobileNumber": "+4799999999"}
    assert found["succeeded"] == 1


@pytest.mark.parametrize("channel", ["email", "sms"])
async def test_2_8_an_order_without_notifications_has_an_empty_list(world: World, channel: str) -> None:
    order = await world.add_order(state="Registered")
    found = (await world.get(f"orders/{order}/notifications/{channel}")).json()
    assert (found["generated"], found["succeeded"], found["notifications"]) == (0, 0, [])


async def test_2_8_ten_thousand_results(world: World) -> None:
    order = await world.add_order()
    await world.database.execute(
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, expires_at) "
        "select $1, gen_random_uuid(), 'ttd', 'Email', n, 'direct', 'k' || n || '@example.org', 'Delivered', 40, $2, $2 "
        "from generate_series(1, 10000) n",
        order,
        NOW,
    )
    found = (await world.get(f"orders/{order}/notifications/email")).json()
    assert found["succeeded"] == 10_000
    assert found["notifications"][9_999]["recipient"] == {"emailAddress": "k10000@example.org"}


async def test_every_status_has_a_description() -> None:
    from varsel.review.results import DESCRIPTIONS
    from varsel.store.order_status import DESCRIPTIONS as OF_ORDERS
    from varsel.store.states import EMAIL, ORDER_V1, SMS, v1

    assert {v1(word) for word in (*EMAIL, *SMS)} <= set(DESCRIPTIONS)
    assert set(OF_ORDERS) == set(ORDER_V1)


async def test_etags_spare_what_has_not_changed(world: World) -> None:
    order = await world.add_order(state="Registered")
    for path in (f"orders/{order}", f"orders/{order}/status", f"future/shipment/{order}"):
        first = await world.get(path)
        tag = first.headers["etag"]
        again = await world.get(path, if_none_match=tag)
        assert (again.status_code, again.content) == (304, b"")
    await world.database.execute(
        "update orders set state = 'Processed', state_at = $2 where id = $1",
        order,
        NOW + timedelta(seconds=1),
    )
    changed = await world.get(f"orders/{order}/status", if_none_match=tag)
    assert changed.status_code == 200
