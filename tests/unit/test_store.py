from __future__ import annotations

import asyncio
import logging
import re
import socket
from datetime import UTC, datetime
from urllib.parse import quote

import asyncpg
import pytest

from varsel.runtime.errors import DatabaseUnavailable, OperatorError, SettingsError
from varsel.store import database as database_module
from varsel.store.database import Database, DatabaseRefused, Listener, opening
from varsel.store.ids import floor_of, uuid7
from varsel.store.migrations import MigrationError, all_migrations, migrate, status
from varsel.store.partitions import (
    FEED_BLOCK,
    MONTHLY,
    MONTHS_AHEAD,
    ensure_partitions,
    month_start,
    monthly_name,
    wanted,
)
from varsel.store.queries import load, parse


def test_uuid7_rises_and_carries_its_time() -> None:
    before = int(datetime.now(UTC).timestamp() * 1000)
    ids = [uuid7() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {identifier.version for identifier in ids} == {7}
    assert {identifier.variant for identifier in ids} == {"specified in RFC 4122"}
    assert abs((ids[0].int >> 80) - before) < 5_000


def test_floor_bounds_its_month() -> None:
    start = datetime(2031, 3, 1, tzinfo=UTC)
    assert floor_of(start).int >> 80 == start.timestamp() * 1000
    assert floor_of(datetime(2031, 2, 28, 23, 59, 59, 999_000, tzinfo=UTC)) < floor_of(start)


def test_partition_statements_cover_the_turn_of_the_year() -> None:
    names = [name for name, _ in wanted(datetime(2030, 12, 31, 23, 0, tzinfo=UTC), FEED_BLOCK * 3)]
    assert {"orders_2030_11", "orders_2030_12", "orders_2031_01", "orders_2031_03"} <= set(names)
    assert "feed_000003" in names and "feed_000005" in names


def test_named_queries_are_parsed_and_unknown_names_refused() -> None:
    queries = parse("-- name: one\n-- First.\nselect 1;\n\n-- name: two\n-- Second.\nselect 2;\n")
    assert queries == {"one": "-- First.\nselect 1", "two": "-- Second.\nselect 2"}
    with pytest.raises(ValueError, match="twice"):
        parse("-- name: one\nselect 1;\n-- name: one\nselect 1;")


@pytest.mark.parametrize("room", ["orders", "delivery", "identity", "review", "recipients", "sandbox"])
def test_each_query_has_a_name_and_a_sentence(room: str) -> None:
    queries = load(f"varsel.{room}")
    for name in queries.names():
        assert getattr(queries, name).startswith("-- "), f"{room}: {name} lacks its sentence"
    with pytest.raises(AttributeError):
        queries.no_such_query  # noqa: B018


async def test_migrations_apply_once_and_status_tells(empty_database_url: str) -> None:
    before = await status(empty_database_url)
    assert not before.applied
    assert [m.number for m in before.pending] == [m.number for m in all_migrations()]
    first, second = await asyncio.gather(migrate(empty_database_url), migrate(empty_database_url))
    assert sorted(map(len, (first, second))) == [0, len(all_migrations())]
    assert (await status(empty_database_url)).pending == ()


async def test_a_changed_migration_is_refused(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("update schema_version set checksum = 'other' where number = 1")
    await connection.close()
    with pytest.raises(MigrationError, match="0001"):
        await migrate(empty_database_url)


async def test_partitions_are_made_once(database: Database) -> None:
    async with database.connection() as connection:
        assert await ensure_partitions(connection) == []
        await connection.execute("update feed_counter set last = $1", FEED_BLOCK)
        assert await ensure_partitions(connection) == ["feed_000003"]


async def test_making_partitions_makes_nobody_wait(database: Database) -> None:
    """A transaction elsewhere has read everything and stays open, as a dump does; whoever writes meanwhile is not held up."""
    last = month_start(datetime.now(UTC), MONTHS_AHEAD)
    for table in MONTHLY:
        await database.execute(f"drop table {monthly_name(table, last)}")
    async with database.transaction() as dump, database.connection() as maker:
        for table in (*MONTHLY, "feed"):
            await dump.fetch(f"select * from {table} limit 1")
        made = await asyncio.wait_for(ensure_partitions(maker), 10)
    assert made == [monthly_name(table, last) for table in MONTHLY]


async def test_partitions_have_what_their_table_has(database: Database) -> None:
    """Every index and constraint of the table is attached, none is doubled."""
    rows = await database.fetch(
        "select i.inhparent::regclass::text as parent, c.relname, "
        "(select count(*) from pg_index where indrelid = i.inhparent) as of_parent, "
        "(select count(*) from pg_index where indrelid = i.inhrelid) as of_part, "
        "(select count(*) from pg_constraint where conrelid = i.inhparent and contype <> 'n') as constraints_of_parent, "
        "(select count(*) from pg_constraint where conrelid = i.inhrelid and contype <> 'n') as constraints_of_part, "
        "c.reloptions from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relkind = 'r'"
    )
    assert {row["parent"] for row in rows} == {*MONTHLY, "feed"}
    for row in rows:
        assert row["of_part"] == row["of_parent"], row["relname"]
        assert row["constraints_of_part"] == row["constraints_of_parent"], row["relname"]
        assert (row["reloptions"] == ["fillfactor=80"]) == (row["parent"] in ("orders", "notification"))


async def test_wakes_are_folded_and_heard(database: Database) -> None:
    heard: list[str] = []
    listener = Listener(database.direct_url)
    done = asyncio.Event()

    def on_due() -> None:
        heard.append("due")
        if len(heard) >= 2:
            done.set()

    listener.on("due", on_due)
    listener.start()
    await asyncio.wait_for(listener.connected.wait(), 10)
    for _ in range(1000):
        database.wake("due")
    await asyncio.wait_for(done.wait(), 10)
    assert heard == ["due", "due"]  # one by the connection itself, one for a thousand calls
    await listener.stop()


async def test_a_database_that_is_away_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await Database.open("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h/d?sslmode=x",
    ],
)
async def test_an_address_that_is_none_is_one_sentence_without_the_password(url: str) -> None:
    for attempt in (Database.open, status, migrate):
        with pytest.raises(SettingsError, match="VARSEL_DATABASE_URL") as caught:
            await attempt(url)
        assert "hunter2" not in str(caught.value)


async def test_a_database_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(database_module, "CONNECT_SECONDS", 0.1)
        with pytest.raises(
            DatabaseUnavailable, match=f"d at 127.0.0.1:{port} does not answer .nothing within"
        ):
            await status(f"postgresql://u:hunter2@127.0.0.1:{port}/d")
    with pytest.raises(DatabaseUnavailable, match="Connection refused") as caught:
        await Database.open(f"postgresql://u:hunter2@127.0.0.1:{port}/d")
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_does_not_exist_or_refuses_the_user_is_said_so(empty_database_url: str) -> None:
    with pytest.raises(DatabaseRefused, match="The database nowhere at"):
        await status(re.sub(r"/empty_\d+", "/nowhere", empty_database_url))
    stranger = empty_database_url.replace("varsel@", quote("kari nordmann") + "@")
    with pytest.raises(DatabaseRefused, match="does not let kari nordmann in"):
        await status(stranger)


async def test_an_older_postgresql_is_refused(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "OLDEST", 99)
    with pytest.raises(OperatorError, match="needs 99 or newer"):
        await migrate(empty_database_url)


async def test_a_user_who_may_not_make_tables_is_told_so(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("create role guest; revoke create on schema public from public")
    await connection.execute(
        "alter database %s set role guest" % await connection.fetchval("select current_database()")
    )
    await connection.close()
    with pytest.raises(MigrationError, match="OWNER"):
        await migrate(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("set role varsel; drop role guest")
    await connection.close()


@pytest.mark.parametrize("error", [asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError])
def test_being_shut_out_while_it_runs_is_an_outage_for_callers(error: type[asyncpg.PostgresError]) -> None:
    assert database_module.is_unavailable(error("x"))
    with pytest.raises(OperatorError), opening("postgresql://u@h/d"):
        raise error("x")


async def test_a_question_with_a_limit_is_left_behind_when_the_server_hangs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await database.fetch_within(60, "select 1 as one"))[0]["one"] == 1
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.fetch_within(60, "select 1 from nowhere")
    hung = asyncio.Event()

    async def hanging(_sql: str, *_args: object) -> list[asyncpg.Record]:
        # As the driver does: told to stop, it waits for the server first.
        try:
            await hung.wait()
        except asyncio.CancelledError:
            await hung.wait()
            raise
        return []

    monkeypatch.setattr(database, "fetch", hanging)
    with pytest.raises(DatabaseUnavailable):
        await database.fetch_within(0.01, "select 1")
    hung.set()


async def test_the_pool_tells_of_an_outage_in_one_sentence(
    empty_database_url: str, server_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = empty_database_url.rpartition("/")[2].partition("?")[0]
    tried = asyncio.Event()
    connect = asyncpg.pool.PoolConnectionHolder.connect

    async def connecting(holder: asyncpg.pool.PoolConnectionHolder) -> None:
        try:
            await connect(holder)
        finally:
            tried.set()

    operator = await asyncpg.connect(server_dsn)
    database = await Database.open(empty_database_url)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncpg.pool.PoolConnectionHolder, "connect", connecting)
        for outage in (1, 2):
            tried.clear()
            await operator.execute(f"alter database {name} allow_connections false")
            await operator.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
            )
            await tried.wait()
            for _ in range(2):  # further tries of the same outage
                logging.getLogger("asyncpg.pool").warning("again", exc_info=OSError())
            assert [record.getMessage() for record in caplog.records] == [
                "the database does not answer; Varsel goes on trying"
            ] * outage
            assert all(not record.exc_info for record in caplog.records)
            assert f'database "{name}" is not currently accepting connections' in caplog.records[-1].reason
            await operator.execute(f"alter database {name} allow_connections true")
            assert await database.fetchval("select 1") == 1
    await database.close()
    await operator.close()


def test_a_full_disk_is_called_one() -> None:
    with pytest.raises(DatabaseUnavailable, match="disk"), database_module.unavailable_as_such():
        raise asyncpg.DiskFullError("could not extend file")
