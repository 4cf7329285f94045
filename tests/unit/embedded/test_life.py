"""The embedded PostgreSQL server: start, restart, death of its parent, and who gets in (design: data directory)."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 - these tests handle real processes and have the loop to themselves
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tests.unit.embedded.conftest import (
    ROOT,
    children,
    ends_within,
    only_root,
    parent_process,
    run,
    value,
)
from varsel.store import embedded
from varsel.store.embedded import EmbeddedError, EmbeddedServer, leftovers


async def test_first_start_makes_a_durable_server_and_a_restart_keeps_rows(
    folder: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    said: list[str] = []
    server = serve(folder / "new" / "data", on_progress=said.append)
    await server.start()
    assert said == ["Making the database, once"]
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await value(server.dsn, f"show {setting}") == "on"
    assert await value(server.dsn, "show timezone") == "UTC"
    assert await value(server.dsn, "show server_encoding") == "UTF8"
    assert await value(server.dsn, "select min(v) from (values ('å'), ('z'), ('a')) as t (v)") == "a"
    await run(server.dsn, "create table kept (n int); insert into kept values (42)")
    await server.stop()

    again = serve(folder / "new" / "data", on_progress=said.append)
    await again.start()
    assert await value(again.dsn, "select n from kept") == 42
    assert said == ["Making the database, once"]


async def test_server_is_a_direct_child_in_its_own_session_and_never_root(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(data)
    await server.start()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
    )
    assert int(status["PPid"]) == os.getpid()
    assert os.getsid(server.pid) == os.getpgid(server.pid) == server.pid
    assert set(status["Uid"].split()) == {str((data / "postgres").stat().st_uid)}
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Groups"].split()


async def test_stop_ends_every_process_and_wait_tells(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(data)
    await server.start()
    family = [server.pid, *children(server.pid)]
    connection = await asyncpg.connect(server.dsn)
    waiting = asyncio.create_task(server.wait())
    await server.stop()
    assert await waiting == 0
    assert all(ends_within(pid, 5) for pid in family)
    connection.terminate()
    await server.stop()


async def test_log_holds_no_values_of_statements_or_rows(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(data)
    await server.start()
    await run(server.dsn, "create table address (mail text primary key)")
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("insert into address values ($1)", "kari@example.org")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("insert into address values ($1)", "kari@example.org")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await connection.execute("select 'kari@example.org'::int")
    await connection.close()
    await server.stop()
    logs = [*(data / "postgres" / "log").iterdir(), data / "postgres-run" / "start.log"]
    text = "".join(path.read_text() for path in logs)
    assert "database system is shut down" in text
    assert "kari" not in text


async def test_kill_of_the_parent_loses_no_commit_and_a_start_works_at_once(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    with parent_process(data) as (parent, old_pid):
        dsn = embedded.read_dsn(data)
        await run(dsn, "create table written (writer int, n int)")
        answered: dict[int, int] = {}
        enough = asyncio.Event()

        async def write(writer: int) -> None:
            connection = await asyncpg.connect(dsn)
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                for n in range(1, 1_000_000):
                    await connection.execute("insert into written values ($1, $2)", writer, n)
                    answered[writer] = n
                    if n == 25:
                        enough.set()
            connection.terminate()

        writers = [asyncio.create_task(write(number)) for number in range(4)]
        await asyncio.wait_for(enough.wait(), 10)
        old_family = [old_pid, *children(old_pid)]
        parent.kill()
        server = serve(data)
        await server.start()
        assert all(ends_within(pid, 0) for pid in old_family)
        await asyncio.gather(*writers)

    connection = await asyncpg.connect(server.dsn)
    rows = await connection.fetch(
        "select writer, count(*) as rows, max(n) as last from written group by writer"
    )
    await connection.close()
    assert len(rows) == 4
    for row in rows:
        assert row["rows"] == row["last"]
        # The last one may be committed and not yet answered.
        assert answered[row["writer"]] <= row["last"] <= answered[row["writer"]] + 1


async def test_kill_of_the_parent_leaves_no_server(data: Path) -> None:
    with parent_process(data) as (parent, pid):
        family = [pid, *children(pid)]
        assert len(family) > 4
        parent.kill()
        assert all(ends_within(member, 5) for member in family)
    with pytest.raises(EmbeddedError, match="No Varsel runs on"):
        embedded.read_dsn(data)


async def test_interrupt_of_the_terminal_does_not_reach_the_server(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(data)
    await server.start()
    assert os.getpgid(server.pid) != os.getpgid(0)
    assert os.getsid(server.pid) != os.getsid(0)


async def test_start_waits_for_backends_of_a_killed_server(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(data)
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    busy = asyncio.create_task(connection.execute("select count(*) from generate_series(1, 1000000000)"))
    while (
        await value(
            server.dsn, "select count(*) from pg_stat_activity where query like '%generate_series(1, 1%'"
        )
        != 2
    ):
        pass
    backends = children(server.pid)
    os.kill(server.pid, signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    await server.stop()
    again = serve(data)
    await again.start()
    assert all(ends_within(pid, 0) for pid in backends)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await busy
    connection.terminate()


async def test_second_server_on_the_directory_is_refused(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    first = serve(data)
    await first.start()
    with pytest.raises(EmbeddedError) as refused:
        await serve(data).start()
    assert (
        str(refused.value)
        == f"Another Varsel (pid {os.getpid()}) runs on {data}; stop it or choose another --data."
    )
    assert await value(first.dsn, "select 1") == 1


def test_data_lock_is_held_once_and_freed(folder: Path) -> None:
    with embedded.data_lock(folder / "data"):
        with pytest.raises(EmbeddedError) as refused:
            embedded.data_lock(folder / "data")
        assert f"(pid {os.getpid()}) runs on {folder / 'data'}" in str(refused.value)
    embedded.data_lock(folder / "data").release()


async def test_read_dsn_serves_another_process(data: Path, serve: Callable[..., EmbeddedServer]) -> None:
    server = serve(data)
    await server.start()
    assert embedded.read_dsn(data) == server.dsn
    psql = [
        str(embedded.bin_dir() / "psql"),
        "--no-psqlrc",
        "-At",
        "-c",
        "select current_database()",
        server.dsn,
    ]
    assert subprocess.run(psql, capture_output=True, text=True, check=True).stdout == "varsel\n"
    await server.stop()
    with pytest.raises(EmbeddedError, match=r"No Varsel runs on .* start one with: varsel up --data"):
        embedded.read_dsn(data)


@only_root
async def test_other_accounts_do_not_get_in(data: Path, serve: Callable[..., EmbeddedServer]) -> None:
    server = serve(data)
    await server.start()
    socket = Path(leftovers.read_pid_file(data / "postgres").socket_folder)  # type: ignore[union-attr]
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    # The account of the server itself passes the folder and is stopped by the peer rule.
    account = (data / "postgres").stat()
    psql = [str(embedded.bin_dir() / "psql"), "--no-psqlrc", "-c", "select 1", server.dsn]
    refused = subprocess.run(
        psql,
        capture_output=True,
        text=True,
        check=False,
        user=account.st_uid,
        group=account.st_gid,
        extra_groups=[],
    )
    assert refused.returncode != 0
    assert "Peer authentication failed" in refused.stderr


@pytest.mark.parametrize("content", ["alive", "dead", "own", "empty"])
async def test_stale_files_of_an_earlier_server_do_not_stop_a_start(
    data: Path, content: str, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(data)
    await server.start()
    cluster = data / "postgres"
    account = cluster.stat()
    text = (cluster / "postmaster.pid").read_text()
    await server.stop()
    # A living program of the same account, as a container's restart leaves it: PostgreSQL alone would refuse.
    bystander = subprocess.Popen(
        ["sleep", "60"],
        **({"user": account.st_uid, "group": account.st_gid, "extra_groups": []} if ROOT else {}),
    )
    try:
        dead = subprocess.Popen(["true"])
        dead.wait()
        pid = {"alive": bystander.pid, "dead": dead.pid, "own": os.getpid(), "empty": 0}[content]
        stale = "" if content == "empty" else f"{pid}\n" + text.split("\n", 1)[1]
        for path in (cluster / "postmaster.pid", data / "postgres-run" / "socket" / ".s.PGSQL.5432.lock"):
            path.write_text(stale)
            path.chmod(0o600)
            os.chown(path, account.st_uid, account.st_gid)
        again = serve(data)
        await again.start()
        assert await value(again.dsn, "select 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_server_started_by_hand_is_left_alone(data: Path) -> None:
    account = (data / "postgres").stat()
    who = {"user": account.st_uid, "group": account.st_gid, "extra_groups": []} if ROOT else {}
    words = [
        "-D",
        str(data / "postgres"),
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={data}/postgres",
    ]
    by_hand = subprocess.Popen(
        [str(embedded.bin_dir() / "postgres"), *words], stderr=subprocess.PIPE, text=True, cwd="/", **who
    )
    try:
        assert by_hand.stderr is not None
        assert any("ready to accept" in line for line in by_hand.stderr)
        with pytest.raises(EmbeddedError, match=rf"\(pid {by_hand.pid}\) that Varsel did not start"):
            await EmbeddedServer(data).start()
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGQUIT)
        by_hand.wait()
        by_hand.stderr.close()  # type: ignore[union-attr]


async def test_failing_start_says_why_and_leaves_nothing(
    data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    with pytest.raises(EmbeddedError, match="shared_buffers"):
        await EmbeddedServer(data, extra_settings={"shared_buffers": "much"}).start()
    uid = (data / "postgres").stat().st_uid
    assert leftovers.processes(data / "postgres", uid) == []
    await serve(data).start()


async def test_cancelled_start_leaves_no_server(data: Path, serve: Callable[..., EmbeddedServer]) -> None:
    server = EmbeddedServer(data)
    starting = asyncio.create_task(server.start())
    while server._child is None and not starting.done():  # noqa: ASYNC110 - one turn of the loop at a time
        await asyncio.sleep(0)
    pid = server.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ends_within(pid, 5)
    await serve(data).start()


async def test_databases_are_copied_from_a_template(data: Path, serve: Callable[..., EmbeddedServer]) -> None:
    server = serve(data)
    await server.start()
    template = await embedded.create_database(server.dsn, "form")
    await run(template, "create table t (n int); insert into t values (7)")
    copies = [await embedded.create_database(server.dsn, f'copy "{n}" å', "form") for n in range(2)]
    await run(copies[0], "update t set n = 8")
    assert [await value(dsn, "select n from t") for dsn in copies] == [8, 7]
    await embedded.drop_database(server.dsn, 'copy "0" å')
    await embedded.drop_database(server.dsn, 'copy "0" å')
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(copies[0])
