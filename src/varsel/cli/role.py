"""`varsel api|identity|web|worker`: one role alone, any number of times, on the database of VARSEL_DATABASE_URL."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from varsel.cli.place import data_directory
from varsel.cli.terminal import progress, say
from varsel.cli.up import run, started
from varsel.runtime.errors import SettingsError
from varsel.runtime.settings import Settings
from varsel.runtime.settings_sources import load

if TYPE_CHECKING:
    from varsel.cli.base import Base

Port = Annotated[int | None, Parameter(help="Port of the listener; 0 takes a free one.")]
Host = Annotated[str | None, Parameter(help="Address it binds.")]


def api(*, port: Port = None, host: Host = None) -> int:
    return run(_http("api", load(port=port, host=host)))


def identity(*, port: Port = None, host: Host = None) -> int:
    return run(_http("identity", load(port=port, host=host)))


def web(*, port: Port = None, host: Host = None) -> int:
    return run(_http("web", load(port=port, host=host)))


def worker(
    *,
    port: Annotated[
        int | None, Parameter(help="Port for /health and /metrics; none is opened without it.")
    ] = None,
    host: Host = None,
) -> int:
    return run(_worker(load(port=port, host=host), watched=port is not None))


async def _http(role: str, settings: Settings) -> int:
    from varsel.cli.roles import open_bounces, open_front
    from varsel.runtime.server import HttpServer, bind

    listening = bind(settings.host, settings.port)
    settings = settings.replace(port=listening.getsockname()[1])
    opened = Opened(role, settings)

    async def open_all() -> None:
        base = await opened.base()
        bounces = await open_bounces(base) if role == "api" else None
        if bounces is not None:
            opened.close.push_async_callback(bounces.close)
        front = await open_front(base, frozenset({role}))
        opened.close.push_async_callback(front.close)
        base.start()
        sockets = [listening]
        if role == "api" and settings.internal_port:
            sockets.append(bind(settings.internal_host, settings.internal_port))
        server = HttpServer(front.app, sockets, stop_seconds=settings.stop_seconds)
        opened.close.push_async_callback(server.stop)
        await server.start()

    with contextlib.closing(listening):
        return await opened.until_asked(open_all, f"Varsel's role {role} answers on {_address(listening)}")


def _address(listening: socket.socket) -> str:
    """Where a listener is reached, which behind a proxy is not the public address."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _worker(settings: Settings, *, watched: bool) -> int:
    from varsel.cli.roles import open_worker
    from varsel.delivery.queues import Queues
    from varsel.runtime import metrics
    from varsel.runtime.server import HttpServer, bind
    from varsel.runtime.site import Site

    opened = Opened("worker", settings)
    if watched:
        listening = bind(settings.host, settings.port)
        opened.close.callback(listening.close)

    async def open_all() -> None:
        base = await opened.base()
        working = await open_worker(base)
        opened.close.push_async_callback(working.close)
        base.start()
        if watched:
            queues = Queues(base.database, base.calendar, base.machine)

            async def page() -> bytes:
                await queues.refresh()
                return metrics.render()

            site = Site(mounts={}, states=working.states, metrics=page)
            server = HttpServer(site, [listening], stop_seconds=settings.stop_seconds)
            opened.close.push_async_callback(server.stop)
            await server.start()

    return await opened.until_asked(open_all, "Varsel's role worker is at work")


class Opened:
    """What a role alone has opened, in the order in which it is closed again."""

    def __init__(self, role: str, settings: Settings) -> None:
        self._role = role
        self._settings = settings
        self.close = contextlib.AsyncExitStack()

    async def base(self) -> Base:
        """The ground of the role: a database whose schema is up to date."""
        from varsel.cli.base import Base, Ground
        from varsel.store import migrations

        settings = self._settings
        if not settings.database_url:
            raise SettingsError(
                "A role alone needs VARSEL_DATABASE_URL, the PostgreSQL that all roles share; `varsel up` brings its own."
            )
        direct = settings.database_direct_url or None
        pending = (await migrations.status(direct or settings.database_url)).pending
        if pending:
            raise migrations.MigrationError(
                f"The database lacks migration {pending[0].number:04d} {pending[0].name}; apply it: varsel db migrate"
            )
        key = settings.master_key_file or str(data_directory(settings) / "master.key")
        ground = Ground(settings.database_url, direct, key, sandbox=False)
        base = await Base.open(settings, ground, name=self._role, queues=self._role == "worker")
        self.close.push_async_callback(base.close)
        return base

    async def until_asked(self, open_all: Callable[[], Coroutine[Any, Any, None]], sentence: str) -> int:
        """Open everything, say so, stay until SIGTERM or Ctrl-C, close everything; the exit code."""
        from varsel.runtime.logs import configure_logging
        from varsel.runtime.supervise import StopSignals

        configure_logging(self._settings)
        with progress() as shown, StopSignals(lambda: os._exit(130)) as signals:
            shown(f"Starting the role {self._role}")
            async with self.close:
                if not await started(open_all(), signals.asked):
                    return 130
                shown.done()
                say(sentence)
                await signals.asked.wait()
                shown("Stopping: finishing what is in hand")
        return 0
