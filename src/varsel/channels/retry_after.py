"""Retry-After as HTTP servers write it (RFC 9110 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MOST_DIGITS = 9


def retry_after(value: str, now: datetime | None) -> float | None:
    """Seconds to wait: a number, or an HTTP date judged against `now`; None when it says nothing that can be read.

    Without `now` (the machine clock, UTC) dates cannot be judged.
    """
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return float(text)
    if now is None or not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
