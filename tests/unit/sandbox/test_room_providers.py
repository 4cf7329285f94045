"""The sandbox's simulator of a REST provider and its blob host, opened as composition opens them."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.polling import until
from tests.unit.channels.conformance import Engine, email
from tests.unit.channels.test_smtp import free_port
from varsel.channels.model import Accepted, Attachment
from varsel.channels.registry import open_channels
from varsel.orders.urls import judge_file_url
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import ANONYMOUS, Call
from varsel.runtime.settings import Settings
from varsel.runtime.trace import Trace
from varsel.sandbox.room import ACS_KEY, EMAIL_REPORTS, PortTaken, SandboxRoom, with_report_credentials
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

from .test_room_messages import NOW

KEY = MasterKey(bytes(32))


def call(path: str, **params: str) -> Call:
    async def never() -> None:
        await asyncio.Event().wait()

    return Call("GET", path, params, b"", {}, b"", ANONYMOUS, Trace(), {}, never)


@pytest.fixture
async def reports() -> AsyncIterator[tuple[int, list[Any]]]:
    """Stands for Varsel's own port: what is posted to the report endpoint."""
    posted: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        posted.append((request.query.get("code"), await request.json()))
        return web.Response()

    application = web.Application()
    application.router.add_post(EMAIL_REPORTS, take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], posted
    await runner.cleanup()


async def opened(database: Database, folder: Path, **settings: Any) -> tuple[SandboxRoom, Settings]:
    given = with_report_credentials(Settings(smtp_inbox_port=0, **settings), KEY)
    room = await SandboxRoom.open(given, database, ManualClock(NOW), ManualClock(NOW), folder=folder)
    return room, room.with_providers(given)


async def test_mail_through_the_simulated_provider(
    database: Database, tmp_path: Path, reports: tuple[int, list[Any]]
) -> None:
    port, posted = reports
    room, settings = await opened(database, tmp_path, acs_port=free_port(), port=port)
    assert stat.S_IMODE((tmp_path / ACS_KEY).stat().st_mode) == 0o600
    [channel] = open_channels(settings.email_url, "", lambda: NOW)
    assert channel.name.startswith("acs:127.0.0.1:")
    message = email(
        "kari@example.org",
        body="<p>Hei</p>",
        html=True,
        attachments=(Attachment("a.pdf", "application/pdf", b"%PDF-"),),
    )
    engine = Engine()
    await channel.send([message], engine.intend, engine.settle)
    assert isinstance(engine.outcome(message), Accepted)
    await until(lambda: posted)
    code, [event] = posted[0]
    assert code == settings.email_report_secret
    assert event["data"]["status"] == "Delivered"
    [kept] = await room.messages.find("email", "kari@example.org")
    assert (kept.subject, kept.sender) == ("Hei", "noreply@varsel.example.org")
    await channel.close()
    await room.close()

    # The key stays: providers that were set with it go on.
    key = (tmp_path / ACS_KEY).read_text()
    again, _ = await opened(database, tmp_path, acs_port=free_port(), port=port)
    assert (tmp_path / ACS_KEY).read_text() == key
    await again.close()


async def test_without_a_port_mail_goes_over_smtp(database: Database, tmp_path: Path) -> None:
    room, settings = await opened(database, tmp_path, port=1)
    assert settings.email_url == room.email_url
    assert not (tmp_path / ACS_KEY).exists()
    await room.close()


async def test_files_of_the_sandbox(database: Database, tmp_path: Path) -> None:
    room, settings = await opened(database, tmp_path, port=1)
    handler = next(one.handler for one in room.bound if one.endpoint.operation == "get_file_address")
    reply = await handler(call("/sandbox/api/files/avtale.pdf", name="avtale.pdf"))
    found = json.loads(reply.body)
    assert found["filename"] == "avtale.pdf"
    judged = judge_file_url(found["sasUrl"], settings.blob_hosts)
    assert judged.faults == ()
    assert not judged.too_short_for(NOW)
    async with aiohttp.ClientSession() as session, session.get(found["sasUrl"]) as answer:
        assert answer.status == 200
        assert (await answer.read()).startswith(b"%PDF-")
    await room.close()


@pytest.mark.parametrize("setting", ["acs_port", "file_host_port"])
async def test_a_port_that_is_taken(database: Database, tmp_path: Path, setting: str) -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    with pytest.raises(PortTaken, match=f"VARSEL_{setting.upper()}"):
        await opened(database, tmp_path, port=1, **{setting: port})
    taken.close()
