"""Times on the wire (docs/reference/notifications-api.md 1.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

#: Norwegian time: that of daytime windows, of the gateway's reports, of what Altinn and Maskinporten write, and of pages.
OSLO: Final = ZoneInfo("Europe/Oslo")
#: The last moment that can be kept. The driver takes `datetime.max` for PostgreSQL's infinity, and reads it back without a zone.
LATEST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(microseconds=1)


def wire_time(moment: datetime) -> str:
    """`2031-03-14T08:00:41.5Z`: UTC, no trailing zeros, no fraction when it is zero. `moment` must be aware and UTC."""
    text = moment.isoformat()
    if not text.endswith("+00:00"):
        raise ValueError("only UTC times go on the wire")
    text = text[:-6]
    if "." in text:
        text = text.rstrip("0")
    return text + "Z"
