"""When a mail server is left alone for a while, and when only one message is."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.channels.conformance import email
from tests.unit.channels.test_smtp import channel_to, deliver, free_port, hello, scripted
from varsel.channels.email.session import Session
from varsel.channels.email.smtp import Timeouts
from varsel.channels.model import Accepted, Temporary


@pytest.mark.parametrize("end", ["nothing", "421 4.3.2 go away", "451 4.3.0 lookup failed"])
async def test_one_mail_that_the_server_cannot_bear_pauses_nobody(end: str) -> None:
    """It takes all mail but one, at whose recipient it fails each time: the others go on, and that one waits by itself."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader, writer)
        while line := await reader.readline():
            if b"poison" in line:
                if end == "nothing":
                    return
                writer.write(f"{end}\r\n".encode())
                if end.startswith("421"):
                    return
            elif line == b"DATA\r\n":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 taken\r\n")
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    async with scripted(script) as port:
        channel = channel_to(port, slots=1)
        first, poison, last = email("a@example.org"), email("poison@example.org"), email("b@example.org")
        engine = await deliver(channel, first, poison, last)
        assert isinstance(engine.outcome(first), Accepted)
        assert isinstance(engine.outcome(last), Accepted)
        refused = engine.outcome(poison)
        assert isinstance(refused, Temporary)
        assert refused.scope == "message"
        assert engine.intended == [first.attempt_id, last.attempt_id]
        await channel.close()


async def test_a_server_that_says_nothing_is_left_alone_for_longer_than_it_was_waited_for() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted(script) as port:
        channel, message = channel_to(port, timeouts=Timeouts(connect=0.25)), email()
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Temporary)
        assert outcome.after is not None
        assert outcome.after > 0.9
        await channel.close()


async def test_a_provider_that_is_down_is_left_alone_for_a_while() -> None:
    channel = channel_to(free_port())
    first, second = email(), email()
    one, two = await deliver(channel, first), await deliver(channel, second)
    before, after = one.outcome(first), two.outcome(second)
    assert isinstance(before, Temporary)
    assert isinstance(after, Temporary)
    assert before.after is not None
    assert after.after is not None
    assert 0 < after.after <= before.after


async def test_digits_that_are_none_to_int_are_no_smtp() -> None:
    """`"²".isdigit()` is true and `int("²")` fails: said by a mail server it ended the connection without a word."""

    class Mute(asyncio.Transport):
        aborted = False

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

        def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

        def is_closing(self) -> bool:
            return self.aborted

        def abort(self) -> None:
            self.aborted = True

    transport = Mute()
    session = Session(transport, {"size": "\u00b2"})
    assert session.most_octets == 0
    session.data_received("25\u00b2 fine\r\n".encode())
    assert transport.aborted and not session.usable
