"""kill -9 between any two steps of the way of an order (design promises 2, 5; docs/reference/delivery.md 13 no. 1, 4)."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.world import World, chaos_world
from varsel.store.embedded import create_database, drop_database

#: step -> how often it may pass before the kill.
STEPS = {
    "due.claimed": 0,
    "plan.before_commit": 0,
    "plan.committed": 0,
    "send.claimed": 0,
    "intent.before_commit": 2,
    "intent.committed": 1,
    "send.written": 2,
    "send.answered": 3,
    "outcome.before_commit": 1,
    "outcome.committed": 1,
    "report.applied": 0,
    "finish.committed": 0,
    "feed.numbered": 0,
    "settle.before_commit": 0,
}
SHORT = (
    "plan.committed",
    "intent.committed",
    "send.written",
    "outcome.before_commit",
    "report.applied",
)


#: Steps that only a worker comes to which finds what a killed one left.
AFTER = {"send.claimed": "plan.committed", "settle.before_commit": "send.written"}


async def kill_at(url: str, step: str, orders: int) -> int:
    async with chaos_world(url) as world:
        # Only e-mail is settled by sending again; an unknown SMS is held.
        await world.place(orders, texts=step != "settle.before_commit")
        if step == "settle.before_commit":
            # A notice that came first would settle it, and the step would never be reached.
            world.notices.clear()
        if step in AFTER:
            await kill_once(world, AFTER[step])
        await kill_once(world, step)
        world.notices.set()
        last = await world.start_worker()
        try:
            await world.end()
            kills = 2 if step in AFTER else 1
            unknown = await world.judge(kills)
            last.terminate()
            async with asyncio.timeout(20):
                assert await last.wait() == 0
        finally:
            if last.returncode is None:
                last.kill()
                await last.wait()
        # The killed ones may not have been noticed yet, where they held nothing; the last one has left.
        assert await world.database.fetchval("select count(*) from worker") <= kills
        return unknown


async def kill_once(world: World, step: str) -> None:
    armed = await world.start_worker(f"{step}:{STEPS[step]}")
    try:
        async with asyncio.timeout(150):
            assert await armed.wait() == -9, f"the worker stopped before {step}"
    except TimeoutError:
        raise AssertionError(f"the worker never came to {step}") from None
    finally:
        if armed.returncode is None:
            armed.kill()
            await armed.wait()


async def run_steps(server_dsn: str, template: str, steps: tuple[str, ...], orders: int) -> None:
    """Several at once: most of the time passes in waiting until a dead worker is noticed."""
    turns = asyncio.Semaphore(4)

    async def one(step: str) -> None:
        name = "chaos_" + step.replace(".", "_")
        async with turns:
            url = await create_database(server_dsn, name, template)
            try:
                counted[step] = await kill_at(url, step, orders)
            except AssertionError as error:
                raise AssertionError(f"killed at {step}: {error}") from error
            finally:
                await drop_database(server_dsn, name)

    counted: dict[str, int] = {}
    await asyncio.gather(*(one(step) for step in steps))
    print("unknown handoffs, settled by rule:", counted)  # noqa: T201 - the count that promise 5 allows, for the reader of the run


async def test_a_worker_killed_at_a_step_loses_nothing(server_dsn: str, template: str) -> None:
    await run_steps(server_dsn, template, SHORT, 20)


@pytest.mark.long
async def test_a_worker_killed_at_any_step_loses_nothing(server_dsn: str, template: str) -> None:
    await run_steps(server_dsn, template, tuple(STEPS), 150)
