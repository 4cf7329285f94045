"""What a killed worker leaves behind, counted: real database, real SMTP and gateway conversations, real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from tests.engine.seed import EMAIL, SMS, place_all
from tests.support.polling import until
from varsel.delivery.reports import RawReport, ReportStore
from varsel.delivery.routes import DeliveryRoutes
from varsel.runtime.endpoints import ANONYMOUS, Call
from varsel.runtime.trace import Trace
from varsel.sandbox.gateway import ReceivedSms, SmsGateway
from varsel.sandbox.inbox import DeliveryNotice, ReceivedEmail, SmtpInbox
from varsel.store.content import OrderContent, Recipient
from varsel.store.database import Database


@dataclass
class World:
    """A mail server, a gateway, the report endpoint, and workers as processes of their own."""

    url: str
    database: Database
    mails: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    orders: list[UUID] = field(default_factory=list)
    #: Closed, notices of delivery wait: nothing but the rule can settle what is unknown then.
    notices: asyncio.Event = field(default_factory=asyncio.Event)
    inbox: SmtpInbox = None  # type: ignore[assignment]
    gateway: SmsGateway = None  # type: ignore[assignment]

    async def start_worker(self, fault: str = "") -> asyncio.subprocess.Process:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VARSEL_")}
        if fault:
            environment["VARSEL_FAULT_STEP"] = fault
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.worker",
            self.url,
            str(self.inbox.port),
            self.gateway.url,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def place(self, number: int, *, texts: bool = True) -> None:
        """So many e-mails and so many SMS, an order each, due now."""
        now = datetime.now(UTC)
        mails = [OrderContent((Recipient(email=f"u{n}@example.org"),), email=EMAIL) for n in range(number)]
        self.orders += await place_all(self.database, mails, requested_at=now)
        if not texts:
            return
        short = [OrderContent((Recipient(mobile=f"+479{n:07}"),), sms=SMS) for n in range(number)]
        self.orders += await place_all(self.database, short, requested_at=now, channel="Sms")

    async def all_ended(self) -> bool:
        return bool(
            await self.database.fetchval(
                "select count(*) from orders where state = 'Completed' and id = any($1)", self.orders
            )
            == len(self.orders)
        )

    async def end(self, timeout: float = 200) -> None:
        """Wait until everything has ended; what an unknown SMS holds ends by its expiry, once nothing else is left."""

        async def ended_or_held() -> bool:
            return bool(
                await self.database.fetchval(
                    "select count(*) from orders o where o.id = any($1) and o.state <> 'Completed' and not exists ("
                    "select from handoff h where h.order_id = o.id and h.unknown_at is not null and h.channel = 'Sms')",
                    self.orders,
                )
                == 0
            )

        await until(ended_or_held, timeout, "every order ends or is held")
        await self.database.execute("update calendar set shift = interval '50 hours'")
        self.database.wake("clock")
        await until(self.all_ended, timeout, "held orders end with their life")
        await until(self.all_fed, timeout, "the feed is whole")

    async def all_fed(self) -> bool:
        return bool(await self.database.fetchval("select count(*) from feed") >= len(self.orders))

    async def judge(self, kills: int) -> int:
        """0 lost, 0 not ended, 0 feed gaps or repeats, nothing twice but what was settled by rule; how much that was."""
        feed = await self.database.fetch("select seq, order_id from feed order by seq")
        assert [row["seq"] for row in feed] == list(range(1, len(self.orders) + 1))
        assert sorted(row["order_id"] for row in feed) == sorted(self.orders)
        for table in ("due", "ready", "handoff", "awaiting", "feed_pending"):
            assert await self.database.fetchval(f"select count(*) from {table}") == 0, table
        rows: list[Any] = await self.database.fetch(
            "select n.address, n.channel, n.status, count(a.id) filter (where a.outcome = 'unknown') as unknown, "
            "count(a.id) filter (where a.outcome = 'accepted') as accepted "
            "from notification n left join attempt a on a.order_id = n.order_id and a.notification_id = n.id group by 1, 2, 3"
        )
        assert len(rows) == len(self.orders)
        unknown = 0
        for row in rows:
            taken = (self.mails if row["channel"] == "Email" else self.texts)[
                row["address"].removeprefix("+")
            ]
            unknown += row["unknown"]
            assert taken <= 1 + row["unknown"], "sent twice without having been unknown"
            if row["status"] == "Delivered":
                assert taken >= 1, "delivered, but nobody got it"
            else:
                # Only a held SMS may end so, and only by its life.
                assert (row["channel"], row["status"]) == ("Sms", "Failed_TTL")
                assert row["unknown"] == 1
        assert unknown <= 32 * kills
        return unknown


@contextlib.asynccontextmanager
async def chaos_world(url: str) -> AsyncIterator[World]:
    database = await Database.open(url, name="chaos")
    world = World(url, database)
    world.notices.set()
    store = ReportStore(database)

    async def keep_mail(mail: ReceivedEmail) -> None:
        world.mails.update(mail.recipients)

    async def keep_sms(sms: ReceivedSms) -> None:
        world.texts[sms.to.removeprefix("+")] += 1

    async def notice(told: DeliveryNotice) -> None:
        await world.notices.wait()
        await store.store([RawReport("dsn", told.envelope_id, told.action, "Delivered", told.message)])

    routes = DeliveryRoutes(store)

    async def reports(request: web.Request) -> web.Response:
        async def never() -> None:
            await asyncio.Event().wait()

        headers = {b"content-type": [request.headers.get("content-type", "").encode()]}
        body = await request.read()
        call = Call("POST", request.path, {}, b"", headers, body, ANONYMOUS, Trace(), {}, never)
        answer = await routes.sms_reports(call)
        return web.Response(status=answer.status, body=answer.body, content_type="application/xml")

    application = web.Application()
    application.router.add_post("/reports", reports)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    world.inbox = SmtpInbox("127.0.0.1", 0, keep_mail, notice)
    world.gateway = SmsGateway(
        "127.0.0.1", 0, keep_sms, f"http://127.0.0.1:{port}/reports", now=lambda: datetime.now(UTC)
    )
    await world.inbox.start()
    await world.gateway.start()
    try:
        yield world
    finally:
        await world.inbox.close()
        await world.gateway.close()
        await runner.cleanup()
        await database.close()
