"""JSON of values with very long texts, in steps that let other threads run.

The encoder holds the interpreter until it is done: up to 0.2 s for one text of 30 MB. Slices of a megabyte take a few milliseconds each.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import fields, replace

LONG: Final = 1_000_000  # characters
_encode = msgspec.json.Encoder().encode


def in_slices(value: Any) -> Any:
    """The same value, of structures, lists and texts, with every long text as the JSON that it becomes."""
    if isinstance(value, str):
        return _sliced(value) if len(value) > LONG else value
    if isinstance(value, msgspec.Struct):
        changed = {}
        for field in fields(value):
            before = getattr(value, field.name)
            after = in_slices(before)
            if after is not before:
                changed[field.name] = after
        return replace(value, **changed) if changed else value
    if isinstance(value, list | tuple):
        items = [in_slices(item) for item in value]
        same = all(after is before for after, before in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value


def _sliced(text: str) -> msgspec.Raw:
    # Each slice without its quotes; characters are never halved.
    slices = (_encode(text[start : start + LONG])[1:-1] for start in range(0, len(text), LONG))
    return msgspec.Raw(b'"' + b"".join(slices) + b'"')
