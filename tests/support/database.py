"""A fresh, migrated database for each test that asks for one.

One embedded server per pytest process (xdist worker), started when first needed; databases are copied from a migrated template.
The server does not sync to disk: what survives a power cut is the chaos suite's matter, which starts servers of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from varsel.store.database import Database
from varsel.store.embedded import EmbeddedServer, create_database, discard_cluster, drop_database
from varsel.store.migrations import migrate

_numbers = itertools.count(1)
TEMPLATE = "varsel_template"


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """The dsn of this process's server; its database `varsel` is empty."""
    # Not pytest's own folders: they are closed to the account that PostgreSQL runs as when the suite runs as root.
    folder = Path(tempfile.mkdtemp(prefix="varsel-tests-"))
    folder.chmod(0o711)
    server = EmbeddedServer(
        folder / "data",
        extra_settings={
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        },
    )
    # One loop of its own for start and stop: the server's child belongs to the loop that made it.
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server.dsn
        runner.run(server.stop())
    discard_cluster(folder / "data")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(server_dsn: str) -> str:
    """The name of a migrated database that others are copied from."""

    async def make() -> None:
        await migrate(await create_database(server_dsn, TEMPLATE))

    asyncio.run(make())
    return TEMPLATE


@pytest.fixture
async def empty_database_url(server_dsn: str) -> AsyncIterator[str]:
    """A database without a schema."""
    name = f"empty_{next(_numbers)}"
    yield await create_database(server_dsn, name)
    await drop_database(server_dsn, name)


@pytest.fixture
async def database_url(server_dsn: str, template: str) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    name = f"test_{next(_numbers)}"
    yield await create_database(server_dsn, name, template)
    await drop_database(server_dsn, name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's own database, opened."""
    opened = await Database.open(database_url, name="test")
    yield opened
    await opened.close()
