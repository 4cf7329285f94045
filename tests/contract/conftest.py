from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.composed import Composed, open_composed
from varsel.store.database import Database


@pytest.fixture
async def composed(database: Database, database_url: str) -> AsyncIterator[Composed]:
    async with open_composed(database, database_url) as opened:
        yield opened
