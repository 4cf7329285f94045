"""One Varsel to a data directory: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from varsel.store.embedded.error import EmbeddedError

PATIENCE = 1.0  # seconds


class DirectoryLock:
    """An ``flock`` on `path`, taken by the constructor and held until `release` or the end of the process.

    It waits `patience` seconds for a holder that is going: one that was killed a moment ago keeps its lock until
    the kernel has taken it down. The descriptor is not inherited by started programs, so nothing but the holder keeps the lock alive.
    `shown` is the directory that the refusal names.
    """

    def __init__(self, path: Path, shown: Path, *, patience: float = PATIENCE) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"The lock file {path} cannot be opened ({error.strerror}); give Varsel a directory it may write to."
            ) from error
        try:
            _take(descriptor, patience)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise EmbeddedError(
                    f"The file system under {shown} cannot lock files ({error.strerror}); "
                    "choose a --data on a local disk."
                ) from error
            raise EmbeddedError(
                f"Another Varsel (pid {holder}) runs on {shown}; stop it or choose another --data."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the directory free; harmless when called again. The file stays: removing it would race."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _take(descriptor: int, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def _holder(descriptor: int) -> str:
    written = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return written if written.isdigit() else "unknown"
