"""The public list of service owners, in the shape of altinn-orgs.json (docs/reference/identity.md 5.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


def document(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """`{"orgs": {code: {name, orgnr, homepage, environments, …}}}`; a code without a number has an empty `orgnr`."""
    orgs = {}
    for row in rows:
        details = row["details"]
        if isinstance(details, str):
            details = msgspec.json.decode(details)
        orgs[row["code"]] = {
            "name": {"en": row["name_en"], "nb": row["name_nb"], "nn": row["name_nn"]},
            "orgnr": row["number"] or "",
            "homepage": "",
            "environments": [],
            **details,
        }
    return msgspec.json.encode({"orgs": orgs})
