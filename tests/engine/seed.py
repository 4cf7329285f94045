"""Orders as the front door leaves them, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from varsel.store.content import EmailText, OrderContent, Recipient, SmsText, encode
from varsel.store.database import Database
from varsel.store.ids import uuid7

EMAIL = EmailText("noreply@varsel.example", "Subject", "Body of the message")
SMS = SmsText("Varsel", "Text of the message")

_INSERT = """
with o as (
    insert into orders (id, creator, kind, channel, sending_policy, senders_reference, requested_at, created_at, state, state_at, resource_id)
    select id, $2, $3, $4, $5, $6, $7, $7, 'Registered', $7, $9 from unnest($1::uuid[]) as id
), c as (
    insert into order_content (order_id, content) select * from unnest($1::uuid[], $8::bytea[])
)
insert into due (order_id, creator, due_at) select id, $2, $7 from unnest($1::uuid[]) as id
"""


async def place(
    database: Database,
    *recipients: str | Recipient,
    requested_at: datetime,
    channel: str | None = None,
    policy: str | None = "Anytime",
    kind: str = "Notification",
    creator: str = "ttd",
    reference: str | None = None,
    resource_id: str | None = None,
    **content: Any,
) -> UUID:
    """One order to addresses (an `@` makes an e-mail); its id."""
    people = tuple(
        one if isinstance(one, Recipient) else Recipient(email=one) if "@" in one else Recipient(mobile=one)
        for one in recipients
    )
    if channel is None:
        channel = "Email" if people and people[0].email else "Sms"
    content = {"email": EMAIL, "sms": SMS, **content}
    [order_id] = await place_all(
        database,
        [OrderContent(people, **content)],
        requested_at=requested_at,
        channel=channel,
        policy=policy,
        kind=kind,
        creator=creator,
        reference=reference,
        resource_id=resource_id,
    )
    return order_id


async def place_all(
    database: Database,
    contents: Sequence[OrderContent],
    *,
    requested_at: datetime,
    channel: str = "Email",
    policy: str | None = "Anytime",
    kind: str = "Notification",
    creator: str = "ttd",
    reference: str | None = None,
    resource_id: str | None = None,
) -> list[UUID]:
    ids = [uuid7() for _ in contents]
    await database.execute(
        _INSERT,
        ids,
        creator,
        kind,
        channel,
        policy,
        reference,
        requested_at,
        [encode(one) for one in contents],
        resource_id,
    )
    database.wake("due")
    return ids


async def state(database: Database, order_id: UUID) -> str:
    return await database.fetchval("select state from orders where id = $1", order_id)


async def statuses(database: Database, order_id: UUID) -> list[str]:
    rows = await database.fetch(
        "select status from notification where order_id = $1 order by channel, position", order_id
    )
    return [row[0] for row in rows]


async def fed(database: Database) -> list[UUID]:
    return [row[0] for row in await database.fetch("select order_id from feed order by seq")]
