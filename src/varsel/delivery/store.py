"""Writing plans: arrays in, rows out, a few thousand at a time so that an order to many holds little memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from varsel.delivery.model import LEASE, Planned
from varsel.store import queries, states
from varsel.store.database import Connection

_sql = queries.load("varsel.delivery")

_AT_ONCE: Final = 2000


async def insert_plan(
    connection: Connection, plans: Sequence[tuple[UUID, list[Planned]]], now: datetime
) -> list[UUID]:
    """Store the messages of orders and move the orders on; the orders of which nothing can be sent."""
    if not plans:
        return []
    rows = [row for _, plan in plans for row in plan]
    for start in range(0, len(rows), _AT_ONCE):
        await _insert(connection, rows[start : start + _AT_ONCE], now)
    going: list[UUID] = []
    numbers: list[int] = []
    ended: list[UUID] = []
    for order_id, plan in plans:
        remaining = sum(row.rank < states.FINAL for row in plan)
        if remaining:
            going.append(order_id)
            numbers.append(remaining)
        else:
            ended.append(order_id)
    if going:
        await connection.execute(_sql.planned, going, numbers, now)
    return ended


async def _insert(connection: Connection, rows: Sequence[Planned], now: datetime) -> None:
    await connection.execute(
        _sql.insert_messages,
        [row.order_id for row in rows],
        [row.id for row in rows],
        [row.creator for row in rows],
        [row.channel for row in rows],
        [row.position for row in rows],
        [row.recipient_kind for row in rows],
        [row.recipient for row in rows],
        [row.recipient_key for row in rows],
        [row.address for row in rows],
        [row.custom_subject for row in rows],
        [row.custom_body for row in rows],
        [row.sms_parts for row in rows],
        [row.body_length for row in rows],
        [row.status for row in rows],
        [row.rank for row in rows],
        [row.expires_at for row in rows],
        [row.lane for row in rows],
        [row.domain for row in rows],
        [row.ready_at for row in rows],
        [row.daytime for row in rows],
        [row.owner for row in rows],
        LEASE,
        now,
    )
