"""Data directories: where they are by default, and the fence between sandbox and production."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from varsel.cli import place
from varsel.cli.place import PlaceError, Running
from varsel.runtime.settings import Settings


def test_the_default_directory_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert place.data_directory(Settings()) == tmp_path / "varsel"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert place.data_directory(Settings()) == tmp_path / "home/.local/share/varsel"


def test_the_default_directory_of_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert place.data_directory(Settings()) == Path("/var/lib/varsel")


def test_a_named_directory_wins(tmp_path):
    assert place.data_directory(Settings(data=str(tmp_path / "x"))) == tmp_path / "x"


@pytest.mark.parametrize("first", [True, False])
def test_a_directory_stays_what_it_was_first(tmp_path, first):
    assert place.claim(tmp_path, sandbox=first).sandbox is first
    assert place.claim(tmp_path, sandbox=first).sandbox is first
    with pytest.raises(PlaceError, match="choose another --data"):
        place.claim(tmp_path, sandbox=not first)


def test_a_database_that_nobody_marked_never_becomes_a_sandbox(tmp_path):
    (tmp_path / "postgres").mkdir()
    with pytest.raises(PlaceError, match="production"):
        place.claim(tmp_path, sandbox=True)
    assert place.claim(tmp_path, sandbox=False).sandbox is False


def test_a_directory_of_a_newer_varsel_is_refused(tmp_path):
    marker = {"mode": "sandbox", "format": place.FORMAT + 1, "made_by": "9.1.0"}
    (tmp_path / place.MARKER).write_text(json.dumps(marker))
    with pytest.raises(PlaceError, match="newer Varsel"):
        place.claim(tmp_path, sandbox=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_marker_is_refused_and_kept(tmp_path, content):
    (tmp_path / place.MARKER).write_text(content)
    with pytest.raises(PlaceError, match="damaged"):
        place.claim(tmp_path, sandbox=True)
    assert (tmp_path / place.MARKER).read_text() == content


def test_a_running_varsel_is_found_and_a_dead_one_is_not(tmp_path):
    here = place.claim(tmp_path, sandbox=True)
    with pytest.raises(PlaceError, match="No Varsel runs"):
        place.running(here)
    told = Running(os.getpid(), "http://127.0.0.1:1", 1, sandbox=True, smtp_port=2)
    here.announce(told)
    assert place.running(here) == told
    assert (tmp_path / place.RUNNING).stat().st_mode & 0o077 == 0
    here.announce(Running(_dead_pid(), "http://127.0.0.1:1", 1, sandbox=True))
    with pytest.raises(PlaceError, match="No Varsel runs"):
        place.running(here)
    here.withdraw()
    here.withdraw()


def test_commands_of_the_sandbox_refuse_production(tmp_path):
    place.claim(tmp_path, sandbox=False)
    with pytest.raises(PlaceError, match="not a sandbox"):
        place.require_sandbox(place.existing(Settings(data=str(tmp_path))))


def _dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
