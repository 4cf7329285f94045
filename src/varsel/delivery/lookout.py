"""The net below the wake-ups: once a second or so, what waits in the queues and which deadlines are over.

Like the scans of the queues (`varsel.delivery.lowwater`) a look does not walk over what left them long ago: it begins where
everything was seen to be done some seconds earlier, and from the start as often as that is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from varsel.delivery.lowwater import Trail, pause_after
from varsel.delivery.model import Kind
from varsel.runtime.clock import Machine
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY: Final = UUID(int=0)
_PAUSE: Final = 1.0  # seconds between two looks
_COSTLY_PAUSE: Final = 5.0  # and at most, whatever they cost
_MOST_PAUSE: Final = 60.0  # seconds between two looks from the start, whatever they cost


@dataclass(frozen=True, slots=True)
class Places:
    """Where the scans of the queues have come to: nothing that still waits is expected before."""

    due: datetime
    feed: int
    report: UUID
    awaiting: datetime
    ready: Sequence[tuple[Kind, int, datetime]]


class Lookout:
    """Looks for what waits, and remembers since when there was nothing."""

    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine
        self._next_far = 0.0
        self._pause = _PAUSE
        self._leases: Trail[datetime] = Trail(machine, _EPOCH)  # clock of the database
        self._lives: Trail[datetime] = Trail(machine, _EPOCH)  # calendar
        self._open: Trail[UUID] = Trail(machine, _NOBODY)

    @property
    def pause(self) -> float:
        """Seconds until the next look is worth while."""
        return self._pause

    def reset(self) -> None:
        """The calendar was moved back."""
        self._next_far = 0.0
        self._lives.forget()

    async def look(self, now: datetime, silence: timedelta, held_until: datetime, places: Places) -> Any:
        """The row of `look_around`: `lanes` holds numbers (from 1) in `places.ready`, all else is named after what waits."""
        begun = self._machine.monotonic()
        far = begun >= self._next_far
        found = await self._database.fetchrow(
            _sql.look_around,
            now,
            silence,
            held_until,
            _EPOCH if far else places.due,
            0 if far else places.feed,
            _NOBODY if far else places.report,
            _EPOCH if far else self._leases.past,
            _EPOCH if far else self._lives.past,
            _EPOCH if far else places.awaiting,
            _NOBODY if far else self._open.past,
            [channel for channel, _, _ in places.ready],
            [lane for _, lane, _ in places.ready],
            [_EPOCH if far else place for _, _, place in places.ready],
        )
        assert found is not None
        ended = self._machine.monotonic()
        if far:
            self._next_far = ended + pause_after(ended - begun, _MOST_PAUSE, least=0.0)
        self._pause = pause_after(ended - begun, _COSTLY_PAUSE, least=_PAUSE)
        if not (found["lapsed_due"] or found["lapsed_ready"] or found["given_up"]):
            self._leases.note(found["at"])
        if not found["expired"]:
            self._lives.note(now)
        if found["first_open"] is not None:
            self._open.note(found["first_open"])
        return found
