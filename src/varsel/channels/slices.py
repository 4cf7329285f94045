"""Long texts in slices: one call over 30 MB holds the interpreter for up to seconds, also from a thread beside the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Characters; work on so many takes a millisecond or two.
SLICE: Final = 1 << 16


def slices(text: str) -> Iterator[str]:
    """The text in pieces that cut no CR LF in two."""
    start = 0
    while start < len(text):
        end = start + SLICE
        if text[end - 1 : end + 1] == "\r\n":
            end += 1
        yield text[start:end]
        start = end


def line_slices(data: bytes) -> Iterator[bytes]:
    """Octets with CRLF lines in pieces that each but the first begin with the CRLF of a line's end."""
    start = 0
    while start < len(data):
        end = data.find(b"\r\n", start + SLICE)
        if end < 0:
            end = len(data)
        yield data[start:end]
        start = end
