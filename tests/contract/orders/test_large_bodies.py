"""Legal bodies however large, and the event loop goes on: docs/reference/notifications-api.md 1.3, 1.4."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.orders.bodies import (
    chain,
    composed,
    instant_email,
    instant_sms,
    put,
    reminder,
    sms,
    v1_email,
    v1_sms,
)
from tests.contract.orders.test_2_12_to_2_14_instant import FakeSender
from tests.contract.orders.world import BASE, CHAIN, World, open_world
from varsel.delivery import forecast
from varsel.delivery.forecast import Forecaster
from varsel.delivery.window import Window
from varsel.orders import cancel, contact, drafts, routes, rules
from varsel.recipients.registers import BuiltinRegisters
from varsel.store import content as contents
from varsel.store import long_texts
from varsel.store.content import decode
from varsel.store.database import Database

EMAIL = f"{BASE}/orders/email"
E = "recipient.recipientEmail.emailSettings"


class Pulse:
    """How much CPU time of this process passed between two turns of the event loop, at most."""

    longest = 0.0


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    measured = Pulse()

    async def beat() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            # The loop's own thread: what it spent between two turns is what nobody else could be served in.
            now = time.thread_time()
            measured.longest = max(measured.longest, now - last)
            last = now

    task = asyncio.create_task(beat())
    yield measured
    task.cancel()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAIN, put(chain(), f"{E}.body", "å" * 2_000_000)),
        (CHAIN, put(chain(), f"{E}.subject", "a\r\n" * 1_000_000)),
        (CHAIN, chain(idempotencyId="x" * 5_000_000)),
        (CHAIN, chain(reminders=[reminder(sendersReference=str(number)) for number in range(3_000)])),
        (
            EMAIL,
            v1_email(recipients=[{"emailAddress": f"kari{number}@example.org"} for number in range(30_000)]),
        ),
        (
            EMAIL,
            v1_email(recipients=[{"nationalIdentityNumber": f"{number:011}"} for number in range(10_000)]),
        ),
        (EMAIL, v1_email(extra=[[number, {"x": [number]}] for number in range(100_000)])),
    ],
    ids=["text", "subject", "idempotency id", "reminders", "recipients", "persons", "unknown"],
)
async def test_the_loop_goes_on(world: World, path: str, body: Any) -> None:
    content = json.dumps(body).encode()
    async with pulse() as measured:
        answer = await world.send(path, content)
    assert answer.status in (201, 202), answer.content[:500]
    assert measured.longest < 0.05


async def test_an_answer_names_the_first_thousand_faults(refusing: World) -> None:
    answer = await refusing.send(EMAIL, v1_email(recipients=[None] * 100_000))
    assert answer.status == 400
    assert len(answer.keys) == 1000


#: Nearly 30,000,000 octets; escapes take their time, and a tenth of them shows as much.
FULL = 29_900_000
LONGEST: dict[str, Callable[[], bytes]] = {
    "plain": lambda: json.dumps(put(chain(), f"{E}.body", "a" * FULL)).encode(),
    "quotes": lambda: json.dumps(put(chain(), f"{E}.body", '"' * (FULL // 20))).encode(),
    "address": lambda: json.dumps(
        put(chain(), "recipient.recipientEmail.emailAddress", "a" * (FULL - 1000) + "@example.org")
    ).encode(),
}


@pytest.mark.parametrize("name", LONGEST)
async def test_the_longest_texts(world: World, name: str) -> None:
    """They are kept whole, in pieces that hold nobody up."""
    content = LONGEST[name]()
    async with pulse() as measured:
        answer = await world.send(CHAIN, content)
    assert answer.status == 201, answer.content[:500]
    assert measured.longest < 0.05
    stored = await world.database.fetchval("select content from order_content")
    sent = json.loads(content)["recipient"]["recipientEmail"]
    kept = decode(stored)
    assert kept.email is not None
    assert (kept.email.body, kept.recipients[0].email) == (
        sent["emailSettings"]["body"],
        sent["emailAddress"],
    )
    if name == "quotes":
        again = await world.send(CHAIN, content)
        assert (again.status, again.content) == (200, answer.content)
        assert "varsel-idempotency" not in again.headers


async def test_a_large_order_beside_small_ones(world: World) -> None:
    """In one flush, with one key that is taken: each has its own content."""
    bodies = [put(chain(idempotencyId=str(number)), f"{E}.body", str(number)) for number in range(20)]
    bodies[3] = put(bodies[3], f"{E}.body", "3" * 5_000_000)
    bodies[7] = put(bodies[7], "idempotencyId", "3")
    await world.send(CHAIN, bodies[3])
    answers = await asyncio.gather(*(world.send(CHAIN, json.dumps(body).encode()) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200, 200] + [201] * 18
    rows = await world.database.fetch("select content from order_content")
    texts = {email.body for row in rows if (email := decode(row["content"]).email) is not None}
    assert texts == {str(number) for number in range(20) if number not in (3, 7)} | {"3" * 5_000_000}


#: Shorter than it may be: the test itself reads the answer of the dry run.
TEXT = "a€" * (FULL // 16)
LONG_SMS: dict[str, tuple[str, Any]] = {
    "instant": (f"{CHAIN}/instant/sms", put(instant_sms(), "recipientSms.smsSettings.body", TEXT)),
    "chain": (CHAIN, chain(recipient=put(sms(), "recipientSms.smsSettings.body", TEXT))),
    "v1": (f"{BASE}/orders/sms", v1_sms(body=TEXT)),
}


@pytest.fixture
async def whole(database: Database) -> AsyncIterator[World]:
    """With everybody who looks at texts: a sender of instant messages, and the forecast of dry runs."""
    forecaster = Forecaster(BuiltinRegisters(database, sandbox=True), Window())
    async with open_world(database, sender=FakeSender(database), forecast=forecaster) as opened:
        yield opened


@pytest.mark.parametrize("name", LONG_SMS)
async def test_the_longest_sms_is_counted_kept_and_planned(whole: World, name: str) -> None:
    path, body = LONG_SMS[name]
    content = json.dumps(body, ensure_ascii=False).encode()
    async with pulse() as measured:
        planned = await whole.send(path, content, prefer="dry-run")
        answer = await whole.send(path, content)
    assert answer.status in (201, 202), answer.content[:500]
    assert planned.headers["varsel-warning"] == answer.headers["varsel-warning"] == "sms-truncated"
    assert measured.longest < 0.05
    [shown] = planned.json["orders"]
    assert (shown["sms"]["body"], shown["sms"]["parts"], shown["messages"][0]["parts"]) == (TEXT, 16, 16)
    kept = decode(await whole.database.fetchval("select content from order_content"))
    assert kept.sms is not None
    assert kept.sms.body == TEXT


async def test_the_longest_instant_email(whole: World) -> None:
    text = "å" * (FULL // 2)
    body = json.dumps(put(instant_email(), "recipientEmail.emailSettings.body", text), ensure_ascii=False)
    async with pulse() as measured:
        answer = await whole.send(f"{CHAIN}/instant/email", body.encode())
        again = await whole.send(f"{CHAIN}/instant/email", body.encode())
    assert (answer.status, again.status) == (201, 200), answer.content[:500]
    assert measured.longest < 0.05
    kept = decode(await whole.database.fetchval("select content from order_content"))
    assert kept.email is not None
    assert kept.email.body == text
    assert await whole.stored() | {"handoff": 0} == await whole.stored()


async def test_a_dry_run_reads_and_plans_large_texts_in_threads(
    whole: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = threading.current_thread()
    threads: dict[str, threading.Thread] = {}

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            threads[name] = threading.current_thread()
            return function(*arguments, **options)

        return run

    monkeypatch.setattr(contents, "decode", noting("decode", contents.decode))
    monkeypatch.setattr(forecast, "plan", noting("plan", forecast.plan))
    monkeypatch.setattr(long_texts, "pretty_in_slices", noting("answer", long_texts.pretty_in_slices))
    body = put(composed(), "recipient.emailSettings.body", "$recipientName$ " * 50_000)
    answer = await whole.send(f"{CHAIN}/composed-email", body, prefer="dry-run", x_composed="1")
    assert answer.status == 200, answer.content[:500]
    assert set(threads) == {"decode", "plan", "answer"}
    assert loop not in threads.values()


@pytest.mark.parametrize("kind", ["person", "address"])
async def test_only_who_needs_a_register_is_looked_up(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether anybody does is found where the body is read, which for a large one is a thread."""
    walked: list[threading.Thread] = []

    def needs(content: Any) -> bool:
        walked.append(threading.current_thread())
        return True

    monkeypatch.setattr(contact, "needs_registers", needs)
    recipient = (
        {"nationalIdentityNumber": "12839010182"}
        if kind == "person"
        else {"emailAddress": "kari@example.org"}
    )
    answer = await world.send(EMAIL, v1_email(recipients=[recipient] * 2_000))
    assert answer.status == 202
    assert ("recipientLookup" in answer.json) == (kind == "person")
    assert walked == []


async def test_many_reminders_are_judged_and_shown_in_threads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = threading.current_thread()
    threads: set[threading.Thread] = set()

    def noting(text: str) -> bool:
        threads.add(threading.current_thread())
        return judge(text)

    def laid_out(value: Any) -> bytes:
        threads.add(threading.current_thread())
        return layout(value)

    judge, layout = rules.sms_is_too_long, cancel.pretty_in_slices
    monkeypatch.setattr(drafts, "sms_is_too_long", noting)
    monkeypatch.setattr(routes, "sms_is_too_long", noting)
    monkeypatch.setattr(cancel, "pretty_in_slices", laid_out)
    body = chain(recipient=sms(), reminders=[reminder(recipient=sms()) for _ in range(2_000)])
    answer = await world.send(CHAIN, body)
    assert answer.status == 201
    order = answer.json["notificationOrderId"]
    cancelled = await world.send(f"{BASE}/orders/chain/{order}/cancel", None, method="PUT")
    assert (cancelled.status, len(cancelled.json["shipments"])) == (200, 2_001)
    assert cancelled.content.decode() == json.dumps(cancelled.json, indent=2)
    assert threads
    assert loop not in threads


@pytest.mark.parametrize(
    ("path", "body", "lists"),
    [
        (EMAIL, v1_email(recipients=[{"emailAddress": "kari@example.org"}] * 2_000), 2),
        (EMAIL, v1_email(recipients=[{"emailAddress": "kari@example.org"}] * 2_000, subject=""), 1),
        (CHAIN, chain(reminders=[reminder() for _ in range(2_000)]), 3),
    ],
    ids=["recipients", "refused", "reminders"],
)
async def test_many_structures_are_freed_in_a_thread(
    world: World, path: str, body: Any, lists: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once as read, once as stored; and in steps, for a thread that frees holds up everybody as well."""
    freed: list[int] = []

    def noting(items: list[Any]) -> None:
        assert threading.current_thread() is not loop
        freed.append(len(items))
        let_go(items)
        assert not items

    loop = threading.current_thread()
    let_go = long_texts.let_go
    monkeypatch.setattr(routes, "let_go", noting)
    answer = await world.send(path, body)
    assert answer.status == (400 if lists == 1 else 201 if path == CHAIN else 202)
    assert len(freed) == lists
    assert set(freed) <= {2_000, 2_001}
