"""What waits, as gauges: asked of the database when somebody reads the metrics, and at most every other second."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.metrics import gauge
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

#: Rows that are counted of a queue at most: enough to see that it is long, and a few milliseconds.
MOST: Final = 100_000
#: Seconds that figures count.
FRESH: Final = 2.0
#: Seconds after which the figures are given up for this time: the page of metrics never hangs on a busy database.
PATIENCE: Final = 2.0
#: Lanes of `ready`, as the label says them.
LANES: Final = ("instant", "ordinary", "composed")

_rows = gauge("queue_rows")
_oldest = gauge("queue_oldest_seconds")
_ready_rows = gauge("ready_rows")
_ready_oldest = gauge("ready_oldest_seconds")
_feed_lag = gauge("feed_lag_seconds")


class Queues:
    """The gauges of one database. They are the same whichever process shows them."""

    def __init__(self, database: Database, calendar: Calendar, machine: Machine) -> None:
        self._database = database
        self._calendar = calendar
        self._machine = machine
        self._lock = asyncio.Lock()
        self._fresh_until = float("-inf")

    async def refresh(self) -> None:
        """Set the gauges; where the database does not answer in time they are taken off the page, which never shows old figures."""
        async with self._lock:
            if self._machine.monotonic() < self._fresh_until:
                return
            try:
                rows = await self._database.fetch_within(
                    PATIENCE, _sql.queue_figures, self._calendar.now(), MOST
                )
            except Unavailable:
                log.warning("no figures of the queues: the database is away", action="delivery.no_figures")
                for one in (_rows, _oldest, _ready_rows, _ready_oldest):
                    one.clear()
                _feed_lag.set(float("nan"))
                return
            self._fresh_until = self._machine.monotonic() + FRESH
        waiting, oldest = 0, 0.0
        for row in rows:
            age = row["age"] or 0.0
            if row["queue"] == "ready":
                _ready_rows.labels(row["channel"], LANES[row["lane"]]).set(row["number"])
                _ready_oldest.labels(row["channel"], LANES[row["lane"]]).set(age)
                waiting, oldest = waiting + row["number"], max(oldest, age)
                continue
            _rows.labels(row["queue"]).set(row["number"])
            _oldest.labels(row["queue"]).set(age)
            if row["queue"] == "feed":
                _feed_lag.set(age)
        _rows.labels("ready").set(waiting)
        _oldest.labels("ready").set(oldest)
