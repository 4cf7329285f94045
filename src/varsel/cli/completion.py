"""`varsel completion`: what a shell needs to complete commands and options by the tabulator key."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from cyclopts import Parameter

from varsel.cli.terminal import say

Shell = Literal["bash", "zsh", "fish"]

#: The generator defines zsh's function and never calls it. A file on $fpath is the body of `_varsel` and must complete at once; where
#: the script is sourced there is nothing to complete yet, and the function is registered.
ZSH_END: Final = """
if [[ ${funcstack[1]} == _varsel ]]; then
  _cyclopts_varsel "$@"
else
  compdef _cyclopts_varsel varsel
fi"""


def completion(shell: Annotated[Shell, Parameter(help="The shell it is for.")], /) -> None:
    from varsel.cli.main import build

    # Made from the same table of commands as the help, so it knows what this version knows.
    script = build().generate_completion(shell=shell).rstrip("\n")
    say(script + ZSH_END if shell == "zsh" else script)
