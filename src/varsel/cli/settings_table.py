"""`varsel settings`: the settings table, for people and for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from varsel.cli.terminal import say
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import SETTINGS, Setting

HEAD = """# Settings

Every setting is an environment variable, a line of `.env` (same name) or of `varsel.toml` (lower case, without the prefix);
later ones win in the order `varsel.toml`, `.env`, environment, command line. A secret may also be given as a file:
`VARSEL_…_FILE`. Another file than `varsel.toml` is named by `VARSEL_SETTINGS_FILE`. A name that is unknown or a value that does
not parse refuses to start. `varsel settings` prints this table.

| setting | type | default | |
|---|---|---|---|
"""


def settings(
    *,
    markdown: Annotated[bool, Parameter(negative="", help="As the page of the documentation.")] = False,
    output: Annotated[Path | None, Parameter(help="File to write instead of standard output.")] = None,
) -> None:
    text = HEAD + "".join(_row(setting) + "\n" for setting in SETTINGS) if markdown else _plain()
    if output is None:
        say(text.rstrip("\n"))
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise OperatorError(f"{output} cannot be written ({error.strerror}).") from None


def _kind(setting: Setting) -> str:
    return " or ".join(setting.choices) if setting.choices else setting.kind


def _default(setting: Setting) -> str:
    if isinstance(setting.default, bool):
        return "true" if setting.default else "false"
    return str(setting.default)


def _row(setting: Setting) -> str:
    default = f"`{_default(setting)}`" if _default(setting) else ""
    return f"| `{setting.variable}` | {_kind(setting)} | {default} | {setting.sentence} |"


def _plain() -> str:
    lines = []
    for setting in SETTINGS:
        default = f", default {_default(setting)}" if _default(setting) else ""
        lines.append(f"{setting.variable} ({_kind(setting)}{default})\n    {setting.sentence}\n")
    return "".join(lines)
