"""Legal bodies however large, and the event loop goes on: docs/reference/notifications-api.md 1.3, 1.4."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.orders.bodies import chain, put, reminder, v1_email
from tests.contract.orders.world import BASE, CHAIN, World

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
