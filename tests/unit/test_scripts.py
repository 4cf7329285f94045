"""The Makefile and the scripts that stand before any environment."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def test_extras_asked_for_by_a_requirement_are_pinned_with_it():
    """pip takes `name==1` for no pin of `name[extra]`, and refuses to install once a later release is out."""
    pinned = {
        (canonicalize_name(found["name"]), frozenset((found["extras"] or "").split(",")))
        for found in re.finditer(
            r"^(?P<name>[\w.-]+)(?:\[(?P<extras>[\w,-]+)\])?==",
            (ROOT / "requirements/dev.txt").read_text("utf-8"),
            re.MULTILINE,
        )
    }
    asked = {
        (canonicalize_name(asked.name), extra)
        for installed in distributions()
        if canonicalize_name(installed.name) in {name for name, _ in pinned}
        for asked in map(Requirement, installed.requires or ())
        if asked.marker is None or asked.marker.evaluate({"extra": ""})
        for extra in asked.extras
    }
    assert asked
    for name, extra in asked:
        assert any(name == known and extra in extras for known, extras in pinned), f"{name}[{extra}]"
