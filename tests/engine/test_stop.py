"""An idle worker stops at once: nothing of it sleeps through a stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.conftest import MakeWorker


async def test_an_idle_worker_waits_for_nothing(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await make_worker()
    left: list[set[Any]] = []
    wait = asyncio.wait

    async def watched(tasks: Any, **options: Any) -> Any:
        done, pending = await wait(tasks, **options)
        left.append(pending)
        return done, pending

    monkeypatch.setattr(asyncio, "wait", watched)
    await worker.stop()
    assert left
    assert not any(left), "a task did not end by itself"
