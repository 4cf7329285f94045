"""The two clocks of Varsel.

The *calendar* rules send times, windows, reminders, expiry and retention; in a sandbox it can be moved, and its shift lives in
the database. The *machine* clock never moves: tokens, leases, replay memory, rate limits, timeouts and signatures go by it.
Both are arguments everywhere; nothing else in Varsel asks the operating system for the time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Calendar(Protocol):
    """What day and time it is for orders and messages; always aware, always UTC."""

    def now(self) -> datetime: ...


class Machine(Protocol):
    """The clock of this machine."""

    def time(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never steps back."""
        ...


class SystemMachine:
    """The operating system's clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class ShiftedCalendar:
    """A calendar that runs with the machine, moved by `shift` (zero outside a sandbox)."""

    def __init__(self, machine: Machine, shift: timedelta = timedelta(0)) -> None:
        self._machine = machine
        self.shift = shift

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC) + self.shift


class ManualClock:
    """Both clocks under a test's hand: time passes only in `advance`."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._passed = 0.0

    def now(self) -> datetime:
        return self._now

    def time(self) -> float:
        return self._now.timestamp()

    def monotonic(self) -> float:
        return self._passed

    def advance(self, by: timedelta) -> None:
        self._now += by
        self._passed += by.total_seconds()
