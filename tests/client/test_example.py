"""The example project does what it says, in a copy of its own, with the plugin that pytest finds by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

#: Plugins of this environment that a reader's project need not have.
STRANGERS = [f"-pno:{name}" for name in ("asyncio", "schemathesis", "xdist", "pytest_cov", "cacheprovider")]
EXAMPLE = Path(__file__).parents[2] / "examples/appointments"


def test_the_example_project_passes_its_tests(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    surroundings = {
        name: value for name, value in os.environ.items() if not name.startswith(("VARSEL_", "PYTEST_"))
    }
    done = subprocess.run(
        # Varsel's own plugin is found by its entry point.
        [sys.executable, "-m", "pytest", *STRANGERS],
        cwd=tmp_path / "project",
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b10 passed\b|^\.{10} ", done.stdout, re.MULTILINE), done.stdout


def test_the_example_is_typed_for_its_readers():
    """`make lint` holds it to mypy --strict, as any project of a caller could be."""
    settings = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert re.search(r'^files = \[.*"examples".*\]$', settings, re.MULTILINE)
