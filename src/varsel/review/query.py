"""Query strings as the API reads them: names in any case, the first value counts (docs/reference/notifications-api.md 1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from varsel.runtime.errors import ValidationProblem

MAX_INT64: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_SECONDS: Final = re.compile(r'"?([0-9]+)"?')


def parameters(query: bytes) -> dict[str, str]:
    """{lower-case name: first value}."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(
        query.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="replace"
    ):
        found.setdefault(name.lower(), value)
    return found


def _integer(text: str, largest: int) -> int | None:
    if _INTEGER.fullmatch(text.strip()) is None:
        return None
    number = int(text)
    return number if -largest - 1 <= number <= largest else None


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """A page of the feed: entries beyond `seq`, at most `size`, in ascending or descending order."""

    seq: int
    size: int
    descending: bool


def feed_query(query: bytes, largest_page: int) -> FeedQuery:
    """Read `seq`, `pageSize` and `orderBy`; ValidationProblem with their keys (docs/reference/notifications-api.md 2.16)."""
    given = parameters(query)
    errors: dict[str, list[str]] = {}
    seq = _integer(given.get("seq", "0"), MAX_INT64)
    if seq is None or seq < 0:
        errors["Seq"] = ["Must be a whole number from 0 up to 9223372036854775807."]
    size = _integer(given.get("pagesize", str(largest_page)), 2**31 - 1)
    if size is None:
        errors["PageSize"] = ["Must be a whole number."]
    order = given.get("orderby", "Asc").strip().lower()
    if order not in {"asc", "desc", "0", "1"}:
        errors["OrderBy"] = ["Must be Asc or Desc."]
    if errors:
        raise ValidationProblem(errors)
    assert seq is not None
    assert size is not None
    return FeedQuery(seq, max(1, min(size, largest_page)), order in {"desc", "1"})


def wait_seconds(prefer: list[bytes] | None) -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240 4.3), at most 30; zero when absent or unreadable."""
    for value in prefer or ():
        for preference in value.decode("latin-1").split(","):
            name, _, number = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait" and (given := _SECONDS.fullmatch(number.strip())):
                return float(min(int(given[1][:6]), 30))
    return 0.0
