"""`varsel completion`: what a shell needs to complete commands and options by the tabulator key."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from varsel.cli.terminal import say

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Annotated[Shell, Parameter(help="The shell it is for.")], /) -> None:
    from varsel.cli.main import build

    # Made from the same table of commands as the help, so it knows what this version knows.
    say(build().generate_completion(shell=shell).rstrip("\n"))
