"""The plain alternative of an HTML mail, for readers that show text only (RFC 2046 5.1.4)."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "head", "title", "template"})
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "div",
        "dl",
        "dt",
        "dd",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "thead",
        "tfoot",
        "tr",
        "ul",
    ]
)
_APART = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
_LINKS = ("http://", "https://", "mailto:", "tel:")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0
        self._preformatted = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in ("td", "th"):
            self.parts.append(" ")
        elif tag == "img":
            self.parts.append(dict(attrs).get("alt") or "")
        elif tag == "a":
            self._links.append(((dict(attrs).get("href") or "").strip(), len(self.parts)))
        elif tag in _BLOCKS:
            self.parts.append("\n\n" if tag in _APART else "\n")
            self._preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "a" and self._links:
            href, start = self._links.pop()
            shown = "".join(self.parts[start:]).strip()
            if href.lower().startswith(_LINKS) and href not in (shown, "mailto:" + shown, "tel:" + shown):
                self.parts.append(f" ({href})" if shown else href)
        elif tag in _BLOCKS:
            self.parts.append("\n\n" if tag in _APART else "\n")
            if tag == "pre":
                self._preformatted = max(0, self._preformatted - 1)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data if self._preformatted else re.sub(r"\s+", " ", data))


@lru_cache(maxsize=64)
def plain_text(html: str) -> str:
    """What a person reads in the HTML: paragraphs, list items, link targets in parentheses. Never fails.

    Cached because one order gives many recipients the same body; parsing costs about 0.1 ms a kilobyte.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    text = "".join(reader.parts).replace("\xa0", " ")
    text = re.sub(r" *\n *", "\n", re.sub(r"[ \t]+", " ", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()
