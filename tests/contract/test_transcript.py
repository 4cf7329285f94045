"""docs/reference/transcript.md is played: every endpoint with curl, against one running sandbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract.transcript import GROUPS, PAGE, SETTINGS, SHOWN_URL, Play, page
from tests.support.varsel import Server, directory
from varsel.cli.description import ENDPOINTS

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "transcript.md"
STEPS = [step for steps in GROUPS.values() for step in steps]


def test_every_endpoint_is_called():
    assert {step.operation for step in STEPS} - {PAGE} == {row.operation for row in ENDPOINTS}


def test_each_call_is_what_it_says():
    """The operation of a step is that of its method and path."""
    rows = {row.operation: row for row in ENDPOINTS}
    for step in STEPS:
        if step.operation != PAGE:
            row = rows[step.operation]
            path = step.url.removeprefix(SHOWN_URL).partition("?")[0]
            assert re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(row.path)), path), step
            assert step.method == row.method


def blocks(text: str) -> list[str]:
    """Prose and consoles, in turn."""
    return re.split(r"```console\n(.*?)\n```", text, flags=re.DOTALL)


def shape(value: Any) -> Any:
    """What a JSON value is made of."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [json.loads(one) for one in sorted({json.dumps(shape(one)) for one in value})]
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def compared(answer: str) -> Any:
    """What of an answer must be the same in every play."""
    head, _, body = answer.partition("\n\n")
    status, *headers = head.split("\n")
    kept = [one if one.startswith("content-") else one.partition(":")[0] for one in headers]
    try:
        return status, kept, shape(json.loads(body))
    except ValueError:
        return status, kept, body


def differences(committed: str, played: str) -> list[str]:
    found = []
    old, new = blocks(committed), blocks(played)
    if len(old) != len(new):
        return ["the page has other calls: run make transcript"]
    for number, (was, now) in enumerate(zip(old, new, strict=True)):
        if number % 2 == 0:
            same = was == now
        else:
            (was_asked, _, was_said), (now_asked, _, now_said) = (
                one.partition("\nHTTP/1.1 ") for one in (was, now)
            )
            same = was_asked == now_asked and compared(was_said) == compared(now_said)
        if not same:
            found.append(f"{was}\n--- now ---\n{now}")
    return found


@pytest.mark.needs("curl")
def test_the_page_is_what_a_sandbox_answers(tmp_path: Path) -> None:
    with directory(tmp_path) as data, Server(data, "--sandbox", **SETTINGS) as server:
        played = page(Play(server, tmp_path).answers())
    assert not differences(COMMITTED.read_text("utf-8"), played)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("HTTP/1.1 201 Created", "HTTP/1.1 200 OK"),
        ('"type": "Notification"', '"kind": "Notification"'),
        ('"sequenceNumber": 1', '"sequenceNumber": "1"'),
        ("content-type: application/octet-stream", "content-type: text/plain"),
        ("location: ", "x-location: "),
        ("Healthy", "Unwell"),
        ('-H "Prefer: dry-run"', '-H "Prefer: wait=1"'),
        ("## Support", "## Help"),
    ],
)  # fmt: skip
def test_what_differs_is_seen(was: str, now: str) -> None:
    text = COMMITTED.read_text("utf-8")
    assert was in text
    assert differences(text, text.replace(was, now, 1))
    assert not differences(text, text)
