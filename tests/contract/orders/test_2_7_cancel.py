"""Cancelling: docs/reference/notifications-api.md 2.7 as docs/design.md section 6 moves its limit; and the chain's own endpoints."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.contract.orders.bodies import chain, reminder, v1_sms
from tests.contract.orders.world import BASE, CHAIN, NOW, PUBLIC, World
from varsel.store.ids import uuid7


async def accepted(world: World, reminders: int = 0) -> tuple[str, list[str]]:
    """Chain id and shipment ids of a fresh order."""
    body = chain(
        idempotencyId=str(uuid4()), sendersReference="main", reminders=[reminder() for _ in range(reminders)]
    )
    receipt = (await world.send(CHAIN, body)).json
    main = receipt["notification"]
    return receipt["notificationOrderId"], [
        main["shipmentId"],
        *(each["shipmentId"] for each in main.get("reminders", ())),
    ]


async def plan(world: World, shipment: str, *, sent: bool) -> None:
    """As the worker leaves it: a message that waits, or one that has been handed over."""
    notification = uuid7()
    await world.database.execute("delete from due where order_id = $1", shipment)
    await world.database.execute(
        "update orders set state = 'Processed', remaining = 1 where id = $1", shipment
    )
    await world.database.execute(
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, expires_at) "
        "values ($1, $2, 'ttd', 'Email', 0, 'direct', 'kari@example.org', 'New', 0, $3, $3)",
        shipment, notification, NOW,
    )  # fmt: skip
    if sent:
        await world.database.execute(
            "insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker) "
            "values ($1, $2, $3, 'ttd', 'Email', 'smtp', 1, 1, $4, $1)",
            uuid7(), notification, shipment, NOW,
        )  # fmt: skip
    else:
        await world.database.execute(
            "insert into ready (notification_id, order_id, creator, channel, ready_at, expires_at) values ($1, $2, 'ttd', 'Email', $3, $3)",
            notification, shipment, NOW,
        )  # fmt: skip


def cancel_path(identifier: str | UUID) -> str:
    return f"{BASE}/orders/{identifier}/cancel"


async def test_a_registered_order(world: World) -> None:
    _, [shipment, later] = await accepted(world, reminders=1)
    answer = await world.send(cancel_path(shipment), None, method="PUT")
    assert answer.status == 200
    status = answer.json
    assert (status["id"], status["processingStatus"]["status"]) == (shipment, "Cancelled")
    assert "notificationsStatusSummary" not in status
    again = await world.send(cancel_path(shipment.upper()), None, method="PUT")
    assert (again.status, again.json) == (200, status)
    # Item 49: its reminders stay, and the feed tells nothing.
    assert await world.database.fetchval("select state from orders where id = $1", later) == "Registered"
    assert [row[0] for row in await world.database.fetch("select order_id::text from due")] == [later]
    assert await world.database.fetchval("select count(*) from feed_pending") == 0


async def test_a_v1_order(world: World) -> None:
    order = (await world.send(f"{BASE}/orders/sms", v1_sms())).json["orderId"]
    assert (await world.send(cancel_path(order), None, method="PUT")).json["processingStatus"][
        "status"
    ] == "Cancelled"


async def test_a_planned_order_before_its_handoff(world: World) -> None:
    _, [shipment] = await accepted(world)
    await plan(world, shipment, sent=False)
    answer = await world.send(cancel_path(shipment), None, method="PUT")
    assert answer.json["processingStatus"]["status"] == "Cancelled"
    assert "notificationsStatusSummary" not in answer.json
    for table in ("ready", "notification", "due"):
        assert await world.database.fetchval(f"select count(*) from {table}") == 0


async def test_an_order_that_is_leaving(world: World) -> None:
    _, [shipment] = await accepted(world)
    await plan(world, shipment, sent=True)
    answer = await world.send(cancel_path(shipment), None, method="PUT")
    assert (answer.status, answer.json["title"]) == (409, "Conflict")
    assert await world.database.fetchval("select state from orders") == "Processed"
    assert await world.database.fetchval("select count(*) from notification") == 1


@pytest.mark.parametrize("state", ["Completed", "SendConditionNotMet", "Attempting"])
async def test_an_order_that_has_ended(world: World, state: str) -> None:
    _, [shipment] = await accepted(world)
    await world.database.execute("update orders set state = $1", state)
    assert (await world.send(cancel_path(shipment), None, method="PUT")).status == 409


async def test_nobody_elses(world: World) -> None:
    chain_id, [shipment] = await accepted(world)
    for path in (
        cancel_path(shipment),
        cancel_path(uuid7()),
        cancel_path(f"chain/{chain_id}"),
        cancel_path(f"chain/{uuid7()}"),
    ):
        answer = await world.send(path, None, method="PUT", creator="skd")
        assert (answer.status, answer.json["title"]) == (404, "Not Found")
    assert await world.database.fetchval("select state from orders") == "Registered"


@pytest.mark.parametrize("path", [cancel_path("17"), cancel_path("chain/17")])
async def test_not_a_uuid(world: World, path: str) -> None:
    answer = await world.send(path, None, method="PUT")
    assert (answer.status, answer.keys) == (400, {"id"})


@pytest.mark.parametrize("path", [cancel_path(UUID(int=1)), cancel_path(f"chain/{UUID(int=1)}")])
async def test_no_organisation(world: World, path: str) -> None:
    answer = await world.send(path, None, method="PUT", creator="-")
    assert (answer.status, answer.content) == (403, b"")


async def test_a_whole_chain(world: World) -> None:
    chain_id, shipments = await accepted(world, reminders=2)
    await plan(world, shipments[0], sent=True)
    answer = await world.send(cancel_path(f"chain/{chain_id}"), None, method="PUT")
    assert answer.status == 200
    assert answer.json == {
        "notificationOrderId": chain_id,
        "shipments": [
            {"shipmentId": shipments[0], "status": "Order_Processed", "sendersReference": "main"},
            {"shipmentId": shipments[1], "status": "Order_Cancelled"},
            {"shipmentId": shipments[2], "status": "Order_Cancelled"},
        ],
    }
    assert (await world.send(cancel_path(f"chain/{chain_id}"), None, method="PUT")).json == answer.json


async def test_a_chain_that_has_left(world: World) -> None:
    chain_id, [shipment] = await accepted(world)
    await plan(world, shipment, sent=True)
    assert (await world.send(cancel_path(f"chain/{chain_id}"), None, method="PUT")).status == 409


async def test_the_location_of_an_order_leads_to_its_receipt(world: World) -> None:
    answer = await world.send(CHAIN, chain(reminders=[reminder()]))
    location = answer.headers["location"].removeprefix(PUBLIC)
    found = await world.send(location, None, method="GET")
    assert (found.status, found.content) == (200, answer.content)
    other = await world.send(location, None, method="GET", creator="skd")
    assert (other.status, other.content) == (404, b"")
    assert (await world.send(f"{BASE}/orders/chain/x", None, method="GET")).keys == {"id"}
