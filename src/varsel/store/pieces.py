"""Values that are too large for one message to the database: they travel in pieces, and a statement joins them where they belong.

The driver copies and encodes an argument in one go, and 30 MB of text hold the event loop for as long as 50 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias
from uuid import UUID

from varsel.store.database import Connection
from varsel.store.queries import load

_sql: Final = load("varsel.store")

#: Octets of one value that go in one message.
PIECE: Final = 2_000_000
#: Characters that never have more octets.
SHORT: Final = PIECE // 4

#: Row, name of the value, and the value.
Value: TypeAlias = tuple[UUID, str, str | bytes]


def is_large(value: str | bytes | None) -> bool:
    """Whether a value must travel in pieces."""
    return value is not None and len(value) > (SHORT if isinstance(value, str) else PIECE)


async def put_pieces(connection: Connection, values: Iterable[Value]) -> None:
    """Bring values into `value_piece` for the rest of this transaction, each once."""
    await connection.execute(_sql.make_pieces)
    for row_id, name, value in values:
        for part, piece in enumerate(_pieces(value)):
            await connection.execute(_sql.add_piece, row_id, name, part, piece)


def _pieces(value: str | bytes) -> Iterator[bytes]:
    if isinstance(value, str):
        return (value[start : start + SHORT].encode() for start in range(0, len(value), SHORT))
    return (value[start : start + PIECE] for start in range(0, len(value), PIECE))
