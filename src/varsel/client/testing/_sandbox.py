"""A whole sandbox as a child process: API, identity, workers, inbox and movable calendar, on free ports and a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote, urlencode

from varsel.client._environments import Environment, at
from varsel.client._flow import Answer, Request
from varsel.client._forwarded import ForwardedToken
from varsel.client._http import BlockingWire, Http
from varsel.client._maskinporten import CREATE
from varsel.client._selfservice import SCOPES

START_SECONDS = 180.0
STOP_SECONDS = 30.0
#: Seconds until an expected message must be there; the sandbox delivers within one.
ARRIVAL_SECONDS = 30.0
LOOK = 0.05  # seconds between looks
TOKEN_SECONDS = 1500.0
#: The synthetic service owner of every sandbox, Testkommune.
ORGANISATION = "312718286"
_READY = "Varsel answers on "


class SandboxError(Exception):
    """The sandbox did not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message in the inbox. `subject` is None for an SMS."""

    id: str
    channel: str
    to: str
    sender: str
    subject: str | None
    body: str
    received_at: datetime


class Inbox:
    """What the sandbox received, whoever sent it."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/sandbox/api/messages"
        self._wire = BlockingWire(Http())

    def messages(self, *, to: str | None = None, channel: str | None = None) -> list[Message]:
        """Oldest first."""
        wanted = {name: value for name, value in (("to", to), ("channel", channel)) if value}
        answer = self._ask("GET", wanted)
        return [
            Message(
                one["id"],
                one["channel"],
                one["to"],
                one["from"],
                one["subject"],
                one["body"],
                datetime.fromisoformat(one["receivedAt"]),
            )
            for one in answer.json()
        ]

    def expect(
        self,
        to: str,
        *,
        channel: str | None = None,
        containing: str = "",
        count: int = 1,
        within: float = ARRIVAL_SECONDS,
    ) -> Message:
        """The newest message to this recipient with this text in subject or body, once `count` are there; AssertionError otherwise."""
        deadline = time.monotonic() + within
        while True:
            found = [
                one
                for one in self.messages(to=to, channel=channel)
                if containing in (one.subject or "") + "\n" + one.body
            ]
            if len(found) >= count:
                return found[-1]
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{len(found)} of {count} expected messages arrived within {within:g} s (to {to!r}, with {containing!r})."
                )
            time.sleep(LOOK)

    def expect_none(self, to: str, *, channel: str | None = None, containing: str = "") -> None:
        """AssertionError when there is such a message. Wait for something that comes after it first, such as a final shipment."""
        found = [
            one
            for one in self.messages(to=to, channel=channel)
            if containing in (one.subject or "") + "\n" + one.body
        ]
        if found:
            raise AssertionError(f"{len(found)} messages to {to!r} arrived, and none was expected.")

    def clear(self, *, to: str | None = None) -> None:
        """Forget what was received."""
        self._ask("DELETE", {"to": to} if to else {})

    def close(self) -> None:
        self._wire.close()

    def _ask(self, method: str, query: Mapping[str, str]) -> Answer:
        url = self._url + (f"?{urlencode(query)}" if query else "")
        answer = self._wire.exchange(Request(method, url))
        if answer.status not in {200, 204}:
            raise SandboxError(f"The inbox answered {answer.status}; is there a sandbox at that address?")
        return answer


@dataclass(slots=True)
class Sandbox:
    """A running sandbox. `url` is its address, `environment` what clients take, `data` its directory."""

    url: str
    data: Path
    _process: subprocess.Popen[str] | None = field(repr=False)
    _log: IO[str] | None = field(repr=False)
    _made: Path | None = field(repr=False)
    inbox: Inbox = field(init=False, repr=False)
    _tokens: dict[str, tuple[str, float]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.url)

    @classmethod
    def start(cls, data: str | os.PathLike[str] | None = None) -> Self:
        """Start one and return when it is ready. It ends with `stop`, and with this process."""
        made = None
        if data is None:
            made = Path(tempfile.mkdtemp(prefix="varsel-sandbox-"))
            # The database runs as another account when this one is root, and passes through here.
            made.chmod(0o711)
            data = made / "data"
        data = Path(data)
        log = (made or data.parent).joinpath("sandbox.log").open("w", encoding="utf-8")
        # Settings of the surroundings would make it another Varsel than the tests expect.
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("VARSEL_")}
        process = subprocess.Popen(
            [*_command(), "up", "--sandbox", "--port", "0", "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=made or data.parent,
            env={**surroundings, "VARSEL_SMTP_INBOX_PORT": "0"},
        )
        try:
            url = _wait_until_ready(process)
        except SandboxError as error:
            process.kill()
            process.wait()
            log.close()
            _output(process).close()
            tail = Path(log.name).read_text("utf-8", "replace").splitlines()[-5:]
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)
            raise SandboxError("\n".join([str(error), *tail])) from None
        return cls(url, data, process, log, made)

    @classmethod
    def connect(cls, data: str | os.PathLike[str]) -> Self:
        """One that runs already, by its data directory."""
        try:
            told = json.loads(Path(data, "running.json").read_text("utf-8"))
        except (OSError, ValueError):
            raise SandboxError(f"No sandbox runs on {data}.") from None
        return cls(told["url"], Path(data), None, None, None)

    @property
    def environment(self) -> Environment:
        return at(self.url, name="sandbox")

    def credentials(self, *, scope: str = CREATE, org: str = "ttd") -> ForwardedToken:
        """Credentials of a service owner, without an integration; for clients of either kind."""
        return ForwardedToken(lambda: self.token(scope=scope, org=org), environment=self.environment)

    def administrator(self, *, organisation: str = ORGANISATION) -> ForwardedToken:
        """Credentials for `SelfService`: those of an integration that may register others for an organisation (its number)."""
        asked = {"orgNo": organisation, "scopes": SCOPES, "ttl": str(int(TOKEN_SECONDS) + 300)}
        return ForwardedToken(
            lambda: self._given("GetMaskinportenToken", asked), environment=self.environment
        )

    def token(self, *, scope: str = CREATE, org: str = "ttd") -> str:
        """An Altinn token of a service owner."""
        return self._given("GetEnterpriseToken", {"org": org, "scopes": scope})

    def _given(self, operation: str, asked: Mapping[str, str]) -> str:
        path = f"/dev/tokens/{operation}?{urlencode(asked)}"
        known, until = self._tokens.get(path, ("", 0.0))
        if time.monotonic() < until:
            return known
        answer = self.inbox._wire.exchange(Request("GET", self.url + path))
        if answer.status != 200:
            reason = answer.text.strip() if answer.status == 400 else f"is there a sandbox at {self.url}?"
            raise SandboxError(f"The sandbox gave no token ({answer.status}): {reason}")
        token = answer.text.strip()
        self._tokens[path] = (token, time.monotonic() + TOKEN_SECONDS)
        return token

    def file_url(self, name: str) -> str:
        """The signed address of a file, for an `Attachment`; any name gives a small file of its kind, and a few begin with what goes wrong
        (docs/reference/magic.md).
        """
        answer = self.inbox._wire.exchange(
            Request("GET", f"{self.url}/sandbox/api/files/{quote(name, safe='')}")
        )
        if answer.status != 200:
            raise SandboxError(f"The sandbox has no file {name!r} ({answer.status}).")
        return str(answer.json()["sasUrl"])

    def advance(self, by: timedelta | str) -> None:
        """Move its calendar forward: a duration, or words such as `7d`."""
        words = by if isinstance(by, str) else f"{int(by.total_seconds())}s"
        self.command("sandbox", "clock", "advance", words)

    def reset_clock(self) -> None:
        """Take its calendar back to this machine's time."""
        self.command("sandbox", "clock", "reset", "--yes")

    def add_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Synthetic people, organisations and identities, as `varsel contacts import` takes them."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(json.dumps(dict(one)) + "\n" for one in contacts)
            file.flush()
            self.command("contacts", "import", file.name)

    def command(self, *words: str) -> str:
        """Run a `varsel` command on it; what it printed."""
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("VARSEL_")}
        done = subprocess.run(
            [*_command(), *words, "--data", str(self.data)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.data.parent,
            env=surroundings,
        )
        if done.returncode:
            raise SandboxError(
                done.stderr.strip() or f"varsel {' '.join(words)} ended with {done.returncode}."
            )
        return done.stdout

    def stop(self) -> None:
        """End it, and remove its directory when it made one."""
        self.inbox.close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            _output(self._process).close()
            self._process = None
        if self._log is not None:
            self._log.close()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


def _command() -> list[str]:
    return [sys.executable, "-m", "varsel.cli.main"]


def _output(process: subprocess.Popen[str]) -> IO[str]:
    """Its standard output, which we always pipe."""
    assert process.stdout is not None
    return process.stdout


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Its address, from the line that it prints when it answers. What it prints afterwards is read away."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    output = _output(process)

    def follow() -> None:
        with contextlib.suppress(ValueError):  # closed by stop()
            for line in output:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=follow, name="varsel-sandbox", daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise SandboxError(f"The sandbox was not ready within {START_SECONDS:g} s.") from None
        if line is None:
            raise SandboxError(
                "The sandbox did not start; `pip install varsel[server]` brings what it needs."
            )
        if line.startswith(_READY):
            return line.removeprefix(_READY).split()[0]
