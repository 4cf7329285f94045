"""The HTTP server on a real socket with an application that tells what it was asked, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import uvloop

from varsel.runtime.endpoints import RESPOND
from varsel.runtime.server import HttpServer, Limits, bind


class App:
    """Answers with the length of the body and the number of Authorization headers; holds paths under /hold."""

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole  # answers by the server's own extension instead of two messages
        self.release = asyncio.Event()
        self.waiting = 0
        self.left = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size = 0
        if scope["path"] == "/early":
            await self._say(scope, send, 401, b"")
            return
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        if scope["path"].startswith("/hold"):
            self.waiting += 1
            await self.release.wait()
        seen = sum(name == b"authorization" for name, _ in scope["headers"])
        await self._say(scope, send, 200, f"{scope['path']} {size} {seen}".encode())

    async def _say(self, scope: Any, send: Any, status: int, body: bytes) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        if scope["query_string"]:
            headers.append((b"location", unquote_to_bytes(scope["query_string"])))
        if self.whole and scope["extensions"][RESPOND](status, headers, body):
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Served:
    def __init__(self, server: HttpServer, app: App) -> None:
        self.server, self.app, self.port = server, app, server.ports[0]

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *parts: bytes, end: bool = True) -> bytes:
        """Send, then read everything until the server closes."""
        reader, writer = await self.open()
        for part in parts:
            writer.write(part)
            await writer.drain()
        if end:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        return answer


class Stage:
    """Starts servers and stops them at the end of a test."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._servers: list[HttpServer] = []

    async def __call__(self, **options: Any) -> Served:
        limits = Limits(**{name: options.pop(name) for name in list(options) if name in Limits.__slots__})
        app = App(self._whole)
        server = HttpServer(app, [bind("127.0.0.1", 0)], limits=limits, **options)
        await server.start()
        self._servers.append(server)
        return Served(server, app)

    async def close(self) -> None:
        for server in self._servers:
            await server.stop()


def on_both_loops(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on asyncio's loop and on uvloop, which differ in how they close, half-close and abort.

    On uvloop also with answers that are given whole.
    """

    @functools.wraps(scenario)
    def run(loop: Callable[[], asyncio.AbstractEventLoop], whole: bool, **given: Any) -> None:
        async def play() -> None:
            stage = Stage(whole)
            try:
                await scenario(stage, **given)
            finally:
                await stage.close()

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(play())

    parameters = list(inspect.signature(scenario).parameters.values())[1:]
    own = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("loop", "whole")]
    signed: Any = run
    signed.__signature__ = inspect.Signature([*own, *parameters])
    on_each: Callable[..., None] = pytest.mark.parametrize(
        ("loop", "whole"),
        [(asyncio.new_event_loop, False), (uvloop.new_event_loop, False), (uvloop.new_event_loop, True)],
        ids=["asyncio", "uvloop", "uvloop-whole"],
    )(signed)
    return on_each


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


def request(path: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Served]:
    server = HttpServer(app, [bind("127.0.0.1", 0)])
    await server.start()
    try:
        yield Served(server, app)
    finally:
        await server.stop()
