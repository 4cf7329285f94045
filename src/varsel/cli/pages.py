"""Pages of the documentation that are made from tables in the code: `python -m varsel.cli.pages docs/reference` (`make docs`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from varsel.cli.commands import COMMANDS, EXIT_CODES, GROUPS
from varsel.cli.settings_table import kind, spelled
from varsel.runtime.metrics import METRICS
from varsel.runtime.settings import SETTINGS
from varsel.sandbox.acs import FATES as ACS
from varsel.sandbox.callers import CONDITIONS, HOOKS
from varsel.sandbox.files import FATES as FILES
from varsel.sandbox.magic import MAGIC
from varsel.sandbox.registers import FATES as REGISTERS


def settings_page() -> str:
    """Every setting."""
    rows = "".join(
        f"| `{each.variable}` | {kind(each)} | {f'`{spelled(each)}`' if spelled(each) else ''} | {_cell(each.sentence)} |\n"
        for each in SETTINGS
    )
    return f"""# Settings

Every setting is an environment variable, a line of `.env` (same name) or of `varsel.toml` (lower case, without `VARSEL_`), both in
the working directory. Where several name one, the later of `varsel.toml`, `.env`, environment and command line wins. A secret may
also be given as a file: `VARSEL_…_FILE`, in `varsel.toml` `…_file`. `VARSEL_SETTINGS_FILE` names another file than `varsel.toml`. A name that is unknown or a
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
        + f"```\n\n{_options(each.words)}"
        for each in COMMANDS
    )
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    return f"""# Commands

`varsel COMMAND --help` tells the same as this page. Results go to standard output, progress and refusals to standard error: a
refusal is one sentence. `--debug` with any command shows where a fault inside Varsel lies, without values.

| group | |
|---|---|
{groups}
{commands}## Exit codes

| code | meaning |
|---|---|
{codes}"""


def _options(words: str) -> str:
    """What a command takes, read from its own parser; what must be given is marked."""
    from varsel.cli.main import build

    app = build()
    for word in words.split():
        app = app[word]
    rows = ""
    for one in app.assemble_argument_collection():
        if not one.show:
            continue
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(one.names))
        choices = ", ".join(f"`{choice}`" for choice in one.get_choices(force=True) or ())
        default = one.field_info.default
        told = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
        ends = f" Default: `{default}`." if told else " Must be given." if one.required else ""
        rows += f"| {names} | {_cell(one.parameter.help or '')}{f' One of {choices}.' if choices else ''}{ends} |\n"
    return f"| takes | |\n|---|---|\n{rows}\n" if rows else ""


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
{rows}
## Azure Communication Services

With `VARSEL_ACS_PORT` e-mail goes through a simulator of its REST interface. A number in an address (`kari+429@example.org`) is the
status of the submission, `kari+poll-500@example.org` that of the first question for its outcome.

| address | submission | outcome | report |
|---|---|---|---|
{_acs_rows()}
## Files of composed e-mail

`GET /sandbox/api/files/NAME` tells the address of a file on the sandbox's blob host. Any name gives a small file of its kind; one that
begins with a word of these fails.

| name begins with | |
|---|---|
{_fate_rows(FILES)}
## Condition endpoints and webhook receivers

What callers run themselves stands on the blob host's port (`VARSEL_FILE_HOST_PORT`, else a free one): `GET /conditions/WORD` answers a send
condition, `POST /hooks/WORD` takes webhooks, any other word than these takes them all, and `GET /hooks` shows what came, with headers.

| condition | |
|---|---|
{_fate_rows(CONDITIONS)}
| hook | |
|---|---|
{_fate_rows(HOOKS)}
## Registers

With `VARSEL_REGISTER_PORT` Profile, Register and the authorization decision point are asked over HTTP; simulators answer from what
`varsel contacts import` has read. The end of a national or organization number, or of a resource, makes the answer fail.

| number ends in | resource ends in | |
|---|---|---|
{_register_rows()}"""


def _fate_rows(fates: Mapping[str, tuple[object, str]]) -> str:
    return "".join(f"| `{word}` | {_cell(sentence)} |\n" for word, (_, sentence) in fates.items())


def _register_rows() -> str:
    return "".join(
        f"| `{digits}` | `sandbox-{word}` | {_cell(sentence)} |\n"
        for digits, (word, _, sentence) in REGISTERS.items()
    )


def _acs_rows() -> str:
    rows = ""
    for tag, fate in ACS.items():
        submission = "taken" if fate.status == 202 else f"{fate.status} `{fate.code}`"
        if fate.refusals is not None:
            submission += " at the first try"
        if fate.wait:
            submission += f" after {fate.wait:.0f} s"
        if fate.drop:
            submission = ("taken" if fate.keeps else "not taken") + ", no answer"
        outcome = "" if fate.status != 202 else f"`{fate.end}`" + (f" `{fate.code}`" if fate.code else "")
        if fate.running > 1000:
            outcome = "never"
        when = (
            " before the answer"
            if fate.report_first
            else f" after {fate.report_after:.0f} s"
            if fate.report_after
            else ""
        )
        report = f"`{fate.report}`{when}" if fate.report and fate.status == 202 else ""
        rows += f"| `kari+{tag}@example.org` | {submission} | {outcome} | {report} |\n"
    return rows


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
