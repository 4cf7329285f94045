"""The two simulators, driven over their real protocols."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import aiohttp
import aiosmtplib
import phonenumbers
import pytest
from aiohttp import web

from tests.support.polling import until
from tests.unit.channels.conformance import NOW, Engine, email, sms
from varsel.channels.email.bounce_server import BounceServer
from varsel.channels.email.bounces import DeliveryStatus, ReturnAddress, bounce_address, read_delivery_status
from varsel.channels.email.connect import SmtpEndpoint
from varsel.channels.email.receiver import Envelope, Recipient, SmtpReceiver, _Connection
from varsel.channels.email.smtp import SmtpChannel
from varsel.channels.model import Accepted, Permanent
from varsel.channels.registry import open_channels
from varsel.channels.sms.reports import ACKNOWLEDGED, read_reports
from varsel.sandbox.gateway import ReceivedSms, SmsGateway
from varsel.sandbox.inbox import DeliveryNotice, ReceivedEmail, SmtpInbox, compose_notice
from varsel.sandbox.magic import LATE_SECONDS, MAGIC, mail_fate, sms_fate

KEY = b"k" * 32


class Time:
    """Sleeps are remembered and end only when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.released = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.released.wait()


class Mailbox:
    def __init__(self, **options: object) -> None:
        self.mails: list[ReceivedEmail] = []
        self.notices: list[DeliveryNotice] = []
        self.events: list[str] = []
        self.time = Time()
        self.inbox = SmtpInbox("127.0.0.1", 0, self.keep, self.notice, sleep=self.time.sleep, **options)

    async def keep(self, mail: ReceivedEmail) -> None:
        self.mails.append(mail)
        self.events.append("mail")

    async def notice(self, notice: DeliveryNotice) -> None:
        self.notices.append(notice)
        self.events.append("notice")

    async def send(self, to: str) -> Engine:
        channel = SmtpChannel(
            SmtpEndpoint("127.0.0.1", self.inbox.port),
            lambda: NOW,
            returning=ReturnAddress("b.example.org", KEY),
        )
        self.message, engine = email(to), Engine()
        original = engine.settle

        def settle(message: object, outcome: object) -> None:
            self.events.append("settled")
            original(message, outcome)

        await channel.send([self.message], engine.intend, settle)
        await channel.close()
        return engine


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    await mailbox.inbox.start()
    yield mailbox
    mailbox.time.released.set()
    await mailbox.inbox.close()


async def test_a_notice_follows_at_once(mailbox: Mailbox) -> None:
    await mailbox.send("kari@example.org")
    await until(lambda: mailbox.notices)
    (notice,) = mailbox.notices
    assert (notice.action, notice.envelope_id) == ("delivered", mailbox.message.notification_id.hex)
    status = read_delivery_status(notice.message, notice.to, ReturnAddress("b.example.org", KEY))
    assert status is not None
    assert (status.notification_id, status.result) == (mailbox.message.notification_id, "Delivered")


async def test_bounce(mailbox: Mailbox) -> None:
    engine = await mailbox.send("kari+bounce@example.org")
    assert isinstance(engine.outcome(mailbox.message), Accepted)
    await until(lambda: mailbox.notices)
    status = read_delivery_status(
        mailbox.notices[0].message, mailbox.notices[0].to, ReturnAddress("b.example.org", KEY)
    )
    assert status is not None
    assert status.result == "Failed_Bounced"


async def test_early_comes_before_the_answer(mailbox: Mailbox) -> None:
    await mailbox.send("kari+early@example.org")
    assert mailbox.events == ["mail", "notice", "settled"]


async def test_never(mailbox: Mailbox) -> None:
    engine = await mailbox.send("kari+never@example.org")
    assert isinstance(engine.outcome(mailbox.message), Accepted)
    await mailbox.send("kari@example.org")
    await until(lambda: mailbox.notices)
    assert len(mailbox.mails) == 2
    assert len(mailbox.notices) == 1


async def test_slow(mailbox: Mailbox) -> None:
    task = asyncio.create_task(mailbox.send("kari+slow@example.org"))
    await until(lambda: mailbox.time.asked)
    assert mailbox.time.asked == [10.0]
    assert "settled" not in mailbox.events
    mailbox.time.released.set()
    engine = await task
    assert isinstance(engine.outcome(mailbox.message), Accepted)


async def test_a_notice_goes_over_smtp_until_it_is_taken() -> None:
    taken: list[Envelope] = []
    answers = iter([b"451 4.3.0 later\r\n", b"250 2.0.0 Ok\r\n"])

    def take(envelope: Envelope) -> bytes:
        taken.append(envelope)
        return next(answers)

    receiver = SmtpReceiver("127.0.0.1", 0, take)
    await receiver.start()
    mailbox = Mailbox(bounces=f"127.0.0.1:{receiver.port}")
    await mailbox.inbox.start()
    await mailbox.send("kari@example.org")
    await until(lambda: mailbox.time.asked)
    mailbox.time.released.set()
    await until(lambda: len(taken) == 2)
    assert {envelope.sender for envelope in taken} == {""}
    status = read_delivery_status(
        taken[1].content, taken[1].recipients[0].address, ReturnAddress("b.example.org", KEY)
    )
    assert status is not None
    assert status.notification_id == mailbox.message.notification_id
    await mailbox.inbox.close()
    await receiver.close()


async def test_what_is_not_kept_is_not_acknowledged() -> None:
    async def fail(mail: ReceivedEmail) -> None:
        raise RuntimeError("disk full")

    inbox = SmtpInbox("127.0.0.1", 0, fail)
    await inbox.start()
    with pytest.raises(aiosmtplib.SMTPDataError) as caught:
        await aiosmtplib.send(
            b"Subject: x\r\n\r\nx\r\n",
            sender="a@b.no",
            recipients=["c@d.no"],
            hostname="127.0.0.1",
            port=inbox.port,
            start_tls=False,
        )
    assert caught.value.code == 451
    assert inbox.taken == 0
    await inbox.close()


async def test_an_ordinary_client_can_send(mailbox: Mailbox) -> None:
    """aiosmtplib's own transaction, without DSN: nobody asked for a success notice."""
    await aiosmtplib.send(
        b"Subject: Hei\r\n\r\n.dot\r\n..two\r\n",
        sender="a@b.no",
        recipients=["c@d.no", "e@f.no"],
        hostname="127.0.0.1",
        port=mailbox.inbox.port,
        start_tls=False,
    )
    (mail,) = mailbox.mails
    assert mail.recipients == ("c@d.no", "e@f.no")
    assert mail.content == b"Subject: Hei\r\n\r\n.dot\r\n..two\r\n"
    assert mail.subject == "Hei"
    assert mailbox.notices == []


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (b"NOPE\r\n", [b"500"]),
        (b"RCPT TO:<a@b.no>\r\n", [b"503"]),
        (b"DATA\r\n", [b"554"]),
        (b"MAIL FROM:<a@b.no\r\n", [b"501"]),
        (b"MAIL FROM:<a@b.no> SIZE=99999999999\r\n", [b"552"]),
        (b"MAIL FROM:<a@b.no> WHAT=1\r\n", [b"555"]),
        (b"MAIL FROM:<>\r\nRCPT TO:<nobody>\r\n", [b"250", b"501"]),
        (
            b"MAIL FROM:<>\r\nRCPT TO:<\xc3\xa5@b.no>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<\xc3\xa5@b.no>\r\n",
            [b"250", b"553", b"503", b"250", b"250", b"250"],
        ),
        (
            b"mail from:<a@b.no>\r\nrcpt to:<c@d.no>\r\ndata\r\n.\r\nquit\r\n",
            [b"250", b"250", b"354", b"250", b"221"],
        ),
        (b"\xff\xfe\r\nnoop\r\n", [b"500", b"250"]),
        (b"x" * 5000 + b"\r\n", [b"500"]),
    ],
)
async def test_the_receiver_word_by_word(mailbox: Mailbox, said: bytes, answers: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", mailbox.inbox.port)
    assert (await reader.readline()).startswith(b"220")
    writer.write(said)
    for answer in answers:
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(answer)
    writer.close()
    await writer.wait_closed()


async def test_a_mail_in_small_pieces(mailbox: Mailbox) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", mailbox.inbox.port)
    conversation = b"EHLO x\r\nMAIL FROM:<a@b.no>\r\nRCPT TO:<c@d.no>\r\nDATA\r\nSubject: x\r\n\r\n..a\r\nb\n.\nc\r\n.\r\nQUIT\r\n"
    for position in range(len(conversation)):
        writer.write(conversation[position : position + 1])
        await asyncio.sleep(0)
    said = await asyncio.wait_for(reader.read(), 10)
    assert said.count(b"250 2.0.0 Ok") == 3
    assert mailbox.mails[0].content == b"Subject: x\r\n\r\n.a\r\nb\n.\nc\r\n"
    writer.close()


class Phones:
    def __init__(self) -> None:
        self.messages: list[ReceivedSms] = []
        self.bodies: list[bytes] = []
        self.events: list[str] = []
        self.statuses: list[int] = []
        self.time = Time()

    async def keep(self, message: ReceivedSms) -> None:
        self.messages.append(message)

    async def report(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == aiohttp.encode_basic_auth("gateway", "pås")
        assert request.content_type == "application/xml"
        self.bodies.append(await request.read())
        self.events.append("report")
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, body=ACKNOWLEDGED)

    @property
    def states(self) -> list[str]:
        return [report.state for body in self.bodies for report in read_reports(body, "iso-8859-1")]

    async def send(self, *numbers: str) -> list[object]:
        (channel,) = open_channels("", self.gateway.url, lambda: NOW)
        messages, engine = [sms(number) for number in numbers], Engine()
        await channel.send(messages, engine.intend, engine.settle)
        self.events.append("settled")
        await channel.close()
        return [engine.outcome(message) for message in messages]


@pytest.fixture
async def phones() -> AsyncIterator[Phones]:
    phones = Phones()
    application = web.Application()
    application.router.add_post("/reports", phones.report)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/reports"
    phones.gateway = SmsGateway(
        "127.0.0.1", 0, phones.keep, url, "gateway", "pås", now=lambda: NOW, sleep=phones.time.sleep
    )
    await phones.gateway.start()
    yield phones
    phones.time.released.set()
    await phones.gateway.close()
    await runner.cleanup()


async def test_a_report_follows_and_names_the_reference(phones: Phones) -> None:
    (outcome,) = await phones.send("+4740000000")
    await until(lambda: phones.bodies)
    (report,) = read_reports(phones.bodies[0], "iso-8859-1")
    assert isinstance(outcome, Accepted)
    assert (report.reference, report.receiver, report.state) == (outcome.reference, "4740000000", "DELIVRD")
    assert report.delivered_at == NOW


async def test_a_report_is_repeated_until_it_is_acknowledged(phones: Phones) -> None:
    phones.statuses = [500, 401, 200]
    phones.time.released.set()
    await phones.send("+4740000000")
    await until(lambda: len(phones.bodies) == 3)
    assert len(set(phones.bodies)) == 1
    assert phones.time.asked == [0.5, 1.0]


async def test_the_words_of_the_table(phones: Phones) -> None:
    numbers = {magic.digits: magic.sms.states for magic in MAGIC if magic.digits >= "9021" and magic.sms}
    await phones.send(*(f"+474000{digits}" for digits in numbers))
    expected = [state for states in numbers.values() for state in states]
    await until(lambda: len(phones.states) == len(expected))
    assert sorted(phones.states) == sorted(expected)


async def test_early_report(phones: Phones) -> None:
    await phones.send("+4740009006")
    assert phones.events == ["report", "settled"]


async def test_late_and_twice(phones: Phones) -> None:
    await phones.send("+4740009011", "+4740009012")
    await until(lambda: len(phones.states) == 2)
    assert phones.time.asked == [LATE_SECONDS]
    phones.time.released.set()
    await until(lambda: len(phones.states) == 3)


async def test_wrong_log_on_and_what_is_no_call(phones: Phones) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{phones.gateway.port}/"
        async with session.post(url, data=b"hello") as answer:
            assert answer.status == 400
        async with session.post(url, data=b"<SESSION><CLIENT>x</CLIENT></SESSION>") as answer:
            assert "<LOGON>FAIL</LOGON>" in await answer.text()
    assert phones.messages == []


async def test_once_refused_then_taken(phones: Phones) -> None:
    (first,) = await phones.send("+4740009007")
    (second,) = await phones.send("+4740009007")
    assert not isinstance(first, (Accepted, Permanent))
    assert isinstance(second, Accepted)


def _unique(values: Callable[[], list[str]]) -> bool:
    return len(values()) == len(set(values()))


def test_the_table() -> None:
    assert _unique(lambda: [magic.tag for magic in MAGIC if magic.tag])
    assert _unique(lambda: [magic.digits for magic in MAGIC])
    for magic in MAGIC:
        assert bool(magic.mail) == bool(magic.mail_says)
        assert bool(magic.sms) == bool(magic.sms_says)
        if magic.mail is not None:
            assert mail_fate(f"kari+{magic.tag}@example.org") is magic.mail
            assert mail_fate(f"{magic.tag}@example.org") is magic.mail
            assert re.match(r"[245]\d\d [245]\.\d+\.\d+ ", magic.mail.reply)
        if magic.sms is not None:
            number = "+47400" + "0" + magic.digits
            assert phonenumbers.is_valid_number(phonenumbers.parse(number))
            for form in (number, number[1:], "00" + number[1:], number[3:]):
                assert sms_fate(form) is magic.sms


@pytest.mark.parametrize("number", ["+4740000000", "+4640009002", "+4722009002", "+479002", ""])
def test_ordinary_numbers(number: str) -> None:
    assert sms_fate(number).states == ("DELIVRD",)


@pytest.mark.parametrize(
    ("address", "stage", "code"),
    [("k+451@x.no", "rcpt", "451"), ("k+data-550@x.no", "content", "550"), ("421@x.no", "rcpt", "421")],
)
def test_codes_in_addresses(address: str, stage: str, code: str) -> None:
    fate = mail_fate(address)
    assert (fate.stage, fate.reply[:3]) == (stage, code)


@pytest.mark.parametrize("address", ["kari@x.no", "k+news@x.no", "k+250@x.no", "k+999@x.no", "bounce+x@x.no"])
def test_ordinary_addresses(address: str) -> None:
    assert mail_fate(address).reply.startswith("250")


async def test_the_inbox_tells_the_bounce_server() -> None:
    heard: list[tuple[UUID, DeliveryStatus | None]] = []
    failures = [RuntimeError("no database")]

    async def keep(notification_id: UUID, status: DeliveryStatus | None, raw: bytes) -> None:
        if failures:
            raise failures.pop()
        heard.append((notification_id, status))

    server = BounceServer("127.0.0.1", 0, ReturnAddress("b.example.org", KEY), keep)
    await server.start()
    mailbox = Mailbox(bounces=f"127.0.0.1:{server.port}")
    mailbox.time.released.set()
    await mailbox.inbox.start()
    await mailbox.send("kari+bounce@example.org")
    await until(lambda: heard)
    ((notification_id, status),) = heard
    assert notification_id == mailbox.message.notification_id
    assert status is not None
    assert status.result == "Failed_Bounced"
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await aiosmtplib.send(
            b"x\r\n",
            sender="a@b.no",
            recipients=["b-forged@b.example.org"],
            hostname="127.0.0.1",
            port=server.port,
            start_tls=False,
        )
    to = bounce_address(notification_id, "b.example.org", KEY)
    await aiosmtplib.send(
        b"Subject: out of office\r\n\r\nbye\r\n",
        sender="kari@example.org",
        recipients=[to],
        hostname="127.0.0.1",
        port=server.port,
        start_tls=False,
    )
    assert heard[1] == (notification_id, None)
    await mailbox.inbox.close()
    await server.close()


async def test_of_a_large_bounce_the_beginning_is_read() -> None:
    """It carries the mail that it returns; refused it would be lost, since nobody repeats a bounce."""
    kept: list[tuple[DeliveryStatus | None, bytes]] = []

    async def keep(_id: UUID, status: DeliveryStatus | None, raw: bytes) -> None:
        kept.append((status, raw))

    server = BounceServer("127.0.0.1", 0, ReturnAddress("b.example.org", KEY), keep)
    await server.start()
    to = bounce_address(uuid4(), "b.example.org", KEY)
    notice = compose_notice(Envelope("", "", to), Recipient("kari@example.org"), "failed", "5.1.1")
    lines = b"..returned." + b"x" * 60 + b"\r\n.\r\n.x\r\n"
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False) as client:
        await client.sendmail("", [to], notice + lines * 50_000)
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await client.sendmail("", [to], bytes(41_000_000))
        assert refused.value.code == 552
        await client.sendmail("", [to], notice)
    large, small = kept
    assert large[0] == small[0]
    assert small[0] is not None and small[0].result == "Failed_Bounced"
    assert len(large[1]) <= 1 << 18
    assert (notice + lines * 5_000).startswith(large[1])
    await server.close()


class Written(asyncio.Transport):
    """What was written to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 7, 11, 64, 4096])
async def test_the_end_of_a_mail_is_found_wherever_it_is_cut(pieces: int) -> None:
    """Of what is forgotten no line may be taken for the end, and what stands behind the end is a command again."""
    taken: list[bytes] = []

    def take(envelope: Envelope) -> bytes:
        taken.append(envelope.content)
        return b"250 2.0.0 Ok\r\n"

    receiver = SmtpReceiver("127.0.0.1", 0, take, most_octets=400, kept_octets=10)
    connection = _Connection(receiver)
    transport = Written()
    connection.connection_made(transport)
    body = b"0123456789ab.\r\nNOOP\r\n..\r\nQUIT.\r\n" * 8
    dialogue = b"MAIL FROM:<>\r\nRCPT TO:<a@b.no>\r\nDATA\r\n%b.\r\n" % body
    dialogue += dialogue.replace(body, body * 2) + dialogue.replace(body, b"") + b"NOOP\r\n"
    for start in range(0, len(dialogue), pieces):
        connection.data_received(dialogue[start : start + pieces])
    connection.connection_lost(None)
    answers = [line[:3] for line in b"".join(transport.written).splitlines()]
    each = [b"250", b"250", b"354"]
    assert answers == [b"220", *each, b"250", *each, b"552", *each, b"250", b"250"]
    assert taken == [b"0123456789", b""]
