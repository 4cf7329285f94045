"""Completion tried in the shells themselves: what stands on the line after the tabulator key. Skipped where a shell is not installed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from varsel.cli.main import run

LINES = [
    ("varsel ord", "varsel order"),
    ("varsel order em", "varsel order email"),
    ("varsel order email kari@example.org --sub", "varsel order email kari@example.org --subject"),
    ("varsel order person 1 --by bo", "varsel order person 1 --by both"),
    ("varsel integration keys rot", "varsel integration keys rotate"),
    ("varsel completion f", "varsel completion fish"),
]


@pytest.fixture
def script(capsys, tmp_path):
    def of(shell, file):
        assert run(["completion", shell]) == 0
        (tmp_path / file).write_text(capsys.readouterr().out, "utf-8")
        return tmp_path / file

    return of


class Zsh:
    """An interactive zsh at a terminal of its own, with a key that completes and shows the line."""

    KEY = "\x14"

    def __init__(self, program, folder, setup):
        self._terminal, inner = pty.openpty()
        self._process = subprocess.Popen(
            [program, "-f", "-i"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, "TERM": "dumb", "ZDOTDIR": str(folder)},
        )
        os.close(inner)
        self._type(
            f"unsetopt zle_bracketed_paste; autoload -Uz compinit; {setup}; "
            'shown() { zle complete-word; print -r -- "<<$BUFFER>>"; zle kill-whole-line }; zle -N shown; '
            f"bindkey '^T' shown; print -r -- RE''ADY\n"
        )
        self._read_until("READY")

    def completed(self, line):
        self._type(line + self.KEY)
        return self._read_until(">>").rpartition("<<")[2].partition(">>")[0].strip()

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _type(self, text):
        os.write(self._terminal, text.encode())

    def _read_until(self, end):
        seen = ""
        deadline = time.monotonic() + 60
        while end not in seen:
            ready, _, _ = select.select([self._terminal], [], [], deadline - time.monotonic())
            assert ready, seen
            seen += os.read(self._terminal, 65536).decode("utf-8", "replace")
        return seen


@pytest.mark.parametrize(
    "setup",
    ["fpath=($PWD $fpath); compinit -u -D", "compinit -u -D; source ./_varsel"],
    ids=["in fpath", "sourced"],
)
def test_zsh_completes(script, tmp_path, setup):
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("zsh is not installed")
    script("zsh", "_varsel")
    zsh = Zsh(program, tmp_path, setup)
    try:
        for line, expected in LINES:
            assert zsh.completed(line) == expected
    finally:
        zsh.close()


def test_fish_completes(script, tmp_path):
    program = shutil.which("fish")
    if program is None:
        pytest.skip("fish is not installed")
    file = script("fish", "varsel.fish")
    asked = "; ".join([f"source {file}", *(f"complete -C {line!r}; echo ." for line, _ in LINES)])
    done = subprocess.run(
        [program, "--no-config", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    offers = [offer.split("\n") for offer in done.stdout.split("\n.\n")]
    for (_, expected), offered in zip(LINES, offers, strict=False):
        assert expected.split()[-1] in [one.split("\t")[0] for one in offered], done.stdout
