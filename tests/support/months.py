"""A month that was, with orders in it that ended then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from varsel.store.content import EmailText, OrderContent, Recipient, encode
from varsel.store.database import Database
from varsel.store.ids import floor_of, uuid7
from varsel.store.partitions import MONTHLY, month_start, monthly_name

#: Long over by every clock.
MARCH = datetime(2020, 3, 1, tzinfo=UTC)
CONTENT = OrderContent(
    (Recipient(email="kari@example.org"),), EmailText("noreply@varsel.example", "Subject", "Body")
)


async def make_month(database: Database, start: datetime = MARCH) -> None:
    """The partitions of a month, as they were made then."""
    for table in MONTHLY:
        await database.execute(
            f"create table {monthly_name(table, start)} partition of {table} "
            f"for values from ('{floor_of(start)}') to ('{floor_of(month_start(start, 1))}')"
        )


def id_of(moment: datetime) -> UUID:
    """An id that was given at that moment."""
    return UUID(int=floor_of(moment).int | (uuid7().int & ((1 << 80) - 1)))


async def old_order(
    database: Database,
    at: datetime = MARCH + timedelta(days=9),
    *,
    ended: datetime | None = None,
    state: str = "Completed",
    creator: str = "ttd",
    requested_at: datetime | None = None,
    reference: str | None = "old",
    status: str = "Delivered",
) -> tuple[UUID, UUID]:
    """An order made at `at` with one e-mail and all that is kept of it; ids of order and message. It ended at once unless `ended`."""
    order, message = id_of(at), id_of(at)
    end = at + timedelta(minutes=1) if ended is None else ended
    await database.execute(
        "insert into orders (id, chain_id, creator, kind, channel, senders_reference, requested_at, created_at, state, state_at, ended_at) "
        "values ($1, $1, $2, 'Notification', 'Email', $3, $4, $5, $6, $7, $7)",
        order,
        creator,
        reference,
        requested_at or at,
        at,
        state,
        end,
    )
    await database.execute("insert into order_content values ($1, $2)", order, encode(CONTENT))
    await database.execute(
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address, status, "
        "rank, status_at, expires_at) values ($1, $2, $3, 'Email', 0, 'person', '12839010182', '\\x01', 'kari@example.org', $5, 40, $4, $4)",
        order,
        message,
        creator,
        end,
        status,
    )
    await database.execute(
        "insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome) "
        "values ($1, $2, $2, 1, 'smtp:mail:25', $3, $3, 'accepted')",
        order,
        message,
        end,
    )
    await database.execute(
        "insert into notification_log (order_id, notification_id, creator, dialog_id, kind, channel, recipient_kind, destination, status, "
        "requested_at, updated_at) values ($1, $2, $3, 'dialog', 'Notification', 'Email', 'person', 'kari@example.org', $5, $4, $4)",
        order,
        message,
        creator,
        end,
        status,
    )
    await database.execute("insert into fed values ($1)", order)
    await database.execute(
        "insert into provider_reference values ('dsn', $1, $2, $3)", message.hex, order, message
    )
    await database.execute(
        "insert into idempotency values ($1, 'chain', $2, $3, '\\x00', '{}', $4)",
        creator,
        order.bytes,
        order,
        at,
    )
    return order, message


async def standing(database: Database, start: datetime = MARCH) -> set[str]:
    """The tables whose partition of that month still stands."""
    names = {monthly_name(table, start): table for table in MONTHLY}
    rows = await database.fetch("select relname from pg_class where relname = any($1)", list(names))
    return {names[row[0]] for row in rows}
