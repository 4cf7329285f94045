"""The callers' pages are run: every console block against a sandbox, every Python block, and the tests shown in them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from varsel.cli.main import build, run
from varsel.runtime.settings import SETTINGS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "index.md",
    "tutorial/first-sms.md",
    "tutorial/forste-sms.md",
    "explanation/guarantees.md",
    "how-to/order-from-the-terminal.md",
    "how-to/order-from-python.md",
    "how-to/test-reminders.md",
    "how-to/test-without-a-server.md",
    "how-to/follow-the-feed.md",
    "how-to/rotate-a-key.md",
    "how-to/use-a-key-vault.md",
    "how-to/move-a-client.md",
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: What stands on the pages for the sandbox of the test.
ADDRESS = "http://127.0.0.1:5090"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page, varsel_sandbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("VARSEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VARSEL_DATA", str(varsel_sandbox.data))
    monkeypatch.setenv("VARSEL_SDK_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    reader = Reader(varsel_sandbox.url, tmp_path)
    blocks = BLOCK.findall((DOCS / page).read_text("utf-8"))
    assert blocks
    for language, text in blocks:
        if language == "console":
            reader.type(text)
        elif language == "python" and re.match(r"# test_\w+\.py\n", text):
            reader.test(text)
        elif language == "python":
            reader.program += text + "\n"
    printed = reader.finish()
    for promised in re.findall(r"It prints `(.*?)`", (DOCS / page).read_text("utf-8")):
        assert promised in printed


def command(words):
    """What a command prints. In this process: a reader's page types a dozen of them, and an interpreter takes its time to start."""
    printed, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaints):
        code = run(words)
    assert code == 0, complaints.getvalue() + printed.getvalue()
    return printed.getvalue()


class Reader:
    """Somebody who does what the page says. CLIENT_ID is what `integration create` told last."""

    def __init__(self, url, directory):
        self.url, self.directory = url, directory
        self.client_id = ""
        self.program = ""

    def type(self, text):
        for part in text.split("$ ")[1:]:
            line, _, expected = part.partition("\n")
            if line.startswith("varsel up"):
                continue
            if line.startswith("cat "):  # a file that the reader is shown, and has
                (self.directory / line.split()[1]).write_text(expected, "utf-8")
                continue
            if line.startswith("curl "):
                self.run(["bash", "-c", f"set -o pipefail; {self.here(line)}"])
                continue
            words = shlex.split(self.here(line))
            assert words[0] == "varsel"
            output = command(words[1:])
            made = re.match(r"Integration ([0-9a-f-]{36})", output)
            if made:
                self.client_id = made[1]
            pattern = re.escape(self.here(expected)).replace("…", ".*")
            assert re.fullmatch(pattern, output, re.DOTALL), f"{line}\nprinted\n{output}\nand not\n{expected}"

    def test(self, text):
        name = text.splitlines()[0].removeprefix("# ")
        (self.directory / name).write_text(text, "utf-8")
        # By itself: other plugins of this environment have wishes that a reader's project need not meet.
        plugins = ("-p", "no:cacheprovider", "-p", "varsel.pytest_plugin")
        alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        self.run([sys.executable, "-m", "pytest", "-q", *plugins, name], alone)

    def finish(self):
        """All programs of a page are one, as they are read one after the other."""
        if not self.program:
            return ""
        (self.directory / "program.py").write_text(self.here(self.program), "utf-8")
        return self.run([sys.executable, "program.py"])

    def here(self, text):
        return text.replace(ADDRESS, self.url).replace("CLIENT_ID", self.client_id)

    def run(self, command, surroundings=None):
        done = subprocess.run(
            command, cwd=self.directory, env=surroundings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def _pages_that_no_test_runs():
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parents[1].glob("*/test_*.py"))
    for path in sorted(DOCS.rglob("*.md")):
        name = str(path.relative_to(DOCS))
        code = re.search(r"^```(console|python|sh|bash)$", path.read_text("utf-8"), re.MULTILINE)
        if (
            code
            and f'"{name}"' not in tests
            and f"docs/{name}" not in tests
            and f'"{path.name}"' not in tests
        ):
            yield name


@pytest.mark.parametrize("page", list(_pages_that_no_test_runs()))
def test_code_that_is_not_run_is_right_all_the_same(page):
    """Commands for a machine of the reader's own: they are commands with these options, and settings that there are."""
    text = (DOCS / page).read_text("utf-8")
    assert "```python" not in text, "Python has no reason not to be run."
    known = {one.variable for one in SETTINGS}
    for name in re.findall(r"\b(VARSEL_(?!SDK_)[A-Z_]+)=", text):
        assert name in known or name.removesuffix("_FILE") in known, name
    for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        if re.search(r"(^| )varsel ", line) and not line.endswith("\\"):
            words = shlex.split(line)
            words = words[words.index("varsel") + 1 :]
            ends = [number for number, word in enumerate(words) if word in {"<", ">", "|"}]
            build().parse_args(words[: min(ends, default=None)], exit_on_error=False, print_error=False)
