"""One installation per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.console.driving import browsing
from tests.console.visiting import Browser, Site, close_site, open_site
from varsel.store.database import Database


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Any]:
    async with browsing() as browser:
        yield browser


@pytest.fixture
async def site(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    # Attacks run over TCP against a listening server; what a page says is the same in memory, and quicker.
    opened = await open_site(database, tmp_path, listens="attack" in request.node.name)
    yield opened
    await close_site(opened)


@pytest.fixture
async def kari(site: Site) -> AsyncIterator[Browser]:
    """Kari is logged in; she acts for every organisation of the sandbox."""
    async with site.browser() as browser:
        await browser.log_in()
        yield browser
