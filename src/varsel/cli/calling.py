"""What the commands of callers share: where to, with which credentials, how to say it, and how to fail."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from cyclopts import Parameter

from varsel.cli.terminal import complain, say
from varsel.runtime.errors import OperatorError

if TYPE_CHECKING:
    from varsel.cli.profiles import Profile
    from varsel.client import Environment, ForwardedToken, Maskinporten, Notifications
    from varsel.client.testing import Sandbox


class Refused(OperatorError):
    """It was refused."""


class WrongInput(OperatorError):
    """The command line or a setting is wrong."""

    exit_code: ClassVar[int] = 2


class NoAnswer(OperatorError):
    """There is no answer."""

    exit_code: ClassVar[int] = 3


class TooLate(OperatorError):
    """It did not happen in time."""

    exit_code: ClassVar[int] = 4


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of the client as one sentence with the exit code that fits."""
    from varsel import client
    from varsel.client.testing import SandboxError

    def warn(message: Warning | str, *_: Any, **__: Any) -> None:
        complain(str(message))

    try:
        with warnings.catch_warnings():
            warnings.showwarning = warn
            yield
    except client.InvalidOrder as error:
        option = _OPTIONS.get(error.field, error.field)
        rule = str(error).removeprefix(f"{error.field} ").replace("datetime.UTC", "2031-03-14T08:00:00+01:00")
        raise WrongInput(f"The order is wrong: {option} {rule}.") from None
    except client.ConfigurationError as error:
        raise WrongInput(str(error)) from None
    except client.NotFinal as error:
        raise TooLate(str(error)) from None
    except (client.TransportError, client.ServerError, client.TooManyRequests) as error:
        raise NoAnswer(str(error)) from None
    except (client.ClientError, SandboxError) as error:
        raise Refused(str(error)) from None


@Parameter(name="*", help="Where to, and as whom.")
@dataclass(frozen=True)
class Where:
    """The options that say where to and as whom."""

    profile: Annotated[
        str | None, Parameter(help="Profile to use; VARSEL_SDK_PROFILE and the default one come after.")
    ] = None
    env: Annotated[
        str | None, Parameter(help="Environment: tt02, production, at22 …, or the address of a Varsel.")
    ] = None
    data: Annotated[
        Path | None, Parameter(help="Data directory of a running sandbox, whose service owner ttd is used.")
    ] = None


_WHOLE: Final = frozenset(
    {"id", "integration", "kid", "received", "last update", "status", "state", "channel", "ends"}
)

#: Members of an order as options are called.
_OPTIONS: Final = {
    "idempotency_id": "--id",
    "send_at": "--at",
    "condition": "--condition",
    "delay_days": "--remind",
    "resource": "--resource",
    "sender": "--from",
    "sas_url": "--attach",
    "filename": "--attach",
    "mime_type": "--attach",
}

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]


@dataclass(frozen=True, slots=True)
class Caller:
    """The credentials that were found: those of a profile, of the environment variables, or a running sandbox's own."""

    profile: Profile | None
    variables: bool
    sandbox: Sandbox | None
    environment: Environment | None
    _open: list[Notifications | Maskinporten | Sandbox] = field(default_factory=list)

    def maskinporten(self, scope: str | None = None) -> Maskinporten:
        """Credentials for tokens by an integration."""
        from varsel.client import Maskinporten

        more: dict[str, Any] = {} if scope is None else {"scope": scope}
        if self.environment is not None:
            more["environment"] = self.environment
        if self.profile is not None:
            more = {"scope": self.profile.scope, **more}
            made = Maskinporten(self.profile.needed_client_id(), self.profile.key(), **more)
        elif self.variables:
            made = Maskinporten.from_environment(**more)
        else:
            raise WrongInput(
                "A sandbox by itself has no integration; register one, or add a profile: varsel profile add --help"
            )
        self._open.append(made)
        return made

    def credentials(self, scope: str | None = None) -> Maskinporten | ForwardedToken:
        """With this scope in place of the usual one."""
        if self.sandbox is None:
            return self.maskinporten(scope)
        return self.sandbox.credentials(**({} if scope is None else {"scope": scope}))

    def notifications(self, scope: str | None = None) -> Notifications:
        """The API with these credentials; `close` closes it."""
        from varsel.client import Notifications

        made = Notifications(self.credentials(scope), environment=self.environment)
        self._open.append(made)
        return made

    def close(self) -> None:
        from varsel.client.testing import Sandbox

        for one in (*self._open, *([] if self.sandbox is None else [self.sandbox])):
            if isinstance(one, Sandbox):
                one.stop()
            else:
                one.close()


def caller(where: Where | None) -> Caller:
    """Whose credentials count: --data, --profile, variables, the default profile, and last a sandbox that runs here."""
    from varsel.cli import profiles
    from varsel.client import environment as environment_named

    where = where or Where()
    found = None if where.env is None else environment_named(where.env)
    if where.data is not None:
        return Caller(None, False, sandbox(where.data), None)
    name = where.profile or os.environ.get("VARSEL_SDK_PROFILE")
    variables = any(
        one in os.environ for one in ("VARSEL_SDK_CLIENT_ID", "MASKINPORTEN_CLIENT_ID", "ClientId")
    )
    if name is None and variables:
        return Caller(None, True, None, found)
    book = profiles.Book.open()
    if name is None and found is not None:
        profile = book.within(found)
    else:
        profile = book.named(name) if name is not None or book.default else None
    if profile is not None:
        there = environment_named(profile.environment)
        if found is not None and found.maskinporten != there.maskinporten:
            raise WrongInput(
                f"The profile {profile.name} is for {profile.environment}, and its key is not used at {found.name}; choose another profile."
            )
        if profile.client_id is None and found is None and there.platform.startswith("http://"):
            # A sandbox by its address: it hands out tokens itself.
            return Caller(None, False, at(there.platform), None)
        return Caller(profile, False, None, found or there)
    if found is not None and found.platform.startswith("http://"):
        return Caller(None, False, at(found.platform), None)
    if found is not None:
        raise WrongInput(
            f"There are no credentials for {found.name}; add a profile (varsel profile add --help) or set VARSEL_SDK_CLIENT_ID."
        )
    return Caller(None, False, sandbox(None), None)


def place(where: Where) -> Environment:
    """Where to alone, without credentials: --env, the sandbox on --data, the profile, the default one, and last tt02."""
    from varsel.cli import profiles
    from varsel.client import environment as environment_named

    if where.env is not None:
        return environment_named(where.env)
    if where.data is not None:
        there = sandbox(where.data)
        there.stop()
        return there.environment
    name = where.profile or os.environ.get("VARSEL_SDK_PROFILE")
    book = profiles.Book.open()
    return environment_named(book.named(name).environment if name or book.default else "tt02")


def sandbox(data: Path | None) -> Sandbox:
    """The sandbox that runs on this data directory, or on the default one."""
    from varsel.cli.place import data_directory
    from varsel.client.testing import Sandbox, SandboxError
    from varsel.runtime.settings_sources import load

    directory = data if data is not None else data_directory(load())
    try:
        return Sandbox.connect(directory)
    except SandboxError:
        if data is not None:
            raise
        raise WrongInput(
            "There are no credentials: add a profile (varsel profile add --help), set VARSEL_SDK_CLIENT_ID and its key, "
            "or name a running sandbox with --data."
        ) from None


def sandbox_of(who: Caller) -> Sandbox | None:
    """The sandbox that these credentials are for: also where a profile holds an integration in it, since plain http is for sandboxes on
    this machine. `who` closes it.
    """
    if who.sandbox is None:
        there = who.environment or who.maskinporten().environment
        if not there.platform.startswith("http://"):
            return None
        found = at(there.platform)
        who._open.append(found)
        return found
    return who.sandbox


def at(address: str) -> Sandbox:
    """The sandbox at an address, without its data directory."""
    from varsel.client.testing import Sandbox

    return Sandbox(address.rstrip("/"), Path(), None, None, None)


def text_of(value: str) -> str:
    """The text of an option: itself, `@file`, or `-` for standard input."""
    if value == "-":
        return sys.stdin.read()
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise WrongInput(f"{value[1:]} cannot be read as text.") from None


def plain(value: Any) -> Any:
    """Answers of the API as JSON values, with the names of the wire, and as there without what is not set."""
    import msgspec

    return _set(msgspec.to_builtins(value))


def _set(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _set(one) for name, one in value.items() if one is not None}
    return [_set(one) for one in value] if isinstance(value, list | tuple) else value


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """JSON for programs: indented, or one line when `indent` is None."""
    say(json.dumps(plain(value), ensure_ascii=False, indent=indent))


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Rows under headings; as wide as the terminal, or tab separated when the output is no terminal."""
    if not sys.stdout.isatty():
        for row in rows:
            say("\t".join(row))
        return
    if not rows:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    # Identifiers and times are copied: they stay whole, and the other columns make room for them.
    heads = [
        Column(name, no_wrap=name in _WHOLE, overflow="ignore" if name in _WHOLE else "fold")
        for name in columns
    ]
    for head, cells in zip(heads, zip(*rows, strict=True), strict=True):
        if head.no_wrap:
            head.min_width = max(map(len, cells))
    shown = Table(*heads, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        shown.add_row(
            *(f"[{colour(cell)}]{escape(cell)}[/]" if colour(cell) else escape(cell) for cell in row)
        )
    Console().print(shown)


def colour(cell: str) -> str:
    """Green for what arrived, red for what failed."""
    if cell.endswith("_Delivered") or cell == "Order_Completed":
        return "green"
    if "_Failed" in cell or cell == "inactive":
        return "red"
    return "yellow" if cell.startswith(("Order_", "Email_", "SMS_")) else ""
