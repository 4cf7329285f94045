"""Where the scan of a queue goes on.

While some transaction stays open anywhere, rows that left a queue cannot be cleaned away, and a scan from the start
walks over all of them. So a scan begins behind the last row it took; what arrives before that place (an earlier time,
a commit that came late, work given back) is found by a scan from the start, allowed only as often as its measured
cost stays below a twentieth of the time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from varsel.runtime.clock import Machine

K = TypeVar("K", bound="int | tuple[datetime, UUID]")

_LEAST_PAUSE: Final = 0.1  # seconds between scans from the start
_SHARE: Final = 20.0  # a scan from the start may cost a twentieth of the time
_MOST_PAUSE: Final = 2.0  # seconds: what was passed over is found within these, whatever it costs


class LowWater(Generic[K]):
    """The place of one queue. `start` is before every key."""

    def __init__(self, machine: Machine, start: K) -> None:
        self._machine = machine
        self._start: K = start
        self._place: K = start
        self._begun = 0.0
        self._full = True
        self._next_full = 0.0
        self._missed = False

    def begin(self) -> K:
        """The place to scan from."""
        self._begun = self._machine.monotonic()
        self._full = self._begun >= self._next_full
        return self._start if self._full else self._place

    def end(self, last: K | None, *, more: bool) -> None:
        """A scan is over; `last` is the last key it took, None when it found nothing, `more` whether it took all it may."""
        now = self._machine.monotonic()
        if self._full:
            self._next_full = now + min(max(_LEAST_PAUSE, (now - self._begun) * _SHARE), _MOST_PAUSE)
        self._missed = not self._full
        if last is not None:
            self._place = last if more else _later(last, self._place)

    def reset(self) -> None:
        """Everything may have changed (a moved clock): the next scan is from the start."""
        self._next_full = 0.0

    @property
    def again_after(self) -> float | None:
        """Seconds until a scan from the start is worth while, None when the last scan was one."""
        if not self._missed:
            return None
        return max(0.0, self._next_full - self._machine.monotonic())


def _later(one: K, other: K) -> K:
    return max(other, one)  # keys of one queue are of one type
