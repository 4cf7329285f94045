"""Reading cookies strictly: a name that stands twice is refused, because somebody else may have planted one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: The cookie stands twice.
BAD: Final = b"\0"


def cookie_values(headers: Sequence[bytes], name: bytes) -> list[bytes]:
    """Every value of the cookie `name` (RFC 6265 4.2.1), quotes taken off."""
    found = []
    for header in headers:
        for pair in header.split(b";"):
            key, equals, value = pair.strip().partition(b"=")
            if equals and key == name:
                found.append(value.strip().removeprefix(b'"').removesuffix(b'"'))
    return found


def single(headers: Sequence[bytes], name: bytes) -> bytes | None:
    """The one value; None when absent or empty, BAD when there are several."""
    found = cookie_values(headers, name)
    if len(found) > 1:
        return BAD
    return found[0] or None if found else None
