"""`varsel up` and its neighbours from outside: start, stop, death, refusals, and what the sandbox offers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.varsel import (
    COMMAND,
    Server,
    alive,
    descendants,
    directory,
    environment,
    varsel,
    wait_until,
)
from varsel.store.database import Database

FEED = "/notifications/api/v1/future/shipment/feed"
PERSON = "17849012320"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    with directory(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One sandbox for the tests that only use it."""
    with directory(tmp_path_factory.mktemp("sandbox")) as data, Server(data, "--sandbox") as server:
        yield server


def refused(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one sentence of a refusal."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.strip().splitlines() if not line.endswith("…")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_it_starts_answers_and_stops(data):
    with Server(data, "--sandbox") as server:
        with server.client() as http:
            assert (http.get("/health").status_code, http.get("/health").text) == (200, "Healthy")
            ready = http.get("/health/ready")
            assert ready.status_code == 200
            assert set(ready.json()["parts"]) == {"database", "api", "identity", "web", "worker"}
            assert 'process="worker"' in http.get("/metrics").text
        below = descendants(server.process.pid)
        assert len(below) > 3
        assert server.stop() == 0
        assert not [pid for pid in below if alive(pid)]
        assert not (data / "running.json").exists()


def test_a_kill_leaves_nothing_behind_and_the_next_start_is_whole(data):
    with Server(data, "--sandbox") as server:
        assert server.run("contacts", "import", "-", stdin=f'{{"person": "{PERSON}"}}').returncode == 0
        below = descendants(server.process.pid)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not [pid for pid in below if alive(pid)], 20, "everything below is gone")
    assert (data / "running.json").exists()  # nobody was left to take it away
    assert "No Varsel runs" in refused(varsel("sandbox", "clock", "show", "--data", str(data)))
    with Server(data, "--sandbox") as server, server.client(server.token()) as http:
        assert http.get(FEED, params={"seq": 0}).status_code == 200


def test_a_worker_and_a_database_that_die_come_back(data):
    with Server(data, "--sandbox") as server, server.client() as http:
        for word in ("varsel.cli.child", "pginstall/bin/postgres"):
            # A process of the database that was forked a moment ago still bears the name of its parent, the first of them.
            first = min(
                pid
                for pid in descendants(server.process.pid)
                if word in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            )
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: http.get("/health/ready").status_code == 503, 20, "its death is noticed")
            wait_until(lambda: http.get("/health/ready").status_code == 200, what="it is back")
            assert http.get("/health").text == "Healthy"


def test_a_second_interrupt_ends_it_at_once(data):
    # A stop that takes its time: one request is under way, and may be for a minute.
    with Server(data, "--sandbox", stop_seconds="60") as server:
        below = descendants(server.process.pid)
        with socket.create_connection(("127.0.0.1", server.told()["port"])) as slow:
            slow.sendall(
                b"POST /maskinporten/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                b"Content-Length: 9\r\n\r\n"
            )
            worker = next(
                pid for pid in below if b"varsel.cli.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
            )
            server.process.send_signal(signal.SIGINT)
            wait_until(lambda: not alive(worker), 20, "the worker has stopped")
            assert alive(server.process.pid)
            assert server.stop(signal.SIGINT) == 130
    wait_until(lambda: not [pid for pid in below if alive(pid)], 20, "everything below is gone")


def test_a_taken_port_is_one_sentence(data):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused(varsel("up", "--sandbox", "--port", str(port), "--data", str(data)))
    assert str(port) in sentence
    assert not data.exists()


def test_an_embedded_database_needs_a_worker_here(data):
    assert "VARSEL_WORKERS" in refused(varsel("up", "--port", "0", "--data", str(data), workers="0"), 2)
    assert not data.exists() or not any(data.iterdir())


def test_two_cannot_share_a_directory(sandbox):
    sentence = refused(sandbox.run("up", "--sandbox", "--port", "0"))
    assert str(sandbox.process.pid) in sentence
    assert str(sandbox.data) in sentence


def test_the_fence(data, sandbox):
    (data).mkdir()
    (data / "varsel.json").write_text('{"mode": "production", "format": 1, "made_by": "0.1.0"}')
    assert "never becomes a sandbox" in refused(varsel("up", "--sandbox", "--port", "0", "--data", str(data)))
    (data / "varsel.json").write_text('{"mode": "sandbox", "format": 1, "made_by": "0.1.0"}')
    assert "start it with --sandbox" in refused(varsel("up", "--port", "0", "--data", str(data)))
    assert sorted(path.name for path in data.iterdir()) == ["varsel.json", "varsel.lock"]
    # A sandbox is closed to the network whatever is asked for.
    assert "127.0.0.1" in sandbox.url


def test_a_sandbox_sends_to_no_real_provider(data):
    done = varsel(
        "up",
        "--sandbox",
        "--port",
        "0",
        "--data",
        str(data),
        email_url="smtp://hunter2:hunter2@mail.example.org:25",
    )
    sentence = refused(done)
    assert "VARSEL_SANDBOX_REAL_SENDING" in sentence
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("where", ["/proc/varsel", "/dev/null/varsel", "{file}/data"])
def test_a_directory_that_cannot_be_is_one_sentence(tmp_path, where):
    (tmp_path / "file").touch()
    path = where.format(file=tmp_path / "file")
    assert path in refused(varsel("up", "--sandbox", "--port", "0", "--data", path))


def test_a_directory_of_another_account_is_one_sentence(tmp_path):
    closed = tmp_path / "closed"
    if os.geteuid() != 0:
        closed.mkdir(mode=0o500)
        assert "closed" in refused(varsel("up", "--port", "0", "--data", str(closed)))
        closed.chmod(0)
        assert "closed/data" in refused(varsel("up", "--port", "0", "--data", str(closed / "data")))
        return
    closed.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    try:
        done = subprocess.run(
            [*COMMAND, "up", "--port", "0", "--data", str(closed)],
            capture_output=True,
            text=True,
            env=environment(),
            cwd="/",
            user="nobody",
            timeout=60,
            check=False,
        )
    except PermissionError:
        pytest.skip("this interpreter is out of reach for other accounts")
    assert "closed" in refused(done)


def test_a_database_that_does_not_answer_is_one_sentence(data):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    url = f"postgresql://varsel:hunter2@127.0.0.1:{port}/varsel"
    done = varsel("up", "--port", "0", "--data", str(data), database_url=url)
    assert "database" in refused(done, 3)
    assert "hunter2" not in done.stderr
    assert "database" in refused(varsel("worker", database_url=url), 3)


def test_a_role_alone_needs_a_database_and_its_schema(empty_database_url, tmp_path):
    assert "VARSEL_DATABASE_URL" in refused(varsel("api", "--port", "0"), 2)
    sentence = refused(varsel("api", "--port", "0", database_url=empty_database_url))
    assert "varsel db migrate" in sentence
    done = varsel("db", "migrate", database_url=empty_database_url)
    assert done.returncode == 0, done.stderr
    assert "applied 0001" in done.stdout
    done = varsel("db", "status", database_url=empty_database_url)
    assert done.returncode == 0
    assert "up to date" in done.stdout


@pytest.mark.parametrize("role", ["api", "identity", "web", "worker"])
def test_a_role_alone(role, database_url, tmp_path):
    settings = {"database_url": database_url, "master_key_file": str(tmp_path / "master.key")}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, role, "--port", "0"],
            stdout=output,
            stderr=output,
            env=environment(**settings),
            cwd="/",
        )
    try:
        wait_until(
            lambda: "'s role" in log.read_text() or process.poll() is not None,
            what="it says that it is ready",
        )
        assert process.poll() is None, log.read_text()
        assert role in log.read_text()
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


async def test_a_role_refuses_a_database_that_another_master_key_sealed(
    database: Database, database_url: str, tmp_path
):
    from varsel.identity.keys import KeyRing
    from varsel.runtime.clock import SystemMachine
    from varsel.store.secrets import MasterKey

    keys = await KeyRing.open(database, SystemMachine(), MasterKey.load(tmp_path / "first.key"))
    await keys.close()
    other = str(tmp_path / "other.key")
    done = varsel("api", "--port", "0", database_url=database_url, master_key_file=other)
    assert "VARSEL_MASTER_KEY_FILE" in refused(done)
    assert not (tmp_path / "other.key").exists()


async def test_production_refuses_a_sandbox_database_whose_calendar_was_moved(
    database: Database, database_url: str, tmp_path
):
    await database.execute("update calendar set shift = '1 day'")
    done = varsel("worker", database_url=database_url, master_key_file=str(tmp_path / "key"))
    assert "sandbox" in refused(done)


def test_a_sandbox_refuses_the_database_of_a_production(database_url, data, tmp_path):
    settings = {"database_url": database_url, "master_key_file": str(tmp_path / "master.key")}
    with Server(data, **settings) as production:
        assert production.stop() == 0
    done = varsel("up", "--sandbox", "--port", "0", "--data", str(tmp_path / "sandbox"), **settings)
    assert "production" in refused(done)


def test_tokens_of_the_command_line_count(sandbox):
    with sandbox.client(sandbox.token()) as http:
        assert http.get(FEED, params={"seq": 0}).status_code == 200
    with sandbox.client(sandbox.token("--expires-in", "-60")) as http:
        assert http.get(FEED, params={"seq": 0}).status_code == 401
    with sandbox.client(sandbox.token("--scope", "altinn:other")) as http:
        assert http.get(FEED, params={"seq": 0}).status_code == 403
    assert sandbox.token("--person", PERSON).count(".") == 2
    assert sandbox.token("--platform").count(".") == 2
    said = refused(sandbox.run("dev", "token", "--org", "nobody"))
    assert "nobody" in said
    assert "ttd" in said
    assert "eleven digits" in refused(sandbox.run("dev", "token", "--person", "123"))


def test_the_clock_of_the_command_line(data):
    with Server(data, "--sandbox") as server:
        assert "as this machine" in server.run("sandbox", "clock", "show").stdout
        assert "7 days ahead" in server.run("sandbox", "clock", "advance", "7d").stdout
        assert "written like" in refused(server.run("sandbox", "clock", "advance", "soon"))
        assert "--yes" in refused(server.run("sandbox", "clock", "reset"))
        assert "7 days ahead" in server.run("sandbox", "clock", "show").stdout
        assert "as this machine" in server.run("sandbox", "clock", "reset", "--yes").stdout


async def test_contacts_of_the_command_line(sandbox, tmp_path):
    from varsel.store.embedded import read_dsn

    people = tmp_path / "people.jsonl"
    people.write_text(f'{{"person": "{PERSON}", "email": "kari@example.org"}}\n')
    done = sandbox.run("contacts", "import", str(people))
    assert done.returncode == 0, done.stderr
    assert "1 persons" in done.stdout
    people.write_text(f'{{"person": "{PERSON}", "mail": "kari@example.org"}}\n')
    assert "line 1" in refused(sandbox.run("contacts", "import", str(people)))
    assert "cannot be read" in refused(sandbox.run("contacts", "import", str(tmp_path / "missing")))
    connection = await asyncpg.connect(read_dsn(sandbox.data))
    try:
        assert await connection.fetchval("select email from contact_person") == "kari@example.org"
    finally:
        await connection.close()


def test_the_description_of_the_api_is_served(sandbox):
    with sandbox.client() as http:
        assert http.get("/openapi.json").json() == http.get("/swagger/v1/swagger.json").json()
        assert "/swagger/swagger-ui-bundle.js" in http.get("/swagger").text
        assert http.get("/console", follow_redirects=True).status_code == 200


def test_an_older_varsel_refuses_a_directory_of_a_newer_one(data):
    import asyncio

    from varsel.store.embedded import EmbeddedServer, make_data_dir
    from varsel.store.migrations import migrate

    async def make() -> None:
        server = EmbeddedServer(make_data_dir(data))
        await server.start()
        try:
            await migrate(server.dsn)
            connection = await asyncpg.connect(server.dsn)
            await connection.execute(
                "insert into schema_version (number, name, checksum) values (9001, 'future', '')"
            )
            await connection.close()
        finally:
            await server.stop()

    asyncio.run(make())
    (data / "varsel.json").write_text('{"mode": "sandbox", "format": 1, "made_by": "0.1.0"}')
    assert "newer Varsel" in refused(varsel("up", "--sandbox", "--port", "0", "--data", str(data)))


def test_the_tour_twice_in_one_directory(data):
    for _ in range(2):
        done = varsel("demo", "--exit", "--port", "0", "--data", str(data), timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        told = done.stdout
        for step in (
            "Integration ",
            "JWK ",
            "Maskinporten token",
            "Altinn token",
            "E-mail delivered",
            "SMS delivered",
            "Person delivered",
            "Organization delivered",
            "E-mail bounced",
            "Daytime SMS waits",
            "Daytime SMS delivered",
            "SMS given up",
            "Reminder delivered",
            "Reminder not sent",
            "Late report",
        ):
            assert f"  {step}" in told
        assert told.count("Reminder delivered") == 2
        assert "Everything ended as it should." in told


def test_the_tour_leaves_no_directory_of_its_own(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = varsel("demo", "--exit", "--port", "0", timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_several_http_processes_serve_the_same(data):
    with Server(data, "--sandbox", api_processes="3") as server:
        names = {"http", "http-2", "http-3"}
        pids: set[str] = set()

        def asked() -> bool:
            # A connection of its own each time, so that the kernel may choose another process.
            with server.client() as fresh:
                assert fresh.get("/sandbox/api/messages").json() == []
                assert set(fresh.get("/health/ready").json()["parts"]) >= {"http-2", "http-3", "worker"}
                page = fresh.get("/metrics").text
            assert names <= set(re.findall(r'process="([^"]+)"', page))
            counts = re.findall(
                r'varsel_http_requests_total\{process="([^"]+)",operation="[^"]*messages"', page
            )
            pids.update(counts)
            return pids >= names

        wait_until(asked, what="every process has answered")
        assert server.stop() == 0


def test_internal_endpoints_have_a_port_of_their_own(data):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Server(data, internal_port=str(port)) as server:
        path = "/notifications/api/v1/trigger/pastdueorders"
        with server.client() as http:
            assert http.post(path).status_code == 404
            assert http.post(f"http://127.0.0.1:{port}{path}").status_code == 200
        assert "VARSEL_EMAIL_URL" in server.said()
