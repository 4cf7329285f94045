"""Header fields longer than any mail program shows: a subject of some megabytes is a legal one."""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 32_768  # octets of one field
_FIELD_ENDS: Final = re.compile(rb"\r\n(?![ \t])")


def short_head(content: bytes) -> bytes:
    """The header of a mail without its last line end, each field cut at a fold where it is longer than `MOST`."""
    head = content.partition(b"\r\n\r\n")[0]
    return head if len(head) <= MOST else b"\r\n".join(map(_cut, _FIELD_ENDS.split(head)))


def with_short_head(content: bytes) -> bytes:
    """The mail with that header. The standard library's parser takes hours and gigabytes for a field of some megabytes."""
    end = content.find(b"\r\n\r\n")
    return content if 0 <= end <= MOST else short_head(content) + (content[end:] if end >= 0 else b"")


def _cut(field: bytes) -> bytes:
    if len(field) <= MOST:
        return field
    fold = field.rfind(b"\r\n", 0, MOST)
    return field[: fold if fold > 0 else MOST]
