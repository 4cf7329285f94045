"""A bare "hello" on the same server stack: what HTTP alone costs. Prints its port, lives until its standard input closes."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Any

import uvloop

from varsel.runtime.endpoints import RESPOND
from varsel.runtime.server import HttpServer


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    scope["extensions"][RESPOND](200, [(b"content-length", b"5")], b"hello")


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(app, [listener])
    await server.start()
    print(server.ports[0], flush=True)
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=watch, daemon=True).start()
    await closed.wait()
    await server.stop()


if __name__ == "__main__":
    uvloop.run(main())
