"""The embedded PostgreSQL: a server of Varsel's own in its data directory.

The server is a direct child of Varsel on a Unix socket. It gets SIGQUIT from the kernel when Varsel dies, however it
dies; committed work is on disk and the next start replays it. It runs in a session of its own, so a Ctrl-C in the
terminal reaches Varsel only, which stops the server last. Places and accounts: `varsel.store.embedded.place`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from varsel.store.embedded import leftovers, lifeline, settings
from varsel.store.embedded import place as places
from varsel.store.embedded.error import EmbeddedError
from varsel.store.embedded.lock import DirectoryLock
from varsel.store.embedded.place import make_data_dir

START_LIMIT = 600.0  # seconds; replay after a crash may be long on a slow disk
STOP_LIMIT = 30.0  # seconds for a fast shutdown with its checkpoint
QUIT_LIMIT = 6.0  # seconds; the server itself kills what is left 5 s after SIGQUIT
POLL = 0.005  # seconds
SPEAK_EVERY = 3.0  # seconds

DISK_FULL = ("No space left on device", "Disk quota exceeded")
FATAL_LINE = re.compile(r"(?:FATAL|PANIC|error|ERROR):\s+(.*)")


def data_lock(data_dir: Path) -> DirectoryLock:
    """Take `data_dir` for this Varsel, making it when it is missing; EmbeddedError when another one runs on it."""
    path = make_data_dir(data_dir)
    return DirectoryLock(path / "varsel.lock", path)


def read_dsn(data_dir: Path) -> str:
    """The address of the server that runs on `data_dir`, for other processes; EmbeddedError when none is ready."""
    path = data_dir.resolve()
    cluster = places.home_of(path) / "postgres"
    try:
        found = leftovers.read_pid_file(cluster)
    except PermissionError as error:
        raise EmbeddedError(
            f"{cluster} belongs to another account; use the one that runs Varsel, or root."
        ) from error
    if found is None or not leftovers.serves(found.pid, cluster):
        raise EmbeddedError(f"No Varsel runs on {path}; start one with: varsel up --data {path}")
    if not found.ready:
        raise EmbeddedError(f"The database on {path} is still starting; try again in a moment.")
    return _dsn(found.socket_folder)


async def create_database(dsn: str, name: str, template: str | None = None) -> str:
    """Make a database on the server of `dsn`, a copy of `template` where given, and return its address.

    The template must have no connections. Files are copied as they are: on a server that does not sync, as in tests, half the time
    of copying through the log.
    """
    copied = f" TEMPLATE {_quoted(template)}" if template else ""
    connection = await asyncpg.connect(_with_database(dsn, "postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {_quoted(name)}{copied} STRATEGY file_copy")
    finally:
        await connection.close()
    return _with_database(dsn, name)


async def drop_database(dsn: str, name: str) -> None:
    """Drop a database, closing its connections; harmless when it is gone."""
    connection = await asyncpg.connect(_with_database(dsn, "postgres"))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
    finally:
        await connection.close()


class EmbeddedServer:
    """PostgreSQL 18 from the wheel, run as a direct child on `data_dir`/postgres.

    `on_progress` gets one short sentence at each step that may take more than a second. `extra_settings` are server
    settings that win over Varsel's own; for tests and the benchmark.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        on_progress: Callable[[str], None] | None = None,
        extra_settings: Mapping[str, str] | None = None,
    ) -> None:
        # Absolute at once: a later change of the working folder must not move the data.
        self._data_dir = data_dir.resolve()
        self._say = on_progress or _keep_quiet
        self._extra = dict(extra_settings or {})
        self._child: _Child | None = None
        self._lock: DirectoryLock | None = None
        self._socket: Path | None = None
        self._log_sizes: dict[Path, int] = {}
        self._place: places.Place | None = None

    @property
    def dsn(self) -> str:
        """Address of the database over the Unix socket; works for Varsel's own account and root."""
        if self._socket is None:
            raise RuntimeError("the embedded server is not started")
        return _dsn(str(self._socket))

    @property
    def pid(self) -> int:
        """Pid of the main server process."""
        if self._child is None:
            raise RuntimeError("the embedded server is not started")
        return self._child.pid

    async def start(self) -> None:
        """Return when the database takes connections; EmbeddedError says what is wrong and what to do.

        Makes the cluster when there is none (durable before this returns), waits for an earlier server of the same
        cluster to be gone. Must be called in the main thread: the kernel ties the server's life to the thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("EmbeddedServer.start must run in the main thread")
        if self._child is not None:
            raise RuntimeError("the embedded server is already started")
        place = places.settle(make_data_dir(self._data_dir), self._say)
        self._lock = DirectoryLock(place.run / "server.lock", self._data_dir)
        try:
            self._place = place
            self._check_version(place)
            if not (place.cluster / "PG_VERSION").exists():
                await self._initialize(place)
            await leftovers.clear(place.cluster, place.account.uid, self._say)
            await self._launch(place)
            await self._ready(place)
            await self._ensure_database()
        except BaseException:
            # Also on cancellation: no server may stay that nobody owns.
            await asyncio.shield(self.stop())
            raise

    async def stop(self, *, fast: bool = True) -> None:
        """End the server: `fast` closes its connections, otherwise it waits for them for a while first.

        Harmless when it does not run. A server that hangs is ended at once, which loses no commit.
        """
        child = self._child
        try:
            if child is not None:
                steps = [
                    (signal.SIGINT, STOP_LIMIT),
                    (signal.SIGQUIT, QUIT_LIMIT),
                    (signal.SIGKILL, QUIT_LIMIT),
                ]
                for number, limit in steps if fast else [(signal.SIGTERM, STOP_LIMIT), *steps]:
                    child.send(number)
                    if await child.ends_within(limit):
                        break
        finally:
            self._child = None
            if (
                self._socket is not None
                and self._place is not None
                and self._socket.parent != self._place.run
            ):
                shutil.rmtree(self._socket, ignore_errors=True)
            self._socket = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    async def wait(self) -> int:
        """Wait until the server has ended, by itself or by `stop`; its exit code, negative for a signal."""
        if self._child is None:
            raise RuntimeError("the embedded server is not started")
        return await self._child.ended()

    def _check_version(self, place: places.Place) -> None:
        try:
            written = (place.cluster / "PG_VERSION").read_text("ascii", "replace").strip()
        except FileNotFoundError:
            if place.cluster.is_dir() and any(place.cluster.iterdir()):
                raise EmbeddedError(
                    f"{place.cluster} holds files but no database; move them away or choose another --data."
                ) from None
            return
        except OSError as error:
            raise EmbeddedError(
                f"{place.cluster} cannot be read ({error.strerror}); start Varsel as the account it belongs to."
            ) from error
        major = int(written) if written.isdigit() else 0
        if major > places.MAJOR:
            raise EmbeddedError(
                f"{place.cluster} was made by PostgreSQL {written}, newer than the {places.MAJOR} of this Varsel; "
                "start the Varsel that made it, or choose another --data."
            )
        if major < places.MAJOR:
            raise EmbeddedError(
                f"{place.cluster} was made by PostgreSQL {written or 'unknown'}, older than the {places.MAJOR} of this Varsel; "
                "dump it with the Varsel that made it and load it here, or choose another --data."
            )

    async def _initialize(self, place: places.Place) -> None:
        """Make the cluster under another name, synced, and rename it: a crash leaves nothing that looks whole."""
        self._say("Making the database, once")
        for remains in place.home.glob("postgres.new-*"):
            shutil.rmtree(remains, ignore_errors=True)
        fresh = place.home / f"postgres.new-{secrets.token_hex(4)}"
        places.own_directory(fresh, place.account)
        words = ["-D", str(fresh), "-U", settings.ROLE, "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                 "--builtin-locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject", "--no-instructions"]  # fmt: skip
        try:
            child = self._spawn(place, signal.SIGKILL, [str(place.programs / "initdb"), *words])
            try:
                code = await child.ended()
            except asyncio.CancelledError:
                child.send(signal.SIGKILL)
                raise
            if code != 0:
                raise _failure("The database could not be made", place, {})
            fresh.rename(place.cluster)
            places.sync_folder(place.home)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise

    async def _launch(self, place: places.Place) -> None:
        self._socket = places.socket_folder(place)
        leftovers.clear_socket(self._socket)
        # Only Varsel's own account and root; as root, the account of the server has no business inside.
        names = {pwd.getpwuid(0).pw_name, pwd.getpwuid(os.geteuid()).pw_name}
        values = {
            **settings.BASE,
            **settings.write_access(place.run, sorted(names)),
            "unix_socket_directories": str(self._socket),
            "cluster_name": leftovers.cluster_name(place.cluster),
            **self._extra,
        }
        self._log_sizes = {path: path.stat().st_size for path in _logs(place)}
        words = [str(place.programs / "postgres"), "-D", str(place.cluster), *settings.arguments(values)]
        self._child = self._spawn(place, signal.SIGQUIT, words)

    def _spawn(self, place: places.Place, death_signal: signal.Signals, words: list[str]) -> _Child:
        """Start a program as the account, tied to this thread; its words go to the start log."""
        script = str(Path(lifeline.__file__))
        parent = [str(os.getpid()), str(int(death_signal))]
        command = [sys.executable, "-I", "-S", script, "run", *parent, *place.account.lifeline_ids, *words]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}
        environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        with os.fdopen(places.replace_file(place.run, "start.log", b"", 0o600), "wb") as log:
            return _Child(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=environment,
                    umask=0o077,
                    start_new_session=True,
                )
            )

    async def _ready(self, place: places.Place) -> None:
        child = self._child
        assert child is not None
        begun = spoken = time.monotonic()
        while True:
            if child.code is not None:
                raise _failure("The database did not start", place, self._log_sizes)
            found = leftovers.read_pid_file(place.cluster)
            if found is not None and found.pid == child.pid and found.ready:
                return
            now = time.monotonic()
            if now - begun > START_LIMIT:
                raise EmbeddedError(
                    f"The database on {self._data_dir} was not ready within {START_LIMIT:.0f} s; "
                    f"see {place.cluster / 'log'}."
                )
            if now - spoken > SPEAK_EVERY:
                spoken = now
                self._say("Waiting for the database to recover its last changes")
            await asyncio.sleep(POLL)

    async def _ensure_database(self) -> None:
        try:
            connection = await asyncpg.connect(_with_database(self.dsn, "postgres"))
            try:
                known = await connection.fetchval(
                    "SELECT 1 FROM pg_database WHERE datname = $1", settings.DATABASE
                )
            finally:
                await connection.close()
            if known is None:
                # The first start, or one that was cut short after the cluster was made.
                await create_database(self.dsn, settings.DATABASE)
        except asyncpg.DiskFullError as error:
            raise _disk_full("The database could not be made", self._data_dir) from error
        except (OSError, asyncpg.PostgresError) as error:
            raise EmbeddedError(
                f"The database on {self._data_dir} runs but refuses Varsel ({type(error).__name__}); see its log."
            ) from error


class _Child:
    """A started program whose end can be awaited. A thread waits for it: any loop, no signal handlers."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[int] = self._loop.create_future()
        self.pid = process.pid
        threading.Thread(target=self._watch, name=f"child-{process.pid}", daemon=True).start()

    @property
    def code(self) -> int | None:
        return self._end.result() if self._end.done() else None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.shield(self._end)

    async def ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended(), seconds)
        return self._end.done()

    def _watch(self) -> None:
        code = self._process.wait()
        # The loop may be closed when the program ends with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, code)

    def _settle(self, code: int) -> None:
        if not self._end.done():
            self._end.set_result(code)


def _logs(place: places.Place) -> list[Path]:
    """The server's own logs, the newest last."""
    return sorted((place.cluster / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)


def _failure(what: str, place: places.Place, known: Mapping[Path, int]) -> EmbeddedError:
    """One sentence from the last words of this start; `known` are the sizes of the logs before it."""
    texts = [place.run / "start.log", *_logs(place)]
    said = ""
    full = False
    for path in texts:
        with contextlib.suppress(OSError):
            words = path.read_bytes()[known.get(path, 0) :][-20_000:].decode("utf-8", "replace")
            full = full or any(sign in words for sign in DISK_FULL)
            # Before the log takes over, the server speaks to the start log.
            found = FATAL_LINE.findall(words) or ([] if said else words.strip().splitlines()[-1:])
            said = found[-1].strip() if found else said
    # Not the last word only: what gives up for want of space complains of other things afterwards.
    if full:
        return _disk_full(what, place.home)
    return EmbeddedError(f"{what} on {place.cluster}: {said or 'it said nothing'}; see {texts[-1]}.")


def _disk_full(what: str, folder: Path) -> EmbeddedError:
    return EmbeddedError(f"{what}: the disk under {folder} is full; free at least 200 MB and start again.")


def _keep_quiet(_sentence: str) -> None:
    """Progress that nobody asked for."""


def _dsn(socket_folder: str) -> str:
    return f"postgresql://{settings.ROLE}@/{settings.DATABASE}?host={quote(socket_folder, safe='')}&port={settings.PORT}"


def _with_database(dsn: str, name: str) -> str:
    parts = urlsplit(dsn)
    # urlunsplit drops an empty host with a user, so put the path in by hand.
    return urlunsplit(parts._replace(path="/" + quote(name, safe="")))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
