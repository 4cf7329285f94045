"""The groups of `make bench` are there, and a wrong name is refused before anything is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bench.__main__ import GROUPS, group
from bench.rows import at_least, at_most

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_can_be_called(name: str) -> None:
    assert callable(group(name))


def test_a_wrong_name_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "drian"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "drian" in done.stderr
    assert "drain" in done.stderr


def test_limits_are_judged() -> None:
    assert at_least("rate", 2000, "/s", 2000).met
    assert not at_least("rate", 1999, "/s", 2000).met
    assert at_most("time", 5, "s", 5).met
    assert not at_most("time", 5.1, "s", 5).met
