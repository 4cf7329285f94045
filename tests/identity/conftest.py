"""One identity room per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.identity import World, close_world, open_world
from varsel.store.database import Database


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    opened = await open_world(database, tmp_path)
    yield opened
    await close_world(opened)
