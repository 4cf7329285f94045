"""The pages become a site without a warning and without a network, every page within reach; the generated ones are those of the code."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    # As `make site`: a broken link or anchor, or a page outside the navigation, is an error.
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", DOCS, out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_on_the_site(site):
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    made = {path.relative_to(site) for path in site.rglob("*.html")}
    assert pages <= made
    start = (site / "index.html").read_text("utf-8")
    for page in pages - {Path("index.html")}:
        assert f'href="{page.as_posix()}"' in start, page


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        for address in re.findall(
            r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]+)"', page.read_text("utf-8")
        ):
            assert not urlsplit(address).netloc, (page, address)


def test_stable_anchors_keep_their_names(site):
    """Code, tests and letters cite them."""
    page = (site / "reference/notifications-api.html").read_text("utf-8")
    for anchor in ("api-2.10", "api-1.7.1"):
        assert f'id="{anchor}"' in page
    index = (site / "reference/index.html").read_text("utf-8")
    assert 'href="notifications-api.html#api-2.16"' in unquote(index)


def test_the_reference_of_the_client_is_that_of_its_code():
    script = runpy.run_path(str(ROOT / "scripts/sdk_reference.py"))
    assert script["left_out"]() == set()
    assert (DOCS / "reference/sdk.md").read_text("utf-8") == script["page"](), "run make docs"


def test_diagrams_are_drawn(site):
    """One that has changed since shows as its text until `scripts/draw.py` draws it anew; a drawing of nothing goes."""
    script = runpy.run_path(str(ROOT / "scripts/draw.py"))
    drawn = {path.stem for path in (DOCS / "_static/drawn").glob("*.svg")}
    assert drawn & set(script["texts"]())
    page = (site / "reference/delivery.html").read_text("utf-8")
    assert re.search(r'<img[^>]+src="[^"]*/[0-9a-f]{16}\.svg"', page)
