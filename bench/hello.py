"""A bare "hello" on the same server stack: what HTTP alone costs. Prints its port, lives until its standard input closes."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Any

import uvicorn


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, loop="uvloop", http="httptools", log_level="error", access_log=False, lifespan="off"
        )
    )
    print(listener.getsockname()[1], flush=True)

    def watch() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    asyncio.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
