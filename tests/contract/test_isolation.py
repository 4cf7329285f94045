"""One creator never sees or touches what is another's: every endpoint of the table, one case each (1.8.3).

A new endpoint without a case fails `test_each_endpoint_has_a_case`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.contract.composed import NOW, Composed
from varsel.cli.description import ENDPOINTS
from varsel.orders import examples
from varsel.runtime.endpoints import Endpoint
from varsel.store.ids import uuid7

ROWS = {row.operation: row for row in ENDPOINTS}
OWNER = "ttd"
#: Names that must not count as the owner's: another, another spelling, a part, the owner's with something after it.
STRANGERS = ("skd", "TTD", "tt", "ttd2", "ttd ")

Case = Callable[[Composed], Awaitable[None]]
CASES: dict[str, Case] = {}

#: Operations that show or change nothing that belongs to one creator, and why.
NOBODYS = {
    "get_health": "no credential, no data",
    "get_readiness": "no credential, no data",
    "get_condition": "answers its own parameter",
    "sms_reports": "the gateway's, by its own credential; which message a report is of goes by the gateway's reference",
    "email_reports": "the provider's, by its own credential",
    "email_handshake": "the provider's, by its own credential; no data",
    "get_daily_sms": "the operator's, by its own key: all creators",
    "get_daily_email": "the operator's, by its own key: all creators",
    "get_figures_form": "the operator's, internal",
    "get_figures": "the operator's, internal: all creators",
    "process_due": "internal, no data",
    "wake_email": "internal, no data",
    "wake_sms": "internal, no data",
    "wake_sms_daytime": "internal, no data",
    "wake_sms_anytime": "internal, no data",
    "end_expired": "internal, no data",
    "delete_old_feed": "internal, all creators",
    "send_internal_sms": "internal; such messages belong to no creator",
    "send_internal_email": "internal; such messages belong to no creator",
    "search_person": "support sees all creators, under a scope of its own",
    "search_organization": "support sees all creators, under a scope of its own",
    "get_person_log": "the person's: all creators that wrote to the person",
    "get_messages": "the sandbox's inbox",
    "delete_messages": "the sandbox's inbox",
    "get_file_address": "the sandbox's blob host",
}


def case(operation: str) -> Callable[[Case], Case]:
    def keep(found: Case) -> Case:
        assert operation not in CASES
        CASES[operation] = found
        return found

    return keep


def test_each_endpoint_has_a_case():
    assert sorted([*CASES, *NOBODYS]) == sorted(ROWS), "say what a second creator gets"


def example(operation: str) -> dict[str, Any]:
    """A fresh copy of the request in the description."""
    return dict(json.loads(json.dumps(ROWS[operation].examples["request"])))


async def placed(world: Composed, creator: str = OWNER) -> dict[str, Any]:
    """The receipt of a chain."""
    answer = await world.ask("POST", ROWS["create_chain"].path, example("create_chain"), creator)
    assert answer.status_code == 201
    return dict(answer.json())


def without_trace(answer: httpx2.Response) -> tuple[int, Any]:
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("traceId", None)
    return answer.status_code, body


async def hidden(world: Composed, row: Endpoint, owned: str, status: int) -> None:
    """What is another's cannot be told from what is missing, and the owner's stays as it is."""
    for stranger in STRANGERS:
        foreign = await world.ask(row.method, row.path.format(id=owned), None, stranger)
        missing = await world.ask(row.method, row.path.format(id=uuid4()), None, stranger)
        assert without_trace(foreign) == without_trace(missing)
        assert foreign.status_code == 404
    mine = await world.ask(row.method, row.path.format(id=owned), None, OWNER)
    assert mine.status_code == status


def hidden_order(operation: str, which: Callable[[dict[str, Any]], str]) -> None:
    @case(operation)
    async def _(world: Composed) -> None:
        await hidden(world, ROWS[operation], which(await placed(world)), 200)


def _shipment(receipt: dict[str, Any]) -> str:
    return str(receipt["notification"]["shipmentId"])


def _chain(receipt: dict[str, Any]) -> str:
    return str(receipt["notificationOrderId"])


for _name in (
    "get_order",
    "get_order_status",
    "get_email_results",
    "get_sms_results",
    "get_shipment",
    "cancel_order",
):
    hidden_order(_name, _shipment)
for _name in ("get_chain", "cancel_chain"):
    hidden_order(_name, _chain)


def own_keys(operation: str) -> None:
    """An idempotency id is the creator's own: the same id from another makes another order."""

    @case(operation)
    async def _(world: Composed) -> None:
        row, body = ROWS[operation], example(operation)
        first = await world.ask("POST", row.path, body)
        assert first.status_code == 201
        seen = {first.content}
        for stranger in STRANGERS[:-1]:
            theirs = await world.ask("POST", row.path, body, stranger)
            assert (theirs.status_code, theirs.headers.get("varsel-idempotency")) == (201, None)
            seen.add(theirs.content)
        assert len(seen) == len(STRANGERS)
        again = await world.ask("POST", row.path, body)
        assert (again.status_code, again.content) == (200, first.content)


for _name in (
    "create_chain",
    "create_composed",
    "create_instant_sms",
    "create_instant_email",
    "create_wrapped_instant_sms",
):
    own_keys(_name)


def own_order(operation: str) -> None:
    """A new order is its creator's alone."""

    @case(operation)
    async def _(world: Composed) -> None:
        answer = await world.ask("POST", ROWS[operation].path, example(operation))
        assert answer.status_code == 202
        for name in ("get_order", "get_order_status", "get_shipment"):
            await hidden(world, ROWS[name], answer.json()["orderId"], 200)


for _name in ("create_email_order", "create_sms_order", "create_channel_order"):
    own_order(_name)


@case("get_orders")
async def _(world: Composed) -> None:
    path = f"{ROWS['get_orders'].path}?sendersReference=case-2031-0042"
    mine, theirs = await placed(world), await placed(world, "skd")
    for creator, receipt in ((OWNER, mine), ("skd", theirs)):
        found = (await world.ask("GET", path, None, creator)).json()
        assert [order["id"] for order in found["orders"]] == [_shipment(receipt)]
        assert {order["creator"] for order in found["orders"]} == {creator}
    for stranger in STRANGERS[1:]:
        assert (await world.ask("GET", path, None, stranger)).json() == {"count": 0, "orders": []}


@case("get_feed")
async def _(world: Composed) -> None:
    for creator in (OWNER, "skd"):
        receipt = await placed(world, creator)
        entry = ',\n    "shipmentId": "%s",\n    "recipients": [],\n    "status": "Order_Completed",\n    "lastUpdate": "2031-03-14T08:00:41.5Z"\n  }'
        await world.database.execute(
            "insert into feed (creator, seq, order_id, entry, created_at) "
            "select $1, coalesce(max(seq), 0) + 1, $2, $3, $4 from feed",
            creator,
            _shipment(receipt),
            (entry % _shipment(receipt)).encode(),
            NOW,
        )
    path = ROWS["get_feed"].path
    found = {}
    for order in ("asc", "desc"):
        for creator in (OWNER, "skd"):
            page = (await world.ask("GET", f"{path}?seq=0&orderBy={order}", None, creator)).json()
            assert len(page) == 1
            found[order, creator] = page[0]["shipmentId"]
    assert found["asc", OWNER] == found["desc", OWNER] != found["asc", "skd"] == found["desc", "skd"]
    for stranger in STRANGERS[1:]:
        assert (await world.ask("GET", path, None, stranger)).json() == []


@case("get_log")
async def _(world: Composed) -> None:
    dialog = str(uuid4())
    for creator in (OWNER, "skd"):
        await world.database.execute(
            "insert into notification_log (order_id, notification_id, creator, dialog_id, kind, channel, recipient_kind, destination, "
            "status, requested_at, updated_at) values ($1, $2, $3, $4, 'Notification', 'Email', 'direct', $5, 'Delivered', $6, $6)",
            uuid7(),
            uuid7(),
            creator,
            dialog,
            f"{creator}@example.org",
            NOW - timedelta(days=1),
        )
    path = f"{ROWS['get_log'].path}?dialogId={dialog}"
    for creator in (OWNER, "skd"):
        lines = (await world.ask("GET", path, None, creator)).json()
        assert [line["destination"] for line in lines] == [f"{creator}@example.org"]
    for stranger in STRANGERS[1:]:
        assert (await world.ask("GET", path, None, stranger)).json() == []


async def registered(world: Composed, creator: str = OWNER) -> str:
    answer = await world.ask("POST", ROWS["add_webhook"].path, example("add_webhook"), creator)
    assert answer.status_code == 201
    return str(answer.json()["id"])


@case("add_webhook")
async def _(world: Composed) -> None:
    """The number of webhooks is counted for each creator."""
    for _ in range(10):
        await registered(world)
    full = await world.ask("POST", ROWS["add_webhook"].path, example("add_webhook"))
    assert full.status_code == 409
    theirs = await registered(world, "skd")
    assert theirs


@case("get_webhooks")
async def _(world: Composed) -> None:
    mine, theirs = await registered(world), await registered(world, "skd")
    for creator, expected in ((OWNER, [mine]), ("skd", [theirs]), ("TTD", []), ("tt", [])):
        found = (await world.ask("GET", ROWS["get_webhooks"].path, None, creator)).json()
        assert [one["id"] for one in found] == expected


def hidden_webhook(operation: str, status: int) -> None:
    @case(operation)
    async def _(world: Composed) -> None:
        await hidden(world, ROWS[operation], await registered(world), status)


for _name, _status in (
    ("get_webhook", 200),
    ("get_webhook_attempts", 200),
    ("rotate_webhook", 200),
    ("test_webhook", 202),
    ("delete_webhook", 204),
):
    hidden_webhook(_name, _status)


@pytest.mark.parametrize("operation", sorted(CASES), ids=str)
async def test_a_second_creator(operation: str, composed: Composed):
    await CASES[operation](composed)
    assert any(name == operation for name, _ in composed.api.seen), "the case did not call its endpoint"


async def test_a_dry_run_tells_nothing_of_another_creators_key(composed: Composed):
    await placed(composed)
    row = ROWS["create_chain"]
    answer = await composed.ask("POST", row.path, example("create_chain"), "skd", prefer="dry-run")
    fresh = await composed.ask(
        "POST", row.path, example("create_chain") | {"idempotencyId": "unused"}, "skd", prefer="dry-run"
    )
    assert without_trace(answer) == without_trace(fresh)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "name", [name for name, value in vars(examples).items() if isinstance(value, dict) and "request" in value]
)
async def test_the_examples_of_the_description_are_accepted(name: str, composed: Composed):
    given = getattr(examples, name)
    [row] = [row for row in ENDPOINTS if row.examples is given]
    answer = await composed.ask(row.method, row.path, given["request"])
    good = [status for status in row.responses if status < 300]
    # Where there is another, 200 is a repeat or a dry run.
    assert answer.status_code == min(good, key=lambda status: (status == 200, status))
