"""Webhooks of a creator: registration with its rules, the limit, secrets, attempts; nobody sees another's."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tests.contract.review.world import BASE, PUBLIC, World, open_world
from varsel.store.database import Database
from varsel.store.ids import uuid7

PATH = f"{BASE}/future/webhooks"
URL = "https://hooks.example.org/varsel?key=1"


async def add(world: World, creator: str = "ttd", **body: Any) -> httpx2.Response:
    return await world.client.post(PATH, json={"url": URL, **body}, headers={"x-test-creator": creator})


async def post(world: World, path: str, creator: str = "ttd") -> httpx2.Response:
    return await world.client.post(f"{PATH}/{path}", headers={"x-test-creator": creator})


async def test_registered_with_a_secret_that_is_shown_once(world: World) -> None:
    answer = await add(world)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"{PUBLIC}{PATH}/{made['id']}"  # links are absolute (1.1)
    assert made["url"] == URL
    assert made["events"] == ["order.completed", "order.condition-not-met", "order.corrected"]
    key = base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)
    assert len(key) == 32
    sealed = await world.database.fetchval("select secret from webhook")
    assert key not in sealed
    assert world.key.open(sealed) == key

    listed = (await world.get("future/webhooks")).json()
    assert listed == [{name: value for name, value in made.items() if name != "secret"}]
    assert (await world.get(f"future/webhooks/{made['id']}")).json() == listed[0]

    for path in (
        "future/webhooks",
        f"future/webhooks/{made['id']}",
        f"future/webhooks/{made['id']}/attempts",
    ):
        tag = (await world.get(path)).headers["etag"]
        assert (await world.get(path, if_none_match=tag)).status_code == 304


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "Url"),
        ({"url": None}, "Url"),
        ({"url": 7}, "Url"),
        ({"url": ""}, "Url"),
        ({"url": "hooks.example.org"}, "Url"),
        ({"url": "http://hooks.example.org/"}, "Url"),
        ({"url": "https://user:pass@hooks.example.org/"}, "Url"),
        ({"url": "https://127.0.0.1/"}, "Url"),
        ({"url": "https://[::1]/"}, "Url"),
        ({"url": "https://10.1.2.3/"}, "Url"),
        ({"url": "https://169.254.169.254/latest"}, "Url"),
        ({"url": "https://0x7f.1/"}, "Url"),
        ({"url": "https://localhost/"}, "Url"),
        ({"url": "https://hooks.example.org/" + "x" * 2000}, "Url"),
        ({"url": URL, "events": []}, "Events"),
        ({"url": URL, "events": ["order.exploded"]}, "Events"),
        ({"url": URL, "events": "order.completed"}, "Events"),
    ],
)
async def test_refused_with_the_key(world: World, body: dict[str, Any], key: str) -> None:
    answer = await world.client.post(PATH, json=body, headers={"x-test-creator": "ttd"})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [key]
    assert await world.database.fetchval("select count(*) from webhook") == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
async def test_no_registration_at_all(world: World, content: bytes) -> None:
    headers = {"x-test-creator": "ttd", "content-type": "application/json"}
    answer = await world.client.post(PATH, content=content, headers=headers)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["$"]


async def test_in_the_sandbox_they_may_lie_on_this_machine(database: Database) -> None:
    async with open_world(database, sandbox=True) as world:
        assert (await add(world, url="http://127.0.0.1:8080/hook")).status_code == 201
        assert (await add(world, url="ftp://127.0.0.1/hook")).status_code == 400


async def test_ten_for_one_creator_also_when_they_come_at_once(world: World) -> None:
    answers = await asyncio.gather(*(add(world, url=f"{URL}{number}") for number in range(14)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 4
    assert (await add(world, "skd")).status_code == 201
    first = (await world.get("future/webhooks")).json()[0]["id"]
    gone = await world.client.delete(f"{PATH}/{first}", headers={"x-test-creator": "ttd"})
    assert gone.status_code == 204
    assert (await add(world)).status_code == 201


async def test_nobody_sees_or_touches_anothers(world: World) -> None:
    made = (await add(world)).json()
    assert (await world.get("future/webhooks", creator="skd")).json() == []
    for path in (made["id"], f"{made['id']}/attempts", str(uuid7())):
        assert (await world.get(f"future/webhooks/{path}", creator="skd")).status_code == 404
    for path in (f"{made['id']}/test", f"{made['id']}/rotate"):
        assert (await post(world, path, "skd")).status_code == 404
    refused = await world.client.delete(f"{PATH}/{made['id']}", headers={"x-test-creator": "skd"})
    assert refused.status_code == 404
    assert await world.database.fetchval("select count(*) from webhook") == 1
    assert await world.database.fetchval("select count(*) from webhook_event") == 0


async def test_a_new_secret_and_the_old_one_beside_it(world: World) -> None:
    made = (await add(world)).json()
    before = await world.database.fetchval("select secret from webhook")
    rotated = (await post(world, f"{made['id']}/rotate")).json()
    assert rotated["secret"] != made["secret"]
    assert "previousSecretUntil" in rotated
    row = await world.database.fetchrow(
        "select secret, previous, previous_until - clock_timestamp() > interval '23 hours' as day from webhook"
    )
    assert row is not None
    assert row["previous"] == before
    assert row["secret"] != before
    assert row["day"]


async def test_a_test_waits_to_be_sent(world: World) -> None:
    made = (await add(world)).json()
    answer = await post(world, f"{made['id']}/test")
    assert answer.status_code == 202
    row = await world.database.fetchrow("select id, type from webhook_event")
    assert row is not None
    assert row["type"] == "webhook.test"
    assert answer.json() == {"messageId": f"message-{row['id']}"}


async def test_attempts_newest_first(world: World) -> None:
    made = (await add(world)).json()
    for number in range(3):
        await world.database.execute(
            "insert into webhook_attempt (id, webhook_id, message_id, type, status, detail, took_ms) "
            "values ($1, $2, $3, 'order.completed', $4, $5, 12)",
            uuid7(),
            UUID(made["id"]),
            f"feed-{number}",
            None if number == 1 else 200,
            "no connection" if number == 1 else "HTTP 200",
        )
    attempts = (await world.get(f"future/webhooks/{made['id']}/attempts")).json()
    assert [one["messageId"] for one in attempts] == ["feed-2", "feed-1", "feed-0"]
    assert attempts[1]["status"] is None
    assert attempts[1]["detail"] == "no connection"
    assert attempts[0]["durationMs"] == 12


async def test_without_a_creator(world: World) -> None:
    assert (await world.get("future/webhooks", creator="")).status_code == 403
