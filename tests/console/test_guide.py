"""The guides of the portal name what the pages show, and their pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from varsel.console.texts import TEXTS

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
#: What the reader is told to choose, look for or fill in, as the portal's texts name it.
LABELS = (
    "login_button", "selfservice", "new_integration", "create", "make_key", "jwk_generate",
    "own_keys", "add", "jwk_register", "try_title", "inbox",
)  # fmt: skip


@pytest.mark.parametrize(("language", "page"), [("nb", "portalen.md"), ("en", "portal.md")])
def test_the_guide_names_what_the_pages_show(language: str, page: str) -> None:
    text = (TUTORIAL / page).read_text("utf-8")
    missing = [label for label in LABELS if f"**{TEXTS[language][label]}**" not in text]
    assert missing == [], [TEXTS[language][label] for label in missing]


@pytest.mark.parametrize(("language", "page"), [("nb", "portalen.md"), ("en", "portal.md")])
def test_every_picture_is_there_and_shown(language: str, page: str) -> None:
    shown = re.findall(r"!\[[^]]+\]\(portal/([\w-]+\.png)\)", (TUTORIAL / page).read_text("utf-8"))
    there = sorted(path.name for path in (TUTORIAL / "portal").glob(f"{language}-*.png"))
    assert sorted(shown) == there
    for name in there:
        path = TUTORIAL / "portal" / name
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 200_000
