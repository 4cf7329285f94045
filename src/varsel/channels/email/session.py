"""One SMTP connection after its log-on: writes groups of commands, reads replies one after another.

aiosmtplib makes the connection (TLS, EHLO, AUTH); its protocol knows one outstanding command at a time, so the
connection is then handed to this protocol, which allows pipelining (RFC 2920).
"""

from __future__ import annotations

import asyncio
from collections import deque

from varsel.channels.email.replies import Reply

_MOST_UNREAD = 1 << 16  # replies that nobody asked for


class ConnectionEnded(Exception):
    """The connection ended, was silent for too long, or did not speak SMTP."""


class Session(asyncio.Protocol):
    """Speaks SMTP over a transport that is logged on. `extensions` is what EHLO offered, names in lower case."""

    def __init__(self, transport: asyncio.Transport, extensions: dict[str, str]) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended: str | None = None
        self.pipelining = "pipelining" in extensions
        self.utf8 = "smtputf8" in extensions and "8bitmime" in extensions
        self.dsn = "dsn" in extensions
        self.sized = "size" in extensions
        size = extensions.get("size", "").split()
        self.most_octets = int(size[0]) if size and size[0].isdecimal() else 0
        self.handed_over = 0
        self.idle_since = 0.0
        self.needs_reset = False
        # Zero marks make "nothing is buffered" an event: `drain` ends when all octets are with the kernel.
        transport.set_write_buffer_limits(high=0)
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """False once the far end has left or something was said out of turn."""
        return self._ended is None and not self._replies and not self._transport.is_closing()

    @property
    def buffered(self) -> int:
        """Octets that are certainly not sent yet."""
        return self._transport.get_write_buffer_size() if self._ended is None else 0

    def write(self, octets: bytes) -> None:
        """Queue octets. Raises ConnectionEnded when the connection is already known to be gone."""
        if self._ended is not None or self._transport.is_closing():
            raise ConnectionEnded(self._ended or "the connection is closed")
        self._transport.write(octets)

    async def drain(self, seconds: float) -> None:
        """Wait until the kernel has taken everything."""
        while self._transport.get_write_buffer_size():
            await self._wait(seconds)
        if self._ended is not None:
            raise ConnectionEnded(self._ended)

    async def reply(self, seconds: float) -> Reply:
        """The next reply. Raises ConnectionEnded when none comes within the seconds."""
        while not self._replies:
            if self._ended is not None:
                raise ConnectionEnded(self._ended)
            await self._wait(seconds)
        return self._replies.popleft()

    def said(self) -> Reply | None:
        """A reply that came already, also when the connection ended behind it."""
        return self._replies.popleft() if self._replies else None

    async def _wait(self, seconds: float) -> None:
        if self._ended is not None:
            raise ConnectionEnded(self._ended)
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _check_deadline(self) -> None:
        # One timer a connection, moved only when it fires: a timer per reply costs more than the reply.
        self._timer = None
        if self._waiter is None or self._ended is not None:
            return
        if self._loop.time() >= self._deadline - 0.001:
            self._end("no answer in time")
            self._transport.abort()
        else:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._wake()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        lines = data.split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if not text[:3].isdecimal() or len(text[:3]) < 3 or text[3:4] not in ("", " ", "-"):
                self._end("the answer is not SMTP")
                self._transport.abort()
                return
            self._lines.append(text[4:])
            if text[3:4] != "-":
                self._replies.append(Reply(int(text[:3]), " ".join(self._lines)))
                self._lines = []
        if len(self._buffer) + sum(map(len, self._lines)) > _MOST_UNREAD or len(self._replies) > 1000:
            self._end("the answer has no end")
            self._transport.abort()
            return
        if self._replies:
            self._wake()

    def pause_writing(self) -> None:
        """Octets are buffered; `drain` asks the transport itself."""

    def resume_writing(self) -> None:
        """Everything is with the kernel."""
        self._wake()

    def eof_received(self) -> bool:
        self._end("the far end closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the connection was lost")

    def abort(self) -> None:
        """Drop the connection at once; what is buffered is not sent."""
        self._end("given up")
        self._transport.abort()

    def leave(self) -> None:
        """Say QUIT and close. Nobody waits for the answer: it decides nothing."""
        if self._ended is None and not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        self._end("closed")
