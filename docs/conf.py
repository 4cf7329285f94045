"""How the pages become a site: `make site`. Sphinx reads this file; nothing here reaches the network.

The pages are plain Markdown that also reads well where there is no site. What they cannot say themselves is added here: their stable
anchors (`<a id="api-2.10">`) become targets of links, and console blocks are coloured by a lexer that knows commands over several lines.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments.lexer import RegexLexer
from pygments.lexers.special import TextLexer
from pygments.token import Generic, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

VERSION = re.compile(r'__version__ = "([^"]+)"')

project = "Varsel"
author = "The Varsel maintainers"
version = release = VERSION.findall(
    (Path(__file__).parents[1] / "src/varsel/__init__.py").read_text("utf-8")
)[0]
html_title = "Varsel"
language = "en"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

#: Examples are shortened by an ellipsis in the middle of JSON, which no grammar knows; they are coloured as far as it goes.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["varsel.css"]
html_extra_path = ["reference/openapi.json"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

_ANCHOR = re.compile(r'<a id="([^"]+)">')
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HERE = re.compile(r"\]\(#([a-z]+-[^)]*)\)")


class ConsoleLexer(RegexLexer):
    """Commands begin with `$ `; quotes and backslashes carry them over lines; the rest is what they print."""

    name = "console"
    tokens = {  # noqa: RUF012 - pygments' own form
        "root": [
            (r"^\$ ", Generic.Prompt, "command"),
            (r"[^\n]*\n", Generic.Output),
        ],
        "command": [
            (r"'[^']*'", Text),
            (r'"(?:\\.|[^"\\])*"', Text),
            (r"\\\n", Text),
            (r"\n", Text, "#pop"),
            (r"[^'\"\\\n]+", Text),
            (r".", Text),
        ],
    }


def add_links_to_anchors(_app: Sphinx, docname: str, source: list[str]) -> None:
    """A link to an anchor of the same page names its page, so that it is looked for among the anchors below."""
    page = f"{docname.rpartition('/')[2]}.md"
    source[0] = _HERE.sub(rf"]({page}#\1)", source[0])


def put_drawings_in(_app: Sphinx, _docname: str, source: list[str]) -> None:
    """A diagram shows as its drawing (`scripts/draw.py`); as its text while it was not drawn since its last change."""

    def drawn(found: re.Match[str]) -> str:
        name = f"_static/drawn/{hashlib.sha256(found[1].encode()).hexdigest()[:16]}.svg"
        if not Path(__file__).with_name("_static").joinpath(*name.split("/")[1:]).is_file():
            return found[0]
        return f"[![Diagram, larger when opened](/{name})](/{name})"

    source[0] = _DIAGRAM.sub(drawn, source[0])


def collect_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """The anchors that the page writes as HTML, beside those of its headings."""
    slugs: dict[str, Any] = app.env.metadata[app.env.current_document.docname].setdefault("myst_slugs", {})
    for anchor in _anchors(doctree):
        slugs[anchor] = (0, anchor, anchor)


def _anchors(doctree: nodes.document) -> Iterator[str]:
    from docutils.nodes import raw

    for node in doctree.findall(raw):
        yield from _ANCHOR.findall(node.astext())


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_lexer("console", ConsoleLexer)
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", add_links_to_anchors)
    app.connect("source-read", put_drawings_in)
    app.connect("doctree-read", collect_anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
