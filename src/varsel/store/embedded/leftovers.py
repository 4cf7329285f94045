"""What an earlier server of the same cluster left behind: processes, and files that name them.

After a kill -9 of Varsel its server gets SIGQUIT and is gone within a moment; a start that comes first must wait for
it, because PostgreSQL itself would refuse ("pre-existing shared memory block is still in use").
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from varsel.store.embedded.error import EmbeddedError
from varsel.store.embedded.place import SOCKET_NAME

FORCE_AFTER = 5.0  # seconds until SIGKILL
GIVE_UP_AFTER = 20.0  # seconds
POLL = 0.01  # seconds


@dataclass(frozen=True)
class PidFile:
    """The lines of postmaster.pid that matter here; `ready` when the server takes connections."""

    pid: int
    socket_folder: str
    ready: bool


def cluster_name(cluster: Path) -> str:
    """A mark that every process of this cluster carries in its title: the identity of the folder itself.

    Titles can be read without the right to trace a process of another account, which root lacks in a plain
    container; the working folder cannot.
    """
    status = cluster.stat()
    return f"varsel-{status.st_dev:x}-{status.st_ino:x}"


def processes(cluster: Path, uid: int) -> list[int]:
    """Pids of servers, backends and starting servers that Varsel ever started on this cluster."""
    name = cluster_name(cluster).encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            words = _command(int(entry.name))
            mine = b"cluster_name=" + name in words or words[0].startswith(b"postgres: " + name + b":")
            if mine and _owner(entry.path) in (uid, os.geteuid()):
                found.append(int(entry.name))
    return found


def read_pid_file(cluster: Path) -> PidFile | None:
    """None when there is none, or one cut short."""
    try:
        lines = (cluster / "postmaster.pid").read_text("utf-8", "surrogateescape").splitlines()
        return PidFile(int(lines[0]), lines[4], len(lines) > 7 and lines[7].strip() == "ready")
    except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
        return None


def serves(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a main server process of this cluster that Varsel started."""
    try:
        return b"cluster_name=" + cluster_name(cluster).encode() in _command(pid)
    except FileNotFoundError:
        return False


async def clear(cluster: Path, uid: int, say: Callable[[str], None]) -> None:
    """Wait until nothing of an earlier server runs, pushing it, then make its pid file harmless.

    The caller holds the lock of the cluster, so whatever is found belongs to a Varsel that is dead.
    """
    begun = time.monotonic()
    left = processes(cluster, uid)
    if left:
        say("Waiting for the earlier database server to end")
        _send(left, signal.SIGQUIT)
    forced = False
    while left:
        passed = time.monotonic() - begun
        if passed > GIVE_UP_AFTER:
            raise EmbeddedError(
                f"An earlier database server (pid {left[0]}) on {cluster} does not end; end it, then start again."
            )
        if passed > FORCE_AFTER and not forced:
            _send(left, signal.SIGKILL)
            forced = True
        await asyncio.sleep(POLL)
        left = processes(cluster, uid)
    _defuse_pid_file(cluster, uid)


def clear_socket(folder: Path) -> None:
    """Remove the socket and its lock: a lock whose pid now belongs to another program would stop the server."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in (SOCKET_NAME, SOCKET_NAME + ".lock"):
            try:
                os.unlink(name, dir_fd=descriptor)
            except FileNotFoundError:
                continue
    finally:
        os.close(descriptor)


def _defuse_pid_file(cluster: Path, uid: int) -> None:
    """Put our own pid into a stale postmaster.pid.

    PostgreSQL takes a file that names its parent for stale, whatever else now has the old pid, and still checks the
    shared memory that the file names. Deleting the file would lose that check.
    """
    path = cluster / "postmaster.pid"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EmbeddedError(
            f"{path} cannot be opened ({error.strerror}); remove it if no server runs."
        ) from error
    with os.fdopen(descriptor, "r+b") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != uid or status.st_nlink != 1:
            raise EmbeddedError(f"{path} is not a file of the server; remove it if no server runs.")
        first, line_end, rest = file.read().partition(b"\n")
        if not first.strip().isdigit():
            # Cut short by a power loss before the server had done anything.
            path.unlink()
            return
        pid = int(first)
        if pid == os.getpid():
            return
        if _is_server_of(pid, cluster):
            raise EmbeddedError(
                f"A PostgreSQL server (pid {pid}) that Varsel did not start runs on {cluster}; stop it first."
            )
        file.seek(0)
        file.write(str(os.getpid()).encode() + line_end + rest)
        file.truncate()


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Whether a server started by hand (`pg_ctl -D …`) holds the cluster."""
    words = _command(pid)
    if words[0].rpartition(b"/")[2] not in (b"postgres", b"postmaster"):
        return False
    try:
        return Path(f"/proc/{pid}/cwd").samefile(cluster)
    except OSError:
        pass
    for flag, value in itertools.pairwise(words):
        if flag == b"-D":
            try:
                return Path(os.fsdecode(value)).samefile(cluster)
            except OSError:
                return False
    return True


def _command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def _owner(path: str) -> int:
    try:
        return Path(path).stat().st_uid
    except OSError:
        return -1


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
