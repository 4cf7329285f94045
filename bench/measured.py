"""Processes under measurement: start them, read their CPU seconds, stop them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children_of(pid: int) -> list[int]:
    """Direct children, from every thread of the process; none of one that has ended."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def tree_of(pid: int) -> list[int]:
    found = [pid]
    for child in children_of(pid):
        found += tree_of(child)
    return found


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and all below it, ended and waited-for children included."""
    total = 0.0
    try:
        fields = _stat(pid)
        total += sum(int(fields[position]) for position in (11, 12, 13, 14)) / TICKS
        for child in children_of(pid):
            total += cpu_of(child)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def own_cpu_of(pid: int) -> float:
    """CPU seconds of a process itself, with its threads and without children."""
    fields = _stat(pid)
    return sum(int(fields[position]) for position in (11, 12)) / TICKS


def memory_of(pid: int) -> tuple[float, float]:
    """(RSS sum, PSS sum) in MB of a process tree."""
    rss = pss = 0
    for member in tree_of(pid):
        try:
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return rss / 1024, pss / 1024


class Beside:
    """A python module run beside the measurement; its first line of output is its port."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.pid = self._process.pid

    def stop(self) -> str:
        """Ends it; what it printed last."""
        return self._process.communicate(timeout=30)[0].strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
