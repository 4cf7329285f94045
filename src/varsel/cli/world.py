"""Everything on one machine: the embedded database, the HTTP roles in this process, workers as its children.

Started from the ground up (port bound, directory claimed, database, migrations, rooms, workers) and only then open to the world;
stopped the other way round. What dies underneath is started anew: PostgreSQL here, the children by `varsel.runtime.supervise`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog

from varsel.cli import child
from varsel.cli.base import Base, Ground
from varsel.cli.place import Place, PlaceError, Running, claim, data_directory
from varsel.cli.roles import HTTP_ROLES, open_bounces, open_front
from varsel.runtime.errors import OperatorError, SettingsError
from varsel.runtime.server import HttpServer, bind
from varsel.runtime.settings import Settings
from varsel.runtime.supervise import Child, State
from varsel.runtime.tasks import end
from varsel.store.embedded.settings import BASE

if TYPE_CHECKING:
    from varsel.sandbox.room import SandboxRoom
    from varsel.store.embedded import EmbeddedServer

log = structlog.get_logger("varsel.world")

LOOPBACK: Final = "127.0.0.1"
#: Bounces of a sandbox's mail come back to addresses of this domain.
SANDBOX_BOUNCES: Final = "bounces.varsel.localhost"
#: Connections that the embedded server takes without being asked for more, and those it takes beyond what our processes may open.
SERVED_ANYWAY: Final = int(BASE["max_connections"])
SPARE_CONNECTIONS: Final = 20
#: Seconds between two starts of a PostgreSQL that died.
PAUSES: Final = (0.0, 1.0, 2.0, 5.0, 10.0)


def keep_on_loopback(settings: Settings) -> None:
    """Refuse providers beyond this machine in a sandbox whose owner has not said that it may really send."""
    if settings.sandbox_real_sending:
        return
    for variable, urls in (("VARSEL_EMAIL_URL", settings.email_url), ("VARSEL_SMS_URL", settings.sms_url)):
        for url in urls.split():
            host = urlsplit(url).hostname or ""
            if host != "localhost" and not _is_loopback(host):
                raise OperatorError(
                    f"{variable} names a provider beyond this machine, and a sandbox sends to none; "
                    "set VARSEL_SANDBOX_REAL_SENDING=1 if it really should."
                )


def warn_of_missing_providers(settings: Settings) -> None:
    """Orders are accepted all the same, and wait."""
    for what, variable, urls in (
        ("e-mail", "VARSEL_EMAIL_URL", settings.email_url),
        ("SMS", "VARSEL_SMS_URL", settings.sms_url),
    ):
        if not urls:
            log.warning(
                "no provider is set: messages wait until one is",
                action="world.no_provider",
                channel=what,
                setting=variable,
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class World:
    """One installation on one machine. `output` is where the children's logs go (default: with ours)."""

    def __init__(
        self,
        settings: Settings,
        *,
        sandbox: bool,
        say: Callable[[str], None] = lambda _sentence: None,
        output: int | None = None,
    ) -> None:
        self.settings = settings
        self.sandbox = sandbox
        self._say = say
        self._output = output
        self._close = contextlib.AsyncExitStack()
        self._children: list[Child] = []
        self._postgres: EmbeddedServer | None = None
        self._postgres_state = "starting"
        self._stopping = False
        self._starting: asyncio.Task[None] | None = None
        #: Where the other HTTP processes ask this one about everybody.
        self._office = ""
        self.place: Place
        self.database_url = ""
        self.inbox: SandboxRoom | None = None

    @property
    def url(self) -> str:
        return self.settings.base_url

    async def start(self) -> None:
        """Return when everything answers. OperatorError or DatabaseUnavailable says what is in the way; nothing stays behind."""
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self.stop())
            raise

    async def stop(self) -> None:
        """Workers first, which finish what is in hand; then HTTP, the rooms, and PostgreSQL last. Harmless when called again."""
        self._stopping = True
        if self._starting is not None:
            await _cancel(self._starting)
        await asyncio.gather(*(one.stop(self.settings.stop_seconds) for one in self._children))
        await self._close.aclose()

    def end_now(self) -> None:
        """For a second Ctrl-C: kill the children and leave; the kernel takes PostgreSQL with us."""
        for one in self._children:
            one.kill_now()
        os._exit(130)

    async def _start(self) -> None:
        settings = self.settings
        if not (settings.workers or settings.database_url or self.sandbox):
            raise SettingsError(
                "VARSEL_WORKERS must be at least 1: nobody else could work on the embedded database."
            )
        host = LOOPBACK if self.sandbox else settings.host
        listening = self._close.enter_context(contextlib.closing(bind(host, settings.port)))
        self.settings = settings = settings.replace(port=listening.getsockname()[1])
        # Internal endpoints are told apart by the port they are asked on.
        more = [bind(settings.internal_host, settings.internal_port)] if settings.internal_port else []
        if settings.api_processes > 1:
            more.append(bind(LOOPBACK, 0))
            self._office = f"http://{LOOPBACK}:{more[-1].getsockname()[1]}"
        for each in more:
            self._close.callback(each.close)

        ground = await self._ground()
        self.database_url = ground.url
        base = await Base.open(settings, ground, name="http")
        self._close.push_async_callback(base.close)
        # A server of the owner's own could refuse mail from a domain that no one else knows.
        if self.sandbox and not base.settings.bounce_domain and not base.settings.email_url:
            base.settings = base.settings.replace(bounce_domain=SANDBOX_BOUNCES)
        bounces = await open_bounces(base)
        if bounces is not None:
            self._close.push_async_callback(bounces.close)
        if self.sandbox:
            await self._open_sandbox(base, None if bounces is None else bounces.address)
        self.settings = settings = base.settings

        # The children take as long to load as the rooms here: both at once halve the start.
        self._starting = asyncio.create_task(self._start_children(ground, listening))
        self._say("Opening the rooms")
        front = await open_front(
            base,
            frozenset(HTTP_ROLES),
            states=self._states,
            pages=self._pages,
        )
        self._close.push_async_callback(front.close)
        base.start()
        server = HttpServer(front.app, [listening, *more], stop_seconds=settings.stop_seconds)
        self._close.push_async_callback(server.stop)
        self._say("Starting the workers")
        await self._starting

        self._say("Opening the port")
        await server.start()
        for one in self._children:
            await one.go()
        self.place.announce(
            Running(
                os.getpid(),
                self.url,
                settings.port,
                self.sandbox,
                None if self.inbox is None else self.inbox.smtp_port,
            )
        )
        self._close.callback(self.place.withdraw)
        warn_of_missing_providers(settings)

    async def _ground(self) -> Ground:
        """Claim the directory, start the database where it is ours, bring the schema up."""
        from varsel.store import migrations
        from varsel.store.embedded import data_lock

        data = data_directory(self.settings)
        lock = data_lock(data)
        self._close.callback(lock.release)
        self.place = claim(data, sandbox=self.sandbox)
        url, direct = self.settings.database_url, self.settings.database_direct_url or None
        if not url:
            url = await self._start_postgres()
        self._say("Bringing the schema up to date")
        if not self.settings.database_url:
            unknown = (await migrations.status(url)).unknown
            if unknown:
                raise PlaceError(
                    f"The database on {data} was used by a newer Varsel (migration {max(unknown):04d}); start that one, "
                    "or choose another --data."
                )
        await migrations.migrate(direct or url)
        self._postgres_state = "ready"
        return Ground(url, direct, str(self.place.master_key(self.settings)), self.sandbox)

    async def _start_postgres(self) -> str:
        self._say("Starting the database")
        server = self._embedded(on_progress=self._say)
        await server.start()
        self._postgres = server
        self._close.push_async_callback(self._stop_postgres)
        keeper = asyncio.get_running_loop().create_task(self._keep_postgres(server.dsn), name="postgres")
        self._close.push_async_callback(_cancel, keeper)
        return server.dsn

    def _embedded(self, on_progress: Callable[[str], None] | None = None) -> EmbeddedServer:
        from varsel.store.embedded import EmbeddedServer

        settings = self.settings
        # Each process has a pool and one that listens; the rest is for commands beside us and for the owner's psql.
        needed = (1 + settings.workers + settings.api_processes) * (
            settings.database_pool + 2
        ) + SPARE_CONNECTIONS
        more = {"max_connections": str(needed)} if needed > SERVED_ANYWAY else {}
        return EmbeddedServer(self.place.data, on_progress=on_progress, extra_settings=more)

    async def _stop_postgres(self) -> None:
        if self._postgres is not None:
            await self._postgres.stop()

    async def _keep_postgres(self, dsn: str) -> None:
        """Start PostgreSQL again when it dies; pools and listeners come back by themselves."""
        while True:
            assert self._postgres is not None
            code = await self._postgres.wait()
            if self._stopping:
                return
            self._postgres_state = "restarting"
            log.error("PostgreSQL died", action="postgres.died", code=code)
            await self._postgres.stop()
            for attempt in range(1_000_000):
                await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
                server = self._embedded()
                try:
                    await server.start()
                except OperatorError as error:
                    log.error("PostgreSQL did not start", action="postgres.failed", error=str(error))
                    continue
                self._postgres = server
                break
            if self._postgres.dsn != dsn:
                # Only where its socket had to move; everybody holds the old address.
                log.error("PostgreSQL came back elsewhere; start Varsel again", action="postgres.moved")
            self._postgres_state = "ready"
            log.info("PostgreSQL runs again", action="postgres.restarted")

    async def _open_sandbox(self, base: Base, bounces: str | None) -> None:
        from varsel.sandbox.room import SandboxRoom, with_report_credentials

        self._say("Opening inbox and gateway")
        keep_on_loopback(base.settings)
        settings = with_report_credentials(base.settings, base.master_key)
        room = await SandboxRoom.open(
            settings,
            base.database,
            base.calendar,
            base.machine,
            bounces=bounces,
            folder=self.place.data,
        )
        self._close.push_async_callback(room.close)
        base.settings = room.with_providers(settings)
        self.inbox = room

    async def _start_children(self, ground: Ground, listening: socket.socket) -> None:
        config = ground.as_config(self.settings)

        def of(name: str, **more: Any) -> Callable[[], Mapping[str, Any]]:
            return lambda: {**config, "name": name, **more}

        workers = self.settings.workers
        for number in range(1, workers + 1):
            name = "worker" if workers == 1 else f"worker-{number}"
            one = Child(name, child.command("worker"), of(name), output=self._output)
            self._children.append(one)
        descriptor = listening.fileno()
        for number in range(2, self.settings.api_processes + 1):
            name = f"http-{number}"
            self._children.append(
                Child(
                    name,
                    child.command("http"),
                    of(name, socket=descriptor, office=self._office),
                    passed=(descriptor,),
                    output=self._output,
                )
            )
        await asyncio.gather(*(one.start() for one in self._children))

    async def _states(self) -> Mapping[str, str]:
        return {one.name: "ready" if one.state is State.READY else str(one.state) for one in self._children}

    async def _pages(self) -> Mapping[str, bytes]:
        texts = await asyncio.gather(*(one.ask("metrics") for one in self._children))
        return {
            one.name: text.encode()
            for one, text in zip(self._children, texts, strict=True)
            if text is not None
        }


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task; what it failed with was told where it was awaited, or does not matter any more."""
    await end(task)
    if not task.cancelled():
        task.exception()
