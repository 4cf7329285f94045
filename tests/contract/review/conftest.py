from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.review.world import NoDatabase, World, open_world
from varsel.store.database import Database


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with open_world(database) as opened:
        yield opened


@pytest.fixture
async def refusing() -> AsyncIterator[World]:
    """A world whose database must not be touched."""
    async with open_world(NoDatabase()) as opened:
        yield opened
