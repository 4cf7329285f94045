"""When a message may leave and how long it lives (docs/reference/delivery.md 6.2, 6.3; pure).

The daytime window is counted on the Oslo wall clock, so it keeps its hours when the clocks change. Beginning and
end are 09:00:00 (may leave) and 17:00:00 (may not). A daytime SMS lives 48 hours from the next allowed opening.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final

from varsel.runtime.errors import SettingsError
from varsel.runtime.settings import Settings
from varsel.runtime.times import LATEST, OSLO

LIFE: Final = timedelta(hours=48)


@lru_cache(maxsize=8)
def _holidays(year: int) -> frozenset[date]:
    import holidays  # a heavy import that only this setting needs

    # The package counts every Sunday as a Norwegian holiday when asked to; weekends are ours to judge.
    found: Any = holidays.country_holidays("NO", years=year)
    return frozenset(found)


def norwegian_holiday(day: date) -> bool:
    return day in _holidays(day.year)


#: What lies beyond the last day that can be told, the 31st of December 9999, is told as its end.
END: Final = LATEST


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, Oslo time, at which a daytime SMS may leave; `weekdays_only` leaves out weekends and holidays."""

    start: int = 9
    end: int = 17
    weekdays_only: bool = False
    holiday: Callable[[date], bool] = field(default=norwegian_holiday, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 24:
            raise SettingsError(
                "VARSEL_SMS_WINDOW_START must be before VARSEL_SMS_WINDOW_END, both hours from 0 to 24."
            )

    @classmethod
    def of(cls, settings: Settings) -> Window:
        """The daytime window of the settings; SettingsError when its hours make none."""
        return cls(settings.sms_window_start, settings.sms_window_end, settings.sms_window_weekdays_only)

    def _allowed(self, day: date) -> bool:
        return not self.weekdays_only or (day.weekday() < 5 and not self.holiday(day))

    def is_open(self, moment: datetime) -> bool:
        local = moment.astimezone(OSLO)
        return self.start <= local.hour < self.end and self._allowed(local.date())

    def opening(self, moment: datetime) -> datetime:
        """`moment` itself while the window is open, else the next moment at which it opens; UTC."""
        try:
            return self._opening(moment)
        except OverflowError:
            return END

    def _opening(self, moment: datetime) -> datetime:
        local = moment.astimezone(OSLO)
        if self.start <= local.hour < self.end and self._allowed(local.date()):
            return moment
        day = local.date()
        if local.hour >= self.start:
            day += timedelta(days=1)
        while not self._allowed(day):
            day += timedelta(days=1)
        # An hour that a clock change skips (02 to 03) counts with the offset before it: the opening is not lost.
        return datetime.combine(day, time(self.start), OSLO).astimezone(UTC)


def add_wall_hours(moment: datetime, life: timedelta) -> datetime:
    """Add to the Oslo wall clock and convert: over a clock change the length differs by an hour (6.3)."""
    try:
        local = moment.astimezone(OSLO)
        return (local.replace(tzinfo=None) + life).replace(tzinfo=OSLO).astimezone(UTC)
    except OverflowError:
        return END


def is_daytime(channel: str, policy: str | None) -> bool:
    """Whether the daytime window binds a message; an SMS without a policy (v1) is a daytime SMS."""
    return channel == "Sms" and policy != "Anytime"


def expiry(window: Window, *, daytime: bool, requested_at: datetime) -> datetime:
    """When a queued message has lived its life, UTC."""
    return add_wall_hours(window.opening(requested_at) if daytime else requested_at, LIFE)
