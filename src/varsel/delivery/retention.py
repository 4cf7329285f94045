"""Forgetting: texts, identities, feed entries and raw reports, each after its time (design 4.1, privacy at rest).

Walks by the end of orders and remembers how far it came, so that nothing is looked at twice; a few thousand rows a
transaction, one worker at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Connection, Database
from varsel.store.partitions import month_start, monthly_name

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

BATCH: Final = 2000
FEED_BATCH: Final = 10_000
_TICK: Final = timedelta(microseconds=1)


class Retention:
    """One round at a time; any number of workers may try, one does it."""

    def __init__(self, database: Database, calendar: Calendar, machine: Machine, settings: Settings) -> None:
        self._database = database
        self._calendar = calendar
        self._machine = machine
        self._texts = timedelta(days=settings.keep_text_days)
        self._identities = timedelta(days=settings.keep_identity_days)
        self._feed = timedelta(days=settings.keep_feed_days)

    async def run(self) -> None:
        """Forget everything whose time is over."""
        now = self._calendar.now()
        for what, keep, sql in (
            ("texts", self._texts, _sql.forget_texts),
            ("identities", self._identities, _sql.forget_identities),
        ):
            while await self._forget(what, now - keep, sql):
                pass
        while len(await self._database.fetch(_sql.forget_feed, now - self._feed, FEED_BATCH)) == FEED_BATCH:
            pass
        await self._database.fetch(_sql.forget_dead_reports, self._identities)
        await self._database.execute(_sql.fold_sums, (now - timedelta(days=2)).date())
        await self._database.execute(_sql.forget_budgets)
        await self._drop_reports()

    async def _forget(self, what: str, until: datetime, sql: str) -> bool:
        """One batch of orders that ended up to `until`; whether there may be more."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_sql.lead_retention):
                return False
            await connection.execute(_sql.plan_facts)
            place = await connection.fetchval(_sql.retention_place, what)
            if place is None:
                first = await connection.fetchval(_sql.first_end)
                if first is None:
                    return False
                place = first - _TICK
            rows = await connection.fetch(_sql.ended_orders, place, until, BATCH)
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
            await connection.execute(_sql.keep_retention_place, what, last)
        log.info("forgotten", action="delivery.retention", what=what, orders=len(ids))
        return more

    async def _of_moment(self, connection: Connection, moment: datetime) -> list[UUID]:
        rows = await connection.fetch(_sql.ended_orders, moment - _TICK, moment, 10**9)
        return [row["id"] for row in rows]

    async def _drop_reports(self) -> None:
        """Raw reports name numbers: whole months go once they are over and old enough, by the machine's clock."""
        now = datetime.fromtimestamp(self._machine.time(), UTC)
        oldest = monthly_name("report", month_start(now - self._identities))
        for row in await self._database.fetch(_sql.old_report_partitions):
            name: str = row["relname"]
            if name >= oldest:
                continue
            try:
                async with self._database.transaction() as connection:
                    # Dropping locks the whole table; who waits for that lock makes everybody else wait behind.
                    await connection.execute("set local lock_timeout = '200ms'")
                    await connection.execute(f'drop table "{name}"')
            except asyncpg.LockNotAvailableError:
                log.info(
                    "a month of raw reports is in use; next time", action="delivery.retention", what=name
                )
            else:
                log.info("a month of raw reports is forgotten", action="delivery.retention", what=name)
