"""Bounces from a mailbox, against an IMAP server of a few commands (RFC 3501)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from tests.engine.conftest import Days, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place, statuses
from tests.engine.test_bounces import QMAIL, RETURNING, _notice
from tests.support.polling import until
from varsel.channels.email.bounces import bounce_address
from varsel.channels.email.mailbox import MailboxEndpoint, MailboxError
from varsel.channels.urls import ProviderUrlError
from varsel.cli.roles import mailbox_of
from varsel.delivery.bounces import keeper
from varsel.delivery.mailbox import MailboxReader
from varsel.runtime.errors import DatabaseUnavailable, SettingsError
from varsel.runtime.settings import Settings
from varsel.runtime.tasks import end
from varsel.store.database import Database
from varsel.store.ids import uuid7


@dataclass
class Imap:
    """A folder of mails, each with whether it was seen; `refuses` a command by its name."""

    mails: list[bytes] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    refuses: str = ""
    commands: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK IMAP4rev1 ready\r\n")
        while line := (await reader.readline()).decode().strip():
            tag, _, command = line.partition(" ")
            self.commands.append(command)
            name = command.removeprefix("UID ").split()[0]
            if name == self.refuses:
                writer.write(f"{tag} NO hemmelig cannot\r\n".encode())
                continue
            if name == "CAPABILITY":
                writer.write(b"* CAPABILITY IMAP4rev1\r\n")
            elif name == "SELECT":
                writer.write(f"* {len(self.mails)} EXISTS\r\n".encode())
            elif name == "SEARCH":
                unseen = [str(n) for n in range(1, len(self.mails) + 1) if n not in self.seen]
                writer.write(f"* SEARCH {' '.join(unseen)}\r\n".encode())
            elif name == "FETCH":
                uid = int(command.split()[2])
                mail = self.mails[uid - 1]
                writer.write(
                    f"* {uid} FETCH (UID {uid} BODY[]<0> {{{len(mail)}}}\r\n".encode() + mail + b")\r\n"
                )
            elif name == "STORE":
                self.seen |= {int(uid) for uid in command.split()[2].split(",")}
            elif name == "AUTHENTICATE":
                writer.write(b"+ \r\n")
                self.commands.append((await reader.readline()).decode().strip())
            elif name == "LOGOUT":
                writer.write(b"* BYE\r\n" + f"{tag} OK\r\n".encode())
                break
            writer.write(f"{tag} OK done\r\n".encode())
        writer.close()

    @property
    def endpoint(self) -> MailboxEndpoint:
        return MailboxEndpoint.read(f"imap://varsel:hemmelig@127.0.0.1:{self.port}/Bounces")


@pytest.fixture
async def imap() -> AsyncIterator[Imap]:
    imap = Imap()
    server = await asyncio.start_server(imap.serve, "127.0.0.1", 0)
    imap.port = server.sockets[0].getsockname()[1]
    yield imap
    server.close()


def to(notification_id: UUID, mail: bytes, *, returned: str = "<>", header: str = "Delivered-To") -> bytes:
    address = bounce_address(notification_id, RETURNING.domain, RETURNING.key)
    return f"Return-Path: {returned}\r\n{header}: <{address}>\r\n".encode() + mail


async def test_bounces_in_a_mailbox_end_their_orders(
    database: Database, imap: Imap, days: Days, make_worker: MakeWorker
) -> None:
    await make_worker(FakeChannel())
    orders = [await place(database, f"u{n}@example.org", requested_at=days.now()) for n in range(2)]

    async def taken() -> bool:
        return [await statuses(database, order) for order in orders] == [["Succeeded"], ["Succeeded"]]

    await until(taken)
    ids = [
        await database.fetchval("select id from notification where order_id = $1", order) for order in orders
    ]
    imap.mails = [
        to(ids[0], _notice("failed", "5.1.1")),
        to(ids[1], QMAIL, header="X-Original-To"),
        b"Return-Path: <kari@example.org>\r\nTo: post@bounces.varsel.test\r\n\r\nHei\r\n",
        to(uuid7(), QMAIL, returned="<kari@example.org>"),
    ]
    reader = asyncio.create_task(MailboxReader(imap.endpoint, RETURNING, keeper(database), every=0.05).run())

    async def bounced() -> bool:
        return [await statuses(database, order) for order in orders] == [
            ["Failed_Bounced"],
            ["Failed_Bounced"],
        ]

    await until(bounced)
    await until(lambda: imap.seen == {1, 2, 3, 4})
    reader.cancel()
    assert await database.fetchval("select count(*) from report") == 2, "a person's letter is no bounce"
    assert 'SELECT "Bounces"' in imap.commands
    assert "DELETE" not in " ".join(imap.commands).upper()


async def test_what_is_not_kept_is_read_again(imap: Imap) -> None:
    imap.mails = [to(uuid7(), _notice("failed", "5.1.1"))]

    async def away(*_: Any) -> None:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await MailboxReader(imap.endpoint, RETURNING, away).visit()
    assert imap.seen == set()


@pytest.mark.parametrize("command", ["LOGIN", "SELECT", "SEARCH", "FETCH", "STORE"])
async def test_a_server_that_refuses_is_asked_again_later(
    imap: Imap, database: Database, command: str
) -> None:
    imap.mails, imap.refuses = [to(uuid7(), _notice("failed", "5.1.1"))], command
    reader = MailboxReader(imap.endpoint, RETURNING, keeper(database), every=0.02)
    with pytest.raises(MailboxError) as refused:
        await reader.visit()
    assert "hemmelig" not in str(refused.value)
    running = asyncio.create_task(reader.run())
    await until(lambda: sum(command in one for one in imap.commands) > 1)
    imap.refuses = ""
    await until(lambda: imap.seen == {1})
    await end(running)


async def test_a_mail_that_cannot_be_kept_holds_up_no_other(imap: Imap, database: Database) -> None:
    """Whoever got a mail of ours knows its return address, and may write to it what he likes."""
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)
    )
    imap.mails = [
        to(uuid7(), b"From: MAILER-DAEMON@x\r\n" + nested),
        to(uuid7(), _notice("failed", "5.1.2")),
        to(uuid7(), _notice("failed", "5.1.1")),
    ]
    keep = keeper(database)

    async def picky(notification_id: UUID, status: Any, mail: bytes) -> None:
        if status is not None and status.status == "5.1.2":
            raise ValueError("a mail that nobody foresaw")
        await keep(notification_id, status, mail)

    assert await MailboxReader(imap.endpoint, RETURNING, picky).visit() == 3
    assert imap.seen == {1, 2, 3}
    assert [row[0] for row in await database.fetch("select word from report")] == ["failed 5.1.1"]


async def test_a_password_beyond_ascii(imap: Imap, database: Database) -> None:
    endpoint = replace(imap.endpoint, user="bøyen", password="hemmelig å")
    assert await MailboxReader(endpoint, RETURNING, keeper(database)).visit() == 0
    [said] = [imap.commands[n + 1] for n, one in enumerate(imap.commands) if one == "AUTHENTICATE PLAIN"]
    assert base64.b64decode(said).decode() == "\0bøyen\0hemmelig å"


async def test_nobody_listens(database: Database) -> None:
    endpoint = MailboxEndpoint.read("imap://varsel:hemmelig@127.0.0.1:1/")
    with pytest.raises(MailboxError, match="no connection"):
        await MailboxReader(endpoint, RETURNING, keeper(database)).visit()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("pop3://u:hemmelig@mail.example.org/", "unknown scheme"),
        ("imaps://mail.example.org/", "a user and a password"),
        ("imap://u:hemmelig@mail.example.org/", "in clear"),
        ('imaps://u:hemmelig@mail.example.org/a"b', "folder name"),
    ],
)
def test_a_mailbox_that_makes_no_sense(url: str, said: str) -> None:
    with pytest.raises(ProviderUrlError, match=re.escape(said)) as refused:
        MailboxEndpoint.read(url)
    assert "hemmelig" not in str(refused.value)


def test_a_mailbox_url() -> None:
    endpoint = MailboxEndpoint.read("imaps://bounces%40example.org:p%2Fw@mail.example.org")
    assert (endpoint.port, endpoint.tls, endpoint.folder) == (993, "implicit", "INBOX")
    assert (endpoint.user, endpoint.password) == ("bounces@example.org", "p/w")
    assert "p/w" not in repr(endpoint)


def test_a_mailbox_needs_a_domain() -> None:
    class Bare:
        settings = Settings(bounce_mailbox="imaps://u:p@mail.example.org/")

    with pytest.raises(SettingsError, match="VARSEL_BOUNCE_DOMAIN"):
        mailbox_of(Bare())  # type: ignore[arg-type]
