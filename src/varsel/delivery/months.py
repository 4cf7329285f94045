"""Whole months of facts go when their time is over (docs/decisions/0011-months-that-go.md).

A month of orders goes as its partition, and the partitions of what belongs to them after it: no row is deleted, and nothing grows with
what there once was. It stays as long as one order in it lives or ended too short a while ago, whatever else lies in it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Connection, Database
from varsel.store.ids import milliseconds_of
from varsel.store.partitions import MONTHLY, OF_ORDERS, month_start

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

#: Seconds that the largest month may take to be read through.
LIMIT: Final = 900.0
#: Seconds after which a transaction that still holds a table is a long one.
MOMENT: Final = 0.2
BATCH: Final = 10_000
#: More days than that count as so many: beyond lie no dates.
_MOST_DAYS: Final = 700_000
_BOUNDS: Final = re.compile(r"FOR VALUES FROM \('?([0-9a-f-]+)'?\) TO \('?([0-9a-f-]+)'?\)")


def days(number: int) -> timedelta:
    """So many days, as far as there are dates."""
    return timedelta(days=min(number, _MOST_DAYS))


@dataclass(frozen=True, slots=True)
class Month:
    """The partition of one table for one month: ids from `lower` on, below `upper`."""

    table: str
    name: str
    lower: UUID
    upper: UUID

    @property
    def end(self) -> datetime:
        """Machine clock: when the month was over."""
        return datetime.fromtimestamp(milliseconds_of(self.upper) / 1000, UTC)


class Months:
    """Drops what may go. Any number of workers may try; nobody who reads or writes waits for it."""

    def __init__(self, database: Database, calendar: Calendar, machine: Machine, settings: Settings) -> None:
        self._database = database
        self._calendar = calendar
        self._machine = machine
        self._orders = days(settings.keep_order_days)
        #: By the machine's clock, which dates them. Raw reports name numbers.
        self._by_machine = {
            "report": days(settings.keep_identity_days),
            "audit_event": days(settings.keep_audit_days) or None,
        }
        self._said: set[tuple[str, str]] = set()

    async def drop(self) -> None:
        """Drop every month whose time is over, and blocks of the feed that are empty."""
        now = datetime.fromtimestamp(self._machine.time(), UTC)
        # Rows still come into this month, and partitions are made from the one before it on.
        over = [month for month in await self._months(MONTHLY) if month.end <= month_start(now, -1)]
        for month in over:
            keep = self._by_machine.get(month.table)
            if keep is not None and month.end <= now - keep:
                await self._drop(month)
        for month in over:
            if month.table == "orders" and self._orders and await self._may_go(month):
                await self._drop_orders(month)
        await self._drop_children(month for month in over if month.table in OF_ORDERS)
        await self._drop_feed()

    async def _months(self, tables: Iterable[str]) -> list[Month]:
        found = []
        for row in await self._database.fetch(_sql.monthly_partitions, list(tables)):
            bounds = _BOUNDS.fullmatch(row["bounds"] or "")
            if bounds is not None:
                found.append(Month(row["parent"], row["name"], UUID(bounds[1]), UUID(bounds[2])))
        return found

    # -- orders ----------------------------------------------------------------------------------------------------

    async def _may_go(self, month: Month) -> bool:
        """Whether every order of a month ended long enough ago. Its orders are read through once, and before it goes."""
        until = self._calendar.now() - self._orders
        if month.end > until:
            return False
        known = await self._database.fetchval(_sql.known_month_end, month.name)
        if known is not None and known > until:
            return False
        if await self._database.fetchval(_sql.month_waits, month.lower, month.upper):
            self._say(month, "something of it waits")
            return False
        async with self._database.transaction() as connection:
            await connection.execute(_sql.plan_facts)
            row = await connection.fetchrow(_sql.month_end, month.lower, month.upper, timeout=LIMIT)
        assert row is not None
        if row["living"]:
            # In nobody's hands, or the queues would have told: every order ends (promise 2), so this is a fault.
            log.warning("an order in no queue has not ended", action="delivery.month_kept", what=month.name)
            return False
        if row["ended"] is not None and row["ended"] > until:
            await self._database.execute(_sql.keep_retention_place, month.name, row["ended"])
            self._say(month, "an order of it ended too short a while ago")
            return False
        return True

    def _say(self, month: Month, why: str) -> None:
        if (month.name, why) not in self._said:
            self._said.add((month.name, why))
            log.info("an old month is kept", action="delivery.month_kept", what=month.name, why=why)

    async def _drop_orders(self, month: Month) -> None:
        place = month.lower
        # Before the orders, so that a round that is cut short here is taken up again by the next one.
        while (last := await self._database.fetchval(_sql.forget_fed, place, month.upper, BATCH)) is not None:
            place = last

        async def add_up(connection: Connection) -> None:
            await connection.execute(_sql.plan_facts)
            await connection.execute(_sql.sum_month, month.lower, month.upper, timeout=LIMIT)
            await connection.execute(_sql.forget_month_end, month.name)

        await self._drop(month, add_up)

    async def _drop_children(self, months: Iterable[Month]) -> None:
        """What belonged to orders that are gone, in this round or in one that was cut short."""
        orders = {month.lower for month in await self._months(["orders"])}
        for month in months:
            if month.lower in orders:
                continue
            # Somebody who takes a month off to keep it elsewhere begins with its orders, and wants the rest too.
            aside = "orders" + month.name.removeprefix(month.table)
            if not await self._database.fetchval("select to_regclass($1) is not null", aside):
                await self._drop(month)

    # -- the feed --------------------------------------------------------------------------------------------------

    async def _drop_feed(self) -> None:
        """Blocks that were filled and have been emptied, the oldest first."""
        last = await self._database.fetchval(_sql.last_fed)
        for row in await self._database.fetch(_sql.monthly_partitions, ["feed"]):
            bounds = _BOUNDS.fullmatch(row["bounds"] or "")
            if bounds is None or int(bounds[2]) > last:
                return
            lower, upper = int(bounds[1]), int(bounds[2])
            if await self._database.fetchval(_sql.oldest_in_block, lower, upper) is not None:
                return
            await self._drop(Month("feed", row["name"], UUID(int=lower), UUID(int=upper)))

    # -- dropping --------------------------------------------------------------------------------------------------

    async def _held(self, *tables: str) -> bool:
        """Whether somebody has held one of the tables for more than a moment, as a dump does."""

        async def holders() -> set[tuple[str, str]]:
            return {tuple(row) for row in await self._database.fetch(_sql.holders, list(tables))}

        found = await holders()
        if not found:
            return False
        await asyncio.sleep(MOMENT)
        return bool(found & await holders())

    async def _drop(self, month: Month, first: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        """Drop a partition, after `first` in the same transaction; left for the next round where it is in use.

        Dropping locks the whole table. Who waits for that lock makes everybody else wait behind, so it is not asked for while a
        long transaction holds the table, and given up after a fifth of a second.
        """
        try:
            if not await self._held(month.table, month.name):
                async with self._database.transaction() as connection:
                    if not await connection.fetchval(_sql.lead_retention):
                        return
                    if first is not None:
                        await first(connection)
                    await connection.execute("set local lock_timeout = '200ms'")
                    await connection.execute(f'drop table "{month.name}"')
                log.info("a month is gone", action="delivery.month_dropped", what=month.name)
                return
        except asyncpg.LockNotAvailableError:
            pass
        except asyncpg.UndefinedTableError:
            return  # another worker was quicker
        except asyncpg.DependentObjectsStillExistError:
            log.warning(
                "a month stays, because something in the database hangs on its table",
                action="delivery.month_held",
                what=month.name,
            )
            return
        log.info("a month is in use; next time", action="delivery.month_in_use", what=month.name)
