"""Orders as the v1 endpoints show them (docs/reference/notifications-api.md 2.4, 2.5)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from varsel.review.wire import Order, OrderedEmail, OrderedSms, OrderLinks, OrderList, OrderRecipient
from varsel.runtime.problems import pretty
from varsel.runtime.times import wire_time
from varsel.store import content as contents
from varsel.store import queries
from varsel.store.content import OrderContent, Recipient
from varsel.store.database import Database
from varsel.store.long_texts import LARGE, as_written, pretty_in_slices
from varsel.store.order_status import order_url

_sql = queries.load("varsel.review")


def _octets(row: Any) -> int:
    texts = (row["content"], row["senders_reference"], row["resource_id"], row["resource_action"])
    return sum(len(text) for text in texts if text is not None)


def _recipient(recipient: Recipient) -> OrderRecipient:
    return OrderRecipient(recipient.email, recipient.mobile, recipient.organization, recipient.person)


def shown(row: Any, base_url: str) -> Order:
    """The v1 shape of an order; without what retention has erased."""
    stored = row["content"]
    settings = contents.decode(stored, written=True) if stored is not None else OrderContent(recipients=())
    url = order_url(base_url, row["id"])
    email, sms = settings.email, settings.sms
    return Order(
        id=str(row["id"]),
        senders_reference=as_written(row["senders_reference"]),
        requested_send_time=wire_time(row["requested_at"]),
        creator=row["creator"],
        created=wire_time(row["created_at"]),
        notification_channel=row["channel"],
        ignore_reservation=settings.ignore_reservation,
        resource_id=as_written(row["resource_id"]),
        resource_action=as_written(row["resource_action"]),
        recipients=[_recipient(recipient) for recipient in settings.recipients],
        condition_endpoint=settings.condition_endpoint,
        email_template=None
        if email is None
        else OrderedEmail(email.sender, email.subject, email.body, "Html" if email.html else "Plain"),
        sms_template=None if sms is None else OrderedSms(sms.body, sms.sender),
        links=OrderLinks(url, url + "/status"),
    )


async def order(database: Database, order_id: UUID, creator: str, base_url: str) -> bytes | None:
    """The answer of 2.4; None when the creator has no such order."""
    row = await database.fetchrow(_sql.order_by_id, order_id, creator)
    if row is None:
        return None
    if _octets(row) < LARGE:
        return pretty(shown(row, base_url))
    return await asyncio.to_thread(lambda: pretty_in_slices(shown(row, base_url)))


async def orders(database: Database, reference: str, creator: str, base_url: str) -> bytes:
    """The answer of 2.5: every order of the creator with that reference, oldest first."""
    rows = await database.fetch(_sql.orders_by_reference, creator, reference)

    def answer() -> bytes:
        return pretty_in_slices(OrderList(len(rows), [shown(row, base_url) for row in rows]))

    if sum(map(_octets, rows)) < LARGE:
        return answer()
    return await asyncio.to_thread(answer)
