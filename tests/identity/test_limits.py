"""Budgets over several processes (docs/reference/identity.md 2.9, 12.3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.support.identity import START, World, close_world, open_world
from varsel.identity.limits import RateLimiter
from varsel.runtime.clock import ManualClock
from varsel.store.database import Database


async def test_two_processes_share_one_budget(database: Database) -> None:
    clock = ManualClock(START)
    limiters = [RateLimiter(database, clock) for _ in range(2)]
    answers = await asyncio.gather(*(limiters[number % 2].take("s", 100) for number in range(300)))
    # A process may sit on the rest of a portion (a twentieth) that the other would have used; nobody overruns.
    assert 95 <= sum(answer is None for answer in answers) <= 100
    assert {answer for answer in answers if answer is not None} == {60}
    clock.advance(timedelta(seconds=60))
    assert await limiters[0].take("s", 100) is None


async def test_small_budgets_are_exact(database: Database) -> None:
    limiter = RateLimiter(database, ManualClock(START))
    assert [await limiter.take("s", 3) is None for _ in range(5)] == [True, True, True, False, False]
    assert await limiter.take("other", 3) is None
    assert await limiter.take("s", 0) is None


async def test_too_many_token_requests(database: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    world: World = await open_world(database, tmp_path, token_rate=2)
    answers = [await world.token_request("x") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert (
        answers[2].json()["error"] == "temporarily_unavailable"
        and 1 <= int(answers[2].headers["retry-after"]) <= 60
    )
    await close_world(world)
