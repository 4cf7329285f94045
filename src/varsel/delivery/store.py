"""Writing plans: arrays in, rows out, a thousand at a time so that an order to many holds little memory and never the event loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from varsel.delivery.model import LEASE, Planned
from varsel.store import queries, states
from varsel.store.database import Connection
from varsel.store.pieces import PIECE, Value, is_large, put_pieces

_sql = queries.load("varsel.delivery")

_AT_ONCE: Final = 1000
_TEXTS: Final = ("address", "recipient", "custom_subject", "custom_body")


async def insert_plan(
    connection: Connection, plans: Sequence[tuple[UUID, list[Planned]]], now: datetime
) -> list[UUID]:
    """Store the messages of orders and move the orders on; the orders of which nothing can be sent."""
    if not plans:
        return []
    rows = [row for _, plan in plans for row in plan]
    for group in in_groups(rows):
        large: list[tuple[UUID, Value]] = []
        await _insert(connection, [_apart(row, large) for row in group], now)
        if large:
            await put_pieces(connection, [value for _, value in large])
            for order_id, message_id in {(order_id, value[0]) for order_id, value in large}:
                await connection.execute(_sql.join_message, order_id, message_id)
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


def in_groups(rows: Sequence[Planned]) -> Iterator[list[Planned]]:
    """Messages for one statement each: up to so many, and about PIECE octets of texts."""
    group: list[Planned] = []
    size = 0
    for row in rows:
        octets = _octets(row)
        if group and (len(group) == _AT_ONCE or size + octets > PIECE):
            yield group
            group, size = [], 0
        group.append(row)
        size += octets
    if group:
        yield group


def _octets(row: Planned) -> int:
    """At most so many, without those that go in pieces."""
    return 4 * sum(
        len(text)
        for text in (row.address, row.recipient, row.custom_subject, row.custom_body)
        if text is not None and not is_large(text)
    )


def _apart(row: Planned, large: list[tuple[UUID, Value]]) -> Planned:
    """The row without its large texts, which are added to `large` with the order they belong to."""
    found = [name for name in _TEXTS if is_large(getattr(row, name))]
    if not found:
        return row
    large += ((row.order_id, (row.id, name, getattr(row, name))) for name in found)
    without: dict[str, Any] = {name: "" if name == "address" else None for name in found}
    return replace(row, **without)


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
    unsendable = [row for row in rows if row.rank >= states.FINAL]
    if unsendable:
        await connection.execute(
            _sql.tell_unsendable,
            [row.order_id for row in unsendable],
            [row.id for row in unsendable],
            [row.creator for row in unsendable],
            [row.status for row in unsendable],
            now,
        )
