"""Texts that no channel and no database can carry: NUL, and surrogates without their other half (docs/design.md, decisions)."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import fields

from varsel.orders.findings import Findings
from varsel.orders.wire import Wire


def find_odd_texts(found: Findings, value: Any, path: str = "") -> None:
    """Walk the request and name every text that cannot be carried by its key (docs/reference/notifications-api.md 1.7.1)."""
    if isinstance(value, str):
        if _is_odd(value):
            found.business(path, _WHY)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            find_odd_texts(found, item, f"{path}[{number}]")
    elif isinstance(value, Wire):
        for field in fields(value):
            wire = field.encode_name
            segment = value.KEYS.get(field.name) or wire[0].upper() + wire[1:]
            find_odd_texts(found, getattr(value, field.name), f"{path}.{segment}" if path else segment)


_WHY: Final = "The text holds a character that cannot be stored (NUL or half a surrogate pair)."


def _is_odd(text: str) -> bool:
    if "\x00" in text:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
