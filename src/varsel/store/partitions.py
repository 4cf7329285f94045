"""Partitions of the facts: one a month by UUIDv7, and the feed by number.

A month lies ready long before its first row; `ensure_partitions` is called at every migration and once an hour by the worker.

A partition is made as a table of its own and then attached. `create table … partition of` would lock the whole table against
everybody: behind one long transaction elsewhere (a dump, say) it would wait, and all orders and all sending behind it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from varsel.store.database import Connection
from varsel.store.ids import floor_of

#: Facts that lie in the month of their order, and go with it.
OF_ORDERS: Final = ("order_content", "notification", "attempt", "notification_log")
#: Partitioned by the UUIDv7 in their first key column.
MONTHLY: Final = ("orders", *OF_ORDERS, "report", "audit_event")
#: Rows that are updated in place keep room for it on their page (HOT updates).
_FILLFACTOR = {"orders": 80, "notification": 80}
MONTHS_AHEAD: Final = 3
FEED_BLOCK: Final = 5_000_000
FEED_BLOCKS_AHEAD: Final = 2
_MAKING: Final = 6218734502  # advisory lock of whoever makes partitions


def month_start(moment: datetime, offset: int = 0) -> datetime:
    months = moment.year * 12 + moment.month - 1 + offset
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def monthly_name(table: str, start: datetime) -> str:
    return f"{table}_{start:%Y_%m}"


def wanted(now: datetime, feed_last: int) -> list[tuple[str, tuple[str, str]]]:
    """(name, statements) of every partition that should exist; pure."""
    found = []
    for table in MONTHLY:
        for offset in range(-1, MONTHS_AHEAD + 1):
            start, end = month_start(now, offset), month_start(now, offset + 1)
            bounds = f"from ('{floor_of(start)}') to ('{floor_of(end)}')"
            found.append(_partition(table, monthly_name(table, start), bounds))
    block = feed_last // FEED_BLOCK
    for number in range(block, block + FEED_BLOCKS_AHEAD + 1):
        bounds = f"from ({number * FEED_BLOCK}) to ({(number + 1) * FEED_BLOCK})"
        found.append(_partition("feed", f"feed_{number:06d}", bounds))
    return found


def _partition(table: str, name: str, bounds: str) -> tuple[str, tuple[str, str]]:
    storage = f" with (fillfactor = {_FILLFACTOR[table]})" if table in _FILLFACTOR else ""
    return name, (
        f"create table {name} (like {table} including all excluding identity){storage}",
        f"alter table {table} attach partition {name} for values {bounds}",
    )


async def ensure_partitions(connection: Connection | Any) -> list[str]:
    """Make what is missing; the names of what was made. Nobody who reads or writes waits for it (see above).

    The connection is in no transaction: each partition is one, so that no lock is held longer than it takes.
    """
    now = await connection.fetchval("select clock_timestamp()")
    last = await connection.fetchval("select last from feed_counter")
    partitions = wanted(now, last)
    names = [name for name, _ in partitions]
    present = {
        row[0]
        for row in await connection.fetch("select relname from pg_class where relname = any($1)", names)
    }
    made: list[str] = []
    for name, statements in partitions:
        if name in present:
            continue
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _MAKING)
            if await connection.fetchval("select to_regclass($1) is not null", name):
                continue  # by somebody else meanwhile
            for statement in statements:
                await connection.execute(statement)
        made.append(name)
    return made
