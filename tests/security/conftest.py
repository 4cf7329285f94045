"""A running Varsel per test, for attacks that spoil it; `tests.security.shared` has the one for all others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.security.shared import KEYS, shared_world
from tests.support.running import Endpoints, RunningWorld, close_running, open_running
from varsel.store.database import Database

__all__ = ["shared_world"]


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[RunningWorld]:
    opened = await open_running(database, tmp_path, **KEYS)
    yield opened
    await close_running(opened)


@pytest.fixture
async def api(world: RunningWorld) -> AsyncIterator[Endpoints]:
    endpoints = Endpoints(world)
    yield endpoints
    await endpoints.http.aclose()
