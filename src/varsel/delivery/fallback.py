"""The other channel, for orders that ask for it (`fallbackOnFailure`; docs/reference/delivery.md 3.7).

What it would send is planned with the order, by what the registers hold then, and kept in reserve. It takes over in the
transaction that ends the last message of the chosen channel, if all of them have failed for certain; so it is sent at
most once, and the order stays open meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from varsel.delivery.model import DueOrder, Kind, Planned
from varsel.delivery.store import in_groups
from varsel.delivery.window import Window, expiry
from varsel.store import queries, states
from varsel.store.content import OrderContent
from varsel.store.database import Connection

_sql = queries.load("varsel.delivery")

_OTHER: Final[dict[Kind, Kind]] = {"Email": "Sms", "Sms": "Email"}


def other_way(order: DueOrder, content: OrderContent, rows: Sequence[Planned]) -> DueOrder | None:
    """The order as it would go over the other channel; None where it does not ask for it, or there is nothing to change to.

    An order that goes over both channels already, whether by its scheme or because an organization has its addresses on
    one and a user on the other, has no other channel.
    """
    used = {row.channel for row in rows if row.status == states.NEW}
    if not content.fallback_on_failure or len(used) != 1:
        return None
    other = _OTHER[used.pop()]
    text = content.sms if other == "Sms" else content.email
    return None if text is None else replace(order, channel=other)


async def keep_in_reserve(connection: Connection, rows: Sequence[Planned]) -> None:
    """Store what takes over if everything fails; rows that have no address are left out."""
    rows = [row for row in rows if row.status == states.NEW]
    for group in in_groups(rows):
        await connection.execute(
            _sql.keep_in_reserve,
            [row.order_id for row in group],
            [row.id for row in group],
            [row.creator for row in group],
            [row.channel for row in group],
            [row.position for row in group],
            [row.recipient_kind for row in group],
            [row.recipient for row in group],
            [row.recipient_key for row in group],
            [row.address for row in group],
            [row.custom_subject for row in group],
            [row.custom_body for row in group],
            [row.sms_parts for row in group],
            [row.body_length for row in group],
            [row.domain for row in group],
            [row.daytime for row in group],
        )


async def fall_back(
    connection: Connection, order_ids: Sequence[UUID], now: datetime, window: Window
) -> frozenset[UUID]:
    """Of orders whose messages have all ended, and whose rows are locked: those whose reserve takes over now."""
    kept = [row[0] for row in await connection.fetch(_sql.orders_in_reserve, order_ids)] if order_ids else []
    if not kept:
        return frozenset()
    rows = await connection.fetch(
        _sql.fall_back,
        kept,
        now,
        window.opening(now),
        expiry(window, daytime=False, requested_at=now),
        expiry(window, daytime=True, requested_at=now),
    )
    return frozenset(row[0] for row in rows)
