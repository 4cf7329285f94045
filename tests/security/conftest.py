"""A running identity room, the API's router in front of its authorizer, and forged tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.identity import Endpoints, World, close_world, open_world
from varsel.store.database import Database


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    opened = await open_world(
        database,
        tmp_path,
        metrics_api_key="right-key",
        sms_report_user="gateway",
        sms_report_password="secret",
    )
    yield opened
    await close_world(opened)


@pytest.fixture
async def api(world: World) -> AsyncIterator[Endpoints]:
    endpoints = Endpoints(world)
    yield endpoints
    await endpoints.http.aclose()
