"""The internal send endpoints: docs/reference/notifications-api.md 2.26.2, 2.27.1 and rows 34 and 36 of 1.9."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.composed import Composed
from tests.contract.orders.bodies import ABSENT, put
from tests.contract.orders.test_2_12_to_2_14_instant import FakeSender
from tests.contract.orders.world import NOW, World, open_world
from tests.support.polling import until
from varsel.orders import examples
from varsel.store.database import Database

SMS, EMAIL = "/notifications/sms/api/v1/instantmessage/send", "/notifications/email/api/v1/instantemail"
GOOD: dict[str, dict[str, Any]] = {
    SMS: examples.INTERNAL_SMS["request"],
    EMAIL: examples.INTERNAL_EMAIL["request"],
}
DONE = {SMS: 200, EMAIL: 202}
NAME = "request"
TEXTS = {SMS: ("sender", "recipient", "message"), EMAIL: ("sender", "recipient", "subject", "body")}

ROWS: list[tuple[str, str, Any, set[str]]] = [
    *((path, "no body", b"", {"", NAME}) for path in GOOD),
    *((path, "null", b"null", {"", NAME}) for path in GOOD),
    *((path, "not JSON", b"{oops}", {"$", NAME}) for path in GOOD),
    *((path, f"{name} missing", (name, ABSENT), {"$", NAME}) for path in GOOD for name in GOOD[path]),
    *((path, f"{name} {value!r}", (name, value), {name.capitalize()}) for path in GOOD for name in TEXTS[path] for value in (None, "", " \t")),
    *((path, f"{name} a number", (name, 7), {f"$.{name}", NAME}) for path in GOOD for name in TEXTS[path]),
    *((path, f"{name} with NUL", (name, "a@b\x00"), {name.capitalize()}) for path in GOOD for name in TEXTS[path]),
    *((path, f"{name} half a pair", (name, "a@\ud800"), {name.capitalize()}) for path in GOOD for name in TEXTS[path]),
    *((path, f"notificationId {value!r}", ("notificationId", value), {"$.notificationId", NAME})
      for path in GOOD for value in (None, "", 7, "9c0f6ef23f694b34b5a157e2c7a7d3b4", "{9c0f6ef2-3f69-4b34-b5a1-57e2c7a7d3b4}", "9c0f6ef2-3f69-4b34-b5a1-57e2c7a7d3b4\n")),
    *((SMS, f"timeToLive {value}", ("timeToLive", value), {"TimeToLive"}) for value in (0, -1, 172_801)),
    *((SMS, f"timeToLive {value!r}", ("timeToLive", value), {"$.timeToLive", NAME}) for value in (None, 1.5, "x", 2**31)),
    *((EMAIL, f"recipient {value!r}", ("recipient", value), {"Recipient"}) for value in ("kari", "@example.org", "kari@", "a@b@c")),
    *((EMAIL, f"contentType {value!r}", ("contentType", value), {"$.contentType", NAME}) for value in (None, "Markdown")),
    (EMAIL, "contentType 7", ("contentType", 7), {"ContentType"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "keys"),
    [(row[0], *row[2:]) for row in ROWS],
    ids=[f"{'sms' if row[0] == SMS else 'email'}: {row[1]}" for row in ROWS],
)
async def test_a_wrong_request_is_refused_with_its_keys(
    refusing: World, path: str, change: Any, keys: set[str]
) -> None:
    answer = await refusing.send(path, put(GOOD[path], *change) if isinstance(change, tuple) else change)
    assert answer.status == 400, answer.content
    assert answer.keys == keys
    assert b"\n" not in answer.content, "problems of these services are not indented"
    assert b'":"' in answer.content


@pytest.mark.parametrize("path", GOOD)
async def test_content_types(refusing: World, path: str) -> None:
    wrong = await refusing.send(path, GOOD[path], content_type="text/plain")
    assert (wrong.status, wrong.content) == (415, b"")
    missing = await refusing.send(path, GOOD[path], content_type="")
    assert (missing.status, missing.json["title"]) == (415, "Unsupported Media Type")
    assert (await refusing.send(path, None, method="GET")).status == 405


@pytest.fixture
async def sender(database: Database) -> FakeSender:
    return FakeSender(database)


@pytest.fixture
async def world(database: Database, sender: FakeSender) -> AsyncIterator[World]:
    async with open_world(database, sender=sender) as opened:
        yield opened


@pytest.mark.parametrize("path", GOOD)
async def test_sent_once(world: World, sender: FakeSender, path: str) -> None:
    answer = await world.send(path, GOOD[path])
    assert (answer.status, answer.content) == (DONE[path], b"")
    [message] = sender.sent
    assert message["address"] == GOOD[path]["recipient"]
    life = timedelta(hours=48) if path == EMAIL else timedelta(seconds=360)
    assert message["expires_at"] == NOW + life
    text = message["content"].email or message["content"].sms
    assert (text.sender, text.body) == (GOOD[path]["sender"], GOOD[path].get("message") or GOOD[path]["body"])
    # In another spelling: the id is the same.
    again = await world.send(path, GOOD[path] | {"notificationId": GOOD[path]["notificationId"].upper()})
    assert (again.status, again.content) == (DONE[path], b"")
    assert len(sender.sent) == 1
    row = await world.database.fetchrow("select * from orders")
    assert row is not None
    assert (row["senders_reference"], row["kind"]) == (GOOD[path]["notificationId"], "Instant")


async def test_texts_in_any_case_and_form(world: World, sender: FakeSender) -> None:
    body = {name.upper(): value for name, value in GOOD[EMAIL].items()} | {"CONTENTTYPE": "html", "more": []}
    assert (await world.send(EMAIL, body)).status == 202
    assert (await world.send(SMS, GOOD[SMS] | {"timeToLive": "60", "recipient": "anything"})).status == 200
    email, sms = (message["content"] for message in sender.sent)
    assert email.email.html
    assert (sms.time_to_live, sms.recipients[0].mobile) == (60, "anything")


@pytest.mark.parametrize(("path", "title"), [(SMS, "Invalid SMS request"), (EMAIL, "Invalid email request")])
@pytest.mark.parametrize("available", [True, False], ids=["refused", "no provider"])
async def test_what_cannot_be_processed(
    world: World, sender: FakeSender, path: str, title: str, available: bool
) -> None:
    sender.available, sender.answers = available, [False]
    answer = await world.send(path, GOOD[path])
    assert (answer.status, answer.json["title"], answer.json["status"]) == (400, title, 400)
    assert b"\n" not in answer.content
    assert (await world.stored())["idempotency"] == 0
    sender.available = True
    sender.answers = []
    assert (await world.send(path, GOOD[path])).status == DONE[path]


async def test_the_services_have_ids_apart(world: World, sender: FakeSender) -> None:
    one = GOOD[SMS]["notificationId"]
    assert (await world.send(SMS, GOOD[SMS])).status == 200
    assert (await world.send(EMAIL, GOOD[EMAIL] | {"notificationId": one})).status == 202
    assert len(sender.sent) == 2


async def test_a_caller_who_leaves(world: World, sender: FakeSender) -> None:
    """499 for whoever stands between; the message goes its way."""
    sender.gate.clear()
    request = asyncio.create_task(leave(world, sender))
    await until(lambda: len(sender.sent) == 1)
    answer = await request
    assert answer["status"] == 499
    assert answer["body"]["title"] == "Request terminated"
    sender.gate.set()
    await world.room.close()
    assert await world.database.fetchval("select state from orders") == "Processed"


async def leave(world: World, sender: FakeSender) -> dict[str, Any]:
    """One request whose connection ends as soon as the message is under way."""
    answered: dict[str, Any] = {}
    asked = iter([{"type": "http.request", "body": json.dumps(GOOD[SMS]).encode(), "more_body": False}])

    async def receive() -> dict[str, Any]:
        with contextlib.suppress(StopIteration):
            return next(asked)
        await until(lambda: len(sender.sent) == 1)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered["status"] = message["status"]
        else:
            answered["body"] = json.loads(message["body"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": SMS,
        "raw_path": SMS.encode(),
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"1"),
            (b"x-creator", b"ttd"),
        ],
    }
    await world.app(scope, receive, send)
    return answered


async def test_no_creator_sees_them(composed: Composed) -> None:
    for path, body in GOOD.items():
        assert (await composed.ask("POST", path, body, None)).status_code == DONE[path]
        reference = body["notificationId"]
        found = await composed.ask(
            "GET", f"/notifications/api/v1/orders?sendersReference={reference}", None, "ttd"
        )
        assert found.json()["count"] == 0
    accepted = await composed.database.fetch("select outcome from attempt")
    assert [row["outcome"] for row in accepted] == ["accepted", "accepted"]
