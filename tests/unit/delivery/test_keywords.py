"""Keywords (docs/reference/delivery.md 4)."""

from __future__ import annotations

import pytest

from varsel.delivery import keywords
from varsel.delivery.keywords import fill, fill_html, fill_subject, has_keywords


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hei $recipientName$!", "Hei Kari!"),
        ("$recipientNumber$", "313997901"),
        ("$recipientName$ $recipientName$", "Kari Kari"),
        ("$RecipientName$", None),
        ("$recipientname$", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_filling(text: str, filled: str | None) -> None:
    assert fill(text, "Kari", "313997901") == filled
    assert has_keywords(text) == (filled is not None)


def test_what_becomes_empty_is_empty_and_not_the_template() -> None:
    assert fill("$recipientNumber$", "", "") == ""


def test_values_are_not_filled_again() -> None:
    assert fill("$recipientName$", "$recipientNumber$", "1") == "$recipientNumber$"


def test_html_gets_text_and_never_markup() -> None:
    filled = fill_html("<p>$recipientName$</p>", "<script>\"'&", "")
    assert filled == "<p>&lt;script&gt;&quot;&#x27;&amp;</p>"


def test_a_subject_stays_one_line() -> None:
    assert fill_subject("Til $recipientName$", "A\r\nBcc: b", "") == "Til A Bcc: b"


@pytest.mark.parametrize("shift", range(20))
def test_long_texts_are_filled_slice_by_slice(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No slice cuts a placeholder, also where one would begin with the last character of another."""
    text = (
        "x" * shift + "$recipientName$$recipientNumber$recipientName$ og $recipientName$recipientNumber$ " * 9
    )
    whole = keywords.fill(text, "Kari", "312345609")
    monkeypatch.setattr(keywords, "SLICE", 20)
    assert keywords.fill(text, "Kari", "312345609") == whole
    assert max(keywords._cuts("x" * 50)) >= 50
