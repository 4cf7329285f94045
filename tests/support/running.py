"""A whole Varsel that listens: every role behind the real server on a loopback port, with clock and keys in the test's hand.

The process is the test's own, so that a forged token differs from a right one in a single thing; everything else is as `varsel up`
puts it together, and requests go over TCP, byte for byte as the test wrote them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httptools
import httpx2

from tests.support.checked import check_async_response
from tests.support.identity import BASE, ORDERS, START, World, make_keys_cheaply
from varsel.cli.base import Base, Ground
from varsel.cli.roles import HTTP_ROLES, Front, open_front
from varsel.runtime.clock import ManualClock, ShiftedCalendar
from varsel.runtime.endpoints import Call, Caller, Policy
from varsel.runtime.server import HttpServer, Limits, bind
from varsel.runtime.settings import Settings
from varsel.store.database import Database, Listener
from varsel.store.secrets import MasterKey

#: Seconds for one answer on a busy machine.
PATIENCE = 60.0
#: Every answer is what the API description tells of; it tells of refusals as the public API makes them.
CHECKED = {"response": [check_async_response]}


class _Answer:
    """Reads one response; what httptools calls back."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class Wire(httpx2.AsyncBaseTransport):
    """Speaks HTTP/1.1 to one loopback port whatever host the address names, and mends nothing: headers leave as they were given."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        lines = [request.method.encode() + b" " + request.url.raw_path + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in request.headers.raw]
        sent = b"\r\n".join(lines) + b"\r\n\r\n" + body
        while self._idle:
            # The server may have closed a connection that was kept: then nothing of this request was read.
            with contextlib.suppress(ConnectionError):
                return await self._ask(self._idle.pop(), request.method, sent)
        return await self._ask(await asyncio.open_connection("127.0.0.1", self._port), request.method, sent)

    async def _ask(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], method: str, sent: bytes
    ) -> httpx2.Response:
        reader, writer = connection
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(sent)
                while not answer.complete:
                    chunk = await reader.read(65536)
                    if not chunk:
                        raise ConnectionError("closed before the answer was complete")
                    parser.feed_data(chunk)
        except BaseException:
            writer.transport.abort()
            raise
        if parser.should_keep_alive():
            self._idle.append(connection)
        else:
            writer.transport.abort()
        return httpx2.Response(parser.get_status_code(), headers=answer.headers, content=bytes(answer.body))

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop()[1].transport.abort()


class RunningWorld(World):
    """A World whose requests reach a listening server; `let_in` are the callers that its endpoints met, in order."""

    let_in: list[Caller]
    port: int
    _closing: contextlib.AsyncExitStack


async def open_running(
    database: Database,
    folder: Path,
    *,
    sandbox: bool = True,
    outbound: Any = None,
    listening: socket.socket | None = None,
    **settings: Any,
) -> RunningWorld:
    """Start every role on a free port, with one integration of Digdir that holds the key `first` as `k1`.

    `public_url` None: the address at which it really listens; `listening` is a socket bound before.
    """
    bound = listening or bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    if settings.setdefault("public_url", BASE) is None:
        settings["public_url"] = f"http://127.0.0.1:{port}"
    chosen = Settings(**settings)
    clock = ManualClock(START)
    make_keys_cheaply()
    key_file = folder / "master.key"
    master_key = MasterKey.load(key_file)
    listener = Listener(database.direct_url)
    ground = Ground(database.direct_url, None, str(key_file), sandbox)
    base = Base(
        chosen,
        ground,
        database,
        listener=listener,
        master_key=master_key,
        calendar=ShiftedCalendar(clock),
    )
    base.machine = clock  # type: ignore[assignment]
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(bound.close)
        front = await open_front(base, frozenset(HTTP_ROLES), issuers=outbound)
        stack.push_async_callback(front.close)
        let_in = _noted(front)
        listener.start()
        stack.push_async_callback(listener.stop)
        server = HttpServer(front.app, [bound], stop_seconds=1.0, limits=Limits(), machine=clock)
        await server.start()
        stack.push_async_callback(server.stop)
        port = server.ports[0]
        hooks = CHECKED if chosen.strict_imitation else {}
        http = httpx2.AsyncClient(transport=Wire(port), base_url=BASE, event_hooks=hooks)
        stack.push_async_callback(http.aclose)
        world = RunningWorld(front.identity, database, clock, master_key, chosen, http, folder)
        world.let_in, world.port = let_in, port
        world.client_id = await world.new_client()
        world._closing = stack.pop_all()
        return world
    raise AssertionError("unreachable")


async def open_beside(world: RunningWorld, **settings: Any) -> RunningWorld:
    """Another Varsel on the database of `world`, at the same moment: tests that share a world also share how far it has come."""
    another = await open_running(world.database, world.folder, **settings)
    another.clock.advance(world.clock.now() - another.clock.now())
    return another


async def close_running(world: RunningWorld) -> None:
    """Stop the server and close what it stood on."""
    await world._closing.aclose()


def _noted(front: Front) -> list[Caller]:
    """Note who passes the authorizer; what is noted here has reached an endpoint's handler, or its reading of the body."""
    app: Any = front.app
    authorize, met = app._authorize, list[Caller]()

    async def noting(policy: Policy, call: Call) -> Caller:
        caller: Caller = await authorize(policy, call)
        if policy is not Policy.OPEN:
            met.append(caller)
        return caller

    app._authorize = noting
    return met


def an_order() -> bytes:
    """A small right order that nobody sent before."""
    text = (
        '{"idempotencyId": "%s", "recipient": {"recipientEmail": {"emailAddress": "kari@example.org",'
        ' "emailSettings": {"subject": "Vedtak", "body": "Hei"}}}}'
    )
    return (text % uuid4()).encode()


class Endpoints:
    """The API of a running world, asked as callers ask; `let_in` are the callers met since this was made."""

    def __init__(self, world: RunningWorld) -> None:
        self.world = world
        self._before = len(world.let_in)
        #: Without the cookies that logins of the same test may have left.
        hooks = CHECKED if world.settings.strict_imitation else {}
        self.http = httpx2.AsyncClient(transport=Wire(world.port), base_url=BASE, event_hooks=hooks)

    @property
    def let_in(self) -> list[Caller]:
        return self.world.let_in[self._before :]

    @property
    def last(self) -> Caller:
        return self.let_in[-1]

    async def order(
        self, headers: Mapping[str, str] | Sequence[tuple[str, str]], **options: Any
    ) -> httpx2.Response:
        """POST an order with these headers; 201 when it is accepted."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("Content-Type", "application/json"))
        return await self.http.post(
            options.pop("path", ORDERS), headers=pairs, **({"content": an_order()} | options)
        )

    async def status(self, token: str, **options: Any) -> int:
        """The status for an order with this bearer token."""
        return (await self.order({"Authorization": f"Bearer {token}"}, **options)).status_code

    async def stored(self) -> int:
        """How many orders the database holds."""
        return int(await self.world.database.fetchval("select count(*) from orders"))
