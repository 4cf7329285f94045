"""Cancelling orders (docs/reference/notifications-api.md 2.7; docs/design.md, "Cancel").

An order can be cancelled until its first message is handed over. A 200 means that nothing of it leaves afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from varsel.orders.wire import Reference
from varsel.runtime.errors import PlainProblem
from varsel.runtime.metrics import counter
from varsel.runtime.problems import pretty
from varsel.store.database import Connection, Database
from varsel.store.long_texts import LARGE, as_written, pretty_in_slices
from varsel.store.order_status import Identifier, OrderWithStatus, order_status
from varsel.store.queries import load
from varsel.store.states import ORDER_LIFECYCLE

_sql: Final = load("varsel.orders")
_CANCELLED: Final = "Cancelled"
_cancelled: Final = counter("orders_cancelled")
#: A worker takes the waiting row first and the order second; PostgreSQL then ends one of the two, and the cancel tries again.
_CLASHES: Final = 5
#: Octets of a shipment beside its reference, about.
_LINE: Final = 150

T = TypeVar("T")


class ChainMember(msgspec.Struct, rename="camel", omit_defaults=True):
    """One shipment of a chain after the cancel."""

    shipment_id: Identifier
    status: Annotated[str, Meta(description="Lifecycle value.", examples=["Order_Cancelled"])]
    senders_reference: Reference | None = None


class CancelledChain(msgspec.Struct, rename="camel"):
    """The chain after the cancel; members that had left, or were leaving, keep their status."""

    notification_order_id: Identifier
    shipments: Annotated[list[ChainMember], Meta(description="The main order and its reminders, in order.")]


async def cancel_order(
    database: Database, order_id: UUID, creator: str, now: datetime, base_url: str
) -> OrderWithStatus:
    """Cancel one order. PlainProblem 404 when the creator has no such order, 409 when something of it has left or it has ended."""

    async def work(connection: Connection) -> tuple[OrderWithStatus, int]:
        row = await connection.fetchrow(_sql.lock_order, order_id, creator)
        if row is None:
            raise PlainProblem(404)
        fresh = row["state"] != _CANCELLED
        if fresh and not await _cancel(connection, [order_id], now):
            raise PlainProblem(409)
        status = await order_status(connection, order_id, creator, base_url)
        assert status is not None
        return status, int(fresh)

    status, number = await _transacted(database, work)
    _cancelled.inc(number)
    return status


async def cancel_chain(database: Database, chain_id: UUID, creator: str, now: datetime) -> bytes:
    """Cancel every member of a chain that nothing has left of; 409 when that is none of them. The answer."""

    async def work(connection: Connection) -> tuple[list[Any], int]:
        rows = await connection.fetch(_sql.lock_chain, chain_id, creator)
        if not rows:
            raise PlainProblem(404)
        cancelled = await _cancel(connection, [row["id"] for row in rows], now)
        if not cancelled and all(row["state"] != _CANCELLED for row in rows):
            raise PlainProblem(409)
        members = await connection.fetch(_sql.chain_states, chain_id, creator)
        return members, cancelled

    members, number = await _transacted(database, work)
    _cancelled.inc(number)
    octets = sum(_LINE + len(row["senders_reference"] or b"") for row in members)
    if octets < LARGE:
        return pretty(_chain(chain_id, members))
    return await asyncio.to_thread(lambda: pretty_in_slices(_chain(chain_id, members)))


async def _cancel(connection: Connection, locked: Sequence[UUID], now: datetime) -> int:
    """Cancel those of the locked orders that nothing has left of; how many."""
    ids = [row["id"] for row in await connection.fetch(_sql.not_left, locked)]
    if ids:
        await connection.execute(_sql.cancel, ids, now)
    return len(ids)


def _chain(chain_id: UUID, members: Sequence[Any]) -> CancelledChain:
    return CancelledChain(
        str(chain_id),
        [
            ChainMember(str(row["id"]), ORDER_LIFECYCLE[row["state"]], as_written(row["senders_reference"]))
            for row in members
        ],
    )


async def _transacted(database: Database, work: Callable[[Connection], Awaitable[T]]) -> T:
    for _ in range(_CLASHES - 1):
        try:
            async with database.transaction() as connection:
                return await work(connection)
        except asyncpg.DeadlockDetectedError:
            continue
    async with database.transaction() as connection:
        return await work(connection)
