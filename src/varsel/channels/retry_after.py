"""Retry-After as HTTP servers write it (RFC 9110 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MOST_DIGITS = 9
LONGEST = 6 * 3600.0
"""Seconds for which a server is taken at its word: a slip of its clock or pen must not close a channel for days."""


def retry_after(value: str, now: datetime | None) -> float | None:
    """Seconds to wait, at most LONGEST: a number, or an HTTP date judged against `now`; None when it says nothing that can be read.

    Without `now` (the machine clock, UTC) dates cannot be judged.
    """
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return min(float(text), LONGEST)
    if now is None or not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), LONGEST)
