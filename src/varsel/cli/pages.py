"""Pages of the documentation that are made from tables in the code: `python -m varsel.cli.pages docs/reference` (`make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

from varsel.cli.commands import COMMANDS, EXIT_CODES, GROUPS
from varsel.cli.settings_table import kind, spelled
from varsel.runtime.metrics import METRICS
from varsel.runtime.settings import SETTINGS
from varsel.sandbox.magic import MAGIC


def settings_page() -> str:
    """Every setting."""
    rows = "".join(
        f"| `{each.variable}` | {kind(each)} | {f'`{spelled(each)}`' if spelled(each) else ''} | {_cell(each.sentence)} |\n"
        for each in SETTINGS
    )
    return f"""# Settings

Every setting is an environment variable, a line of `.env` (same name) or of `varsel.toml` (lower case, without `VARSEL_`), both in
the working directory. Where several name one, the later of `varsel.toml`, `.env`, environment and command line wins. A secret may
also be given as a file: `VARSEL_…_FILE`. `VARSEL_SETTINGS_FILE` names another file than `varsel.toml`. A name that is unknown or a
value that does not parse refuses to start. `varsel settings` prints this table.

| setting | type | default | |
|---|---|---|---|
{rows}"""


def commands_page() -> str:
    """Every command, with examples, and the exit codes."""
    groups = "".join(f"| `varsel {words}` | {sentence} |\n" for words, sentence in GROUPS.items())
    commands = "".join(
        f"## varsel {each.words}\n\n{each.sentence}\n\n```console\n"
        + "".join(f"$ {example}\n" for example in each.examples)
        + "```\n\n"
        for each in COMMANDS
    )
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    return f"""# Commands

`varsel COMMAND --help` tells the options of a command. Results go to standard output, progress and refusals to standard error: a
refusal is one sentence. `--debug` with any command shows where a fault inside Varsel lies, without values.

| group | |
|---|---|
{groups}
{commands}## Exit codes

| code | meaning |
|---|---|
{codes}"""


def metrics_page() -> str:
    """Every metric."""
    rows = "".join(
        f"| `{each.exposed}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {_cell(each.help)} |\n"
        for each in METRICS
    )
    return f"""# Metrics

`GET /metrics` in the Prometheus text format. `varsel up` shows the figures of all its processes on one page, apart by the label
`process`; a role alone shows its own.

| metric | kind | labels | |
|---|---|---|---|
{rows}"""


def magic_page() -> str:
    """Every address and number that fails on purpose."""
    rows = "".join(
        f"| {f'`kari+{each.tag}@example.org`' if each.tag and each.mail_says else ''} | {_cell(each.mail_says)} "
        f"| {f'`+4740{each.digits.rjust(6, chr(48))}`' if each.digits else ''} | {_cell(each.sms_says)} |\n"
        for each in MAGIC
    )
    return f"""# Magic addresses of the sandbox

Everything else arrives. In an address the part after the last `+` counts, or the whole local part; in a number the last four digits
of any Norwegian mobile number. A code as `kari+451@example.org` or `kari+550@example.org` is the mail server's reply to the
recipient, `kari+data-451@example.org` its reply to the content.

| address | | number | |
|---|---|---|---|
{rows}"""


PAGES = {
    "settings.md": settings_page,
    "cli.md": commands_page,
    "metrics.md": metrics_page,
    "magic.md": magic_page,
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(folder: str) -> None:
    for name, make in PAGES.items():
        (Path(folder) / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
