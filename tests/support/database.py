"""A fresh, migrated database for each test that asks for one.

One embedded server per pytest process (xdist worker), started when first needed. Databases are copied from a migrated template, which
costs a tenth of a second and more; so one is rinsed after its test and used again where rinsing makes it as the template is.
The server does not sync to disk: what survives a power cut is the chaos suite's matter, which starts servers of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from varsel.store.database import Database
from varsel.store.embedded import EmbeddedServer, create_database, discard_cluster, drop_database
from varsel.store.migrations import migrate

_numbers = itertools.count(1)
TEMPLATE = "varsel_template"


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """The dsn of this process's server; its database `varsel` is empty."""
    # Not pytest's own folders: they are closed to the account that PostgreSQL runs as when the suite runs as root.
    folder = Path(tempfile.mkdtemp(prefix="varsel-tests-"))
    folder.chmod(0o711)
    server = EmbeddedServer(
        folder / "data",
        extra_settings={
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        },
    )
    # One loop of its own for start and stop: the server's child belongs to the loop that made it.
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server.dsn
        runner.run(server.stop())
    discard_cluster(folder / "data")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(server_dsn: str) -> str:
    """The name of a migrated database that others are copied from."""

    async def make() -> None:
        await migrate(await create_database(server_dsn, TEMPLATE))

    asyncio.run(make())
    return TEMPLATE


@pytest.fixture
async def empty_database_url(server_dsn: str) -> AsyncIterator[str]:
    """A database without a schema."""
    name = f"empty_{next(_numbers)}"
    yield await create_database(server_dsn, name)
    await drop_database(server_dsn, name)


class _Spares:
    """Databases that are as the template is, waiting for their next test."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._clean: list[tuple[str, str]] = []
        self._shape = ""
        self._rows: list[tuple[str, str]] = []  # tables that the migrations fill, and their rows as JSON

    async def take(self) -> tuple[str, str]:
        """Name and address of a clean database."""
        if self._clean:
            return self._clean.pop()
        name = f"test_{next(_numbers)}"
        url = await create_database(self._dsn, name, TEMPLATE)
        if not self._shape:
            connection = await asyncpg.connect(url)
            for (table,) in await connection.fetch(_FILLED):
                rows = await connection.fetchval(f"select jsonb_agg(to_jsonb(t)) from {table} t")
                self._rows.append((table, rows))
            self._shape = await connection.fetchval(_SHAPE)
            await connection.close()
        return name, url

    async def give_back(self, name: str, url: str) -> None:
        """Rinse it for the next test, or drop it."""
        if await self._rinsed(url):
            self._clean.append((name, url))
        else:
            await drop_database(self._dsn, name)

    async def _rinsed(self, url: str) -> bool:
        try:
            connection = await asyncpg.connect(url)
        except (OSError, asyncpg.PostgresError):
            return False  # dropped or locked by its test
        try:
            await connection.execute("set lock_timeout = '5s'")
            await connection.execute(_LONELY)
            if await connection.fetchval(_SHAPE) != self._shape:
                return False
            await connection.execute(_RINSE)
            for table, rows in self._rows:
                await connection.execute(
                    f"insert into {table} overriding system value select * from jsonb_populate_recordset(null::{table}, $1)",
                    rows,
                )
        except asyncpg.PostgresError:
            return False
        else:
            return True
        finally:
            await connection.close()


#: What a test may have changed beside rows: tables, columns, partitions, statistics, settings, routines, roles' rights.
_SHAPE = """
select concat_ws(
    ' ',
    (select count(*) || '/' || max(oid::bigint) || '/' || md5(string_agg(concat(relname, relnatts, relacl), ',' order by oid))
     from pg_class where oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace),
    (select count(*) || '/' || count(*) filter (where tgenabled <> 'O') from pg_trigger),
    (select count(*) from pg_constraint), (select count(*) from pg_proc), (select count(*) from pg_namespace),
    (select count(*) from pg_statistic where starelid >= 16384), (select count(*) from pg_db_role_setting)
)
"""
_LONELY = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""
#: Tables that hold a page are emptied; those that the template fills get its rows again.
_RINSE = """
do $$
declare
    used text;
begin
    select string_agg(format('%I.%I', nspname, relname), ', ') into used
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relkind = 'r' and nspname = 'public' and pg_relation_size(pg_class.oid) > 0;
    if used is not null then
        execute 'truncate ' || used || ' restart identity cascade';
    end if;
end $$
"""
_FILLED = """
select relname from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and pg_relation_size(oid) > 0
"""


@pytest.fixture(scope="session")
def spares(server_dsn: str, template: str) -> _Spares:
    """Databases to be used again."""
    assert template == TEMPLATE
    return _Spares(server_dsn)


@pytest.fixture
async def database_url(spares: _Spares) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    name, url = await spares.take()
    yield url
    await spares.give_back(name, url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's own database, opened."""
    opened = await Database.open(database_url, name="test")
    yield opened
    await opened.close()
