"""Ending tasks of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from varsel.runtime import tasks
from varsel.runtime.tasks import end


async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "_AGAIN", 0.0)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end(task)
    assert task.cancelled()


async def test_what_a_task_failed_with_stays_in_it() -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    task = asyncio.create_task(broken())
    await asyncio.wait({task})
    await end(task, None)
    with pytest.raises(RuntimeError):
        await task


async def test_nothing_to_end_is_no_wait() -> None:
    await end()
    await end(None)
