"""Reads stay flat: a lookup by id reads one month, a feed page only its creator's entries, a reference goes by its index.

The plans are the generic ones, which a server settles on; sequential scans are made dear, so that small tables show what large ones do.
"""

from __future__ import annotations

import pytest

from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import uuid7

_review = queries.load("varsel.review")
_store = queries.load("varsel.store")

MONTHS = 5  # partitions of each monthly table in a fresh database


async def plan(database: Database, sql: str, types: str, arguments: str) -> str:
    async with database.transaction() as connection:
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        await connection.execute("set local enable_seqscan = off")
        await connection.execute(f"prepare asked ({types}) as {sql}")
        rows = await connection.fetch(f"explain (analyze, costs off, timing off) execute asked({arguments})")
        await connection.execute("deallocate asked")
    return "\n".join(row[0] for row in rows)


BY_ID = [
    ("order_status", _store.order_status, "uuid, text, integer", 3),
    ("order_by_id", _review.order_by_id, "uuid, text", 2),
    ("order_line", _review.order_line, "uuid, text", 1),
    ("results", _review.results, "uuid, text", 1),
    ("shipment_order", _review.shipment_order, "uuid, text", 1),
    ("shipment_recipients", _review.shipment_recipients, "uuid", 1),
]


@pytest.mark.parametrize(("name", "sql", "types", "tables"), BY_ID, ids=[row[0] for row in BY_ID])
async def test_a_lookup_by_id_reads_one_month(
    database: Database, name: str, sql: str, types: str, tables: int
) -> None:
    arguments = f"'{uuid7()}', 'ttd', 100000".split(", ")
    shown = await plan(database, sql, types, ", ".join(arguments[: types.count(",") + 1]))
    assert shown.count(f"Subplans Removed: {MONTHS - 1}") == tables, f"{name}\n{shown}"
    assert "Seq Scan" not in shown


@pytest.mark.parametrize("name", ["feed_up", "feed_down"])
async def test_a_feed_page_reads_its_creators_entries_alone(database: Database, name: str) -> None:
    shown = await plan(database, getattr(_review, name), "text, bigint, int, int", "'ttd', 100, 500, 1000")
    scans = [line for line in shown.splitlines() if "Index Cond" in line]
    assert scans
    assert all("creator = $1" in line and "seq" in line for line in scans), shown
    assert all("before" in line for line in shown.splitlines() if "Filter:" in line), shown
    assert "Sort" not in shown


async def test_a_reference_is_found_by_its_hash(database: Database) -> None:
    shown = await plan(database, _review.orders_by_reference, "text, text", "'ttd', 'ref'")
    found = [line for line in shown.splitlines() if "Index Cond" in line and "hashtextextended" in line]
    assert len(found) >= MONTHS, shown


async def test_a_search_goes_by_recipient(database: Database) -> None:
    key, last = r"'\x00'", "'ffffffff-ffff-7000-8000-000000000000'"
    shown = await plan(
        database,
        _review.support_search,
        "bytea, text, timestamptz, timestamptz, uuid",
        f"{key}, 'person', '2031-01-01', '2031-02-01', {last}",
    )
    assert shown.count("recipient_key = $1") >= MONTHS, shown


async def test_a_log_goes_by_dialog(database: Database) -> None:
    shown = await plan(database, _review.log_of_creator, "text, text[], text", "'ttd', '{a,b}', null")
    assert shown.count("dialog_id = ANY ($2)") >= MONTHS, shown
    shown = await plan(database, _review.log_of_creator_by_transmission, "text, text", "'ttd', 't'")
    assert shown.count("transmission_id = $2") >= MONTHS, shown
