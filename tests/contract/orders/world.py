"""The orders room behind the router, with a clock under the test's hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from tests.support.checked import checked_api
from varsel.orders.room import OrdersRoom
from varsel.recipients.registers import BuiltinRegisters, Registers
from varsel.runtime.asgi import Api
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import ANONYMOUS, Call, Caller, Policy
from varsel.runtime.errors import EmptyProblem
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

NOW = datetime(2031, 3, 14, 12, 0, tzinfo=UTC)
BASE = "/notifications/api/v1"
CHAIN = f"{BASE}/future/orders"
PUBLIC = "https://varsel.example.org"


class Trusting:
    """Takes the header `x-creator` for a verified credential; without it there is none (401). A minus sign: no organisation."""

    async def authorize(self, policy: Policy, call: Call) -> Caller:
        creator = call.header(b"x-creator")
        if policy is Policy.INTERNAL:
            return ANONYMOUS
        if creator is None:
            raise EmptyProblem(401)
        if policy is Policy.COMPOSED and call.header(b"x-composed") is None:
            raise EmptyProblem(403)
        return Caller(None if creator == b"-" else creator.decode(), via="bearer")


class NoDatabase:
    """For requests that must be refused before anything is asked or stored: every use fails the test."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the database was used: {name}")


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def keys(self) -> set[str]:
        return set(self.json["errors"])


@dataclass
class World:
    database: Database
    clock: ManualClock
    http: httpx2.AsyncClient
    room: OrdersRoom
    app: Any
    tables: tuple[str, ...] = field(
        default=("idempotency", "orders", "order_content", "due", "notification", "handoff")
    )

    async def send(
        self, path: str, body: Any, creator: str | None = "ttd", method: str = "POST", **headers: str
    ) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if creator is not None:
            sent["x-creator"] = creator
        reply = await self.http.request(method, path, content=content, headers=sent)
        return Answer(reply.status_code, reply.headers, reply.content)

    async def stored(self) -> dict[str, int]:
        """Rows of every table that an order may touch."""
        return {table: await self.database.fetchval(f"select count(*) from {table}") for table in self.tables}


@asynccontextmanager
async def open_world(
    database: Database,
    *,
    sandbox: bool = True,
    registers: Registers | None = None,
    sender: Any = None,
    forecast: Any = None,
    **settings: Any,
) -> AsyncIterator[World]:
    clock = ManualClock(NOW)
    room = await OrdersRoom.open(
        Settings(public_url=PUBLIC, **settings),
        database,
        clock,
        clock,
        MasterKey(b"k" * 32),
        sandbox=sandbox,
        registers=registers or BuiltinRegisters(database, sandbox=sandbox),
        sender=sender,
        forecast=forecast,
    )
    app = checked_api(Api(room.bound, Trusting()))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=PUBLIC) as http:
        yield World(database, clock, http, room, app)
    await room.close()
