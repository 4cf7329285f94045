"""Query and header parameters of the reading endpoints, as the OpenAPI document shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Parameter = Mapping[str, Any]


def in_query(
    name: str, schema: Mapping[str, Any], description: str, example: Any = None, *, required: bool = False
) -> Parameter:
    found = {"name": name, "in": "query", "schema": dict(schema), "description": description}
    if example is not None:
        found["example"] = example
    return {**found, "required": True} if required else found


_MOMENT: Final = {"type": "string", "format": "date-time"}
_UUID: Final = {"type": "string", "format": "uuid"}

REFERENCE: Final = (
    in_query(
        "sendersReference",
        {"type": "string", "minLength": 1},
        "The reference, exactly; not blank.",
        "case-2031-0042",
        required=True,
    ),
)

FEED: Final = (
    in_query(
        "seq",
        {"type": "integer", "format": "int64", "minimum": 0, "default": 0},
        "Entries after this number; with `orderBy=Desc` before it, and 0 begins with the newest.",
        1742,
    ),
    in_query(
        "pageSize",
        {"type": "integer", "format": "int32", "default": 500},
        "Entries on a page; silently at least 1 and at most the configured maximum of 500.",
        100,
    ),
    in_query(
        "orderBy",
        {"type": "string", "enum": ["Asc", "Desc"], "default": "Asc"},
        "Lowest or highest first, in any letter case.",
        "Asc",
    ),
    {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string"},
        "description": "`wait=N`: an empty page waits up to N seconds, at most 30 (RFC 7240).",
        "example": "wait=10",
    },
)

_TRANSMISSION: Final = in_query(
    "transmissionId",
    {"type": "string"},
    "Only this transmission of the dialog.",
    "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11",
)

DIALOG: Final = (
    in_query(
        "dialogId",
        _UUID,
        "The dialog; may be left out when `transmissionId` is given.",
        "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10",
    ),
    _TRANSMISSION,
)
PERSON_DIALOG: Final = (
    in_query("dialogId", _UUID, "The dialog.", "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10", required=True),
    _TRANSMISSION,
)


def support(header: str, digits: int) -> tuple[Parameter, ...]:
    """Parameters of a support search."""
    return (
        {
            "name": header,
            "in": "header",
            "required": True,
            "schema": {"type": "string", "pattern": f"^[0-9]{{{digits}}}$"},
            "description": f"Whom to search for, {digits} digits.",
            "example": "12839010182" if digits == 11 else "312345609",
        },
        in_query(
            "from",
            _MOMENT,
            "Send times from here on; with a zone, not in the future, at most ten years back. Default: seven days ago.",
            "2031-03-01T00:00:00Z",
        ),
        in_query(
            "to",
            _MOMENT,
            "Send times before this; with a zone, not in the future. Default: now.",
            "2031-03-14T00:00:00Z",
        ),
    )
