"""The storms and the kills once more as an ordinary account, where the suite itself runs as root.

As root the database belongs to another account than the workers; as a user everything is one account's.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ACCOUNT = "nobody"


@pytest.mark.long
def test_the_same_holds_as_an_ordinary_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("the suite runs as an ordinary user already")
    with tempfile.TemporaryDirectory(prefix="varsel-as-user-") as folder:
        Path(folder).chmod(0o777)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VARSEL_")}
        environment |= {"HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *words],
                capture_output=True,
                text=True,
                cwd=ROOT,
                env=environment,
                user=ACCOUNT,
                group=pwd.getpwnam(ACCOUNT).pw_gid,
                extra_groups=[],
                timeout=900,
                check=False,
            )

        try:
            readable = run("-c", "import varsel, pytest, tests.chaos").returncode == 0
        except PermissionError:
            readable = False
        if not readable:
            pytest.skip(f"this checkout or its interpreter is out of reach for {ACCOUNT}")
        done = run(
            "-m", "pytest", "-m", "not long", "-p", "no:randomly", "-s", "tests/chaos/test_kills.py", "tests/chaos/test_storm.py"
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "2 passed" in done.stdout
