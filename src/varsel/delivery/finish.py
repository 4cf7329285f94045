"""The one way an order ends: state, feed entry, log and sums in the caller's transaction (11.3 rule 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import structs

from varsel.delivery.entry import feed_entry, written
from varsel.store import queries
from varsel.store.content import OrderContent, encode, read
from varsel.store.database import Connection
from varsel.store.pieces import PIECE, Value, is_large, put_pieces

_sql = queries.load("varsel.delivery")

#: Octets of a reference or an address that come here; the database writes longer ones into the entry itself.
SHORT: Final = 10_000
#: Messages beyond which entries are made in a thread, so that the event loop goes on.
MANY: Final = 1_000
#: What stands for them until then. No text of an order holds NUL.
_REFERENCE: Final = "\0reference"
_ADDRESS: Final = "\0%s"


async def finish(
    connection: Connection,
    order_ids: Iterable[UUID],
    now: datetime,
    state: Literal["Completed", "SendConditionNotMet"] = "Completed",
) -> int:
    """End orders whose messages have all ended; how many got a feed entry. Their rows are locked by the caller.

    An order that has ended already is left as it is. Wake "feed" after the commit.
    """
    ids = sorted(set(order_ids))
    if not ids:
        return 0
    rows = await connection.fetch(_sql.read_ending, ids, SHORT)
    if not rows:
        return 0
    made = (
        await asyncio.to_thread(_entries, rows, state, now)
        if len(rows) > MANY
        else _entries(rows, state, now)
    )
    composed = sorted({row["id"] for row in rows if row["kind"] == "Composed"})
    if composed:
        await _erase_urls(connection, composed)
    large: list[Value] = [(one.order_id, "entry", one.entry) for one in made if is_large(one.entry)]
    fed = await connection.fetch(
        _sql.finish,
        [one.order_id for one in made],
        [state] * len(made),
        [b"" if is_large(one.entry) else one.entry for one in made],
        now,
    )
    if large:
        await put_pieces(connection, large)
        for order_id, _, _ in large:
            await connection.execute(_sql.join_entry, order_id)
    for one in made:
        if one.long_reference:
            await connection.execute(_sql.fill_reference, one.order_id, written(_REFERENCE))
        for message_id in one.long_addresses:
            await connection.execute(
                _sql.fill_address, one.order_id, written(_ADDRESS % message_id), message_id
            )
    return len(fed)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The entry of an order, and what the database must fill in where it is too long to come here and go back."""

    order_id: UUID
    entry: bytes
    long_reference: bool
    long_addresses: tuple[UUID, ...]


def _entries(rows: Sequence[Any], state: str, now: datetime) -> list[_Entry]:
    made = []
    for order_id, group in groupby(rows, key=lambda row: row["id"]):
        messages = list(group)
        head = messages[0]
        entry = feed_entry(
            order_id=order_id,
            kind=head["kind"],
            senders_reference=_REFERENCE if head["long_reference"] else head["senders_reference"],
            state=state,
            ended_at=now,
            recipients=[
                (
                    row["channel"],
                    _ADDRESS % row["message_id"] if row["address"] is None else row["address"],
                    row["status"],
                    row["status_at"],
                )
                for row in messages
                if row["channel"] is not None
            ],
        )
        long = tuple(
            row["message_id"] for row in messages if row["channel"] is not None and row["address"] is None
        )
        made.append(_Entry(order_id, entry, bool(head["long_reference"]), long))
    return made


async def _erase_urls(connection: Connection, order_ids: list[UUID]) -> None:
    """The addresses of files carry credentials: nobody needs them any more (design 4.1, privacy at rest)."""
    for row in await connection.fetch(_sql.read_contents, order_ids):
        try:
            content = await read(row["content"])
        except ValueError:
            continue  # unreadable, so it names no address either
        if not content.attachments:
            continue
        if len(row["content"]) <= PIECE:
            await connection.execute(_sql.write_content, row["order_id"], _bare(content))
            continue
        await put_pieces(connection, [(row["order_id"], "content", await asyncio.to_thread(_bare, content))])
        await connection.execute(_sql.join_content, row["order_id"])


def _bare(content: OrderContent) -> bytes:
    bare = tuple(structs.replace(attachment, sealed_url=None) for attachment in content.attachments)
    return encode(structs.replace(content, attachments=bare))
