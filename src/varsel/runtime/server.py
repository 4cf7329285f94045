"""The HTTP server: uvicorn's httptools protocol on sockets that were bound before, with limits of our own.

What uvicorn leaves open is closed here: headers have a size limit and a time limit, a body that stops coming has one, and whoever
is refused while still sending gets the complete answer, because the connection keeps reading (and forgetting) until the caller is
done. A connection that is closed with unread data would be reset, and the answer lost with it (RFC 9112 9.6).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from varsel.runtime.clock import Machine, SystemMachine
from varsel.runtime.cycle import CLOSE, Cycle
from varsel.runtime.endpoints import RESPOND
from varsel.runtime.errors import OperatorError

log = structlog.get_logger("varsel.http")

#: Bytes of request line and headers together (docs/reference/identity.md 6.2).
HEAD_LIMIT: Final = 32 * 1024
#: Seconds for a request's head to arrive once the connection is open or its first byte is there.
HEAD_SECONDS: Final = 15.0
#: Seconds without a byte of an announced body.
BODY_SECONDS: Final = 30.0
#: Seconds an idle connection stays open; longer than the minute that load balancers use.
IDLE_SECONDS: Final = 75
#: After a refusal: so many bytes and seconds are read on and forgotten.
LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_SECONDS: Final = 10.0
#: Seconds in which requests that cross with a stop are still answered.
CROSSING_SECONDS: Final = 0.1
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
#: What a Host header may hold (RFC 9112 3.2, RFC 3986 3.2.2 and 3.2.3).
_HOST: Final = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
#: A method of any name (RFC 9110 9.1) where a request begins, and the one in whose place the parser reads it.
_METHOD: Final = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) ")
_STAND_IN: Final = b"OPTIONS"
_TICK: Final = 1.0
_BACKLOG: Final = 2048


class _HeadTooLongError(Exception):
    """The request's head is beyond HEAD_LIMIT."""


class _HostError(Exception):
    """An HTTP/1.1 request names no host, several, or what cannot be one."""


class _VersionError(Exception):
    """The request is in HTTP/0.9, HTTP/2.0 or what else the parser knows."""


class _State(ServerState):
    """What all connections of one server share. `connections` and `tasks` are uvicorn's."""

    def __init__(self, limits: Limits, loop_time: Callable[[], float]) -> None:
        super().__init__()
        self.limits = limits
        self.loop_time = loop_time
        self.stopping = False
        self.empty = asyncio.Event()


class Limits:
    """Limits of one server, in bytes and seconds; the module's constants unless a test needs others."""

    __slots__ = (
        "body_seconds",
        "head_bytes",
        "head_seconds",
        "idle_seconds",
        "linger_bytes",
        "linger_seconds",
    )

    def __init__(
        self,
        *,
        head_bytes: int = HEAD_LIMIT,
        head_seconds: float = HEAD_SECONDS,
        body_seconds: float = BODY_SECONDS,
        idle_seconds: int = IDLE_SECONDS,
        linger_bytes: int = LINGER_BYTES,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self.head_bytes = head_bytes
        self.head_seconds = head_seconds
        self.body_seconds = body_seconds
        self.idle_seconds = idle_seconds
        self.linger_bytes = linger_bytes
        self.linger_seconds = linger_seconds


class Connection(HttpToolsProtocol):
    """One connection. A refusal (400, 408, 431, 505) is the last answer it gives."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(server_state, _State)
        self._state = server_state
        self._in_message = False
        self._in_head = False
        self._fed = 0  # bytes given to the parser since the head began
        self._unsure = False  # more of them came before
        self._measure = False  # the head may be too long: count it when it is complete
        self._since = 0.0  # start of the head, last byte of the body, or start of lingering
        self._method = b""  # of the request in hand, where the parser knows no such method
        self._resuming = False  # the parser reads a head again whose request has begun
        self._refusal = 0
        self._lingering = False
        self._forgotten = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self._state.loop_time()
        if self._state.stopping:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.connections:
            self._state.empty.set()

    def data_received(self, data: bytes) -> None:
        if self._refusal or self._lingering:
            self._forget(len(data))
            return
        limit = self._state.limits.head_bytes
        before, in_head, begins = self._current(), self._in_head, not self._in_message
        fed = self._fed + len(data) if in_head else len(data)
        self._measure = fed > limit or self._unsure
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._stay(data, upgrade.args[0])
        except httptools.HttpParserError as error:
            if begins and self._current() is before and _is_of_method(error) and self._name_method(data):
                return
            self._refuse(_status_of(error.__context__))
            return
        if not self._in_head:
            self._unsure = False
        elif (begins or in_head) and self._current() is before:
            self._fed = fed
            if fed > limit:
                self._refuse(431)
        else:
            # It began behind something else in these bytes: how long it is so far is unknown.
            self._fed, self._unsure = 0, True

    def _stay(self, data: bytes, end: int) -> None:
        """Where the parser stops at `end` of a head because another protocol would follow: none is spoken here, it goes on as HTTP."""
        while True:
            framing = [header for header in self.headers if header[0] in _FRAMING]
            if framing:
                self._expect_body(framing)
            data = data[end:]
            if not data:
                return
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                end = upgrade.args[0]
            else:
                return

    def _expect_body(self, framing: list[tuple[bytes, bytes]]) -> None:
        """Go back to where the body begins: with an upgrade in sight the parser takes it for the other protocol's."""
        cycle = self.cycle
        close = CLOSE if not self.parser.should_keep_alive() else b""
        cycle.more_body = True
        cycle.message_event.clear()
        self._new_parser()
        self._resuming = True
        lines = b"".join(b"%b: %b\r\n" % header for header in framing)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b%b\r\n" % (lines, close))

    def _name_method(self, data: bytes) -> bool:
        """Read a request again whose method the parser does not know: that no path has it is for the application to say.

        Only where it is the first of what was read: behind others nothing tells where it begins, and it is broken HTTP.
        """
        named = _METHOD.match(data)
        if named is None:
            return False
        self._method = named[1]
        self._new_parser()
        self._in_message = self._in_head = False
        self.data_received(_STAND_IN + data[named.end(1) :])
        return True

    def _new_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn makes its own

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._since = self._state.loop_time()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._resuming:
            self._resuming = False
            return
        if self._measure:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._state.limits.head_bytes:
                raise _HeadTooLongError
        version = self.parser.get_http_version()
        # RFC 9112 3.2: a proxy in front could have read another host than we do.
        if version == "1.1":
            hosts = [value for name, value in self.headers if name == b"host"]
            if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None:
                raise _HostError
        elif version != "1.0":
            raise _VersionError
        if self.url.startswith(b"/") and b"#" not in self.url:
            raw_path, _, query = self.url.partition(b"?")
        else:
            address = httptools.parse_url(self.url)
            raw_path, query = address.path or b"/", address.query or b""
        path = raw_path.decode("ascii")
        scope = self.scope
        scope["method"] = (self._method or self.parser.get_method()).decode("ascii")
        self._method = b""
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        before = self._current()
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive() and not self._state.stopping,
            on_response=self.on_response_complete,
        )
        cycle.linger = self._linger
        scope["extensions"] = cast("dict[str, Any]", {RESPOND: cycle.respond})
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            # It waits for the answers of those before it.
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert isinstance(cycle, Cycle)
        cycle.tasks = self.tasks
        cycle.task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(cycle.task)

    def on_body(self, body: bytes) -> None:
        self._since = self._state.loop_time()
        if self.cycle.response_complete:
            self._forget(len(body))  # answered early, as a 401 is: the rest of its body is of no use
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        # In place of uvicorn's: reading stays paused while pipelined requests wait, so that nobody can queue without end, and idle
        # connections are found by the tick instead of a timer per response.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = self._state.loop_time()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self.flow.resume_reading()
        if self._refusal and not self._lingering:
            self._say_refusal()

    def _forget(self, size: int) -> None:
        self._forgotten += size
        if self._forgotten > self._state.limits.linger_bytes:
            self.transport.abort()

    def _current(self) -> RequestResponseCycle | None:
        return self.cycle

    def _refuse(self, status: int) -> None:
        """Answer `status` after what is in hand, then read on and forget until the caller is done."""
        self._refusal = status
        self._since = self._state.loop_time()
        cycle = self._current()
        if cycle is None or cycle.response_complete:
            self._say_refusal()
        elif cycle.more_body and self.pipeline:
            # The broken request waits behind others: it never starts, and the refusal follows their answers.
            self.pipeline.popleft()
        elif cycle.more_body:
            started = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
            if started:
                self.transport.close()
            else:
                self._say_refusal()

    def _say_refusal(self) -> None:
        if self.transport.is_closing():
            return
        answer = [STATUS_LINE[self._refusal]]
        for name, value in self.server_state.default_headers:
            answer += (name, b": ", value, b"\r\n")
        answer.append(b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.write(b"".join(answer))
        self._linger()

    def _linger(self) -> None:
        """Nothing more is said; what the caller is still sending is read and forgotten."""
        if self.transport.is_closing():
            return
        self._lingering = True
        self._since = self._state.loop_time()
        self.flow.resume_reading()
        with contextlib.suppress(OSError, NotImplementedError):
            self.transport.write_eof()

    def check(self, now: float) -> None:
        """Once a second: end what has waited too long."""
        limits = self._state.limits
        waited = now - self._since
        cycle = self._current()
        if self._lingering:
            if waited > limits.linger_seconds:
                self.transport.abort()
        elif self._refusal:
            pass  # it follows the answers that are in hand
        elif self._in_head:
            if waited > limits.head_seconds:
                self._refuse(408)
        elif cycle is None:
            if waited > limits.head_seconds:
                self.transport.close()
        elif cycle.response_complete:
            if waited > limits.idle_seconds:
                self.transport.close()
        elif cycle.more_body and not self.flow.read_paused and waited > limits.body_seconds:
            self._refuse(408)

    def shutdown(self) -> None:
        if self._lingering or self._in_head:
            return  # ends by itself: on_headers_complete sees that the server stops
        super().shutdown()

    def abort(self) -> None:
        """End now, whatever is in hand."""
        self.transport.abort()


def bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A socket bound to the address and not listening yet: callers are refused until the server starts.

    OperatorError when the port is taken. `port` 0 takes a free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _cannot_listen(error, host, port) from None
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def _cannot_listen(error: OSError, host: str, port: int) -> OperatorError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return OperatorError(f"{where} is taken by another program; choose another port with --port.")
        case errno.EACCES:
            return OperatorError(f"This account may not listen on {where}; choose a port above 1023.")
        case errno.EADDRNOTAVAIL:
            return OperatorError(f"This machine has no address {host}.")
        case _:
            return OperatorError(f"Cannot listen on {where}: {error.strerror}.")


class HttpServer:
    """Serves one ASGI application on bound sockets, inside a running event loop.

    It takes no signals and sends no lifespan events: composition calls `start` when everything is ready and `stop` to end. `stop`
    closes the door, finishes what is in hand within `stop_seconds`, and ends the rest.
    """

    def __init__(
        self,
        app: Any,
        sockets: Sequence[socket.socket],
        *,
        stop_seconds: float = 20.0,
        limits: Limits | None = None,
        machine: Machine | None = None,
    ) -> None:
        self._sockets = list(sockets)
        self._stop_seconds = stop_seconds
        self._machine = SystemMachine() if machine is None else machine
        self._limits = Limits() if limits is None else limits
        self._config = Config(
            app,
            interface="asgi3",
            http=Connection,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=self._limits.idle_seconds,
        )
        self._listeners: list[asyncio.Server] = []
        self._state: _State | None = None
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of the sockets, in their order."""
        return tuple(listener.getsockname()[1] for listener in self._sockets)

    async def start(self) -> None:
        """Listen. OperatorError when another program took the port since it was bound."""
        # What is loaded by now stays: the collector need not look at it again, nor as often at what requests leave behind.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        loop = asyncio.get_running_loop()
        self._config.load()
        # uvicorn writes its own lines about broken requests; a caller's mistake is not our event.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        state = self._state = _State(self._limits, loop.time)
        config = self._config

        def connection() -> Connection:
            return Connection(config, state, {}, loop)

        for listener in self._sockets:
            try:
                # Not left to create_server: a loop of uvloop in which it failed cannot be closed.
                listener.listen(_BACKLOG)
            except OSError as error:
                host, port = listener.getsockname()[:2]
                await self.stop()
                raise _cannot_listen(error, host, port) from None
        self._tick()
        for listener in self._sockets:
            self._listeners.append(await loop.create_server(connection, sock=listener, backlog=_BACKLOG))

    def _tick(self) -> None:
        state = self._state
        assert state is not None
        loop = asyncio.get_running_loop()
        state.default_headers = [(b"date", formatdate(self._machine.time(), usegmt=True).encode())]
        now = loop.time()
        for connection in _ours(state.connections):
            connection.check(now)
        self._ticker = loop.call_later(_TICK, self._tick)

    async def stop(self) -> None:
        """Stop accepting, finish what is in hand, close the rest; returns when every connection is gone."""
        state = self._state
        if state is None:
            for listener in self._sockets:
                listener.close()
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_seconds
        state.stopping = True
        for server in self._listeners:
            server.close()
        # A request may be on its way on a connection that looks idle: it is answered, with Connection: close.
        if state.connections:
            await asyncio.sleep(min(CROSSING_SECONDS, self._stop_seconds))
        for connection in _ours(state.connections):
            connection.shutdown()
        while state.tasks and loop.time() < deadline:
            await asyncio.wait(set(state.tasks), timeout=deadline - loop.time())
        if state.tasks:
            log.warning(
                "requests cut off at the stop",
                action="http.cut_off",
                requests=len(state.tasks),
                seconds=self._stop_seconds,
            )
            for task in list(state.tasks):
                task.cancel()
            await asyncio.wait(set(state.tasks), timeout=1.0)
        for connection in _ours(state.connections):
            if not connection.transport.is_closing():
                connection.abort()  # lingers, or is half through a head
        await self._emptied(state, max(deadline - loop.time(), 0.1))
        for connection in _ours(state.connections):
            connection.abort()  # does not read its answer
        await self._emptied(state, 1.0)
        if self._ticker is not None:
            self._ticker.cancel()
        for listener in self._sockets:
            listener.close()

    @staticmethod
    async def _emptied(state: _State, seconds: float) -> None:
        state.empty.clear()
        if state.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.empty.wait(), seconds)


def _is_of_method(error: httptools.HttpParserError) -> bool:
    # One that the parser does not know, or knows of another protocol.
    return isinstance(error, httptools.HttpParserInvalidMethodError) or str(error).startswith(
        "Invalid method"
    )


def _status_of(cause: BaseException | None) -> int:
    """How a request is refused that the parser, or one of our own checks within it, did not take."""
    match cause:
        case _HeadTooLongError():
            return 431
        case _VersionError():
            return 505
        case _:
            return 400


def _ours(connections: Iterable[object]) -> list[Connection]:
    return [connection for connection in connections if isinstance(connection, Connection)]
