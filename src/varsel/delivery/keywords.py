"""Placeholders in texts (docs/reference/delivery.md 4; pure).

`$recipientName$` and `$recipientNumber$`, exact and case-sensitive. A recipient without a name or number gets an
empty string, and values are escaped where the body is HTML: both are rules of our own for defects named there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from varsel.channels.slices import SLICE
from varsel.store.content import OrderContent

NAME: Final = "$recipientName$"
NUMBER: Final = "$recipientNumber$"
_STEM: Final = "$recipientN"
_KEYWORD = re.compile(r"\$recipientName\$|\$recipientNumber\$")
_LINE_BREAKS = re.compile(r"[\r\n\u0085\u2028\u2029]+")


def has_keywords(text: str | None) -> bool:
    # One look for most texts: over 30 MB each takes some 10 ms.
    return text is not None and _STEM in text and (NAME in text or NUMBER in text)


def fill(text: str, name: str, number: str) -> str | None:
    """The text with values in the place of keywords; None when it has none, so that the order's own text serves.

    One pass: a name that holds a placeholder stays as it is.
    """
    if not has_keywords(text):
        return None
    if len(text) <= SLICE:
        return _replaced(text, name, number)
    parts = []
    start = 0
    # Slice by slice, and never through a placeholder: over 30 MB one substitution would hold the interpreter for seconds.
    for end in _cuts(text):
        parts.append(_replaced(text[start:end], name, number))
        start = end
    return "".join(parts)


def _replaced(text: str, name: str, number: str) -> str:
    return _KEYWORD.sub(lambda found: name if found.group() == NAME else number, text)


def _cuts(text: str) -> Iterator[int]:
    end = 0
    while end < len(text):
        end += SLICE
        # A placeholder that is cut in two would begin among the last characters of the slice.
        while any(
            text.startswith(word, at)
            for word in (NAME, NUMBER)
            for at in range(max(0, end - len(word) + 1), end)
        ):
            end += 1
        yield end


def fill_html(text: str, name: str, number: str) -> str | None:
    """As `fill`, for an HTML body: values are text, never markup."""
    return fill(text, html.escape(name), html.escape(number))


def fill_subject(text: str, name: str, number: str) -> str | None:
    """As `fill`, for a subject, which is one line."""
    return fill(text, _LINE_BREAKS.sub(" ", name), _LINE_BREAKS.sub(" ", number))


def wants_names(content: OrderContent) -> bool:
    """Whether any text of an order has placeholders."""
    email, sms = content.email, content.sms
    return bool(
        (email and (has_keywords(email.subject) or has_keywords(email.body)))
        or (sms and has_keywords(sms.body))
    )
