"""Composed e-mail with the guarded client and a blob host over real HTTP (docs/reference/delivery.md 7.8)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from tests.engine.conftest import Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, statuses
from tests.support.polling import until
from varsel.channels.model import EmailMessage, Permanent
from varsel.delivery import files as files_module
from varsel.delivery.files import Files
from varsel.orders.urls import judge_file_url
from varsel.runtime.clock import SystemMachine
from varsel.runtime.outbound import GuardedClient
from varsel.sandbox.files import FATES, FileHost, content_of
from varsel.store.content import Attachment
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

KEY = MasterKey(bytes(32))
TYPES = {"pdf": "application/pdf", "txt": "text/plain", "png": "image/png"}


@pytest.fixture
async def host() -> AsyncIterator[FileHost]:
    async def nap(_seconds: float) -> None:
        await asyncio.sleep(0)

    host = FileHost("127.0.0.1", 0, sleep=nap)
    await host.start()
    yield host
    await host.close()


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    client = GuardedClient(SystemMachine(), sandbox=True)
    yield client
    await client.close()


def attachment(host: FileHost, name: str, days: Days) -> Attachment:
    sealed = base64.b64encode(KEY.seal(host.url(name, days.now() + timedelta(hours=1)).encode())).decode()
    return Attachment(name, TYPES[name.rpartition(".")[2]], sealed)


async def composed(database: Database, host: FileHost, days: Days, *names: str) -> UUID:
    return await place(
        database,
        "kari@example.org",
        requested_at=days.now(),
        kind="Composed",
        attachments=tuple(attachment(host, name, days) for name in names),
    )


async def test_files_go_along(
    database: Database, days: Days, make_worker: MakeWorker, host: FileHost, client: GuardedClient
) -> None:
    email = FakeChannel()
    await make_worker(email, outbound=client)
    names = [f"side {number}.pdf" for number in range(9)] + ["logo.png", "slow.txt"]
    await composed(database, host, days, *names)
    await until(lambda: email.handed)
    [message] = email.handed
    assert isinstance(message, EmailMessage)
    assert [(file.filename, file.content) for file in message.attachments] == [
        (name, content_of(name)) for name in names
    ]
    assert sorted(host.asked) == sorted(names)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("missing.pdf", "Failed_InvalidSasUrl"),
        ("forbidden.pdf", "Failed_InvalidSasUrl"),
        ("expired.pdf", "Failed_InvalidSasUrl"),
        ("huge.txt", "Failed_PayloadTooLarge"),
        ("page.pdf", "Failed"),
    ],
)
async def test_refused_for_good(
    database: Database,
    days: Days,
    make_worker: MakeWorker,
    host: FileHost,
    client: GuardedClient,
    name: str,
    status: str,
) -> None:
    email = FakeChannel()
    await make_worker(email, outbound=client)
    order_id = await composed(database, host, days, "a.pdf", name)
    await until(lambda: fed(database))
    assert await statuses(database, order_id) == [status]
    assert email.handed == []
    for text in await database.fetch("select detail, code from attempt"):
        assert "sig" not in str(text)
        assert "127.0.0.1" not in str(text)


@pytest.mark.parametrize("name", ["503-once.txt", "429-once.txt", "broken.txt", "damaged.pdf"])
async def test_had_at_the_second_try(
    database: Database,
    days: Days,
    make_worker: MakeWorker,
    host: FileHost,
    client: GuardedClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("varsel.delivery.backoff._FIRST", 0.01)
    email = FakeChannel()
    await make_worker(email, outbound=client)
    await composed(database, host, days, name)

    async def waits() -> bool:
        return bool(await database.fetchval("select count(*) from attempt where outcome = 'temporary'"))

    await until(waits)
    days.advance(seconds=1)
    await until(lambda: email.handed)
    assert host.asked == [name, name]


async def test_the_limit_is_for_all_files_together(
    host: FileHost, days: Days, client: GuardedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(content_of("a.pdf"))
    monkeypatch.setattr(files_module, "MOST_OCTETS", 3 * size)
    files = Files(client, KEY)
    three = [attachment(host, "a.pdf", days) for _ in range(3)]
    found = await files.fetch(three)
    assert isinstance(found, tuple)
    too_large = await files.fetch([*three, attachment(host, "a.txt", days)])
    assert isinstance(too_large, Permanent)
    assert too_large.result == "Failed_PayloadTooLarge"


async def test_an_order_may_name_the_sandboxs_host(host: FileHost, days: Days) -> None:
    url = host.url("årsrapport.pdf", days.now())
    assert judge_file_url(url, [".blob.core.windows.net", host.origin]).faults == ()
    assert judge_file_url(url, [".blob.core.windows.net"]).faults
    assert judge_file_url(url.replace("127.0.0.1", "127.0.0.2"), [host.origin]).faults
    assert judge_file_url(url.replace("http://", "http://user@"), [host.origin]).faults


def test_every_word_says_what_it_does() -> None:
    assert all(sentence.endswith(".") for _, sentence in FATES.values())
