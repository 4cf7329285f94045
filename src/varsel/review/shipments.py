"""Where an order and its messages stand."""

from __future__ import annotations

from uuid import UUID

from varsel.review.wire import Shipment, ShipmentRecipient
from varsel.runtime.times import wire_time
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.states import ORDER_LIFECYCLE, lifecycle

_sql = queries.load("varsel.review")


async def shipment(database: Database, order_id: UUID, creator: str) -> Shipment | None:
    """The delivery manifest of a creator's order; None when it has no such order."""
    async with database.connection() as connection:
        order = await connection.fetchrow(_sql.shipment_order, order_id, creator)
        if order is None:
            return None
        rows = await connection.fetch(_sql.shipment_recipients, order_id)
    return Shipment(
        shipment_id=str(order["id"]),
        senders_reference=order["senders_reference"],
        type=order["kind"],
        status=ORDER_LIFECYCLE[order["state"]],
        last_update=wire_time(order["updated_at"]),
        recipients=[
            ShipmentRecipient(
                type="SMS" if row["channel"] == "Sms" else "Email",
                destination=row["address"],
                status=lifecycle(row["channel"], row["status"]),
                last_update=wire_time(row["status_at"]),
            )
            for row in rows
        ],
    )
