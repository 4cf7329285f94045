"""Named SQL: every query of a room lives in `<room>/sql/*.sql` under a name and a sentence.

-- name: claim_due
-- Take up to $1 orders whose time has come, for $2 seconds.
update …;
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The queries of one room as attributes; an unknown name is an AttributeError that lists what exists."""

    def __init__(self, package: str, texts: dict[str, str]) -> None:
        self._package = package
        self._texts = texts

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise AttributeError(
                f"{self._package}/sql has no query {name!r}; it has {sorted(self._texts)}"
            ) from None

    def names(self) -> list[str]:
        return sorted(self._texts)


def parse(text: str) -> dict[str, str]:
    """Split a file into {name: SQL without the name line and the final semicolon}."""
    parts = _NAME.split(text)
    if parts[0].strip() and not all(line.startswith("--") or not line for line in parts[0].splitlines()):
        raise ValueError("SQL before the first '-- name:' line")
    queries: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in queries:
            raise ValueError(f"query {name!r} stands twice")
        queries[name] = body.strip().removesuffix(";")
    return queries


@cache
def load(package: str) -> Queries:
    """The queries of a room, e.g. `load("varsel.orders")`; read once a process."""
    texts: dict[str, str] = {}
    for file in sorted((resources.files(package) / "sql").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            for name, sql in parse(file.read_text("utf-8")).items():
                if name in texts:
                    raise ValueError(f"{package}: query {name!r} stands in two files")
                texts[name] = sql
    return Queries(package, texts)
