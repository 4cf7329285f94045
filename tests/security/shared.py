"""One room for a whole module, for attacks that leave nothing behind: making a database takes longer than most attacks.

A module that imports these runs in one event loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.identity import Endpoints, World, close_world, open_world
from varsel.store.database import Database
from varsel.store.embedded import create_database, drop_database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world(
    server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    name = "shared_" + str(request.module.__name__).rpartition(".")[2]
    database = await Database.open(await create_database(server_dsn, name, template), name="test")
    world = await open_world(
        database,
        tmp_path_factory.mktemp("shared"),
        metrics_api_key="right-key",
        sms_report_user="gateway",
        sms_report_password="secret",
        token_rate=0,
    )
    yield world
    await close_world(world)
    await database.close()
    await drop_database(server_dsn, name)


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.http.cookies.clear()
    return shared_world


@pytest_asyncio.fixture(loop_scope="module")
async def api(world: World) -> AsyncIterator[Endpoints]:
    endpoints = Endpoints(world)
    yield endpoints
    await endpoints.http.aclose()
