"""Retry-After as HTTP servers write it (RFC 9110 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MOST_DIGITS = 9
SHORTEST = 1.0
"""Seconds: headers count in whole ones."""
LONGEST = 6 * 3600.0
"""Seconds for which a server is taken at its word: a slip of its clock or pen must not close a channel for days."""


def retry_after(value: str, now: datetime | None) -> float | None:
    """Seconds to wait, SHORTEST to LONGEST: a number, or an HTTP date judged against `now`; None when it says nothing that can be read.

    Without `now` (the machine clock, UTC) dates cannot be judged. No time at all, or a date that is over, says nothing either: who
    refuses and asks to come back at once would be asked again without an end.
    """
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return _within(float(text))
    if now is None or not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _within((moment - now).total_seconds())


def _within(seconds: float) -> float | None:
    return min(max(seconds, SHORTEST), LONGEST) if seconds > 0 else None
