"""A whole Varsel as its own process, in a directory and on ports of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.support.checked import check_response

COMMAND = [sys.executable, "-m", "varsel.cli.main"]
#: Seconds for a start on a busy machine; three on an idle one.
PATIENCE = 60.0


def environment(**settings: str) -> dict[str, str]:
    """The environment without settings of whoever runs the tests, and with these."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("VARSEL_")}
    return (
        mine
        | {"VARSEL_SMTP_INBOX_PORT": "0"}
        | {f"VARSEL_{name.upper()}": each for name, each in settings.items()}
    )


def varsel(
    *words: str, stdin: str | None = None, timeout: float = PATIENCE, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, away from files that the working directory may hold."""
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        input="" if stdin is None else stdin,
        env=environment(**settings),
        cwd="/",
        timeout=timeout,
        check=False,
    )


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    while True:
        more = {one for one, parent in parents.items() if parent in found | {pid}} - found
        if not more:
            return found
        found |= more


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Any, timeout: float = PATIENCE, what: str = "") -> Any:
    """Poll a synchronous condition until it is truthy."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.02)
    return found


class Server:
    """`varsel up …` that runs. Use it as a context manager; it is stopped at the end."""

    def __init__(self, data: Path, *words: str, log: Path | None = None, **settings: str) -> None:
        self.data = data
        self.log = log or data.with_name(data.name + ".log")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--port", "0", "--data", str(data), *words],
                stdout=output,
                stderr=output,
                env=environment(**settings),
                cwd="/",
            )

    def ready(self) -> Self:
        """Wait until it has announced itself."""

        def announced() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"varsel up ended with {self.process.returncode}: {self.said()}")
            with contextlib.suppress(FileNotFoundError, ValueError):
                return bool(self.told()["pid"] == self.process.pid)
            return False

        wait_until(announced, what="varsel up is ready")
        return self

    def told(self) -> dict[str, Any]:
        return dict(json.loads((self.data / "running.json").read_text()))

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        return str(self.told()["url"])

    def client(self, token: str | None = None) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=20,
            trust_env=False,
            event_hooks={"response": [check_response]},
        )

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return varsel(*words, "--data", str(self.data), stdin=stdin)

    def token(self, *words: str) -> str:
        done = self.run("dev", "token", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        try:
            return self.ready()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)


@contextlib.contextmanager
def directory(base: Path) -> Iterator[Path]:
    """A data directory whose cluster goes away at the end, wherever it lies."""
    from varsel.store.embedded import discard_cluster

    data = base / "data"
    try:
        yield data
    finally:
        discard_cluster(data)
