"""Windows and lives in Oslo time (docs/reference/delivery.md 6.2, 6.3)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varsel.delivery.window import Window, add_wall_hours, expiry, is_daytime
from varsel.runtime.errors import SettingsError
from varsel.runtime.times import OSLO


def oslo(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=OSLO).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "opening"),
    [
        ("2031-03-12T08:59:59.999999", "2031-03-12T09:00"),
        ("2031-03-12T09:00", "2031-03-12T09:00"),
        ("2031-03-12T16:59:59.999999", "2031-03-12T16:59:59.999999"),
        ("2031-03-12T17:00", "2031-03-13T09:00"),
        ("2031-03-12T00:00", "2031-03-12T09:00"),
        ("2031-12-31T23:30", "2032-01-01T09:00"),
        ("2031-03-29T18:00", "2031-03-30T09:00"),  # the night the clocks go forward
        ("2031-10-25T18:00", "2031-10-26T09:00"),  # the night they go back
    ],
)
def test_the_next_opening(moment: str, opening: str) -> None:
    window = Window()
    assert window.opening(oslo(moment)) == oslo(opening)
    assert window.is_open(oslo(moment)) == (oslo(moment) == oslo(opening))


def test_the_window_keeps_its_hours_over_both_clock_changes() -> None:
    window = Window()
    spring, autumn = oslo("2031-03-29T18:00"), oslo("2031-10-25T18:00")
    assert window.opening(spring) - spring == timedelta(hours=14)
    assert window.opening(autumn) - autumn == timedelta(hours=16)
    assert window.opening(spring) == datetime(2031, 3, 30, 7, tzinfo=UTC)
    assert window.opening(autumn) == datetime(2031, 10, 26, 8, tzinfo=UTC)


def test_an_opening_in_the_hour_that_a_change_skips_exists() -> None:
    assert Window(2, 3).opening(oslo("2031-03-29T12:00")) == datetime(2031, 3, 30, 1, tzinfo=UTC)


@given(st.datetimes(datetime(2030, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC)), st.booleans())  # noqa: DTZ001
def test_an_opening_is_open_and_never_before(moment: datetime, weekdays: bool) -> None:
    window = Window(weekdays_only=weekdays, holiday=lambda day: day == date(2031, 5, 1))
    opening = window.opening(moment)
    assert opening >= moment
    assert window.is_open(opening)
    assert window.opening(opening) == opening
    assert opening - moment < timedelta(days=5)
    if window.is_open(moment):
        assert opening == moment


def test_weekends_and_holidays_can_be_left_out() -> None:
    window = Window(weekdays_only=True)
    assert window.opening(oslo("2031-03-14T18:00")) == oslo("2031-03-17T09:00")  # Friday evening
    # Maundy Thursday to Easter Monday: 10 to 14 April 2031.
    assert window.opening(oslo("2031-04-09T18:00")) == oslo("2031-04-15T09:00")
    assert window.opening(oslo("2031-05-16T18:00")) == oslo("2031-05-19T09:00")
    assert not window.is_open(oslo("2031-05-01T12:00"))
    assert Window().is_open(oslo("2031-05-01T12:00"))


@pytest.mark.parametrize(("start", "end"), [(17, 9), (9, 9), (9, 25), (-1, 5)])
def test_hours_that_make_no_window_are_refused(start: int, end: int) -> None:
    with pytest.raises(SettingsError, match="VARSEL_SMS_WINDOW_START"):
        Window(start, end)


@pytest.mark.parametrize(
    ("daytime", "requested", "expires"),
    [
        (False, "2031-03-12T03:00", "2031-03-14T03:00"),
        (True, "2031-03-12T12:00", "2031-03-14T12:00"),
        (True, "2031-03-12T09:00", "2031-03-14T09:00"),
        (True, "2031-03-12T03:00", "2031-03-14T09:00"),
        (True, "2031-03-12T17:00", "2031-03-15T09:00"),
        (False, "2031-03-29T12:00", "2031-03-31T12:00"),
        (False, "2031-10-25T12:00", "2031-10-27T12:00"),
    ],
)
def test_lives(daytime: bool, requested: str, expires: str) -> None:
    assert expiry(Window(), daytime=daytime, requested_at=oslo(requested)) == oslo(expires)


def test_wall_hours_differ_by_an_hour_over_a_change() -> None:
    day = timedelta(hours=48)
    assert add_wall_hours(oslo("2031-03-29T12:00"), day) - oslo("2031-03-29T12:00") == timedelta(hours=47)
    assert add_wall_hours(oslo("2031-10-25T12:00"), day) - oslo("2031-10-25T12:00") == timedelta(hours=49)


def test_what_the_window_binds() -> None:
    assert is_daytime("Sms", "Daytime")
    assert is_daytime("Sms", None)
    assert not is_daytime("Sms", "Anytime")
    assert not is_daytime("Email", None)
