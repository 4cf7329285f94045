"""Dates in requests: docs/reference/notifications-api.md 1.5."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from varsel.orders.moments import Moment, read_moment


@pytest.mark.parametrize(
    ("text", "at", "zoned"),
    [
        ("2031-03-14T08:00:00Z", datetime(2031, 3, 14, 8, tzinfo=UTC), True),
        ("2031-03-14T08:00:00.123+01:00", datetime(2031, 3, 14, 7, 0, 0, 123000, UTC), True),
        ("2031-03-14T08:00:00.1234567Z", datetime(2031, 3, 14, 8, 0, 0, 123456, UTC), True),
        ("2031-03-14T08:00:00.1234567890123456Z", datetime(2031, 3, 14, 8, 0, 0, 123456, UTC), True),
        ("2031-03-14T08:00Z", datetime(2031, 3, 14, 8, tzinfo=UTC), True),
        ("2031-03-14T08:00:00+14:00", datetime(2031, 3, 13, 18, tzinfo=UTC), True),
        ("2031-03-14T08:00:00-03:30", datetime(2031, 3, 14, 11, 30, tzinfo=UTC), True),
        ("2031-03-14T08:00:00-00:00", datetime(2031, 3, 14, 8, tzinfo=UTC), True),
        ("2031-03-14T08:00:00+01", datetime(2031, 3, 14, 7, tzinfo=UTC), True),
        ("2031-03-14T08:00:00", datetime(2031, 3, 14, 8, tzinfo=UTC), False),
        ("2031-03-14", datetime(2031, 3, 14, tzinfo=UTC), False),
        # The driver would keep the very last microsecond as infinity.
        ("9999-12-31T23:59:59.9999999Z", datetime(9999, 12, 31, 23, 59, 59, 999998, UTC), True),
        ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999998, UTC), False),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC), True),
    ],
)
def test_read(text: str, at: datetime, zoned: bool) -> None:
    assert read_moment(text) == Moment(at, zoned)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "2031-03-14 08:00:00Z", "2031-03-14t08:00:00Z", "2031-03-14T08:00:00z", "2031-03-14T08:00:00+0100", "2031-03-14T08:00:00+14:01",
        "2031-03-14T08:00:00+15:00", "2031-03-14T08:00:00+01:60", "2031-03-14T08:00:00.Z", "2031-03-14T08:00:00,5Z", "2031-03-14T08:00:00.12345678901234567Z",
        "2031-03-14T24:00:00Z", "2031-03-14T23:60:00Z", "2031-03-14T23:59:60Z", "2031-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "2031-13-01", "20310314T080000Z",
        "2031-W11-5", "2031-3-14", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", " 2031-03-14T08:00:00Z", "2031-03-14T08:00:00Z ", "2031-03-14T08Z",
        "2031-03-14Z", "２０３１-03-14T08:00:00Z", "+2031-03-14T08:00:00Z",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    assert read_moment(text) is None
