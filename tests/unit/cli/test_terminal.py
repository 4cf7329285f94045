"""Progress and spelling."""

from __future__ import annotations

import pytest

from tests.support.polling import until
from varsel.cli import terminal


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (86_400, "1 day"),
        (604_800, "7 days"),
        (129_660, "1 day 12 hours 1 minute"),
    ],
)
def test_durations_in_words(seconds, words):
    assert terminal.spell(seconds) == words


async def test_only_what_takes_long_is_shown(monkeypatch, capsys):
    with terminal.progress() as shown:
        shown("Quick")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "PATIENCE", 0.0)
    with terminal.progress() as shown:
        shown("Slow")
        seen: list[str] = []
        await until(lambda: seen.append(capsys.readouterr().err) or "Slow …" in "".join(seen))
