"""Where the scan of a queue goes on.

While some transaction stays open anywhere, rows that left a queue cannot be cleaned away, and a scan from the start
walks over all of them. So a scan begins behind the last row it took. What arrives before that place (an earlier time,
a commit that came late, work given back) lies close behind it as a rule, and is found by a scan from where the place
was some seconds ago; the rest by a scan from the start. Both are allowed only as often as their measured cost stays
below a small share of the time, so that neither grows into the work itself however long the transaction stays open.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from varsel.runtime.clock import Machine

K = TypeVar("K", bound="int | datetime | UUID | tuple[datetime, UUID]")

NEAR: Final = 10.0  # seconds: what comes later than these is found from the start only
_STEP: Final = 2.0  # seconds between the places that are remembered
_SHARE: Final = 100.0  # a scan that goes back may cost a hundredth of the time
_LEAST_PAUSE: Final = 0.1  # seconds between two scans that go back
_MOST_PAUSE: Final = 2.0  # seconds: what lies close behind the place is found within these, whatever it costs
_MOST_FAR_PAUSE: Final = 60.0  # seconds: and everything else within these


def pause_after(cost: float, most: float, least: float = _LEAST_PAUSE) -> float:
    """Seconds until a scan that took `cost` seconds may be made again."""
    return min(max(least, cost * _SHARE), most)


class Trail(Generic[K]):
    """What a value was some seconds ago. `start` stands for the time before."""

    def __init__(self, machine: Machine, start: K) -> None:
        self._machine = machine
        self._start: K = start
        self._passed: K = start
        self._kept: deque[tuple[float, K]] = deque()

    def note(self, value: K) -> None:
        """The value is this now."""
        now = self._machine.monotonic()
        if not self._kept or now - self._kept[-1][0] >= _STEP:
            self._kept.append((now, value))

    @property
    def past(self) -> K:
        """The latest value that is at least NEAR seconds old."""
        until = self._machine.monotonic() - NEAR
        while self._kept and self._kept[0][0] <= until:
            self._passed = self._kept.popleft()[1]
        return self._passed

    def forget(self) -> None:
        """Back to the start."""
        self._kept.clear()
        self._passed = self._start


class LowWater(Generic[K]):
    """The place of one queue. `start` is before every key."""

    def __init__(self, machine: Machine, start: K) -> None:
        self._machine = machine
        self._start: K = start
        self._place: K = start
        self._trail = Trail(machine, start)
        self._begun = 0.0
        self._from: K = start
        self._next_near = 0.0
        self._next_far = 0.0
        self._passed_over = False

    def begin(self) -> K:
        """The place to scan from."""
        self._begun = self._machine.monotonic()
        if self._begun >= self._next_far:
            self._from = self._start
        elif self._begun >= self._next_near:
            self._from = min(self._trail.past, self._place)
        else:
            self._from = self._place
        return self._from

    def end(self, last: K | None, *, more: bool) -> None:
        """A scan is over; `last` is the last key it took, None when it found nothing, `more` whether it took all it may."""
        now = self._machine.monotonic()
        cost = now - self._begun
        if self._from == self._start:
            self._next_far = now + pause_after(cost, _MOST_FAR_PAUSE)
            self._next_near = now + _LEAST_PAUSE
        elif self._begun >= self._next_near:
            self._next_near = now + pause_after(cost, _MOST_PAUSE)
        self._passed_over = self._from != self._start
        if last is not None:
            self._place = last if more else _later(last, self._place)
        self._trail.note(self._place)

    def look_back(self) -> None:
        """Something lies close behind the place: the next scan goes back."""
        self._next_near = 0.0

    def reset(self) -> None:
        """Everything may have changed (a clock that went back): the next scan is from the start."""
        self._next_far = 0.0

    @property
    def past(self) -> K:
        """Before this everything was taken some seconds ago, but for what comes late."""
        return min(self._trail.past, self._place)

    @property
    def again_after(self) -> float | None:
        """Seconds until a scan that goes back is worth while, None when the last one began at the start."""
        if not self._passed_over:
            return None
        return max(0.0, min(self._next_near, self._next_far) - self._machine.monotonic())


def _later(one: K, other: K) -> K:
    return max(other, one)  # keys of one queue are of one type
