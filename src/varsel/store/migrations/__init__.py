"""Forward-only migrations: numbered SQL files, each in a transaction of its own, each safe beside the previous program version.

Rules: a column is added with a default or null, and is removed one release after the last program that reads it; a rename is
an addition and a removal; an index on a large table is built in a file that starts with `-- concurrently`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg

from varsel.runtime.errors import OperatorError
from varsel.store.database import connect, unavailable_as_such

#: One migrator at a time over all processes (pg_advisory_lock).
_LOCK = 0x5641_5253_454C
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")

_LEDGER = """
create table if not exists schema_version (
    number     integer     primary key,
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null default clock_timestamp()
)"""


class MigrationError(OperatorError):
    """The database schema does not fit this program."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Status:
    """Applied and pending migrations, in order; `unknown` are in the database but not in this program."""

    applied: tuple[int, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[int, ...]


def all_migrations() -> tuple[Migration, ...]:
    found = []
    for file in resources.files(__package__).iterdir():
        if match := _NAME.match(file.name):
            found.append(Migration(int(match.group(1)), match.group(2), file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def _compare(rows: list[asyncpg.Record], known: tuple[Migration, ...]) -> Status:
    applied = {row["number"]: row["checksum"] for row in rows}
    for migration in known:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"Migration {migration.number:04d} {migration.name} was changed after it had been applied to this database; "
                "use the program version that made the database, or a newer one."
            )
    numbers = {migration.number for migration in known}
    return Status(
        tuple(sorted(applied)),
        tuple(migration for migration in known if migration.number not in applied),
        tuple(sorted(number for number in applied if number not in numbers)),
    )


async def status(direct_url: str) -> Status:
    """What is applied and what is not; changes nothing."""
    connection = await connect(direct_url)
    with unavailable_as_such():
        try:
            exists = await connection.fetchval("select to_regclass('schema_version') is not null")
            rows = await connection.fetch("select number, checksum from schema_version") if exists else []
            return _compare(rows, all_migrations())
        finally:
            await connection.close()


async def migrate(direct_url: str) -> tuple[Migration, ...]:
    """Apply what is pending and make the partitions of the coming months; safe to call from many processes at once."""
    from varsel.store.partitions import ensure_partitions

    connection = await connect(direct_url)
    with unavailable_as_such():
        try:
            await connection.execute("select pg_advisory_lock($1)", _LOCK)
            await connection.execute(_LEDGER)
            pending = _compare(
                await connection.fetch("select number, checksum from schema_version"), all_migrations()
            ).pending
            for migration in pending:
                if migration.sql.startswith("-- concurrently"):
                    await connection.execute(migration.sql)
                    await _record(connection, migration)
                else:
                    async with connection.transaction():
                        await connection.execute(migration.sql)
                        await _record(connection, migration)
            await ensure_partitions(connection)
            return pending
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationError(
                "The user of this database may not make tables in it; let it own the database: ALTER DATABASE … OWNER TO …"
            ) from error
        finally:
            await connection.close()


async def _record(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    await connection.execute(
        "insert into schema_version (number, name, checksum) values ($1, $2, $3)",
        migration.number,
        migration.name,
        migration.checksum,
    )
