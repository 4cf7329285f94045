"""JSON of values with very long texts, in steps that let other threads run.

The encoder holds the interpreter until it is done: up to 0.2 s for one text of 30 MB. Slices of a megabyte take a few milliseconds each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import fields, replace

from varsel.runtime.problems import pretty

LONG: Final = 1_000_000  # characters
_encode = msgspec.json.Encoder().encode


#: What stands for a long text while the rest is laid out. No text of an order holds NUL.
_PLACE: Final = re.compile(rb'"\\u0000([0-9]+)\\u0000"')


def pretty_in_slices(value: Any) -> bytes:
    """As `pretty`, with every long text put in afterwards."""
    texts: list[bytes] = []

    def place(text: str) -> str:
        texts.append(bytes(_sliced(text)))
        return f"\0{len(texts) - 1}\0"

    short, *rest = _PLACE.split(pretty(in_slices(value, place)))
    for at in range(0, len(rest), 2):
        rest[at] = texts[int(rest[at])]
    return b"".join((short, *rest))


def in_slices(value: Any, long: Callable[[str], Any] | None = None) -> Any:
    """The same value, of structures, lists and texts, with every long text as the JSON that it becomes, or as `long` puts it."""
    if isinstance(value, str):
        return (long or _sliced)(value) if len(value) > LONG else value
    if isinstance(value, msgspec.Struct):
        changed = {}
        for field in fields(value):
            before = getattr(value, field.name)
            after = in_slices(before, long)
            if after is not before:
                changed[field.name] = after
        return replace(value, **changed) if changed else value
    if isinstance(value, list | tuple):
        items = [in_slices(item, long) for item in value]
        same = all(after is before for after, before in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value


def _sliced(text: str) -> msgspec.Raw:
    # Each slice without its quotes; characters are never halved.
    slices = (_encode(text[start : start + LONG])[1:-1] for start in range(0, len(text), LONG))
    return msgspec.Raw(b'"' + b"".join(slices) + b'"')
