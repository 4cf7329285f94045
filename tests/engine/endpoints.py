"""A creator's server that webhooks are posted to, and what waits for it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web

from varsel.review.webhooks_wire import USUAL
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.secrets import MasterKey

KEY = MasterKey(bytes(32))
SECRET = b"s" * 32


@dataclass
class Got:
    """One request as the endpoint saw it."""

    id: str
    timestamp: int
    signatures: list[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def signed_by(self, secret: bytes) -> bool:
        text = f"{self.id}.{self.timestamp}.".encode() + self.body
        return (
            "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
            in self.signatures
        )


@dataclass
class Endpoint:
    """A creator's server. `answers` are statuses in order, 200 after them; `gate` holds it."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.got.append(
            Got(
                headers["webhook-id"],
                int(headers["webhook-timestamp"]),
                headers["webhook-signature"].split(" "),
                await request.read(),
            )
        )
        assert headers["Content-Type"] == "application/json"
        await self.gate.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 200, headers=self.headers)

    def types(self) -> list[str]:
        return [one.json["type"] for one in self.got]


@asynccontextmanager
async def listening() -> AsyncIterator[Endpoint]:
    """An endpoint on a free port that answers at once."""
    one = Endpoint()
    one.gate.set()
    application = web.Application()
    application.router.add_post("/hook", one.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield one
    one.gate.set()
    await runner.cleanup()


async def register(
    database: Database, url: str, events: Sequence[str] = USUAL, creator: str = "ttd", secret: bytes = SECRET
) -> UUID:
    webhook_id = uuid7()
    await database.execute(
        "insert into webhook (id, creator, url, events, secret, created_at) values ($1, $2, $3, $4, $5, clock_timestamp())",
        webhook_id,
        creator,
        url,
        list(events),
        KEY.seal(secret),
    )
    return webhook_id


async def tell(database: Database, webhook_id: UUID, type_: str = "order.completed", number: int = 1) -> None:
    """Something to be told of orders that the feed has forgotten."""
    for seq in range(1, number + 1):
        await database.execute(
            "insert into webhook_event (webhook_id, type, seq, order_id, at) values ($1, $2, $3, $4, clock_timestamp())",
            webhook_id,
            type_,
            None if type_ == "webhook.test" else seq,
            uuid7(),
        )


async def attempts(database: Database) -> list[tuple[int | None, str]]:
    rows = await database.fetch("select status, detail from webhook_attempt order by at, id")
    return [(row[0], row[1]) for row in rows]
