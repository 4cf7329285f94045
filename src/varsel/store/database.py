"""The one way to PostgreSQL: a pool without session state, transactions, and wake-ups.

Connections of the pool carry nothing from one use to the next (no SET, no LISTEN, no advisory session locks), so a transaction
pooler may stand between; what needs a session (LISTEN, migrations) uses the direct URL. What a worker asks of the planner
(`BY_INDEX`) comes with the connection, or, through a pooler, with each transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import structlog

from varsel.runtime.errors import DatabaseUnavailable, OperatorError, SettingsError
from varsel.runtime.tasks import end

log = structlog.get_logger("varsel.store")

CHANNEL: Final = "varsel"
#: At most this many notifications a second from one process; what comes between is folded (design 4.1, NOTIFY).
WAKES_PER_SECOND: Final = 50

#: Seconds for a connection to be made.
CONNECT_SECONDS: Final = 10.0
#: The oldest PostgreSQL that has what the schema uses (uuidv7).
OLDEST: Final = 18

#: SQLSTATE classes and codes that mean "the database, not the statement": connection, resources, shutdown, read-only, and a
#: password or a database that is no longer what it was when we started.
_UNAVAILABLE = ("08", "53", "57", "25006", "28", "3D000")

#: How statements on queues are planned. A queue is empty at one moment and holds a hundred thousand rows at the next, so no statistics
#: tell its size, and a plan that reads or sorts all of it looks free whenever the last analysis found it empty. Every such statement
#: has an index that gives it its rows in its order (docs/decisions/0010-queue-plans.md).
BY_INDEX: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_mergejoin": "off",
    # Values change nothing in such plans, and planning anew for them is a fifth of the work.
    "plan_cache_mode": "force_generic_plan",
}

Connection: TypeAlias = (
    "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"
)


async def _keep(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Nothing to reset: no session state is ever set. The default reset costs a third of the throughput."""


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says that the database is away or cannot take writes, rather than that a statement is wrong."""
    if isinstance(error, asyncpg.PostgresError):
        return bool(error.sqlstate) and str(error.sqlstate).startswith(_UNAVAILABLE)
    # InternalClientError: the server has said on this connection that it shuts down, and the driver waits for words that never come.
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError | TimeoutError)


@contextlib.contextmanager
def unavailable_as_such() -> Any:
    """Turn driver errors that mean "no database" into DatabaseUnavailable."""
    try:
        yield
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    ) as error:
        if is_unavailable(error):
            full = isinstance(error, asyncpg.DiskFullError)
            raise DatabaseUnavailable("The disk of the database is full." if full else None) from error
        raise


class DatabaseRefused(OperatorError):
    """The database does not let Varsel in."""


@contextlib.contextmanager
def opening(url: str) -> Iterator[None]:
    """Around the first connection to a database: what stands in the way becomes one sentence, without the password."""
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        user = unquote(urlsplit(url).username or "") or "this account"
        raise DatabaseRefused(
            f"The database {_shown(url)} does not let {user} in; look at user and password in VARSEL_DATABASE_URL."
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseRefused(
            f"The database {_shown(url)} does not exist; make it there, or name another in VARSEL_DATABASE_URL."
        ) from error
    except ValueError as error:
        # The driver's own text may quote the address, and with it the password.
        raise SettingsError(
            "VARSEL_DATABASE_URL is no address of a database; it looks like postgresql://user:password@host:5432/database."
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if not is_unavailable(error):
            raise
        raise DatabaseUnavailable(
            f"The database {_shown(url)} does not answer ({_reason(error)})."
        ) from error


async def connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    """A session of its own with a PostgreSQL that is new enough; errors as those of `opening`."""
    with opening(url):
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    found = connection.get_server_version()
    if found.major < OLDEST:
        await connection.close()
        raise DatabaseRefused(
            f"The database {_shown(url)} is PostgreSQL {found.major}, and Varsel needs {OLDEST} or newer."
        )
    return connection


def _shown(url: str) -> str:
    """Where a database is, without who asks: `varsel at db.example.org:5432`."""
    parts = urlsplit(url)
    host = parts.hostname or next(iter(parse_qs(parts.query).get("host", ())), "")
    where = f"{host}:{parts.port}" if parts.port and parts.hostname else host
    name = unquote(parts.path.strip("/"))
    return " at ".join(word for word in (name, where) if word) or "of VARSEL_DATABASE_URL"


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, socket.gaierror):
        return "its host has no address"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).rstrip(".")


class _Outages(logging.Filter):
    """The driver's pool tells of each try to connect again, with a traceback; of an outage that is one sentence."""

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        if self._told:
            return False
        self._told = True
        record.msg, record.args = "the database does not answer; Varsel goes on trying", ()
        record.exc_info = None
        record.__dict__ |= {"action": "store.away", "reason": _reason(error)}
        return True

    async def reached(self, _: Connection) -> None:
        """A connection has been made."""
        self._told = False


_outages: Final = _Outages()
logging.getLogger("asyncpg.pool").addFilter(_outages)


class Database:
    """A pool of connections to one database.

    All calls raise DatabaseUnavailable when the database is away or out of space, asyncpg errors when a statement is wrong.
    """

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], url: str, direct_url: str, preamble: str = ""
    ) -> None:
        self.pool = pool
        self._preamble = preamble
        self.url = url
        self.direct_url = direct_url
        self._topics: set[str] = set()
        self._waker: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        direct_url: str | None = None,
        size: int = 10,
        name: str = "varsel",
        patience: float = 60,
        planner: Mapping[str, str] = {},
    ) -> Database:
        """Connect; errors as those of `opening`. `name` is shown in pg_stat_activity.

        With `direct_url` a transaction pooler is assumed at `url`. A statement may take `patience` seconds; to connect takes
        CONNECT_SECONDS at most, so that a server that has gone without a word holds nobody up for longer. `planner` holds settings
        of the planner for every statement.
        """
        pooled = direct_url is not None and direct_url != url
        with opening(url):
            pool = await asyncpg.create_pool(
                url,
                timeout=min(CONNECT_SECONDS, patience),
                min_size=1,
                max_size=size,
                reset=_keep,
                init=_outages.reached,
                command_timeout=patience,
                # An idle server process of PostgreSQL holds some 10 MB; a new one costs milliseconds.
                max_inactive_connection_lifetime=8,
                statement_cache_size=0 if pooled else 256,
                # Of these a pooler lets the name through and nothing else.
                server_settings={"application_name": name, **({} if pooled else planner)},
            )
        preamble = "; ".join(f"set local {key} = {value}" for key, value in planner.items()) if pooled else ""
        return cls(pool, url, direct_url or url, preamble)

    async def close(self) -> None:
        if self._waker is not None:
            with contextlib.suppress(DatabaseUnavailable):
                await self._waker
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.pool.close(), 5)
            return
        self.pool.terminate()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        async with self._one_statement() as connection:
            return await connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        async with self._one_statement() as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        async with self._one_statement() as connection:
            return await connection.fetchval(sql, *args)

    async def fetch_within(self, seconds: float, sql: str, *args: Any) -> list[asyncpg.Record]:
        """`fetch`, and DatabaseUnavailable when it takes longer: for questions whose asker must be answered.

        Leaving a statement is not enough, since the driver then waits for a server that hangs: the question is left to end alone.
        """
        asking = asyncio.get_running_loop().create_task(self.fetch(sql, *args))
        asking.add_done_callback(_forget)
        try:
            await asyncio.wait({asking}, timeout=seconds)
        finally:
            if not asking.done():
                asking.cancel()
        if not asking.done():
            raise DatabaseUnavailable
        return asking.result()

    async def execute(self, sql: str, *args: Any) -> str:
        async with self._one_statement() as connection:
            return await connection.execute(sql, *args)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with unavailable_as_such():
            await self.pool.executemany(sql, rows)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction, READ COMMITTED; committed when the block ends, rolled back when it raises."""
        with unavailable_as_such():
            async with self.pool.acquire() as connection, connection.transaction():
                if self._preamble:
                    await connection.execute(self._preamble)
                yield connection

    def _one_statement(self) -> contextlib.AbstractAsyncContextManager[Connection]:
        """A connection for one statement, which is its own transaction."""
        return self.transaction() if self._preamble else self.connection()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One connection in autocommit, for a few statements in a row."""
        with unavailable_as_such():
            async with self.pool.acquire() as connection:
                yield connection

    def wake(self, *topics: str) -> None:
        """Tell whoever listens that there is something under these topics; call it after the commit, never inside.

        Folded: at most WAKES_PER_SECOND notifications a second leave a process. A lost one costs the polling interval.
        """
        self._topics.update(topics)
        if self._waker is None or self._waker.done():
            self._waker = asyncio.get_running_loop().create_task(self._send_wakes())

    async def _send_wakes(self) -> None:
        while self._topics:
            topics, self._topics = self._topics, set()
            try:
                await self.execute(
                    "select pg_notify($1, topic) from unnest($2::text[]) as topic", CHANNEL, list(topics)
                )
            except DatabaseUnavailable:
                log.warning("wake not sent; polling will do", action="store.wake_lost")
                return
            await asyncio.sleep(1 / WAKES_PER_SECOND)


def _forget(asking: asyncio.Task[Any]) -> None:
    """What a question that nobody waits for any more ended with."""
    if not asking.cancelled():
        asking.exception()


class Listener:
    """Listens for wake-ups on a session of its own; reconnects by itself, and wakes everybody after each reconnect.

    `on(topic, callback)` before `start()`; callbacks are quick and synchronous (they set events).
    """

    def __init__(self, direct_url: str) -> None:
        self._url = direct_url
        self._callbacks: dict[str, list[Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()

    def on(self, topic: str, callback: Callable[[], None]) -> None:
        self._callbacks.setdefault(topic, []).append(callback)

    def tell(self, *topics: str) -> None:
        """Call this process's callbacks of the topics, as if it had heard of them."""
        self._call(topics)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="varsel-listener")

    async def stop(self) -> None:
        await end(self._task)

    def _call(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for callback in self._callbacks.get(topic, ()):
                callback()

    async def _run(self) -> None:
        while True:
            lost = asyncio.Event()
            try:
                connection = await asyncpg.connect(
                    self._url, timeout=10, server_settings={"application_name": "varsel-listen"}
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.5)
                continue
            try:
                connection.add_termination_listener(lambda _connection, event=lost: event.set())
                await connection.add_listener(
                    CHANNEL, lambda _c, _p, _ch, payload: self._call((str(payload),))
                )
                self.connected.set()
                self._call(list(self._callbacks))
                await lost.wait()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.5)
            finally:
                self.connected.clear()
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(connection.close(), 2)
