"""What the sandbox keeps of what it receives, and how it is found again."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import aiohttp
import aiosmtplib
import pytest

from tests.unit.channels.conformance import email
from varsel.channels.email.addresses import read_address, read_sender
from varsel.channels.email.mime import compose
from varsel.channels.email.receiver import Envelope, Recipient
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import ANONYMOUS, Call
from varsel.runtime.errors import ValidationProblem
from varsel.runtime.settings import Settings
from varsel.runtime.trace import Trace
from varsel.sandbox.inbox import compose_notice
from varsel.sandbox.messages import Messages, number, read_mail, sought
from varsel.sandbox.room import PortTaken, SandboxRoom, with_report_credentials
from varsel.sandbox.routes import Routes, wanted
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

NOW = datetime(2031, 3, 14, 8, 0, 41, 500_000, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return with_report_credentials(
        Settings(smtp_inbox_port=0, port=1), MasterKey.load(tmp_path / "master.key")
    )


@pytest.fixture
async def room(database: Database, settings: Settings) -> AsyncIterator[SandboxRoom]:
    opened = await SandboxRoom.open(settings, database, ManualClock(NOW), ManualClock(NOW))
    yield opened
    await opened.close()


def call(method: str = "GET", query: bytes = b"") -> Call:
    async def never() -> None:
        await asyncio.Event().wait()

    return Call(method, "/sandbox/api/messages", {}, query, {}, b"", ANONYMOUS, Trace(), {}, never)


def routes(room: SandboxRoom) -> Routes:
    return Routes(room.messages, ManualClock(NOW), 5091)


async def listed(room: SandboxRoom, query: bytes = b"") -> list[dict[str, str]]:
    reply = await routes(room).get_messages(call(query=query))
    assert reply.status == 200
    found: list[dict[str, str]] = json.loads(reply.body)
    return found


def mail(
    to: str, subject: str = "Ny melding på tvers", text: str = "Hei på deg\n", html: str | None = None
) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = "Skatteetaten <noreply@altinn.cloud>"
    message["To"] = to
    message["Subject"] = subject
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


async def send_mail(room: SandboxRoom, *to: str, content: bytes | None = None) -> None:
    async with aiosmtplib.SMTP(
        hostname="127.0.0.1", port=room.smtp_port, start_tls=False, local_hostname="test"
    ) as client:
        await client.sendmail("noreply@altinn.cloud", list(to), content or mail(to[0]))


async def send_sms(room: SandboxRoom, receiver: str, text: str) -> None:
    url = room.sms_url.removeprefix("link+").replace("sandbox:sandbox@", "")
    body = (
        "<SESSION><CLIENT>sandbox</CLIENT><PW>sandbox</PW><MSGLST><MSG><ID>1</ID>"
        f"<TEXT>{text}</TEXT><SND>Altinn</SND><RCV>{receiver}</RCV><TTL>60</TTL></MSG></MSGLST></SESSION>"
    )
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body.encode("ascii", "xmlcharrefreplace")) as answer,
    ):
        assert answer.status == 200


async def test_mail_and_sms_are_listed_in_order_of_arrival(room: SandboxRoom) -> None:
    await send_mail(room, "kari@example.org")
    await send_sms(room, "4799999999", "Hei på SMS")
    first, second = await listed(room)
    assert first | {"id": ""} == {
        "id": "",
        "channel": "email",
        "to": "kari@example.org",
        "from": "Skatteetaten <noreply@altinn.cloud>",
        "subject": "Ny melding på tvers",
        "body": "Hei på deg",
        "receivedAt": "2031-03-14T08:00:41.5Z",
    }
    assert second | {"id": ""} == {
        "id": "",
        "channel": "sms",
        "to": "+4799999999",
        "from": "Altinn",
        "subject": None,
        "body": "Hei på SMS",
        "receivedAt": "2031-03-14T08:00:41.5Z",
    }


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (b"", 3),
        (b"channel=email", 2),
        (b"channel=SMS", 1),
        (b"to=kari@example.org", 1),
        (b"to=Kari%40Example.org&channel=email", 1),
        (b"to=+4799999999", 1),
        (b"to=%2B47%2099%2099%2099%2099", 1),
        (b"to=004799999999", 1),
        (b"to=99999999&channel=sms", 1),
        (b"to=4799999999&channel=email", 0),
        (b"to=kari", 0),
    ],
)
async def test_messages_are_found_by_channel_and_recipient(
    room: SandboxRoom, query: bytes, count: int
) -> None:
    await send_mail(room, "kari@example.org", "ola@example.org")
    await send_sms(room, "4799999999", "x")
    assert len(await listed(room, query)) == count


async def test_deleting_forgets_what_was_named(room: SandboxRoom) -> None:
    await send_mail(room, "kari@example.org", "ola@example.org")
    answers = routes(room)
    reply = await answers.delete_messages(call("DELETE", b"to=kari@example.org"))
    assert reply.status == 204
    assert [message["to"] for message in await listed(room)] == ["ola@example.org"]
    await answers.delete_messages(call("DELETE"))
    assert await listed(room) == []


def test_a_channel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationProblem) as refused:
        wanted(b"channel=fax")
    assert set(refused.value.errors) == {"channel"}


async def test_messages_outlive_the_room(database: Database, settings: Settings) -> None:
    clock = ManualClock(NOW)
    room = await SandboxRoom.open(settings, database, clock, clock)
    await send_mail(room, "kari@example.org")
    await room.close()
    assert [message.to for message in await Messages(database).find()] == ["kari@example.org"]


async def test_an_unread_mail_of_a_killed_run_is_read_by_the_next(
    database: Database, settings: Settings
) -> None:
    messages = Messages(database)
    messages.read_soon = lambda: None  # type: ignore[method-assign]
    from varsel.sandbox.messages import Arrival

    await messages.keep([Arrival("email", "kari@example.org", "x@example.org", NOW, raw=mail("k@e.org"))])
    assert await database.fetchval("select count(*) from sandbox_message where body is null") == 1
    (found,) = await Messages(database).find()
    assert found.subject == "Ny melding på tvers"


async def test_html_is_what_the_recipient_sees(room: SandboxRoom) -> None:
    await send_mail(
        room,
        "kari@example.org",
        content=mail("kari@example.org", text="tekst", html="<p>Du har en <b>ny</b> melding</p>"),
    )
    (message,) = await room.messages.find()
    assert (message.body, message.html) == ("tekst", "<p>Du har en <b>ny</b> melding</p>")
    assert (await listed(room))[0]["body"] == "<p>Du har en <b>ny</b> melding</p>"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"Subject: =?utf-8?q?=ff=00?=\r\n\r\nbody\0with nul",
        b"Content-Type: text/plain; charset=klingon\r\n\r\nnuqneH \xff",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>",
        b"Content-Type: multipart/alternative\r\n\r\nno boundary",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%",
        b"From: \xff\xfe <\r\nSubject: a\r\n b\r\n\r\n",
    ],
)
async def test_any_mail_can_be_kept_and_read(room: SandboxRoom, raw: bytes) -> None:
    await send_mail(room, "kari@example.org", content=raw or b"\r\n")
    assert len(await listed(room)) == 1


async def test_a_hundred_mails_at_once_are_all_kept(room: SandboxRoom) -> None:
    await asyncio.gather(*(send_mail(room, f"kari{n}@example.org") for n in range(100)))
    assert {message.to for message in await room.messages.find()} == {
        f"kari{n}@example.org" for n in range(100)
    }


async def test_recent_pages_backwards_and_searches_parts(room: SandboxRoom) -> None:
    for n in range(5):
        await send_mail(room, f"kari_{n}@example.org")
    await send_sms(room, "4799999999", "x")
    newest = await room.messages.recent(None, "", 2)
    assert [message.to for message in newest] == ["+4799999999", "kari_4@example.org"]
    older = await room.messages.recent(None, "", 10, newest[-1].id)
    assert [message.to for message in older] == [f"kari_{n}@example.org" for n in (3, 2, 1, 0)]
    assert len(await room.messages.recent(None, "KARI_3", 10)) == 1
    assert len(await room.messages.recent(None, "i%3", 10)) == 0
    assert len(await room.messages.recent(None, "99 99", 10)) == 1
    assert len(await room.messages.recent("email", "99 99", 10)) == 0


async def test_a_taken_port_is_refused_in_one_sentence(database: Database, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        clock = ManualClock(NOW)
        with pytest.raises(PortTaken, match=f"Port {port} is taken.*VARSEL_SMTP_INBOX_PORT"):
            await SandboxRoom.open(settings.replace(smtp_inbox_port=port), database, clock, clock)
        with pytest.raises(PortTaken, match="VARSEL_SMS_GATEWAY_PORT"):
            await SandboxRoom.open(settings.replace(sms_gateway_port=port), database, clock, clock)


async def test_providers_point_at_the_sandbox_unless_set(room: SandboxRoom) -> None:
    filled = room.with_providers(Settings(sms_url="link+https://u:p@gateway.example.org/"))
    assert filled.email_url == f"smtp://127.0.0.1:{room.smtp_port}"
    assert filled.sms_url == "link+https://u:p@gateway.example.org/"


def test_report_credentials_belong_to_the_data_directory(tmp_path: Path) -> None:
    one, other = MasterKey.load(tmp_path / "1"), MasterKey.load(tmp_path / "2")
    made = with_report_credentials(Settings(), one)
    assert made.sms_report_user == "sandbox"
    assert len(made.sms_report_password) == 32
    assert with_report_credentials(Settings(), one).sms_report_password == made.sms_report_password
    assert with_report_credentials(Settings(), other).sms_report_password != made.sms_report_password
    own = with_report_credentials(Settings(sms_report_user="a", sms_report_password="b"), one)
    assert (own.sms_report_user, own.sms_report_password) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+47 400 00 001", "+4740000001"),
        ("004740000001", "+4740000001"),
        ("40000001", "+4740000001"),
        ("4740000001", "+4740000001"),
        (" 4740000001", "+4740000001"),
        ("STOP", "STOP"),
    ],
)
def test_numbers_have_one_form(text: str, expected: str) -> None:
    assert number(text) == expected
    assert sought("sms", text) == ("sms", expected.lower())


def test_the_line_end_of_a_part_is_not_text() -> None:
    assert read_mail(mail("k@example.org", text="a\n\nb\n")).body == "a\n\nb"


async def test_large_mails_are_read_few_at_a_time(room: SandboxRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varsel.sandbox.messages._READ_OCTETS", 1)
    for at in range(3):
        await send_mail(room, f"kari{at}@example.org")
    assert [mail["to"] for mail in await listed(room)] == [f"kari{at}@example.org" for at in range(3)]


@pytest.mark.parametrize("subject", ["Æ" * 2_000_000, "a" * 2_000_000, "ord " * 500_000])
def test_a_subject_of_megabytes_is_cut(subject: str) -> None:
    raw = compose(
        email(subject=subject, body="Hei"), read_sender("a@b.no"), read_address("c@d.no"), "x", "b.no"
    )
    reading = read_mail(raw)
    assert (reading.sender, reading.body) == ("a@b.no", "Hei")
    assert 5_000 < len(reading.subject) < 33_000
    assert subject.startswith(reading.subject)
    notice = compose_notice(
        Envelope("peer", "x", "a@b.no", [Recipient("c@d.no")], content=raw),
        Recipient("c@d.no"),
        "delivered",
        "2.1.5",
    )
    assert len(notice) < 40_000
