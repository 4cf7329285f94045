"""The one way an order ends: state, feed entry, log and sums in the caller's transaction (11.3 rule 6)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Literal
from uuid import UUID

from msgspec import structs

from varsel.delivery.entry import feed_entry
from varsel.store import queries
from varsel.store.content import decode, encode
from varsel.store.database import Connection

_sql = queries.load("varsel.delivery")


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
    rows = await connection.fetch(_sql.read_ending, ids)
    ending: list[UUID] = []
    entries: list[bytes] = []
    for order_id, group in groupby(rows, key=lambda row: row["id"]):
        messages = list(group)
        head = messages[0]
        ending.append(order_id)
        entries.append(
            feed_entry(
                order_id=order_id,
                kind=head["kind"],
                senders_reference=head["senders_reference"],
                state=state,
                ended_at=now,
                recipients=[
                    (row["channel"], row["address"], row["status"], row["status_at"])
                    for row in messages
                    if row["channel"] is not None
                ],
            )
        )
    if not ending:
        return 0
    composed = sorted({row["id"] for row in rows if row["kind"] == "Composed"})
    if composed:
        await _erase_urls(connection, composed)
    fed = await connection.fetch(_sql.finish, ending, [state] * len(ending), entries, now)
    return len(fed)


async def _erase_urls(connection: Connection, order_ids: list[UUID]) -> None:
    """The addresses of files carry credentials: nobody needs them any more (design 4.1, privacy at rest)."""
    for row in await connection.fetch(_sql.read_contents, order_ids):
        try:
            content = decode(row["content"])
        except ValueError:
            continue  # unreadable, so it names no address either
        bare = tuple(structs.replace(attachment, sealed_url=None) for attachment in content.attachments)
        await connection.execute(
            _sql.write_content, row["order_id"], encode(structs.replace(content, attachments=bare))
        )
