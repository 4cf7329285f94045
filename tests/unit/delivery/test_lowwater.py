"""Where scans of a queue begin: behind what was taken, close behind it, or at the start, each as often as it is cheap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from varsel.delivery.lowwater import LowWater, Trail
from varsel.runtime.clock import ManualClock

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def scan(clock: ManualClock, place: LowWater[int], seconds: float, last: int | None = None) -> int:
    """One scan that takes so long and finds `last`; where it began."""
    began = place.begin()
    clock.advance(timedelta(seconds=seconds))
    place.end(last, more=False)
    return began


def test_a_scan_goes_on_behind_what_it_took() -> None:
    clock = ManualClock(NOON)
    place: LowWater[int] = LowWater(clock, 0)
    assert place.begin() == 0
    place.end(10, more=True)
    assert place.begin() == 10
    place.end(None, more=False)
    assert place.again_after is not None
    clock.advance(timedelta(seconds=1))
    assert place.begin() == 0  # from the start once in a while: what came late lies there
    place.end(4, more=False)
    assert place.again_after is None
    assert place.begin() == 10
    place.end(None, more=False)
    place.reset()
    assert place.begin() == 0


def test_a_backlog_that_was_found_at_the_start_is_gone_through() -> None:
    clock = ManualClock(NOON)
    place: LowWater[int] = LowWater(clock, 0)
    place.begin()
    place.end(1000, more=False)
    clock.advance(timedelta(seconds=30))
    assert place.begin() == 0
    place.end(5, more=True)
    assert place.begin() == 5
    assert place.past <= 5  # not where the place was before


def test_costly_scans_that_go_back_are_rare() -> None:
    clock = ManualClock(NOON)
    place: LowWater[int] = LowWater(clock, 0)
    assert scan(clock, place, 0.5, 10) == 0  # all that the open transaction keeps from being cleaned away
    clock.advance(timedelta(seconds=15))
    assert scan(clock, place, 0.005, 90) == 10  # from where it was ten seconds ago: cheap, so often
    assert scan(clock, place, 0.0) == 90
    assert place.again_after is not None and place.again_after < 0.6
    clock.advance(timedelta(seconds=0.6))
    assert scan(clock, place, 0.0) == 10
    clock.advance(timedelta(seconds=35))
    assert scan(clock, place, 0.0) == 0  # fifty seconds after the one that took half a second


def test_a_scan_from_the_start_comes_within_a_minute_whatever_it_costs() -> None:
    clock = ManualClock(NOON)
    place: LowWater[int] = LowWater(clock, 0)
    assert scan(clock, place, 600.0, 10) == 0
    clock.advance(timedelta(seconds=59))
    assert scan(clock, place, 0.0, 11) == 10
    clock.advance(timedelta(seconds=1))
    assert scan(clock, place, 0.0) == 0


def test_looking_back_goes_close_behind_the_place() -> None:
    clock = ManualClock(NOON)
    place: LowWater[int] = LowWater(clock, 0)
    scan(clock, place, 1.0, 10)
    clock.advance(timedelta(seconds=12))
    scan(clock, place, 1.0, 90)
    assert scan(clock, place, 0.0) == 90
    place.look_back()
    assert scan(clock, place, 0.0) == 10


def test_a_trail_tells_what_was_ten_seconds_ago() -> None:
    clock = ManualClock(NOON)
    trail: Trail[int] = Trail(clock, 0)
    for value in range(1, 31):
        trail.note(value)
        clock.advance(timedelta(seconds=1))
    assert 18 <= trail.past <= 21
    trail.forget()
    assert trail.past == 0
    trail.note(40)
    clock.advance(timedelta(seconds=9))
    assert trail.past == 0
    clock.advance(timedelta(seconds=1))
    assert trail.past == 40
