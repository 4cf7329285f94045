"""The sequencer: gives committed feed entries their numbers, in commit order (design 4.1, Feed).

The lock on the one row of feed_counter is the leadership, held for one short statement: whoever has it numbers what
is committed, so a number is visible only when every lower one is. Nothing waits for other open transactions.
"""

from __future__ import annotations

from typing import Final

import structlog

from varsel.delivery.lowwater import LowWater
from varsel.delivery.transact import is_poison
from varsel.runtime.clock import Machine
from varsel.runtime.metrics import counter
from varsel.runtime.steps import step
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

_numbered = counter("feed_numbered")

BATCH: Final = 2000
SKIP: Final = 1_000_000
"""After the promotion of a standby: it may have lost numbers that a reader has seen."""


class Sequencer:
    """Numbers entries; any number of them may run at once."""

    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._place: LowWater[int] = LowWater(machine, 0)
        self._aside: list[int] = []

    async def run(self) -> int:
        """Number what waits; how many entries got a number."""
        total = 0
        most = BATCH
        while True:
            place = self._place.begin()
            try:
                row = await self._database.fetchrow(_sql.number_feed, place, most, SKIP, self._aside)
            except Exception as error:
                if not is_poison(error):
                    raise
                # One entry spoils the batch: smaller ones, until it stands alone and is left behind.
                most = max(1, most // 8) if most > 1 else await self._leave_behind(place, error)
                continue
            assert row is not None
            if not row[
                "led"
            ]:  # another sequencer numbers right now, what it does not see comes with the next run
                return total
            self._place.end(row["mark"], more=row["number"] == most)
            if not row["number"]:
                break
            step("feed.numbered")
            _numbered.inc(row["number"])
            total += row["number"]
            if row["number"] < most:
                break
        if total:
            self._database.wake("feed")  # readers that wait for news
        return total

    async def _leave_behind(self, place: int, error: Exception) -> int:
        """The others go on; a restarted worker tries it again."""
        row = await self._database.fetchrow(_sql.first_pending, place, self._aside)
        if row is not None:
            self._aside.append(row["mark"])
            log.error(
                "a feed entry cannot be numbered and is left behind",
                action="delivery.feed_poison",
                order=str(row["order_id"]),
                error=type(error).__name__,
            )
        return BATCH

    @property
    def past(self) -> int:
        """Entries before this mark were numbered, but for those that were committed late."""
        return self._place.past

    @property
    def again_after(self) -> float | None:
        """Seconds until entries that were committed late are looked for, None when nothing can have been passed."""
        return self._place.again_after
