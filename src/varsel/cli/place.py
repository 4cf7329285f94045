"""The data directory: where it is, that this Varsel alone uses it, and what it is for.

DIR/varsel.json     what the directory is for, written once: {"mode": "sandbox", "format": 1, "made_by": "0.1.0"}
DIR/varsel.lock     held by the Varsel that runs on it
DIR/running.json    of the Varsel that runs: its pid and addresses; other commands find it here
DIR/master.key      seals secrets at rest (unless VARSEL_MASTER_KEY_FILE names another)
DIR/postgres…       the embedded database
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from varsel import __version__
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import Settings

MARKER: Final = "varsel.json"
RUNNING: Final = "running.json"
#: Layout of the directory; a program refuses a higher one.
FORMAT: Final = 1


class PlaceError(OperatorError):
    """The data directory cannot be used."""


@dataclass(frozen=True, slots=True)
class Running:
    """A Varsel that runs on a data directory, as it wrote itself down when it was ready."""

    pid: int
    url: str
    port: int
    sandbox: bool
    smtp_port: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory and whether it is a sandbox for good."""

    data: Path
    sandbox: bool

    def master_key(self, settings: Settings) -> Path:
        return Path(settings.master_key_file) if settings.master_key_file else self.data / "master.key"

    def announce(self, running: Running) -> None:
        """Write down where this Varsel answers, for the other commands."""
        words = {name: getattr(running, name) for name in Running.__slots__}
        _write(self.data / RUNNING, words)

    def withdraw(self) -> None:
        (self.data / RUNNING).unlink(missing_ok=True)


def data_directory(settings: Settings) -> Path:
    """VARSEL_DATA (or --data); else $XDG_DATA_HOME/varsel, as root /var/lib/varsel. Absolute; may not exist yet."""
    if settings.data:
        return Path(settings.data).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/varsel")
    base = os.environ.get("XDG_DATA_HOME", "")
    if base and Path(base).is_absolute():
        return Path(base) / "varsel"
    try:
        return Path.home() / ".local" / "share" / "varsel"
    except RuntimeError:
        raise PlaceError("This account has no home directory; choose a data directory with --data.") from None


def claim(data: Path, *, sandbox: bool) -> Place:
    """Mark a directory, whose lock the caller holds, as sandbox or production; PlaceError when it is the other one for good."""
    found = _read(data / MARKER)
    if found is None:
        # A database that nobody marked came here by restore or by hand: production, to be safe.
        was_sandbox = False if (data / "postgres").exists() or (data / "postgres.at").exists() else sandbox
    else:
        _check_format(data, found)
        was_sandbox = found.get("mode") == "sandbox"
    if was_sandbox and not sandbox:
        raise PlaceError(
            f"{data} is a sandbox and stays one; start it with --sandbox, or choose another --data."
        )
    if sandbox and not was_sandbox:
        raise PlaceError(
            f"{data} belongs to a production Varsel and never becomes a sandbox; choose another --data."
        )
    if found is None:
        mode = "sandbox" if sandbox else "production"
        _write(data / MARKER, {"mode": mode, "format": FORMAT, "made_by": __version__})
    return Place(data, sandbox)


def existing(settings: Settings) -> Place:
    """The directory that a running or stopped Varsel made, for commands that only look at it."""
    data = data_directory(settings)
    found = _read(data / MARKER)
    if found is None:
        raise PlaceError(f"{data} holds no Varsel; name its data directory with --data.")
    _check_format(data, found)
    return Place(data, found.get("mode") == "sandbox")


def running(place: Place) -> Running:
    """The Varsel that runs there; PlaceError when none does."""
    found = _read(place.data / RUNNING)
    none = PlaceError(
        f"No Varsel runs on {place.data}; start one: varsel up{' --sandbox' if place.sandbox else ''} --data {place.data}"
    )
    if found is None:
        raise none
    try:
        told = Running(**{name: found.get(name) for name in Running.__slots__})  # type: ignore[arg-type]
        os.kill(told.pid, 0)
    except PermissionError:
        pass  # runs, as another account
    except (ProcessLookupError, TypeError):
        raise none from None
    return told


def require_sandbox(place: Place) -> Place:
    """The place, when it is a sandbox."""
    if not place.sandbox:
        raise PlaceError(f"{place.data} is not a sandbox, and this command works in a sandbox only.")
    return place


def _check_format(data: Path, marker: dict[str, Any]) -> None:
    written = marker.get("format")
    if not isinstance(written, int) or written > FORMAT:
        raise PlaceError(
            f"{data} was made by a newer Varsel ({marker.get('made_by', 'unknown')}; this is {__version__}); "
            "start that one, or choose another --data."
        )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PlaceError(
            f"{path} cannot be read ({error.strerror}); use the account that runs Varsel, or choose another --data."
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise PlaceError(f"{path} is damaged; restore it, or choose another --data.")
    return found


def _write(path: Path, words: dict[str, Any]) -> None:
    """Durably and whole, readable by its own account only."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(words, file)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise PlaceError(
            f"{path} cannot be written ({error.strerror}); free space or change its owner, or choose another --data."
        ) from error
