"""The plain alternative of an HTML mail, for readers that show text only (RFC 2046 5.1.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from html import unescape

from varsel.channels.slices import SLICE

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
_LINE, _APART_MARK = (
    "\v",
    "\f",
)  # a new line, a new paragraph; white space of the source never leaves these behind
_LINKS = ("http://", "https://", "mailto:", "tel:")


_RAW = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in ("script", "style", "title")}
_WHITE = re.compile(r"\s*")
_WHITE_RUN = re.compile(r"\s+")
_BLANKS = re.compile(r"[ \t]+")
_LINE_ENDS = re.compile(r"[ \f\v\n]*[\f\v\n][ \f\v\n]*")
_MARKUP = re.compile(r"<(?:[A-Za-z!?]|/[A-Za-z])")
_TAG = re.compile(r"</?[A-Za-z][^\s/>]*")
_GAP = re.compile(r"[\s/]*")
_ATTRIBUTE = re.compile(r"=?[^\s/>=]*")
_EQUALS = re.compile(r"\s*=\s*")
_UNQUOTED = re.compile(r"[^\s>]*")
_CACHED_UP_TO = 50_000  # characters: the cache must not keep a gigabyte


class _Reader:
    """Goes through HTML once, as browsers do (WHATWG HTML 13.2.5): nothing is looked at twice, whatever is left open."""

    def __init__(self, html: str) -> None:
        self.parts: list[str] = []
        self._html = html
        self._end = len(html)
        self._unseen = 0
        self._preformatted = 0
        self._link: tuple[str, int] | None = None

    def read(self) -> str:
        html, at = self._html, 0
        while at < self._end:
            found = _MARKUP.search(html, at)
            start = self._end if found is None else found.start()
            if start > at:
                self._text(html[at:start])
            at = self._end if found is None else self._markup(start)
        self._close_link()
        return "".join(self.parts)

    def _markup(self, at: int) -> int:
        """What begins with the `<` at hand; where it ends."""
        html = self._html
        if html.startswith("<!--", at):
            return self._after("-->", at + 4)
        if html.startswith(("<!", "<?"), at):
            return self._after(">", at + 2)
        tag = _TAG.match(html, at)
        assert tag is not None
        attributes: dict[str, str] = {}
        end = self._attributes(tag.end(), attributes)
        if end is None:
            self._text(html[at:])  # never closed: no tag, and nothing that a person should miss
            return self._end
        name = tag.group().lstrip("</").lower()
        if html[at + 1] == "/":
            self._closed(name)
            return end
        self._opened(name, attributes)
        if name in _RAW:
            closing = _RAW[name].search(html, end)
            return self._end if closing is None else closing.start()
        return end

    def _after(self, mark: str, at: int) -> int:
        found = self._html.find(mark, at)
        return self._end if found < 0 else found + len(mark)

    def _attributes(self, at: int, into: dict[str, str]) -> int | None:
        """Read attributes up to the end of the tag, the first of a name counts; None when the tag has no end."""
        html = self._html
        while True:
            gap = _GAP.match(html, at)
            assert gap is not None
            at = gap.end()
            if at >= self._end:
                return None
            if html[at] == ">":
                return at + 1
            name = _ATTRIBUTE.match(html, at)
            assert name is not None
            at = name.end()
            value = ""
            equals = _EQUALS.match(html, at)
            if equals is not None:
                at = equals.end()
                quote = html[at : at + 1]
                if quote in {'"', "'"}:
                    closing = html.find(quote, at + 1)
                    if closing < 0:
                        return None
                    value, at = html[at + 1 : closing], closing + 1
                else:
                    bare = _UNQUOTED.match(html, at)
                    assert bare is not None
                    value, at = bare.group(), bare.end()
            if name.group().lower() in ("href", "alt"):
                into.setdefault(name.group().lower(), unescape(value))

    def _opened(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append(_LINE + "- ")
        elif tag in ("td", "th"):
            self.parts.append(" ")
        elif tag == "img":
            self.parts.append(attributes.get("alt", ""))
        elif tag == "a":
            self._close_link()  # links do not hold links
            self._link = (attributes.get("href", "").strip(), len(self.parts))
        elif tag in _BLOCKS:
            self.parts.append(_APART_MARK if tag in _APART else _LINE)
            self._preformatted += tag == "pre"

    def _closed(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "a":
            self._close_link()
        elif tag in _BLOCKS:
            self.parts.append(_APART_MARK if tag in _APART else _LINE)
            if tag == "pre":
                self._preformatted = max(0, self._preformatted - 1)

    def _close_link(self) -> None:
        if self._link is None:
            return
        (href, start), self._link = self._link, None
        shown = "".join(self.parts[start:]).strip()
        if href.lower().startswith(_LINKS) and href not in (shown, "mailto:" + shown, "tel:" + shown):
            self.parts.append(f" ({href})" if shown else href)

    def _text(self, data: str) -> None:
        if self._unseen:
            return
        if "&" in data:
            data = unescape(data)
        self.parts.append(
            data.replace("\f", " ").replace("\v", " ")
            if self._preformatted
            else _replaced(_WHITE_RUN, " ", data)
        )


def plain_text(html: str) -> str:
    """What a person reads in the HTML: paragraphs, list items, link targets in parentheses. Never fails.

    Cached because one order gives many recipients the same body.
    """
    return _cached(html) if len(html) <= _CACHED_UP_TO else _plain_text(html)


def _plain_text(html: str) -> str:
    text = _replaced(_BLANKS, " ", _Reader(html).read().replace("\xa0", " "))
    return _replaced(_LINE_ENDS, _line_end, text).strip()


def _replaced(pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str], text: str) -> str:
    """Replace in slices that cut no run of white space: one call over a long text would hold the interpreter."""
    if len(text) <= SLICE:
        return pattern.sub(by, text)
    pieces, start = [], 0
    while start < len(text):
        run = _WHITE.match(text, start + SLICE)
        assert run is not None
        pieces.append(pattern.sub(by, text[start : run.end()]))
        start = run.end()
    return "".join(pieces)


_cached = lru_cache(maxsize=64)(_plain_text)


def _line_end(found: re.Match[str]) -> str:
    marks = found.group()
    return "\n\n" if _APART_MARK in marks or marks.count("\n") > 1 else "\n"
