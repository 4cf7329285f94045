"""A review room behind the real router, on a real database, with callers by header, and every answer held against the description."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2

from tests.support.checked import checked_api
from varsel.recipients.registers import BuiltinRegisters
from varsel.review.room import ReviewRoom
from varsel.runtime.asgi import Api
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import Call, Caller, Policy
from varsel.runtime.errors import EmptyProblem
from varsel.runtime.settings import Settings
from varsel.store.content import EmailText, OrderContent, Recipient, SmsText, encode
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.secrets import MasterKey
from varsel.store.states import rank

BASE = "/notifications/api/v1"
PUBLIC = "https://varsel.example.org"
NOW = datetime(2031, 3, 14, 8, 0, 41, 500_000, tzinfo=UTC)
KARI = "12839010182"
OLA = "05887899891"
DIRECT = OrderContent(
    (Recipient(email="kari@example.org"),),
    EmailText("noreply@varsel.example.org", "Emne", "<p>Hei</p>", html=True),
)


class NoDatabase:
    """For requests that must be answered before anything is asked: every use fails the test."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the database was used: {name}")


class HeaderAuthorizer:
    """The caller is what `X-Test-…` headers say; without any there is no credential."""

    async def authorize(self, policy: Policy, call: Call) -> Caller:
        creator = call.header(b"x-test-creator")
        pid = call.header(b"x-test-pid")
        claims = json.loads(call.header(b"x-test-claims") or b"{}")
        if policy is Policy.PERSON:
            if pid is None:
                raise EmptyProblem(401 if creator is None else 403)
        elif policy not in (Policy.INTERNAL, Policy.METRICS_KEY) and creator is None:
            raise EmptyProblem(401)
        return Caller(
            creator.decode() or None if creator is not None else None,
            via="bearer",
            pid=pid.decode() if pid else None,
            claims={"client_id": "support-client", **claims},
        )


class World:
    """Rows to read, and a client that reads them."""

    def __init__(self, database: Database, clock: ManualClock, key: MasterKey, room: ReviewRoom) -> None:
        self.database = database
        self.clock = clock
        self.key = key
        self.room = room
        transport = httpx2.ASGITransport(checked_api(Api(room.bound, HeaderAuthorizer())))
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://varsel")

    async def get(
        self, path: str, creator: str | None = "ttd", *, pid: str | None = None, **headers: str
    ) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if creator is not None:
            sent["x-test-creator"] = creator
        if pid is not None:
            sent["x-test-pid"] = pid
        return await self.client.get(path if path.startswith("/") else f"{BASE}/{path}", headers=sent)

    async def add_order(
        self,
        content: OrderContent | None = DIRECT,
        *,
        creator: str = "ttd",
        state: str = "Processed",
        kind: str = "Notification",
        channel: str = "Email",
        reference: str | None = "ref-1",
        requested_at: datetime = NOW - timedelta(minutes=1),
        resource: str | None = None,
        action: str | None = None,
    ) -> UUID:
        order = uuid7()
        await self.database.execute(
            "insert into orders (id, creator, kind, channel, requested_at, created_at, state, state_at, senders_reference, resource_id, "
            "resource_action) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            order,
            creator,
            kind,
            channel,
            requested_at,
            NOW - timedelta(minutes=2),
            state,
            NOW,
            reference,
            resource,
            action,
        )
        if content is not None:
            await self.database.execute(
                "insert into order_content (order_id, content) values ($1, $2)", order, encode(content)
            )
        return order

    async def add_message(
        self,
        order: UUID,
        channel: str = "Email",
        address: str = "kari@example.org",
        status: str = "Delivered",
        *,
        position: int = 0,
        person: str | None = None,
        organization: str | None = None,
        at: datetime = NOW,
        parts: int | None = None,
        length: int | None = None,
        custom: str | None = None,
        reference: str | None = None,
    ) -> UUID:
        message = uuid7()
        recipient = person or organization
        await self.database.execute(
            "insert into notification (order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address, status, "
            "rank, status_at, expires_at, sms_parts, body_length, custom_body, reference) values ($1, $2, 'ttd', $3, $4, $5, $6, $7, $8, $9, "
            "$10, $11, $11, $12, $13, $14, $15)",
            order,
            message,
            channel,
            position,
            "person" if person else "organization" if organization else "direct",
            recipient,
            self.key.mac("recipient", recipient.encode()) if recipient else None,
            address,
            status,
            rank(channel, status),
            at,
            parts,
            length,
            custom,
            reference,
        )
        return message

    async def add_line(
        self,
        *,
        dialog: str,
        transmission: str | None = None,
        creator: str = "ttd",
        kind: str = "direct",
        recipient: str | None = None,
        destination: str = "kari@example.org",
        channel: str = "Email",
        resource: str | None = None,
        status: str = "Delivered",
    ) -> UUID:
        message = uuid7()
        await self.database.execute(
            "insert into notification_log (order_id, notification_id, creator, dialog_id, transmission_id, kind, channel, recipient_kind, "
            "recipient, recipient_key, destination, resource_id, status, requested_at, updated_at) values ($1, $2, $3, $4, $5, "
            "'Notification', $6, $7, $8, $9, $10, $11, $12, $13, $13)",
            uuid7(),
            message,
            creator,
            dialog,
            transmission,
            channel,
            kind,
            recipient,
            self.key.mac("recipient", recipient.encode()) if recipient else None,
            destination,
            resource,
            status,
            NOW,
        )
        return message


SMS = OrderContent((Recipient(mobile="+4799999999"),), sms=SmsText("Varsel", "Hei på deg"))


@contextlib.asynccontextmanager
async def open_world(database: Any, *, sandbox: bool = False, **settings: Any) -> AsyncIterator[World]:
    clock = ManualClock(NOW)
    key = MasterKey(bytes(32))
    room = await ReviewRoom.open(
        Settings(public_url=PUBLIC, environment="test", **settings),
        database,
        clock,
        key,
        registers=BuiltinRegisters(database, sandbox=True),
        sandbox=sandbox,
    )
    world = World(database, clock, key, room)
    yield world
    await world.client.aclose()
    await room.close()
