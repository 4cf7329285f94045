"""The operators' pages do what they say: every command of them is run, the receiver receives, the copy is whole."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.test_doc_examples import commands
from tests.support.varsel import Server, directory, environment, wait_until
from tests.unit.channels.test_smtp import free_port
from varsel.runtime.metrics import METRICS
from varsel.runtime.settings import SETTINGS
from varsel.store.embedded import discard_cluster

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = (
    "receive-webhooks.md",
    "set-up-providers.md",
    "back-up-and-restore.md",
    "many-machines.md",
    "watch.md",
)
VARSEL = f'varsel() {{ {shlex.quote(sys.executable)} -m varsel.cli.main "$@"; }}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with (
        directory(tmp_path_factory.mktemp("operators")) as data,
        Server(data, "--sandbox") as running,
    ):
        yield running


def bash(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", VARSEL + script],
        capture_output=True, text=True, env=environment(), cwd=folder, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def here(text: str, server: Server) -> str:
    text = text.replace("http://127.0.0.1:5090", server.url).replace("/tmp/varsel", str(server.data))
    return text.replace("curl -s", "curl -sS --fail-with-body --max-time 20")


@pytest.mark.needs("curl")
@pytest.mark.parametrize("page", ["set-up-providers.md", "many-machines.md", "watch.md"])
def test_every_command_of_a_page_works(page: str, server: Server, tmp_path: Path) -> None:
    ran = [bash(here(text, server), tmp_path) for text, _ in commands((HOW_TO / page).read_text("utf-8"))]
    assert len(ran) >= 3


@pytest.mark.needs("curl")
def test_the_receiver_of_the_page_is_told(server: Server, tmp_path: Path) -> None:
    page = (HOW_TO / "receive-webhooks.md").read_text("utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "receiver.py").write_text(program)
    port = free_port()
    begin, secret, told = "", "", tmp_path / "told"
    receiver: subprocess.Popen[bytes] | None = None
    try:
        for command, _ in commands(page):
            text = here(command, server).replace("127.0.0.1:8090", f"127.0.0.1:{port}")
            if text.startswith("python receiver.py"):
                with told.open("wb") as output:
                    receiver = subprocess.Popen(
                        [sys.executable, "receiver.py", secret, str(port)],
                        cwd=tmp_path,
                        stdout=output,
                        stderr=output,
                    )
                continue
            if re.match(r"[A-Z]+=", text):
                begin += text + "\n"
            said = bash(begin + text, tmp_path)
            if found := re.search(r'"secret": "(whsec_[^"]+)"', said):
                secret = found[1]
            if "/attempts" in text:
                assert '"webhook.test"' in said
            if "/test " in text:
                wait_until(lambda: b" webhook.test" in told.read_bytes(), what="the test is told")
            if "/orders " in text:
                wait_until(
                    lambda: b" order.completed Order_Completed" in told.read_bytes(), what="the end is told"
                )
        assert told.read_text().splitlines()[-1].startswith("feed-")
    finally:
        if receiver is not None:
            receiver.kill()
            receiver.wait()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that the account of the database reaches, so that the cluster lies inside its data directory."""
    with tempfile.TemporaryDirectory(prefix="varsel-copy-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def test_a_copied_directory_is_a_whole_varsel(reachable: Path) -> None:
    page = (HOW_TO / "back-up-and-restore.md").read_text("utf-8")
    [copy, start, *others] = [text for text, _ in commands(page)]
    with directory(reachable) as data:
        with Server(data, "--sandbox") as server:
            imported = server.run(
                "contacts", "import", "-", stdin='{"person": "17849012320", "email": "kari@example.org"}'
            )
            assert imported.returncode == 0, imported.stderr
            for text in others:
                bash(here(text, server), reachable)
        bash(copy.replace("/tmp/varsel", str(data)), reachable)
        copied = Path(str(data) + "-copy")
        # The original may be lost now.
        discard_cluster(data)
        shutil.rmtree(data)
        assert start.endswith("--data /tmp/varsel-copy")
        try:
            with Server(copied, "--sandbox") as again:
                token = again.token("--org", "ttd")
                person = {
                    "nationalIdentityNumber": "17849012320",
                    "channelSchema": "Email",
                    "emailSettings": {"subject": "Hei", "body": "Hallo"},
                }
                body = {"idempotencyId": "copy", "recipient": {"recipientPerson": person}}
                with again.client(token) as http:
                    answer = http.post("/notifications/api/v1/future/orders", json=body)
                assert answer.status_code == 201, answer.text
        finally:
            discard_cluster(copied)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    text = (HOW_TO / page).read_text("utf-8")
    known = {each.variable for each in SETTINGS} | {f"{each.variable}_FILE" for each in SETTINGS}
    named = set(re.findall(r"\bVARSEL_[A-Z_]+[A-Z]\b", text))
    assert named <= known | {"VARSEL_SMS_"}, named - known
    exposed = {each.exposed for each in METRICS}
    assert set(re.findall(r"\bvarsel_[a-z_]+[a-z]\b", text)) <= exposed
    for target in re.findall(r"\]\(([^)#:]+\.md)", text):
        assert (HOW_TO / target).is_file(), target
