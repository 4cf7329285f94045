"""Instant messages: stored, then sent while the caller waits (docs/reference/notifications-api.md 2.12 to 2.14).

The order is on disk as *attempting* before anything leaves, so a crash in between is found and settled like any other handoff. A
provider that certainly did not take the message frees the key. A parallel repeat waits for the first request.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from varsel.channels.sms.parts import count_sent
from varsel.orders.drafts_direct import InstantDraft
from varsel.orders.large import apart, join, key_apart
from varsel.orders.model import Key, Stored
from varsel.runtime.errors import CodedProblem
from varsel.store.content import OrderContent
from varsel.store.database import Database
from varsel.store.pieces import PIECE, Value, is_large
from varsel.store.queries import load

_sql: Final = load("varsel.orders")
#: Seconds that a repeat waits for the first request: longer than a provider may take.
_PATIENCE: Final = 40.0


class Prepared(Protocol):
    """The chosen provider, and what the handoff row says of it."""

    @property
    def attempt_id(self) -> UUID: ...

    @property
    def worker(self) -> UUID: ...

    @property
    def provider(self) -> str: ...


class InstantSender(Protocol):
    """Sends single messages for callers that wait; composition passes `varsel.delivery.instant.InstantSender`."""

    def prepare(self, kind: Literal["Email", "Sms"]) -> Any:
        """A `Prepared`, None while no provider may be used."""
        ...

    async def send(
        self,
        prepared: Any,
        *,
        order_id: UUID,
        notification_id: UUID,
        creator: str,
        address: str,
        content: OrderContent,
        expires_at: datetime,
    ) -> bool:
        """False: the provider certainly did not take it, and the order is void with its key free again."""
        ...


class Instants:
    """Takes instant orders. CodedProblem NOT-00004 where nothing could be sent; nothing stays of such an order."""

    def __init__(self, database: Database, sender: InstantSender | None) -> None:
        self._database = database
        self._sender = sender
        self._under_way: set[asyncio.Task[bool]] = set()

    async def place(self, draft: InstantDraft) -> Stored:
        """Send it, or answer with what stands under its key."""
        give_up = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            standing = await self._standing(draft.key, give_up)
            if standing is not None:
                return standing
            # Not broken off when the caller goes away: what is stored is sent, and what is sent is written down.
            task = asyncio.create_task(self._send(draft), name="varsel-instant")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            if await asyncio.shield(task):
                return Stored(True, draft.key.receipt, draft.key.mac)

    async def close(self) -> None:
        """Wait for what is being sent."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _standing(self, key: Key, give_up: float) -> Stored | None:
        """The receipt under the key once its message has been handed over; None when the key is free."""
        pause = 0.02
        while True:
            row = await self._database.fetchrow(_sql.instant_taken, key.creator, key.hash)
            if row is None:
                return None
            if row["state"] != "Attempting":
                return Stored(False, row["receipt"], row["body_mac"])
            if asyncio.get_running_loop().time() > give_up:
                raise CodedProblem("NOT-00004")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    async def _send(self, draft: InstantDraft) -> bool:
        """True when this request's message was handed over; False when another request came first."""
        prepared = self._sender.prepare(draft.channel) if self._sender is not None else None
        if prepared is None or self._sender is None:
            raise CodedProblem("NOT-00004")
        if not await self._store(draft, prepared):
            return False
        sent = await self._sender.send(
            prepared,
            order_id=draft.order.id,
            notification_id=draft.notification_id,
            creator=draft.order.creator,
            address=draft.address,
            content=draft.content,
            expires_at=draft.expires_at,
        )
        if not sent:
            raise CodedProblem("NOT-00004")
        return True

    async def _store(self, draft: InstantDraft, prepared: Prepared) -> bool:
        if draft.order.size <= PIECE and not is_large(draft.address):
            return await self._database.fetchval(_sql.store_instant, *_columns(draft, prepared)) is not None
        # Several statements, so that no single one keeps the event loop busy with its arguments.
        large: list[Value] = []
        short = replace(draft, order=apart(draft.order, large), key=key_apart(draft.key, large))
        if is_large(draft.address):
            large.append((draft.order.id, "address", draft.address))
            short = replace(short, address="")
        async with self._database.connection() as connection, connection.transaction():
            if await connection.fetchval(_sql.store_instant, *_columns(short, prepared)) is None:
                return False
            await join(connection, large)
        return True


def _columns(draft: InstantDraft, prepared: Prepared) -> tuple[Any, ...]:
    order, key = draft.order, draft.key
    body = draft.content.sms.body if draft.content.sms is not None else None
    return (
        key.creator,
        key.hash,
        key.chain_id,
        key.mac,
        key.receipt,
        order.created_at,
        order.id,
        order.channel,
        order.senders_reference,
        order.content,
        draft.notification_id,
        draft.address,
        None if body is None else count_sent(body).count,
        None if body is None else len(body),
        draft.expires_at,
        prepared.attempt_id,
        prepared.provider,
        prepared.worker,
    )
