"""The movable calendar of a sandbox (docs: design of the two clocks in `varsel.runtime.clock`).

Its shift lives in the database, one row; a change is announced under the wake topic `clock`, and every process follows it. The
machine's clock is never touched, so tokens and leases do not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from varsel.runtime.clock import Machine, ShiftedCalendar
from varsel.runtime.errors import DatabaseUnavailable, OperatorError
from varsel.runtime.tasks import end
from varsel.store import queries
from varsel.store.database import Database, Listener

_sql = queries.load("varsel.sandbox")
log = structlog.get_logger("varsel.sandbox")

TOPIC: Final = "clock"
LOOK_EVERY: Final = 2.0  # seconds; the net below a lost announcement
LONGEST: Final = timedelta(days=366 * 50)

_DURATION = re.compile(
    r"(?:(?P<weeks>\d+)w)?(?:(?P<days>\d+)d)?(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?",
    re.ASCII,
)


class DurationError(OperatorError):
    """A duration is written like 7d, 2h30m or 90s."""


def duration(text: str) -> timedelta:
    """`7d`, `2h30m`, `90s`, `1w 2d`: whole numbers with w, d, h, m or s, in that order; more than nothing, at most 50 years."""
    found = _DURATION.fullmatch(text.strip().lower().replace(" ", ""))
    numbers = {unit: int(number) for unit, number in found.groupdict().items() if number} if found else {}
    try:
        length = timedelta(**numbers)
    except OverflowError:
        length = LONGEST + timedelta(1)
    if not length:
        raise DurationError
    if length > LONGEST:
        raise DurationError("The clock moves at most 50 years at a time.")
    return length


def spell(length: timedelta) -> str:
    """A duration as `duration` reads it, whole seconds: `7d`, `2h30m`, `0s`; a negative one with a sign in front."""
    seconds = round(length.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return sign + ("".join(parts) or "0s")


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a moved calendar has dated later than the machine's time; after a reset it lies in the future."""

    orders: int
    results: int
    messages: int

    def __bool__(self) -> bool:
        return bool(self.orders or self.results or self.messages)


async def show(database: Database) -> timedelta:
    """How far the calendar is moved."""
    shift = await database.fetchval(_sql.read_shift)
    assert isinstance(shift, timedelta)
    return shift


async def claim(database: Database, *, sandbox: bool) -> None:
    """Mark a database as that of a sandbox or of a production when nobody has; OperatorError for what may not work on it."""
    await database.execute(_sql.claim_mode, "sandbox" if sandbox else "production")
    if sandbox and await database.fetchval(_sql.read_mode) == "production":
        raise OperatorError(
            "This database belongs to a production, whose messages a sandbox would take; give the sandbox another database."
        )
    if not sandbox and await show(database):
        raise OperatorError(
            "This database belongs to a sandbox whose calendar was moved; production never runs on it."
        )


async def advance(database: Database, by: timedelta) -> timedelta:
    """Move the calendar on, for every process of this installation; the new shift.

    Closing the database afterwards sends the announcement first.
    """
    shift = await database.fetchval(_sql.advance_shift, by)
    assert isinstance(shift, timedelta)
    database.wake(TOPIC)
    return shift


async def ahead(database: Database, machine: Machine) -> Ahead:
    """What lies in the future once the calendar goes back; to be said before `reset`."""
    row = await database.fetchrow(_sql.stamped_after, datetime.fromtimestamp(machine.time(), UTC))
    assert row is not None
    return Ahead(row["orders"], row["results"], row["messages"])


async def reset(database: Database) -> None:
    """Take the calendar back to the machine's time."""
    await database.execute(_sql.reset_shift)
    database.wake(TOPIC)


class FollowedCalendar(ShiftedCalendar):
    """The calendar of one process, kept in step with the database.

    `on_change` callbacks run after the new time is in force, so loops that wait for a moment look again then.
    """

    def __init__(self, machine: Machine, database: Database) -> None:
        super().__init__(machine)
        self._database = database
        self._news = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, machine: Machine, database: Database, listener: Listener | None = None
    ) -> FollowedCalendar:
        """Read the shift and follow it. `listener` must not have been started yet; without one it looks every two seconds."""
        calendar = cls(machine, database)
        calendar.shift = await show(database)
        if listener is not None:
            listener.on(TOPIC, calendar._news.set)
        calendar._task = asyncio.get_running_loop().create_task(calendar._follow(), name="varsel-clock")
        return calendar

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback`, quick and synchronous, after each move of the calendar."""
        self._callbacks.append(callback)

    async def close(self) -> None:
        await end(self._task)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_EVERY)
            self._news.clear()
            try:
                shift = await show(self._database)
            except DatabaseUnavailable:
                continue
            if shift == self.shift:
                continue
            self.shift = shift
            log.info("the calendar was moved", action="sandbox.clock", shift=spell(shift))
            for callback in self._callbacks:
                callback()
