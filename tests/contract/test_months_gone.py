"""What callers are told of orders whose month is gone: as of orders that never were, but their idempotency ids are taken for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.contract.composed import Composed
from tests.contract.orders.bodies import chain, instant_sms, reminder, v1_sms
from varsel.store.partitions import OF_ORDERS, month_start, monthly_name

BASE = "/notifications/api/v1"
NIN = "12839010182"


async def drop_this_month(composed: Composed) -> None:
    """As retention leaves it: orders with all that lies in their month."""
    now = month_start(datetime.now(UTC))
    for table in ("orders", *OF_ORDERS):
        # The month before and after too, should one begin just now.
        for start in (month_start(now, -1), now, month_start(now, 1)):
            await composed.database.execute(f"drop table if exists {monthly_name(table, start)}")
    for queue in ("due", "ready", "handoff", "awaiting"):
        await composed.database.execute(f"delete from {queue}")


CHAIN_BODY = chain(
    idempotencyId="case-1",
    sendersReference="gone",
    reminders=[reminder()],
    dialogportenAssociation={"dialogId": "c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e9f", "transmissionId": "t"},
)


async def receipt_of(composed: Composed, path: str, body: Any) -> Any:
    answer = await composed.ask("POST", f"{BASE}/{path}", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_repeat_gets_the_first_receipt(composed: Composed) -> None:
    bodies = {
        "future/orders": CHAIN_BODY,
        "future/orders/instant/sms": instant_sms(idempotencyId="code-1"),
    }
    receipts = {path: await receipt_of(composed, path, body) for path, body in bodies.items()}
    await drop_this_month(composed)
    for path, body in bodies.items():
        answer = await composed.ask("POST", f"{BASE}/{path}", body)
        assert (answer.status_code, answer.json()) == (200, receipts[path])
        assert "varsel-idempotency" not in answer.headers
        other = await composed.ask("POST", f"{BASE}/{path}", body | {"sendersReference": "other"})
        assert (other.status_code, other.json()) == (200, receipts[path])
        assert other.headers["varsel-idempotency"] == "body-differs"
    chain_id = receipts["future/orders"]["notificationOrderId"]
    answer = await composed.ask("GET", f"{BASE}/orders/chain/{chain_id}")
    assert (answer.status_code, answer.json()) == (200, receipts["future/orders"]), (
        "its Location goes on answering"
    )


async def test_reads_and_cancels_find_nothing(composed: Composed) -> None:
    receipt = await receipt_of(composed, "future/orders", CHAIN_BODY)
    v1 = await composed.ask("POST", f"{BASE}/orders/sms", v1_sms())
    assert v1.status_code == 202, v1.text
    main = receipt["notification"]
    await drop_this_month(composed)
    for order in (main["shipmentId"], main["reminders"][0]["shipmentId"], v1.json()["orderId"]):
        for path in (
            f"orders/{order}",
            f"orders/{order}/status",
            f"orders/{order}/notifications/email",
            f"orders/{order}/notifications/sms",
            f"future/shipment/{order}",
        ):
            assert (await composed.ask("GET", f"{BASE}/{path}")).status_code == 404, path
        assert (await composed.ask("PUT", f"{BASE}/orders/{order}/cancel")).status_code == 404
    chain_id = receipt["notificationOrderId"]
    assert (await composed.ask("PUT", f"{BASE}/orders/chain/{chain_id}/cancel")).status_code == 404
    found = await composed.ask("GET", f"{BASE}/orders?sendersReference=gone")
    assert (found.status_code, found.json()) == (200, {"count": 0, "orders": []})
    log = await composed.ask("GET", f"{BASE}/future/log?transmissionId=t")
    assert (log.status_code, log.json()) == (200, [])
    own = await composed.ask(
        "GET", f"{BASE}/future/enduser/log?dialogId=c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e9f", x_test_pid=NIN
    )
    assert (own.status_code, own.json()) == (200, [])
    search = f"{BASE}/future/dashboard/recipients/notifications"
    for path, header, number in (
        ("nin", "nationalidentitynumber", NIN),
        ("orgnumber", "organizationnumber", "312345609"),
    ):
        answer = await composed.ask("GET", f"{search}/{path}", **{header: number})
        assert (answer.status_code, answer.json()) == (200, [])


async def test_a_chain_may_be_there_in_part(composed: Composed) -> None:
    """A month ended between the ids of its members, and the older one is gone."""
    receipt = await receipt_of(composed, "future/orders", CHAIN_BODY)
    main = receipt["notification"]
    for table, key in (("order_content", "order_id"), ("due", "order_id"), ("orders", "id")):
        await composed.database.execute(f"delete from {table} where {key} = $1", main["shipmentId"])
    assert (await composed.ask("GET", f"{BASE}/future/shipment/{main['shipmentId']}")).status_code == 404
    reminder_id = main["reminders"][0]["shipmentId"]
    assert (await composed.ask("GET", f"{BASE}/future/shipment/{reminder_id}")).status_code == 200
    chain_path = f"{BASE}/orders/chain/{receipt['notificationOrderId']}"
    assert (await composed.ask("GET", chain_path)).json() == receipt
    cancelled = await composed.ask("PUT", f"{chain_path}/cancel")
    assert cancelled.status_code == 200
    assert [one["shipmentId"] for one in cancelled.json()["shipments"]] == [reminder_id]
