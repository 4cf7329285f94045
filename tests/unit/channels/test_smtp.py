"""SMTP: the conformance suite against the sandbox inbox, and the edges of the protocol against scripted servers."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiosmtpd.smtp import SMTP as ReferenceServer
from aiosmtpd.smtp import AuthResult

from tests.support.polling import until
from tests.support.watchdog import watchdog
from tests.unit.channels.conformance import NOW, Conformance, Engine, Fate, email, sms
from varsel.channels.email.bounces import ReturnAddress, read_bounce_address
from varsel.channels.email.connect import SmtpEndpoint
from varsel.channels.email.smtp import SmtpChannel, Timeouts
from varsel.channels.model import (
    Accepted,
    Attachment,
    Channel,
    EmailMessage,
    Message,
    Permanent,
    Temporary,
    Unknown,
)
from varsel.sandbox.inbox import ReceivedEmail, SmtpInbox


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class MailFar:
    inbox: SmtpInbox
    held: asyncio.Event
    mails: list[ReceivedEmail]
    channel: Channel = field(init=False)
    number: int = 0
    refusing: int = 0

    def __post_init__(self) -> None:
        self.channel = SmtpChannel(SmtpEndpoint("127.0.0.1", self.inbox.port), lambda: NOW)

    def message(self, fate: Fate) -> Message:
        self.number += 1
        return email(f"kari{self.number}" + ("" if fate == "ordinary" else f"+{fate}") + "@example.org")

    def taken(self) -> list[str]:
        return [mail.recipients[0] for mail in self.mails]

    def other_kind(self) -> Message:
        return sms()

    def unreachable(self) -> Channel:
        return SmtpChannel(SmtpEndpoint("127.0.0.1", free_port()), lambda: NOW)

    def unknown_user(self) -> Channel:
        return SmtpChannel(
            SmtpEndpoint("127.0.0.1", self.refusing, "offered", "varsel", "hemmelig"), lambda: NOW
        )


class Keep:
    """A taker for the reference server."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        self.kept.append((envelope.rcpt_tos[0], envelope.original_content))
        return "250 2.0.0 Kept"


@asynccontextmanager
async def reference_server(
    handler: object, *, tls: ssl.SSLContext | None = None, **options: object
) -> AsyncIterator[int]:
    """aiosmtpd, an independent server, for what the inbox does not speak: TLS and AUTH."""
    server = await asyncio.get_running_loop().create_server(
        lambda: ReferenceServer(handler, hostname="reference.example.org", **options), "127.0.0.1", 0, ssl=tls
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that runs a script for each connection and then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, limit=1 << 24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *extensions: str) -> None:
    writer.write(b"220 scripted ESMTP\r\n")
    await reader.readline()
    lines = ["scripted", *extensions]
    writer.write("".join(f"250{'-' if line is not lines[-1] else ' '}{line}\r\n" for line in lines).encode())


async def to_the_content(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a mail as far as the first thousand octets of its content."""
    await hello(reader, writer, "PIPELINING")
    for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        await reader.readline()
        writer.write(answer)
    await reader.readexactly(1000)


@pytest.fixture
async def far() -> AsyncIterator[MailFar]:
    held = asyncio.Event()
    release = asyncio.Event()
    mails: list[ReceivedEmail] = []

    async def keep(mail: ReceivedEmail) -> None:
        mails.append(mail)

    async def sleep(seconds: float) -> None:
        held.set()
        await release.wait()

    inbox = SmtpInbox("127.0.0.1", 0, keep, sleep=sleep)
    await inbox.start()

    far = MailFar(inbox, held, mails)
    async with reference_server(
        Keep(), authenticator=lambda *_: AuthResult(success=False, handled=False), auth_require_tls=False
    ) as port:
        far.refusing = port
        yield far
    release.set()
    await far.channel.close()
    await inbox.close()


class TestConformance(Conformance):
    pass


async def deliver(channel: Channel, *messages: EmailMessage) -> Engine:
    engine = Engine()
    await channel.send(messages, engine.intend, engine.settle)
    return engine


def channel_to(port: int, **options: object) -> SmtpChannel:
    return SmtpChannel(SmtpEndpoint("127.0.0.1", port), lambda: NOW, **options)


async def test_what_arrives_is_what_was_sent(far: MailFar) -> None:
    message = email(subject="Ny melding på norsk", body="Linje én\n.punktum først\n\nSlutt")
    engine = await deliver(far.channel, message)
    (mail,) = far.mails
    assert mail.subject == message.subject
    assert mail.body() == "Linje én\n.punktum først\n\nSlutt\n"
    assert mail.message_id == f"{message.notification_id}@varsel.example.org"
    outcome = engine.outcome(message)
    assert outcome == Accepted(mail.message_id, "2.0.0 Ok")
    assert mail.envelope_id == message.notification_id.hex
    assert mail.sender == message.sender


async def test_the_return_address_finds_the_notification(far: MailFar) -> None:
    key = b"k" * 32
    channel = channel_to(far.inbox.port, returning=ReturnAddress("bounce.example.org", key))
    message = email()
    await deliver(channel, message)
    assert read_bounce_address(far.mails[0].sender, "bounce.example.org", key) == message.notification_id
    await channel.close()


async def test_connections_are_kept_and_renewed(far: MailFar) -> None:
    channel = channel_to(far.inbox.port, slots=1, messages_per_connection=7)
    hellos: list[int] = []
    original = far.inbox._receiver.connections.add
    far.inbox._receiver.connections = type(
        "Counting", (set,), {"add": lambda self, item: (hellos.append(1), set.add(self, item))[1]}
    )()
    for _ in range(3):
        await deliver(channel, *[email() for _ in range(10)])
    assert len(far.mails) == 30
    assert len(hellos) == 5  # 30 mails, 7 on each
    assert original is not None
    await channel.close()


async def test_a_kept_connection_that_died_costs_nothing(far: MailFar) -> None:
    first = await deliver(far.channel, email())
    for connection in tuple(far.inbox._receiver.connections):
        connection._transport.write(b"421 4.4.2 Timeout\r\n")
        connection._transport.close()
    await until(lambda: not far.inbox._receiver.connections)
    message = email()
    second = await deliver(far.channel, message)
    assert isinstance(second.outcome(message), Accepted)
    assert len(first.outcomes) == 1


async def test_smtputf8_only_where_the_local_part_needs_it(far: MailFar) -> None:
    plain, named = email("kari@blåbær.example.org"), email("åse@blåbær.example.org")
    engine = await deliver(far.channel, plain, named)
    assert isinstance(engine.outcome(plain), Accepted)
    assert isinstance(engine.outcome(named), Accepted)
    assert sorted(far.taken()) == ["kari@xn--blbr-roah.example.org", "åse@xn--blbr-roah.example.org"]


async def test_smtputf8_not_offered() -> None:
    handler = Keep()
    async with reference_server(handler) as port:
        channel = channel_to(port)
        message, ascii_only = email("åse@example.org"), email("ase@blåbær.example.org")
        engine = await deliver(channel, message, ascii_only)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Permanent)
        assert outcome.result == "Failed_InvalidEmailFormat"
        assert isinstance(engine.outcome(ascii_only), Accepted)
        assert engine.intended == [ascii_only.attempt_id]
        await channel.close()


@pytest.mark.parametrize(
    "to",
    [
        "kari",
        "ka ri@example.org",
        "kari@example.org\r\nRCPT TO:<x@y.no>",
        "k<a>@example.org",
        "x" * 65 + "@example.org",
    ],
)
async def test_an_address_that_cannot_be_written_is_refused_before_the_intent(far: MailFar, to: str) -> None:
    message = email(to)
    engine = await deliver(far.channel, message)
    outcome = engine.outcome(message)
    assert isinstance(outcome, Permanent)
    assert outcome.result == "Failed_InvalidEmailFormat"
    assert engine.intended == []


@pytest.mark.parametrize(
    ("tag", "kind", "result"),
    [
        ("451", Temporary, "message"),
        ("452", Temporary, "message"),
        ("data-451", Temporary, "message"),
        ("logon", Temporary, "provider"),
        ("550", Permanent, "Failed"),
        ("permanent", Permanent, "Failed_Bounced"),
        ("data-552", Permanent, "Failed"),
        ("refused", Permanent, "Failed"),
    ],
)
async def test_codes_become_outcomes(far: MailFar, tag: str, kind: type, result: str) -> None:
    message, after = email(f"kari+{tag}@example.org"), email()
    engine = Engine()
    channel = channel_to(far.inbox.port, slots=1)
    await channel.send([message, after], engine.intend, engine.settle)
    outcome = engine.outcome(message)
    assert isinstance(outcome, kind)
    assert (outcome.scope if isinstance(outcome, Temporary) else outcome.result) == result
    assert isinstance(engine.outcome(after), Accepted)  # the connection goes on
    assert far.taken() == [after.to]
    await channel.close()


async def test_greylisted_then_taken(far: MailFar) -> None:
    message = email("kari+greylist@example.org")
    first = await deliver(far.channel, message)
    assert isinstance(first.outcome(message), Temporary)
    second = await deliver(far.channel, message)
    assert isinstance(second.outcome(message), Accepted)


async def test_a_mail_larger_than_the_server_takes() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader, writer, "SIZE 2000")
        await reader.read()

    async with scripted(script) as port:
        channel, message = channel_to(port), email(body="x" * 3000)
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Permanent)
        assert outcome.result == "Failed_PayloadTooLarge"
        assert engine.intended == []
        await channel.close()


async def test_a_large_mail_with_files_arrives_whole(far: MailFar) -> None:
    content = bytes(range(256)) * 4096
    message = email(attachments=(Attachment("årsrapport 2031.pdf", "application/pdf", content),))
    engine = await deliver(far.channel, message)
    assert isinstance(engine.outcome(message), Accepted)
    (part,) = far.mails[0].parsed.iter_attachments()
    assert part.get_filename() == "årsrapport 2031.pdf"
    assert part.get_content() == content


async def test_without_pipelining() -> None:
    """A server that offers nothing at all, one command at a time."""
    kept: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 old\r\n")
        assert (await reader.readline()).startswith(b"EHLO")
        writer.write(b"502 what\r\n")
        assert (await reader.readline()).startswith(b"HELO")
        writer.write(b"250 old\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                kept.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 ok\r\n")
            elif line.startswith(b"RCPT") and b"bad" in line:
                writer.write(b"550 no\r\n")
            else:
                assert b"=" not in line
                writer.write(b"250 ok\r\n")

    async with scripted(script) as port:
        channel = channel_to(port, slots=1)
        messages = [email(), email("bad@example.org"), email()]
        engine = await deliver(channel, *messages)
        assert [type(engine.outcome(message)) for message in messages] == [Accepted, Permanent, Accepted]
        assert len(kept) == 2
        await channel.close()


async def test_data_let_through_without_a_recipient() -> None:
    """RFC 2920 3.1: DATA answered 354 although RCPT was refused must be ended at once, with no content."""
    ended: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader, writer, "PIPELINING")
        for answer in (b"250 ok\r\n", b"550 5.1.1 no\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(answer)
        ended.append(await reader.readline())
        writer.write(b"554 no recipients\r\n")
        await reader.read()

    async with scripted(script) as port:
        channel, message = channel_to(port), email()
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Permanent)
        assert outcome.result == "Failed_Bounced"
        assert engine.intended == []
        assert ended == [b".\r\n"]
        await channel.close()


@pytest.mark.parametrize("end", ["nothing", "silence", "421"])
async def test_what_was_said_of_a_recipient_holds_whatever_comes_after(end: str) -> None:
    """DATA let through after a refused RCPT, and a server that leaves, or says no more, when it is ended: the next mail finds another
    connection, and no connection counts as lost.
    """
    connections: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await hello(reader, writer, "PIPELINING")
        for answer in (b"250 ok\r\n", b"550 5.1.1 no\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(answer)
        await reader.readline()
        if end == "421":
            writer.write(b"421 4.4.2 bye\r\n")
        elif end == "silence":
            await reader.read()

    async with scripted(script) as port:
        channel = channel_to(port, slots=1, timeouts=Timeouts(command=0.2))
        messages = [email(f"u{number}@example.org") for number in range(4)]
        engine = await deliver(channel, *messages)
        for message in messages:
            outcome = engine.outcome(message)
            assert isinstance(outcome, Permanent)
            assert (outcome.result, outcome.code) == ("Failed_Bounced", "550 5.1.1")
        assert engine.intended == []
        assert len(connections) == len(messages)
        await channel.close()


@pytest.mark.parametrize(
    ("said", "result"),
    [(b"552 5.3.4 too big\r\n", "Failed_PayloadTooLarge"), (b"554 5.7.1 spam\r\n", "Failed"), (b"", "")],
)
async def test_a_server_that_refuses_inside_the_content_and_leaves(said: bytes, result: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await to_the_content(reader, writer)
        writer.write(said)
        writer.write_eof()
        await reader.read()

    async with scripted(script) as port:
        channel = channel_to(port)
        message = email(attachments=(Attachment("x.bin", "application/octet-stream", bytes(40_000_000)),))
        outcome = (await deliver(channel, message)).outcome(message)
        if result:
            assert isinstance(outcome, Permanent)
            assert outcome.result == result
        else:
            assert isinstance(outcome, Temporary)
        await channel.close()


async def test_a_server_that_always_leaves_before_the_content() -> None:
    connections: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await hello(reader, writer, "PIPELINING")
        await reader.readline()

    async with scripted(script) as port:
        channel, message = channel_to(port), email()
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Temporary)
        assert outcome.scope == "provider"
        assert engine.intended == []
        assert len(connections) == 2
        await channel.close()


@pytest.mark.parametrize("stage", ["greeting", "mail"])
async def test_a_full_server_says_421(stage: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if stage == "greeting":
            writer.write(b"421 4.3.2 too many connections\r\n")
            return
        await hello(reader, writer, "PIPELINING")
        await reader.readline()
        writer.write(b"421 4.7.0 slow down\r\n")

    async with scripted(script) as port:
        channel, message = channel_to(port), email()
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Temporary)
        assert outcome.scope == "provider"
        assert outcome.code.startswith("421")
        assert engine.intended == []
        await channel.close()


async def test_lost_in_the_middle_of_the_content_was_not_sent() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await to_the_content(reader, writer)
        writer.transport.abort()

    async with scripted(script) as port:
        channel = channel_to(port)
        message = email(attachments=(Attachment("x.bin", "application/octet-stream", bytes(40_000_000)),))
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Temporary)
        assert engine.intended == [message.attempt_id]
        await channel.close()


async def test_no_answer_in_time_after_the_content_is_unknown() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader, writer, "PIPELINING")
        for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(answer)
        await reader.read()

    async with scripted(script) as port:
        channel, message = channel_to(port, timeouts=Timeouts(final=0.05)), email()
        engine = await deliver(channel, message)
        assert isinstance(engine.outcome(message), Unknown)
        await channel.close()


async def test_what_is_no_smtp_is_not_believed() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader, writer, "PIPELINING")
        await reader.readline()
        writer.write(b"<html>hello</html>\r\n")
        await reader.read()

    async with scripted(script) as port:
        channel, message = channel_to(port), email()
        engine = await deliver(channel, message)
        assert isinstance(engine.outcome(message), Temporary)
        await channel.close()


async def test_idle_connections_are_left(far: MailFar) -> None:
    channel = channel_to(far.inbox.port, timeouts=Timeouts(idle=0.02))
    await deliver(channel, email())
    await until(lambda: not far.inbox._receiver.connections)
    await channel.close()


@pytest.mark.parametrize(
    "line",
    [".\r\n", "x\n.\n", "Æ\n", ".", "mye mer " * 9 + "\r"],
    ids=["dots", "ends", "letters", "one line", "words"],
)
@pytest.mark.parametrize("html", [False, True])
async def test_a_long_mail_arrives_as_it_was(far: MailFar, line: str, html: bool) -> None:
    """It is put together beside the event loop, in slices that show nowhere."""
    body = line * (1_500_000 // len(line))
    async with watchdog() as watched:
        engine = await deliver(far.channel, message := email(body=body, subject="Æ" * 50_000, html=html))
    assert isinstance(engine.outcome(message), Accepted)
    assert watched.busy < 0.05
    [mail] = far.mails
    text = re.sub(r"\r\n?", "\n", body)
    assert mail.body("html" if html else "plain").removesuffix("\n") == text.removesuffix("\n")
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998
