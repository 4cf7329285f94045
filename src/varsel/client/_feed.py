"""Where a reader of the feed remembers how far it has come."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from ._errors import ConfigurationError


@runtime_checkable
class CursorStore(Protocol):
    """Keeps the number of the last entry that was dealt with; 0 before the first. Either method may be asynchronous."""

    def load(self) -> int | Awaitable[int]: ...
    def save(self, sequence_number: int) -> Awaitable[None] | None: ...


class FileCursor:
    """In a file, replaced as a whole, so that a crash leaves the old number or the new one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def load(self) -> int:
        try:
            text = self._path.read_text("ascii").strip()
        except FileNotFoundError:
            if not self._path.parent.is_dir():
                # Said before the first entry, and not after it was dealt with.
                raise ConfigurationError(
                    f"There is no directory {self._path.parent} for the feed's cursor."
                ) from None
            return 0
        except (OSError, UnicodeDecodeError):
            text = ""
        if not text.isdigit():
            # To begin at 0 again would repeat everything that was dealt with.
            raise ConfigurationError(
                f"{self._path} holds no feed cursor; remove it to begin at the oldest entry."
            )
        return int(text)

    def save(self, sequence_number: int) -> None:
        try:
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write(f"{sequence_number}\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise ConfigurationError(
                f"The feed's cursor {self._path} cannot be written: {error.strerror}."
            ) from None


class MemoryCursor:
    """For this process alone."""

    def __init__(self, sequence_number: int = 0) -> None:
        self.sequence_number = sequence_number

    def load(self) -> int:
        return self.sequence_number

    def save(self, sequence_number: int) -> None:
        self.sequence_number = sequence_number


class CallableCursor:
    """In your own store, by two functions."""

    def __init__(
        self,
        load: Callable[[], int | Awaitable[int]],
        save: Callable[[int], Awaitable[None] | None],
    ) -> None:
        self.load = load
        self.save = save


Cursor: TypeAlias = "int | str | os.PathLike[str] | CursorStore"


def cursor_store(cursor: Cursor) -> CursorStore:
    """A number to begin after, a path to a file, or a store."""
    if isinstance(cursor, int):
        return MemoryCursor(cursor)
    if isinstance(cursor, str | os.PathLike):
        return FileCursor(cursor)
    if isinstance(cursor, CursorStore):
        return cursor
    raise ConfigurationError("cursor must be a number, a path, or an object with load and save.")
