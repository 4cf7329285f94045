"""From the order to its notice over real SMTP: Varsel's channel, the sandbox's inbox, and Varsel's bounce receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiosmtplib
import pytest

from tests.engine.conftest import Days, MakeWorker
from tests.engine.seed import place, state, statuses
from tests.support.polling import until
from varsel.channels.email.bounces import ReturnAddress, bounce_address
from varsel.channels.email.connect import SmtpEndpoint
from varsel.channels.email.smtp import SmtpChannel
from varsel.delivery.bounces import BounceReceiver
from varsel.sandbox.inbox import ReceivedEmail, SmtpInbox
from varsel.store.database import Database
from varsel.store.ids import uuid7

RETURNING = ReturnAddress("bounces.varsel.test", b"k" * 32)


@dataclass
class Post:
    """The mail system around a worker."""

    channel: SmtpChannel
    receiver: BounceReceiver
    mails: list[ReceivedEmail]


@pytest.fixture
async def post(database: Database, days: Days) -> AsyncIterator[Post]:
    mails: list[ReceivedEmail] = []

    async def keep(mail: ReceivedEmail) -> None:
        mails.append(mail)

    receiver = await BounceReceiver.open("127.0.0.1", 0, RETURNING, database)
    inbox = SmtpInbox("127.0.0.1", 0, keep, bounces=receiver.address)
    await inbox.start()
    endpoint = SmtpEndpoint("127.0.0.1", inbox.port, "offered")
    channel = SmtpChannel(endpoint, days.now, returning=RETURNING)
    yield Post(channel, receiver, mails)
    await channel.close()
    await inbox.close()
    await receiver.close()


async def ended(database: Database, order_id: UUID) -> list[str]:
    async def done() -> bool:
        return await state(database, order_id) == "Completed"

    await until(done)
    return await statuses(database, order_id)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("kari@example.org", "Delivered"),
        ("kari+early@example.org", "Delivered"),
        ("kari+bounce@example.org", "Failed_Bounced"),
    ],
)
async def test_a_notice_ends_the_order(
    database: Database, post: Post, days: Days, make_worker: MakeWorker, address: str, status: str
) -> None:
    await make_worker(post.channel)
    order_id = await place(database, address, requested_at=days.now())
    assert await ended(database, order_id) == [status]
    [mail] = post.mails
    notification_id = await database.fetchval("select id from notification where order_id = $1", order_id)
    assert mail.sender == bounce_address(notification_id, RETURNING.domain, RETURNING.key)
    assert await database.fetchval("select count(*) from report where provider = 'dsn'") == 1
    assert await database.fetchval("select count(*) from parked_report") == 0


async def test_a_bounce_after_the_success_wins(
    database: Database, post: Post, days: Days, make_worker: MakeWorker
) -> None:
    """The feed keeps what it said; the message shows what came later (design 4.1, ranks)."""
    await make_worker(post.channel)
    order_id = await place(database, "kari@example.org", requested_at=days.now())
    assert await ended(database, order_id) == ["Delivered"]
    [mail] = post.mails
    await _send(post, mail.sender, _notice("failed", "5.1.1"))

    async def bounced() -> bool:
        return await statuses(database, order_id) == ["Failed_Bounced"]

    await until(bounced)
    assert await database.fetchval("select corrected from notification where order_id = $1", order_id)


async def test_a_bounce_in_prose_ends_the_order(
    database: Database, post: Post, days: Days, make_worker: MakeWorker
) -> None:
    """Many servers write a letter instead of a report (RFC 3464)."""
    await make_worker(post.channel)
    order_id = await place(database, "kari+never@example.org", requested_at=days.now())
    await until(lambda: post.mails)
    await _send(post, post.mails[0].sender, QMAIL)
    assert await ended(database, order_id) == ["Failed_Bounced"]


async def test_a_bounce_that_does_not_say_why_is_the_operators(database: Database, post: Post) -> None:
    address = bounce_address(uuid7(), RETURNING.domain, RETURNING.key)
    await _send(post, address, b"From: MAILER-DAEMON@mx.test\r\nSubject: failure notice\r\n\r\nSorry.\r\n")
    row = await database.fetchrow("select word, status, reason from parked_report where dead_at is not null")
    assert tuple(row or ()) == ("unclear", None, "UNRECOGNIZED_SEND_RESULT")


async def test_only_signed_addresses_are_taken(database: Database, post: Post) -> None:
    forged = bounce_address(uuid7(), RETURNING.domain, b"another key of 32 octets........")
    for address in (forged, f"postmaster@{RETURNING.domain}", "kari@example.org"):
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await _send(post, address, _notice("failed", "5.1.1"))
    assert await database.fetchval("select count(*) from report") == 0


@pytest.mark.parametrize("content", [b"Subject: Fri\r\n\r\nJeg er p\xe5 ferie.\r\n", b"\r\n\r\n", None])
async def test_what_decides_nothing_is_taken_and_not_kept(
    database: Database, post: Post, content: bytes | None
) -> None:
    address = bounce_address(uuid7(), RETURNING.domain, RETURNING.key)
    await _send(post, address, content if content is not None else _notice("delayed", "4.4.1"))
    assert await database.fetchval("select count(*) from report") == 0


async def test_a_notice_is_not_acknowledged_before_it_is_kept(
    database: Database, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    from varsel.delivery.reports import ReportStore
    from varsel.runtime.errors import DatabaseUnavailable

    async def away(_self: Any, _reports: Any) -> None:
        raise DatabaseUnavailable

    address = bounce_address(uuid7(), RETURNING.domain, RETURNING.key)
    with monkeypatch.context() as patched:
        patched.setattr(ReportStore, "store", away)
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await _send(post, address, _notice("failed", "5.1.1"))
    assert 400 <= refused.value.code < 500
    await _send(post, address, _notice("failed", "5.1.1"))
    assert await database.fetchval("select status from report") == "Failed_Bounced"


QMAIL = (
    b"From: MAILER-DAEMON@mx.test\r\nSubject: failure notice\r\n\r\n"
    b"Hi. This is the qmail-send program at mx.test.\r\nI'm afraid I wasn't able to deliver your message.\r\n\r\n"
    b"<kari@example.org>:\r\n192.0.2.7 does not like recipient.\r\nRemote host said: 550 5.1.1 User unknown\r\nGiving up.\r\n\r\n"
    b"--- Below this line is a copy of the message.\r\n\r\nSubject: Hei\r\n\r\nSak 550 er avsluttet.\r\n"
)


async def _send(post: Post, to: str, content: bytes) -> None:
    host, _, port = post.receiver.address.rpartition(":")
    async with aiosmtplib.SMTP(
        hostname=host, port=int(port), start_tls=False, local_hostname="mx.test"
    ) as client:
        await client.sendmail("", [to], content)


def _notice(action: str, status: str) -> bytes:
    return (
        "From: <postmaster@mx.test>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSe vedlegg.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n"
        f"Final-Recipient: rfc822; kari@example.org\r\nAction: {action}\r\nStatus: {status}\r\n\r\n--b--\r\n"
    ).encode()
