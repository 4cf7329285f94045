"""Forgetting: texts, identities, feed entries and at last whole months, each after its time (design 4.1, privacy at rest).

Walks by the end of orders and remembers how far it came, so that nothing is looked at twice; some thousand rows a
transaction, one worker at a time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from varsel.delivery.months import Months, days
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Connection, Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

BATCH: Final = 10_000
FEED_BATCH: Final = 10_000
_TICK: Final = timedelta(microseconds=1)


class Retention:
    """One round at a time; any number of workers may try, one does it."""

    def __init__(self, database: Database, calendar: Calendar, machine: Machine, settings: Settings) -> None:
        self._database = database
        self._calendar = calendar
        self._months = Months(database, calendar, machine, settings)
        self._texts = days(settings.keep_text_days)
        self._identities = days(settings.keep_identity_days)
        self._feed = days(settings.keep_feed_days)

    async def run(self) -> None:
        """Forget everything whose time is over."""
        now = self._calendar.now()
        # What was ordered holds both: the first to go is taken out of it, and with the second it goes itself.
        texts = _sql.content_without_texts if self._texts < self._identities else _sql.forget_content
        people = _sql.content_without_recipients if self._identities < self._texts else _sql.forget_content
        for what, keep, sql, content in (
            ("texts", self._texts, _sql.forget_texts, texts),
            ("identities", self._identities, _sql.forget_identities, people),
        ):
            while await self._forget(what, now, keep, sql, content):
                pass
        while len(await self._database.fetch(_sql.forget_feed, now - self._feed, FEED_BATCH)) == FEED_BATCH:
            pass
        await self._database.fetch(_sql.forget_dead_reports, self._identities)
        await self._database.execute(_sql.fold_sums, (now - timedelta(days=2)).date())
        await self._database.execute(_sql.forget_budgets)
        await self._months.drop()

    async def _forget(self, what: str, now: datetime, keep: timedelta, sql: str, content: str) -> bool:
        """One batch of orders that ended up to `keep` ago: `sql` for their messages, `content` for what was ordered. Whether there
        may be more.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_sql.lead_retention):
                return False
            await connection.execute(_sql.plan_facts)
            place = await connection.fetchval(_sql.retention_place, what)
            if place is None or place > now:  # nothing yet, or the calendar was taken back
                first = await connection.fetchval(_sql.first_end, now - keep)
                if first is None:
                    return False
                place = first - _TICK
                # No end comes before it any more: it need not be looked for again.
                await connection.execute(_sql.keep_retention_place, what, place)
            rows = await connection.fetch(_sql.ended_orders, place, now - keep, BATCH)
            if not rows:
                return False
            ids: list[UUID] = [row["id"] for row in rows]
            # Orders that ended together may lie on both sides of the batch's edge: the last moment is left for the next one,
            # unless the batch holds nothing else.
            last: datetime = rows[-1]["ended_at"]
            more = len(rows) == BATCH
            if more and rows[0]["ended_at"] < last:
                ids = [row["id"] for row in rows if row["ended_at"] < last]
                last -= _TICK
            elif more:
                ids = await self._of_moment(connection, last)
            await connection.execute(sql, ids)
            try:
                async with connection.transaction():
                    await connection.execute(content, ids)
            except asyncpg.DataError:  # one that cannot be read must not keep the others
                await connection.execute(_sql.forget_content, ids)
            await connection.execute(_sql.keep_retention_place, what, last)
        log.info("forgotten", action="delivery.retention", what=what, orders=len(ids))
        return more

    async def _of_moment(self, connection: Connection, moment: datetime) -> list[UUID]:
        rows = await connection.fetch(_sql.ended_orders, moment - _TICK, moment, 10**9)
        return [row["id"] for row in rows]
