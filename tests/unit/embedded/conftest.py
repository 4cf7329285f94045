"""A cluster that was made once, servers that are stopped, and the processes around them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from varsel.store import embedded
from varsel.store.embedded import EmbeddedServer

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
