"""The command line as a person meets it: help, refusals, exit codes, and pages that name everything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from varsel.cli import main as main_module
from varsel.cli import pages
from varsel.cli.commands import COMMANDS, EXIT_CODES, GROUPS
from varsel.cli.main import run
from varsel.runtime.settings import SETTINGS

ROOT = Path(__file__).parents[3]


def flat(text: str) -> str:
    """Text without the frames and line breaks of a terminal."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_command_has_help_with_its_sentence_and_examples(command, capsys):
    assert run([*command.words.split(), "--help"]) == 0

    shown = flat(capsys.readouterr().out)
    assert command.sentence in shown
    assert command.examples
    for example in command.examples:
        assert f"varsel {command.words}" in example
        assert flat(example) in shown


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_option_says_what_it_does(command):
    from cyclopts import App

    from varsel.cli.main import build

    app: App = build()
    for word in command.words.split():
        app = app[word]
    arguments = app.assemble_argument_collection()
    assert all(argument.parameter.help for argument in arguments), [
        argument.name for argument in arguments if not argument.parameter.help
    ]


def test_groups_have_help(capsys):
    for words, sentence in GROUPS.items():
        assert run([*words.split(), "--help"]) == 0
        assert sentence in flat(capsys.readouterr().out)


def test_help_loads_nothing_of_the_platform():
    probe = (
        "import sys; from varsel.cli.main import run; code = run(['--help']);"
        "heavy = {'asyncpg', 'aiohttp', 'uvloop', 'starlette', 'cryptography', 'phonenumbers', 'pyarrow'} & set(sys.modules);"
        "sys.exit(code or (f'loaded: {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_alone_is_printed(capsys):
    from varsel import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["nonsense"], "nonsense"),
        (["up", "--prt", "1"], "--prt"),
        (["up", "--port", "many"], "--port"),
        (["sandbox", "clock", "advance"], "by"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(words, names, capsys):
    assert run(words) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert names.lower() in captured.err.lower()
    assert "--help" in captured.err


def test_an_unknown_setting_refuses_to_start(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("VARSEL_POTR", "1")
    assert run(["up", "--data", str(tmp_path / "d")]) == 2
    assert "VARSEL_POTR" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_a_malformed_setting_never_shows_a_secret(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("VARSEL_EMAIL_URL_FILE", str(tmp_path / "hunter2-missing"))
    assert run(["up", "--data", str(tmp_path / "d")]) == 2
    captured = capsys.readouterr().err
    assert "VARSEL_EMAIL_URL_FILE" in captured
    assert "hunter2" not in captured


def test_an_unexpected_fault_shows_no_value(monkeypatch, capsys):
    import varsel.cli.settings_table as module

    def broken() -> None:
        raise RuntimeError("kari@example.org")

    monkeypatch.setattr(module, "settings", broken)
    assert run(["settings"]) == 70
    assert "kari" not in capsys.readouterr().err
    assert run(["settings"], debug=True) == 70
    shown = capsys.readouterr().err
    assert "kari@" not in shown
    assert "test_commands.py" in shown


def test_an_interrupt_while_the_commands_load_is_quiet(monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "run", interrupted)
    with pytest.raises(SystemExit) as caught:
        main_module.main(["settings"])
    assert caught.value.code == 130
    assert capsys.readouterr().err == ""


def test_settings_lists_every_setting(capsys):
    assert run(["settings"]) == 0
    shown = capsys.readouterr().out
    for setting in SETTINGS:
        assert setting.variable in shown
        assert setting.sentence in shown


@pytest.mark.parametrize("name", pages.PAGES)
def test_the_reference_names_everything(name):
    written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert written == pages.PAGES[name](), "run `make docs`"


def test_every_refusal_has_a_documented_exit_code():
    from varsel.runtime.errors import OperatorError

    def below(kind: type[OperatorError]) -> set[type[OperatorError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    assert {kind.exit_code for kind in below(OperatorError)} <= set(EXIT_CODES)
