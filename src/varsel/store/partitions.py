"""Partitions of the facts: one a month by UUIDv7, and the feed by number.

A month lies ready long before its first row; `ensure_partitions` is called at every migration and once an hour by the worker.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from varsel.store.database import Connection
from varsel.store.ids import floor_of, milliseconds_of

#: Partitioned by the UUIDv7 in their first key column.
MONTHLY: Final = (
    "orders",
    "order_content",
    "notification",
    "attempt",
    "notification_log",
    "report",
    "audit_event",
)
#: Rows that are updated in place keep room for it on their page (HOT updates).
_FILLFACTOR = {"orders": 80, "notification": 80}
MONTHS_AHEAD: Final = 3
FEED_BLOCK: Final = 5_000_000
FEED_BLOCKS_AHEAD: Final = 2


def month_start(moment: datetime, offset: int = 0) -> datetime:
    months = moment.year * 12 + moment.month - 1 + offset
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def monthly_name(table: str, start: datetime) -> str:
    return f"{table}_{start:%Y_%m}"


def month_of(identifier: UUID) -> datetime:
    """The month whose partition holds this id."""
    return month_start(datetime.fromtimestamp(milliseconds_of(identifier) / 1000, UTC))


def statements(now: datetime, feed_last: int) -> list[tuple[str, str]]:
    """(partition name, DDL) of every partition that should exist; pure."""
    wanted = []
    for table in MONTHLY:
        for offset in range(-1, MONTHS_AHEAD + 1):
            start, end = month_start(now, offset), month_start(now, offset + 1)
            name = monthly_name(table, start)
            storage = f" with (fillfactor = {_FILLFACTOR[table]})" if table in _FILLFACTOR else ""
            wanted.append(
                (
                    name,
                    f"create table if not exists {name} partition of {table} "
                    f"for values from ('{floor_of(start)}') to ('{floor_of(end)}'){storage}",
                )
            )
    block = feed_last // FEED_BLOCK
    for number in range(block, block + FEED_BLOCKS_AHEAD + 1):
        name = f"feed_{number:06d}"
        wanted.append(
            (
                name,
                f"create table if not exists {name} partition of feed "
                f"for values from ({number * FEED_BLOCK}) to ({(number + 1) * FEED_BLOCK})",
            )
        )
    return wanted


async def ensure_partitions(connection: Connection | Any) -> list[str]:
    """Make what is missing; the names of what was made. One short lock per new partition, none when nothing is missing."""
    now = await connection.fetchval("select clock_timestamp()")
    last = await connection.fetchval("select last from feed_counter")
    wanted = statements(now, last)
    names = [name for name, _ in wanted]
    present = {
        row[0]
        for row in await connection.fetch("select relname from pg_class where relname = any($1)", names)
    }
    missing = [(name, ddl) for name, ddl in wanted if name not in present]
    for _, ddl in missing:
        await connection.execute(ddl)
    return [name for name, _ in missing]
