"""A child process of `varsel up`: `python -m varsel.cli.child worker --line FD --parent PID` (see `varsel.runtime.supervise`)."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from varsel.runtime.supervise import die_with, serve_line

Ready = Callable[[], Awaitable[None]]


def command(kind: str) -> list[str]:
    """What starts a child of this kind."""
    return [sys.executable, "-m", "varsel.cli.child", kind]


async def worker(config: Mapping[str, Any], ready: Ready, go: asyncio.Event, stop: asyncio.Event) -> None:
    from varsel.cli.base import Base, Ground
    from varsel.cli.roles import open_worker
    from varsel.runtime.logs import configure_logging

    del go  # a worker begins when it is ready
    ground, settings = Ground.from_config(config)
    configure_logging(settings)
    base = await Base.open(settings, ground, name=str(config["name"]), queues=True)
    try:
        working = await open_worker(base)
        try:
            base.start()
            await ready()
            await stop.wait()
        finally:
            await working.close()
    finally:
        await base.close()


async def http(config: Mapping[str, Any], ready: Ready, go: asyncio.Event, stop: asyncio.Event) -> None:
    """One more process for the port that the parent has bound."""
    from varsel.cli.base import Base, Ground
    from varsel.cli.roles import HTTP_ROLES, open_front
    from varsel.runtime.logs import configure_logging
    from varsel.runtime.server import HttpServer

    ground, settings = Ground.from_config(config)
    configure_logging(settings)
    base = await Base.open(settings, ground, name=str(config["name"]))
    try:
        front = await open_front(base, frozenset(HTTP_ROLES), office=str(config["office"]))
        try:
            base.start()
            await ready()
            await go.wait()
            server = HttpServer(
                front.app, [socket.socket(fileno=int(config["socket"]))], stop_seconds=settings.stop_seconds
            )
            await server.start()
            await stop.wait()
            await server.stop()
        finally:
            await front.close()
    finally:
        await base.close()


def main(arguments: list[str]) -> int:
    kind, _, descriptor, _, parent = arguments
    if not die_with(int(parent)):
        return 1
    import uvloop

    from varsel.runtime.metrics import render

    run = {"worker": worker, "http": http}[kind]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(
            serve_line(int(descriptor), int(parent), run, {"metrics": lambda: render().decode()})
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
