"""Dates as they come in requests (docs/reference/notifications-api.md 1.5)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from varsel.runtime.times import LATEST

#: ISO 8601 extended: a date, or date and time of at least minutes, with a fraction of up to 16 digits and a zone of hours or hours
#: and minutes, at most 14 hours. Letters are upper case, the separator is T.
_SHAPE: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,16})?)?"
    r"(?:Z|[+-](?:(?:0[0-9]|1[0-3])(?::[0-5][0-9])?|14(?::00)?))?)?"
)


class Moment:
    """A date as sent: `at` is UTC; without a zone designator `zoned` is false, and `at` reads the digits as UTC.

    A plain class, because the decoder reads data classes and structures as JSON objects.
    """

    __slots__ = ("at", "zoned")

    def __init__(self, at: datetime, zoned: bool) -> None:
        self.at = at
        self.zoned = zoned

    def __repr__(self) -> str:
        return f"Moment({self.at.isoformat()}, zoned={self.zoned})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and (self.at, self.zoned) == (other.at, other.zoned)

    def __hash__(self) -> int:
        return hash((self.at, self.zoned))


def read_moment(text: str) -> Moment | None:
    """The moment that a request names, to the microsecond; None for any other layout and for dates outside years 1 to 9999.

    The very last microsecond of the year 9999 is read as the one before it, which can be kept.
    """
    if _SHAPE.fullmatch(text) is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            return Moment(min(at.replace(tzinfo=UTC), LATEST), False)
        return Moment(min(at if at.tzinfo is UTC else at.astimezone(UTC), LATEST), True)
    except (ValueError, OverflowError):
        return None
