"""Two triggers that schedulers of the public API call (docs/reference/notifications-api.md 2.22).

Workers look by themselves, many times a second; a trigger answers when what was due as it came has been taken up.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from varsel.delivery.reaper import Reaper
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.endpoints import Call, Reply, trigger
from varsel.runtime.errors import BodyProblem
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

_TEXT: Final = b"text/plain; charset=utf-8"
#: Seconds that a call waits for the workers at most (2.22), and without one order less than before.
LONGEST: Final = 60.0
PATIENCE: Final = 2.0
_PAUSE: Final = 0.05
#: Waiting orders are counted up to here.
_MANY: Final = 10_000


ENDPOINTS: Final = (
    trigger(
        "pastdueorders",
        "process_due",
        "Process due orders",
        "Wakes the workers and answers when they have taken up every order that was due; after a minute, or when none of them takes "
        "any, it answers all the same.",
    ),
    trigger(
        "terminateexpirednotifications",
        "end_expired",
        "End expired notifications",
        "Ends messages whose last word has not come in time, and those that were not sent in theirs; orders that are complete thereby "
        "are fed. Workers do the same by themselves every second.",
    ),
)


class TriggerRoutes:
    """Answers of the endpoints above."""

    def __init__(self, settings: Settings, database: Database, calendar: Calendar, machine: Machine) -> None:
        self._settings = settings
        self._database = database
        self._calendar = calendar
        self._machine = machine

    async def process_due(self, call: Call) -> Reply:
        try:
            await self._process_due()
        except Exception:
            log.exception("due orders could not be processed", action="delivery.trigger_failed")
            raise BodyProblem(500, b"Due orders could not be processed.", _TEXT) from None
        return Reply(200, content_type=None)

    async def _process_due(self) -> None:
        self._database.wake("due")
        moment = self._calendar.now()
        begun = moved = self._machine.monotonic()
        least: int | None = None
        while True:
            waiting = await self._database.fetchval(_sql.waiting_due, moment, _MANY)
            now = self._machine.monotonic()
            if least is None or waiting < least:
                least, moved = waiting, now
            if not waiting or now - moved > PATIENCE or now - begun > LONGEST:
                return
            await asyncio.sleep(_PAUSE)

    async def end_expired(self, call: Call) -> Reply:
        # One of its own for each call: it begins at the oldest, wherever others are.
        reaper = Reaper(
            self._database,
            self._calendar,
            self._machine,
            self._settings,
            finished=lambda _: self._database.wake("feed"),
            ready=lambda: self._database.wake("ready"),
        )
        begun = self._machine.monotonic()
        try:
            for work in (reaper.expire, reaper.end_awaited):
                while await work() and self._machine.monotonic() - begun < LONGEST:
                    pass
        except Exception:
            log.exception("expired messages could not be ended", action="delivery.trigger_failed")
            raise BodyProblem(500, b"Expired notifications could not be ended.", _TEXT) from None
        return Reply(200, content_type=None)
