"""The command `varsel`: finds the command, runs it, and turns what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

from varsel import __version__
from varsel.cli.commands import COMMANDS, EXIT_CODES, GROUPS
from varsel.cli.terminal import complain
from varsel.runtime.errors import OperatorError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import App

INTRODUCTION = """Notifications for public bodies: order e-mail and SMS over the Altinn Notifications API.

`varsel demo` shows it at work; `varsel up --sandbox` starts a world to try it in."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

EPILOGUE = "Settings: varsel settings. --debug shows where a fault lies."


def build() -> App:
    """The tree of commands."""
    from cyclopts import App

    def made(name: str, sentence: str) -> App:
        return App(name=name, help=sentence, help_format="plaintext", version_flags=[])

    root = App(
        name="varsel", help=INTRODUCTION, version=__version__, help_format="plaintext", help_epilogue=EPILOGUE
    )
    groups = {"": root}
    for words, sentence in GROUPS.items():
        above, _, name = words.rpartition(" ")
        groups[words] = made(name, sentence)
        groups[above].command(groups[words])
    for command in COMMANDS:
        above, _, name = command.words.rpartition(" ")
        groups[above].command(
            command.where,
            name=name,
            help=command.sentence,
            help_format="plaintext",
            help_epilogue="Examples:\n" + "\n".join(f"  {example}" for example in command.examples),
        )
    return root


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with one of EXIT_CODES."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _mend_streams()
    debug = "--debug" in words
    try:
        code = run([word for word in words if word != "--debug"], debug=debug)
    except KeyboardInterrupt:
        code = 130  # while the commands were still being loaded
    if code not in EXIT_CODES:  # pragma: no cover - a child's own code, passed on
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if not isinstance(error, BrokenPipeError):
                code = code or 1
            # What could not be written (the reader of a pipe has gone) is still in the buffer, and the interpreter would try once more
            # and complain: it goes nowhere.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def run(words: list[str], *, debug: bool = False) -> int:
    """The exit code of one command."""
    from cyclopts import CycloptsError

    try:
        result = build()(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        complain(f"{_one_line(error)} See `{_command_of(words)} --help`.")
        return 2
    except OperatorError as error:
        complain(str(error))
        return error.exit_code
    except Unavailable as error:
        complain(str(error))
        return 3
    except ModuleNotFoundError as error:
        if (error.name or "varsel").partition(".")[0] == "varsel":
            raise
        complain(
            f"This command needs the whole platform ({error.name} is missing): pip install 'varsel[server]'."
        )
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except SystemExit as error:
        # So ends the console that draws tables and help when the reader of its pipe has gone.
        if error.code != 1:
            raise
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            complain(f"What was to be written found no room: {error.strerror}.")
            return 1
        # The text of an unexpected error may hold anything, addresses and tokens too: only its kind and place are shown.
        complain(
            f"Something went wrong inside Varsel ({type(error).__name__}); --debug shows where, a report is welcome."
        )
        if debug:
            from varsel.runtime.logs import describe

            complain(f"  {describe(error)}")
            for frame in traceback.extract_tb(error.__traceback__):
                complain(f"  {frame.filename}:{frame.lineno} {frame.name}")
        return 70
    return result if isinstance(result, int) else 0


def _mend_streams() -> None:
    """A stream that was closed before the start (`>&-`) is None, and what is opened next would get its number; and no letter that the
    terminal cannot show may end a command.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - a number, for good
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?", "!")) else text + "."


def _command_of(words: list[str]) -> str:
    """The known command that these words begin with, for the pointer to its help."""
    known = {command.words for command in COMMANDS} | set(GROUPS)
    found = ""
    for count in range(1, len(words) + 1):
        candidate = " ".join(words[:count])
        if candidate not in known:
            break
        found = candidate
    return f"varsel {found}".strip()


if __name__ == "__main__":
    main()
