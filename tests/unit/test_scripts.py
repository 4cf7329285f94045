"""The Makefile and the scripts that stand before any environment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import environment


def script(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ROOT / "scripts/python")],
        capture_output=True, text=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables}, check=False,
    )  # fmt: skip


def test_a_named_interpreter_is_taken_when_it_suits():
    done = script(PYTHON=sys.executable)
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)


@pytest.mark.parametrize("named", ["/bin/false", "/nonexistent/python"])
def test_an_interpreter_that_does_not_suit_is_one_sentence(named):
    done = script(PYTHON=named)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr


def test_a_machine_without_python_is_told_what_to_install():
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "scripts/python")],
        capture_output=True,
        text=True,
        env={"PATH": "/nonexistent"},
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get install" in done.stderr


def test_an_interpreter_that_cannot_make_environments_is_told_apart(tmp_path):
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    done = script(PYTHON=str(fake))
    assert done.returncode == 1
    assert "venv" in done.stderr


def test_an_environment_is_current_only_for_what_it_holds(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert not environment.is_current(tmp_path, "server")
    (tmp_path / "varsel-dev.stamp").write_text(environment.key("dev"))
    assert environment.is_current(tmp_path, "server")
    assert environment.is_current(tmp_path, "dev")
    (tmp_path / "varsel-dev.stamp").write_text("of other packages")
    assert not environment.is_current(tmp_path, "dev")


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    (tmp_path / "diary").touch()
    with pytest.raises(SystemExit, match="no virtual environment"):
        environment.make(tmp_path)
    assert (tmp_path / "diary").exists()


def test_help_lists_every_target_that_people_call():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    shown = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    for target in set(phony.group(1).split()) - {"server", "dev"}:
        assert f"make {target}" in shown


def test_no_file_of_requirements_names_an_index():
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text("utf-8")
        assert "://" not in text
        assert "--index" not in text
        pinned = [line for line in text.splitlines() if "==" in line]
        assert text.count("--hash=sha256:") >= len(pinned) > 10
