"""Where an order and its messages stand."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from varsel.review.wire import Shipment, ShipmentRecipient
from varsel.runtime.times import wire_time
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.long_texts import as_written, laid_out
from varsel.store.states import ORDER_LIFECYCLE, lifecycle

_sql = queries.load("varsel.review")
#: Octets of a recipient's line beside its address, about.
_LINE: Final = 150


async def shipment(database: Database, order_id: UUID, creator: str) -> bytes | None:
    """The answer of 2.15, the delivery manifest of a creator's order; None when it has no such order."""
    async with database.connection() as connection:
        order = await connection.fetchrow(_sql.shipment_order, order_id, creator)
        if order is None:
            return None
        rows = await connection.fetch(_sql.shipment_recipients, order_id)
    found = Shipment(
        shipment_id=str(order["id"]),
        senders_reference=as_written(order["senders_reference"]),
        type=order["kind"],
        status=ORDER_LIFECYCLE[order["state"]],
        last_update=wire_time(order["updated_at"]),
        recipients=[
            ShipmentRecipient(
                type="SMS" if row["channel"] == "Sms" else "Email",
                destination=as_written(row["address"]),
                status=lifecycle(row["channel"], row["status"]),
                last_update=wire_time(row["status_at"]),
            )
            for row in rows
        ],
    )
    return await laid_out(found, sum(_LINE + len(row["address"]) for row in rows))
