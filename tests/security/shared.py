"""One running Varsel for all attacks that leave nothing behind: a start takes longer than most attacks.

A module that imports these runs in the session's event loop: `pytestmark = pytest.mark.asyncio(loop_scope="session")`. The clock
only goes forward, and other attacks move it too: a test takes its times from `world.now`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.running import Endpoints, RunningWorld, close_running, open_running
from varsel.store.database import Database
from varsel.store.embedded import create_database, drop_database

KEYS = {"metrics_api_key": "right-key", "sms_report_user": "gateway", "sms_report_password": "secret"}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_world(
    server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningWorld]:
    name = "shared_security"
    database = await Database.open(await create_database(server_dsn, name, template), name="test")
    world = await open_running(database, tmp_path_factory.mktemp("shared"), token_rate=0, **KEYS)
    yield world
    await close_running(world)
    await database.close()
    await drop_database(server_dsn, name)


@pytest.fixture
def world(shared_world: RunningWorld) -> RunningWorld:
    shared_world.http.cookies.clear()
    return shared_world


@pytest_asyncio.fixture(loop_scope="session")
async def api(world: RunningWorld) -> AsyncIterator[Endpoints]:
    endpoints = Endpoints(world)
    yield endpoints
    await endpoints.http.aclose()
