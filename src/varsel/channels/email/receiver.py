"""A small SMTP server: takes bounces in production and everything in the sandbox (RFC 5321, 1870, 2920, 3461, 6531).

It is an asyncio protocol that answers whole pipelined groups with one write. aiosmtpd, measured on the same machine
and load, takes about a tenth of the messages. It offers no TLS and no AUTH: in production it stands behind the
installation's mail relay, in the sandbox on loopback.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from varsel.channels.slices import line_slices

_PARAMETERS = re.compile(r"<((?:\"(?:[^\"\\]|\\.)*\"|[^<>\"])*)>((?:\s+\S+)*)\s*\Z")
_LINE_OCTETS = 4096
_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8
_BUFFERED = 1 << 18
_XTEXT = re.compile(r"\+([0-9A-F]{2})")

OK = b"250 2.0.0 Ok\r\n"


@dataclass(slots=True)
class Recipient:
    """One accepted recipient, with what RFC 3461 4.1 lets a sender ask: `notify` holds SUCCESS, FAILURE, DELAY or NEVER."""

    address: str = field(repr=False)
    notify: frozenset[str] = frozenset()
    original: str = field(default="", repr=False)


@dataclass(slots=True)
class Envelope:
    """One mail transaction. `content` is without dot-stuffing, and once it is handed to the taker complete, but for what is beyond
    the receiver's `kept_octets`.
    """

    peer: str
    hello: str
    sender: str = field(repr=False)
    utf8: bool = False
    envelope_id: str = ""
    returned: str = ""
    recipients: list[Recipient] = field(default_factory=list)
    content: bytes = field(default=b"", repr=False)


Answer = bytes | None
"""A whole reply with CRLF, or None to close the connection without a word."""

JudgeRecipient = Callable[[Envelope, str], bytes]
"""The reply to RCPT for an address: 2xx takes it."""

Take = Callable[[Envelope], Answer | Awaitable[Answer]]
"""Takes a whole mail; the reply to end-of-data. What it accepts must be kept before it answers."""


class SmtpReceiver:
    """Listens on a host and port (0 takes a free one, see `port` after `start`). Of mails up to `most_octets` the first `kept_octets`
    are handed over (None: all of them); the rest is taken and forgotten as it comes.
    """

    def __init__(
        self,
        host: str,
        port: int,
        take: Take,
        *,
        judge: JudgeRecipient | None = None,
        hostname: str = "varsel.localhost",
        most_octets: int = 25 * 1024 * 1024,
        kept_octets: int | None = None,
        idle_seconds: float = 300.0,
    ) -> None:
        self.host = host
        self.port = port
        self.take = take
        self.judge = judge
        self.hostname = hostname
        self.most_octets = most_octets
        self.kept_octets = most_octets if kept_octets is None else kept_octets
        self.idle_seconds = idle_seconds
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port, backlog=128)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the port and every connection; a mail under way is not acknowledged."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = [connection.stop() for connection in tuple(self.connections)]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: SmtpReceiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._searched = 0
        self._in_data = False
        self._kept = bytearray()  # beginning of a mail that has more of it than is kept
        self._passed = 0  # octets of it that left the buffer
        self._taking: asyncio.Task[None] | None = None
        self._closing = False
        self._hello = ""
        self._peer = ""
        self._envelope: Envelope | None = None
        self._out: list[bytes] = []
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._receiver.connections.add(self)
        peer = self._transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._seen = self._loop.time()
        self._timer = self._loop.call_later(self._receiver.idle_seconds, self._check_idle)
        self._transport.write(f"220 {self._receiver.hostname} ESMTP Varsel\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        # A take under way goes on: what it keeps is kept, only the answer has nobody to hear it.
        self._closing = True
        self._timer.cancel()
        self._receiver.connections.discard(self)

    def stop(self) -> asyncio.Task[None] | None:
        self._transport.abort()
        if self._taking is not None:
            self._taking.cancel()
        return self._taking

    def _check_idle(self) -> None:
        left = self._seen + self._receiver.idle_seconds - self._loop.time()
        if left <= 0 and self._taking is None:
            self._transport.write(b"421 4.4.2 Timeout\r\n")
            self._transport.close()
        else:
            self._timer = self._loop.call_later(max(left, 1.0), self._check_idle)

    def data_received(self, data: bytes) -> None:
        self._seen = self._loop.time()
        self._buffer += data
        if self._taking is None:
            self._work()
        elif len(self._buffer) > _BUFFERED and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _work(self) -> None:
        """Everything that is in the buffer, answered with one write."""
        while self._buffer and self._taking is None and not self._closing:
            if not (self._read_data() if self._in_data else self._read_command()):
                break
        if self._out:
            answer = b"".join(self._out)
            self._out.clear()
            self._transport.write(answer)
        if self._closing and not self._transport.is_closing():
            self._transport.close()

    def _read_command(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0 or end > _LINE_OCTETS:
            if len(self._buffer) > _LINE_OCTETS:
                self._out.append(b"500 5.5.2 Line too long\r\n")
                self._closing = True
            return False
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self._out.append(b"500 5.5.2 Not UTF-8\r\n")
            return True
        verb, _, rest = text.partition(" ")
        command = _COMMANDS.get(verb.upper())
        self._out.append(command(self, rest) if command else b"500 5.5.1 Unknown command\r\n")
        return True

    def _read_data(self) -> bool:
        buffer = self._buffer
        if not self._passed and buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            found = buffer.find(b"\r\n.\r\n", max(0, self._searched - 4))
            if found < 0:
                if len(buffer) > self._receiver.kept_octets:
                    self._pass_over()
                self._searched = len(buffer)
                return False
            end, after = found + 2, found + 5
        size = self._passed + end
        content = bytes(self._kept) + buffer[: min(end, self._receiver.kept_octets - len(self._kept))]
        del buffer[:after]
        self._kept = bytearray()
        self._passed = self._searched = 0
        self._in_data = False
        envelope, self._envelope = self._envelope, None
        assert envelope is not None
        if size > self._receiver.most_octets:
            self._out.append(b"552 5.3.4 Message too big\r\n")
            return True
        if content.startswith(b"."):
            content = content[1:]
        if b"\r\n.." in content:
            content = b"".join(piece.replace(b"\r\n..", b"\r\n.") for piece in line_slices(content))
        envelope.content = content
        answer = self._receiver.take(envelope)
        if answer is None or isinstance(answer, bytes):
            self._answer(answer)
        else:
            self._taking = self._loop.create_task(self._await_answer(answer))
        return True

    def _pass_over(self) -> None:
        """Keep what is kept of the mail and forget the rest, but for the octets in which its end may begin."""
        buffer, receiver = self._buffer, self._receiver
        gone = len(buffer) - 4
        self._passed += gone
        if self._passed > receiver.most_octets:
            self._kept.clear()  # it will be refused
        elif len(self._kept) < receiver.kept_octets:
            self._kept += buffer[: min(gone, receiver.kept_octets - len(self._kept))]
        del buffer[:gone]

    async def _await_answer(self, awaited: Awaitable[Answer]) -> None:
        try:
            answer = await awaited
        except Exception:  # the mail is not kept, so the sender must keep it
            answer = b"451 4.3.0 Local error\r\n"
        self._taking = None
        self._answer(answer)
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()
        self._work()

    def _answer(self, answer: Answer) -> None:
        if answer is None:
            self._closing = True
            self._transport.abort()
        else:
            self._out.append(answer)

    def _ehlo(self, rest: str) -> bytes:
        self._hello, self._envelope = rest.strip(), None
        return (
            f"250-{self._receiver.hostname}\r\n250-PIPELINING\r\n250-SIZE {self._receiver.most_octets}\r\n"
            "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"
        ).encode()

    def _helo(self, rest: str) -> bytes:
        self._hello, self._envelope = rest.strip(), None
        return f"250 {self._receiver.hostname}\r\n".encode()

    def _mail(self, rest: str) -> bytes:
        if self._envelope is not None:
            return b"503 5.5.1 One mail at a time\r\n"
        found = _PARAMETERS.match(rest[5:].lstrip()) if rest[:5].upper() == "FROM:" else None
        if found is None:
            return b"501 5.5.4 MAIL FROM:<address>\r\n"
        envelope = Envelope(self._peer, self._hello, found.group(1))
        for parameter in found.group(2).split():
            name, _, value = parameter.partition("=")
            name = name.upper()
            if name == "SIZE" and value.isdecimal() and int(value) > self._receiver.most_octets:
                return b"552 5.3.4 Message too big\r\n"
            if name == "SMTPUTF8":
                envelope.utf8 = True
            elif name == "ENVID":
                envelope.envelope_id = _from_xtext(value)
            elif name == "RET":
                envelope.returned = value.upper()
            elif name not in ("SIZE", "BODY"):
                return b"555 5.5.4 Unknown parameter\r\n"
        self._envelope = envelope
        return OK

    def _rcpt(self, rest: str) -> bytes:
        envelope = self._envelope
        if envelope is None:
            return b"503 5.5.1 MAIL first\r\n"
        found = _PARAMETERS.match(rest[3:].lstrip()) if rest[:3].upper() == "TO:" else None
        if found is None or "@" not in found.group(1):
            return b"501 5.1.3 RCPT TO:<address>\r\n"
        if not envelope.utf8 and not found.group(1).isascii():
            return b"553 5.6.7 SMTPUTF8 needed\r\n"
        if len(envelope.recipients) >= _RECIPIENTS:
            return b"452 4.5.3 Too many recipients\r\n"
        recipient = Recipient(found.group(1))
        for parameter in found.group(2).split():
            name, _, value = parameter.partition("=")
            if name.upper() == "NOTIFY":
                recipient.notify = frozenset(value.upper().split(","))
            elif name.upper() == "ORCPT":
                recipient.original = _from_xtext(value.partition(";")[2])
            else:
                return b"555 5.5.4 Unknown parameter\r\n"
        answer = OK if self._receiver.judge is None else self._receiver.judge(envelope, recipient.address)
        if answer.startswith(b"2"):
            envelope.recipients.append(recipient)
        return answer

    def _data(self, rest: str) -> bytes:
        if self._envelope is None or not self._envelope.recipients:
            return b"554 5.5.1 No valid recipients\r\n"
        self._in_data = True
        return b"354 Go ahead\r\n"

    def _rset(self, rest: str) -> bytes:
        self._envelope = None
        return OK

    def _noop(self, rest: str) -> bytes:
        return OK

    def _vrfy(self, rest: str) -> bytes:
        return b"252 2.1.5 Send some mail\r\n"

    def _quit(self, rest: str) -> bytes:
        self._closing = True
        return b"221 2.0.0 Bye\r\n"


_COMMANDS: dict[str, Callable[[_Connection, str], bytes]] = {
    "EHLO": _Connection._ehlo,
    "HELO": _Connection._helo,
    "MAIL": _Connection._mail,
    "RCPT": _Connection._rcpt,
    "DATA": _Connection._data,
    "RSET": _Connection._rset,
    "NOOP": _Connection._noop,
    "VRFY": _Connection._vrfy,
    "QUIT": _Connection._quit,
}


def _from_xtext(value: str) -> str:
    """RFC 3461 4: `+` and two hexadecimal digits stand for one octet."""
    return _XTEXT.sub(lambda found: chr(int(found.group(1), 16)), value)
