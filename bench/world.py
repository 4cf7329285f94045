"""A whole Varsel for the benchmark: started by its own command, in a fresh directory, on free ports."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import asyncpg

from bench.load import MARKER
from bench.measured import tree_of
from varsel.store.embedded import bin_dir, read_dsn


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def command(*words: str, env: Mapping[str, str] | None = None) -> str:
    """Run `varsel …`; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "varsel.cli.main", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"varsel {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _loading(**task: Any) -> subprocess.Popen[str]:
    words = {"host": "127.0.0.1", "concurrency": 32} | task
    return subprocess.Popen(
        [sys.executable, "-m", "bench.load", json.dumps(words)], stdout=subprocess.PIPE, text=True
    )


def load_generator(**task: Any) -> dict[str, Any]:
    """Run the load generator (`bench.load`) on a task; what it measured."""
    process = _loading(**task)
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the load generator failed")
    return dict(json.loads(told))


class World:
    """`varsel up --sandbox` in a directory of its own."""

    def __init__(self, **settings: str) -> None:
        self.data = Path(
            tempfile.mkdtemp(prefix="varsel-bench-", dir="/var/tmp")
        )  # a disk, not memory: commits must cost
        self.port = free_port()
        self._env = {f"VARSEL_{name.upper()}": value for name, value in settings.items()} | {
            "VARSEL_SMTP_INBOX_PORT": "0",
            "VARSEL_LOG_LEVEL": "warning",
        }
        self._log = (self.data.parent / f"{self.data.name}.log").open("w")
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "varsel.cli.main",
                "up",
                "--sandbox",
                "--port",
                str(self.port),
                "--data",
                str(self.data),
            ],
            env={**os.environ, **self._env},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid
        self._wait_ready()
        self.started_in = time.perf_counter() - begun
        self.dsn = read_dsn(self.data)
        self.token = self.run("dev", "token").strip().splitlines()[-1]

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise SystemExit(f"varsel up ended with {self._process.returncode}; see {self._log.name}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("varsel up was not ready within 60 s")

    def run(self, *words: str) -> str:
        return command(*words, "--data", str(self.data), env=self._env)

    def pids(self, word: str) -> list[int]:
        """Processes of this world whose command line holds `word`, e.g. worker or postgres (its main process)."""
        found = []
        for pid in tree_of(self.pid):
            try:
                line = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
            except FileNotFoundError:
                continue
            if word in line:
                found.append(pid)
        return found

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> bytes:
        """The bytes of one HTTP request with a token (the world's own when not given), for the load generator."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {token or self.token}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    def load(self, request: bytes, *, port: int | None = None, **task: Any) -> dict[str, Any]:
        """Run the load generator; what it measured."""
        return load_generator(request=base64.b64encode(request).decode(), port=port or self.port, **task)

    def loading(self, request: bytes, *, port: int | None = None, **task: Any) -> subprocess.Popen[str]:
        """The load generator, begun; it prints what it measured."""
        return _loading(request=base64.b64encode(request).decode(), port=port or self.port, **task)

    def sql(self, statement: str, *args: Any) -> Any:
        async def ask() -> Any:
            connection = await asyncpg.connect(self.dsn)
            try:
                return await connection.fetch(statement, *args)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def pgbench(self, script: str, seconds: int, *options: str) -> float:
        """Transactions a second of a script with 32 clients and durable commits, on this world's own server."""
        path = self.data.parent / f"{self.data.name}.sql"
        path.write_text(script)
        host = self.dsn.split("host=")[1].split("&")[0]
        done = subprocess.run(
            [bin_dir() / "pgbench", "-n", "-c", "32", *options, "-T", str(seconds), "-f", str(path),
             "-h", unquote(host), "-U", "varsel", "varsel"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        path.unlink()
        for line in done.stdout.splitlines():
            if line.startswith("tps"):
                return float(line.split("=")[1].split()[0])
        raise SystemExit(f"pgbench: {done.stderr}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def email_order(**more: Any) -> dict[str, Any]:
    """A plain order to a direct address; its idempotency id is the load generator's marker."""
    return {
        "idempotencyId": MARKER.decode(),
        "sendersReference": "bench-2031-0042",
        "recipient": {
            "recipientEmail": {
                "emailAddress": "kari@example.org",
                "emailSettings": {
                    "subject": "Ny melding",
                    "body": "Du har fått en ny melding i innboksen din. Logg inn for å lese den.",
                    "contentType": "Plain",
                    "sendingTimePolicy": "Anytime",
                },
            }
        },
    } | more


def sms_order(**more: Any) -> dict[str, Any]:
    """As `email_order`, as an SMS at any time of day."""
    return email_order(**more) | {
        "recipient": {
            "recipientSms": {
                "phoneNumber": "+4799999999",
                "smsSettings": {"body": "Du har en ny melding.", "sendingTimePolicy": "Anytime"},
            }
        }
    }


def instant_sms() -> dict[str, Any]:
    """An instant SMS; its idempotency id is the load generator's marker."""
    return {
        "idempotencyId": MARKER.decode(),
        "recipientSms": {
            "phoneNumber": "+4799999999",
            "timeToLiveInSeconds": 3600,
            "smsSettings": {"body": "Din kode er 123456."},
        },
    }
