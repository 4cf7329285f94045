"""Orders with values that are too large for one message: stored without them, which then come in pieces in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from uuid import UUID

from msgspec import structs

from varsel.orders.model import Key, NewOrder
from varsel.store.database import Connection
from varsel.store.pieces import PIECE, Value, is_large, put_pieces
from varsel.store.queries import load

_sql: Final = load("varsel.orders")

_TEXTS: Final = ("senders_reference", "resource_id", "resource_action", "dialog_id", "transmission_id")
#: name of a value -> the statement that joins it; any other is a text of the order.
_JOINS: Final = {"content": _sql.join_content, "receipt": _sql.join_receipt, "address": _sql.join_address}


def apart(order: NewOrder, large: list[Value]) -> NewOrder:
    """The order without its large values, which are added to `large`."""
    changes: dict[str, bytes | None] = {}
    for name in _TEXTS:
        if is_large(value := getattr(order, name)):
            large.append((order.id, name, value))
            changes[name] = None
    if is_large(order.content):
        large.append((order.id, "content", order.content))
        changes["content"] = b""
    return structs.replace(order, **changes) if changes else order


def key_apart(key: Key, large: list[Value]) -> Key:
    """The same for the receipt under a key."""
    if not is_large(key.receipt):
        return key
    large.append((key.chain_id, "receipt", key.receipt))
    return structs.replace(key, receipt=b"")


def in_groups(orders: Iterable[NewOrder], most: int) -> Iterator[list[NewOrder]]:
    """Orders for one statement each: up to `most`, and about PIECE octets. They are taken as they are needed: there may be 100,000."""
    group: list[NewOrder] = []
    size = 0
    for order in orders:
        if group and (len(group) == most or size + order.size > PIECE):
            yield group
            group, size = [], 0
        group.append(order)
        size += order.size
    yield group


async def join(connection: Connection, large: Sequence[Value]) -> None:
    """Bring in large values whose rows this transaction has stored without them."""
    if not large:
        return
    await put_pieces(connection, large)
    done: set[tuple[UUID, str]] = set()
    for row_id, name, _ in large:
        statement = _JOINS.get(name, _sql.join_order)
        if (row_id, statement) not in done:
            done.add((row_id, statement))
            await connection.execute(statement, row_id)
