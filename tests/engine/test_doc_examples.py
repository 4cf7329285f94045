"""The commands of README, tutorial and how-to pages are run as they stand, against a sandbox of the test's own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.varsel import Server, directory, environment

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/tutorial/first-order.md", "docs/how-to/sandbox.md")
#: Start what the test has started already, or stand for a place on the reader's machine.
LEFT_OUT = ("make ", "alias ", "varsel up", "cat ")
SHIPMENT = re.compile(r'"shipmentId": "([0-9a-f-]{36})"')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with directory(tmp_path) as data, Server(data, "--sandbox") as running:
        yield running


def whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\")


def commands(text: str) -> list[tuple[str, str]]:
    """(command, what the page shows as its output) of every console block."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        lines = block.splitlines()
        while lines:
            line = lines.pop(0)
            if not line.startswith("$ "):
                command, output = found[-1]
                found[-1] = (command, output + line + "\n")
                continue
            command = line.removeprefix("$ ")
            while not whole(command):
                command += "\n" + lines.pop(0)
            found.append((command, ""))
    return found


@pytest.mark.needs("curl")
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_work(page, server, tmp_path):
    shipment = ""
    ran = 0
    begin = f'varsel() {{ {shlex.quote(sys.executable)} -m varsel.cli.main "$@"; }}\n'
    for command, output in commands((ROOT / page).read_text("utf-8")):
        if command.startswith("cat "):
            (tmp_path / command.split()[1]).write_text(output)
        if command.startswith(LEFT_OUT):
            continue
        text = command.replace("http://127.0.0.1:5090", server.url).replace("/tmp/varsel", str(server.data))
        text = text.replace("curl -s", "curl -sS --fail-with-body --max-time 20")
        text = text.replace("sandbox clock reset", "sandbox clock reset --yes")
        if "future/shipment/" in text:
            text = re.sub(r"SHIPMENT\b|(?<=future/shipment/)[0-9a-f]{8}-[0-9a-f-]{27}", shipment, text)
        if text.startswith("TOKEN="):
            begin += text + "\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", begin + text],
            capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        if made := SHIPMENT.search(done.stdout):
            shipment = shipment or made.group(1)
        shown = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", output)
        if shown.startswith("{"):
            assert re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", done.stdout).strip() == shown.strip()
        ran += 1
    assert ran > 3


def test_the_python_of_the_front_page_is_right() -> None:
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    building, sending = block.split("with ")
    names: dict[str, object] = {}
    exec(building, names)
    compile("with " + sending, "README.md", "exec")
    assert all(name in names for name in ("Notifications", "Maskinporten", "order"))
