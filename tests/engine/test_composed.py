"""Composed e-mail: files fetched when the mail is sent (docs/reference/delivery.md 7.8)."""

from __future__ import annotations

import base64
import hashlib
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import NOON, Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import fed, place, statuses
from tests.support.polling import until
from varsel.channels.model import EmailMessage
from varsel.runtime.outbound_rules import ForbiddenAddress, OutboundTimeout, ResponseTooLarge
from varsel.store.content import Attachment, decode
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

KEY = MasterKey(bytes(32))


def attachment(number: int) -> Attachment:
    url = f"https://x.blob.core.windows.net/f/{number}?sig=secret"
    return Attachment(f"file{number}.pdf", "text/plain", base64.b64encode(KEY.seal(url.encode())).decode())


class Blobs:
    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def get(self, url: str, **_: Any) -> Any:
        self.asked.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        return SimpleNamespace(status=status, body=body, headers=headers[0] if headers else {})


async def composed(database: Database, number: int = 1) -> UUID:
    files = tuple(attachment(one) for one in range(number))
    return await place(database, "x@example.org", requested_at=NOON, kind="Composed", attachments=files)


async def test_files_go_along_and_their_addresses_are_erased(
    database: Database, days: Days, make_worker: MakeWorker
) -> None:
    email, blobs = FakeChannel(), Blobs((200, b"one"), (200, b"three"))
    await make_worker(email, outbound=blobs)
    order = await composed(database, 2)
    await until(lambda: email.handed)
    [message] = email.handed
    assert isinstance(message, EmailMessage)
    assert [(file.filename, file.content) for file in message.attachments] == [
        ("file0.pdf", b"one"),
        ("file1.pdf", b"three"),
    ]
    assert blobs.asked[0] == "https://x.blob.core.windows.net/f/0?sig=secret"
    assert await database.fetchval("select attachment_bytes from notification") == 8

    async def settled() -> bool:
        return await statuses(database, order) == ["Succeeded"]

    await until(settled)
    days.advance(seconds=901)
    await until(lambda: fed(database))
    content = decode(await database.fetchval("select content from order_content"))
    assert [one.sealed_url for one in content.attachments] == [None, None]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((403, b""), "Failed_InvalidSasUrl"),
        ((404, b""), "Failed_InvalidSasUrl"),
        (ForbiddenAddress(), "Failed_InvalidSasUrl"),
        (ResponseTooLarge(), "Failed_PayloadTooLarge"),
    ],
    ids=str,
)
async def test_a_file_that_cannot_be_had_ends_the_mail(
    database: Database, make_worker: MakeWorker, answer: Any, status: str
) -> None:
    email = FakeChannel()
    await make_worker(email, outbound=Blobs(answer))
    order = await composed(database)
    await until(lambda: fed(database))
    assert await statuses(database, order) == [status]
    assert email.handed == []
    detail = await database.fetchval("select detail from attempt")
    assert "sig" not in detail


async def test_the_md5_of_a_file_that_is_kept_packed_is_not_that_of_what_comes_out(
    database: Database, make_worker: MakeWorker
) -> None:
    told = {"content-md5": base64.b64encode(hashlib.md5(b"packed").digest()).decode()}
    email = FakeChannel()
    await make_worker(email, outbound=Blobs((200, b"x", {**told, "content-encoding": "gzip"})))
    await composed(database)
    await until(lambda: email.handed)


@pytest.mark.parametrize(
    "answer",
    [
        (503, b""),
        (429, b""),
        (408, b""),
        (204, b""),
        (206, b"part"),
        (200, b"x", {"content-md5": base64.b64encode(bytes(16)).decode(), "content-encoding": "identity"}),
        OutboundTimeout(),
    ],
    ids=str,
)
async def test_a_file_that_may_come_is_asked_for_again(
    database: Database, days: Days, make_worker: MakeWorker, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varsel.delivery.backoff._FIRST", 0.05)
    email = FakeChannel()
    await make_worker(email, outbound=Blobs(answer, (200, b"x")))
    order = await composed(database)

    async def waits() -> bool:
        return bool(await database.fetchval("select count(*) from attempt where outcome = 'temporary'"))

    await until(waits)
    assert await statuses(database, order) == ["New"]
    days.advance(seconds=1)
    await until(lambda: email.handed)
    assert isinstance(email.handed[0], EmailMessage)
    assert [file.content for file in email.handed[0].attachments] == [b"x"]
