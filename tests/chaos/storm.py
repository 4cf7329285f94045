"""A world in a storm: orders come in all the while, and everything around the workers fails in turn; then it is all counted.

The front door is the real one (grouped commits, cancel), so are the workers (processes of their own), the database (a server of the
world's own that syncs to disk, is stopped, killed and started again), and the conversations with mail server and gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from aiohttp import web

from tests.chaos.between import Postman, Relay
from tests.engine.seed import EMAIL, SMS
from tests.support.polling import until
from varsel.delivery.reports import RawReport, ReportStore
from varsel.delivery.routes import DeliveryRoutes
from varsel.orders.accept import Flusher
from varsel.orders.cancel import cancel_order
from varsel.orders.model import Entry, Key, NewOrder
from varsel.runtime.clock import ShiftedCalendar, SystemMachine
from varsel.runtime.endpoints import ANONYMOUS, Call
from varsel.runtime.errors import PlainProblem, Unavailable
from varsel.runtime.trace import Trace
from varsel.sandbox.gateway import ReceivedSms, SmsGateway
from varsel.sandbox.inbox import DeliveryNotice, ReceivedEmail, SmtpInbox
from varsel.store.content import OrderContent, Recipient, encode
from varsel.store.database import Database
from varsel.store.embedded import EmbeddedServer, discard_cluster
from varsel.store.ids import uuid7
from varsel.store.migrations import migrate

OSLO = ZoneInfo("Europe/Oslo")
CREATOR = "ttd"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was accepted: to whom, and when it may leave."""

    id: UUID
    address: str
    daytime: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What a storm came to."""

    accepted: int
    cancelled: int
    ended: int
    fed: int
    sent: int
    unknown: int
    twice: int
    repeated_reports: int


@dataclass
class Storm:
    """`breaks` counts what may leave handoffs unknown: each death, cut or loss of the database, for each of `number` workers."""

    seed: int
    postgres: EmbeddedServer
    data: Path
    database: Database
    calendar: ShiftedCalendar
    postman: Postman
    orders: dict[UUID, Placed] = field(default_factory=dict)
    cancelled: set[UUID] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    night: list[str] = field(default_factory=list)
    workers: list[asyncio.subprocess.Process] = field(default_factory=list)
    read: list[tuple[int, UUID]] = field(default_factory=list)
    breaks: int = 0
    number: int = 0
    mail: Relay = None  # type: ignore[assignment]
    text: Relay = None  # type: ignore[assignment]
    _names: int = 0

    # -- callers ---------------------------------------------------------------------------------------------------

    async def place(self, number: int, *, at: datetime | None = None) -> None:
        """So many orders, of all kinds, from callers who repeat themselves until they are answered."""
        flusher = Flusher(self.database, self.calendar)
        turns = asyncio.Semaphore(16)

        async def one(name: int) -> None:
            async with turns:
                await self._order(flusher, name, at)

        names = range(self._names, self._names + number)
        self._names += number
        await asyncio.gather(*map(one, names))
        await flusher.close()

    async def _order(self, flusher: Flusher, name: int, at: datetime | None) -> None:
        chooses = random.Random(self.seed * 1_000_003 + name)
        kind = chooses.choice(("mail", "mail", "text", "text", "day"))
        address = f"u{name}@example.org" if kind == "mail" else f"+479{name:07}"
        while True:
            now = self.calendar.now()
            order = NewOrder(
                uuid7(),
                chain := uuid7(),
                0,
                CREATOR,
                "Notification",
                "Email" if kind == "mail" else "Sms",
                "Daytime" if kind == "day" else "Anytime",
                None,
                None,
                None,
                None,
                None,
                max(at or now, now),
                now,
                encode(
                    OrderContent(
                        (Recipient(email=address) if kind == "mail" else Recipient(mobile=address),),
                        email=EMAIL,
                        sms=SMS,
                    )
                ),
            )
            key = Key(CREATOR, "chain", sha256(str(name).encode()).digest(), b"mac", order.id.bytes, chain)
            try:
                stored = await flusher.store(Entry([order], key))
            except Unavailable:
                await asyncio.sleep(0.02)
                continue
            break
        placed = Placed(UUID(bytes=bytes(stored.receipt)), address, kind == "day")
        self.orders[placed.id] = placed
        if chooses.random() < 0.1:
            await self.cancel(placed.id)

    async def cancel(self, order: UUID) -> None:
        """A caller changes its mind; only a yes counts."""
        with contextlib.suppress(PlainProblem, Unavailable):
            await cancel_order(self.database, order, CREATOR, self.calendar.now(), "http://x")
            self.cancelled.add(order)

    # -- what happens to them --------------------------------------------------------------------------------------

    async def keep_worker(self) -> None:
        """A worker, and the next one when it ends, as a supervisor does; one that cannot reach the database ends by itself."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VARSEL_")}
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.worker",
                self.postgres.dsn,
                str(self.mail.port),
                f"link+http://sandbox:sandbox@127.0.0.1:{self.text.port}/",
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                assert process.stdout is not None
                if await process.stdout.readline():
                    self.workers.append(process)
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                if process in self.workers:
                    self.workers.remove(process)
                    self.breaks += 1

    async def kill_worker(self) -> None:
        """kill -9 of one that works."""
        await until(lambda: self.workers, 60, "a worker works")
        self.workers[0].kill()
        await self.workers[0].wait()

    async def restart_postgres(self, *, kill: bool) -> None:
        if kill:
            os.kill(self.postgres.pid, signal.SIGKILL)
            await self.postgres.wait()
        await self.postgres.stop()
        self.postgres = EmbeddedServer(self.data)
        await self.postgres.start()
        self.breaks += self.number

    async def cut(self, relay: Relay, seconds: float) -> None:
        relay.become("cut")
        self.breaks += self.number
        await asyncio.sleep(seconds)
        relay.become("whole")

    async def slow(self, relay: Relay, seconds: float) -> None:
        relay.become("slow")
        await asyncio.sleep(seconds)
        relay.become("whole")

    async def move(self, moment: datetime) -> None:
        """Move the calendar of everybody to a moment."""
        shift = moment - datetime.now(UTC)

        async def store() -> None:
            await self.database.execute("update calendar set shift = $1", shift)
            # The front door first: it never orders for a time that the workers have passed.
            self.calendar.shift = shift

        await self.persist(store)
        self.database.wake("clock")

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Until the database takes it."""
        while True:
            try:
                return await work()
            except Unavailable:
                await asyncio.sleep(0.05)

    async def read_feed(self) -> None:
        """A caller that follows the feed upward, all through the storm."""
        while True:
            rows = await self.persist(
                lambda: self.database.fetch(
                    "select seq, order_id from feed where creator = $1 and seq > $2 order by seq limit 50",
                    CREATOR,
                    self.read[-1][0] if self.read else 0,
                )
            )
            self.read += [(row["seq"], row["order_id"]) for row in rows]
            await asyncio.sleep(0.01)

    async def hold(self) -> None:
        """Keep a transaction open that sees an old state of everything, for as long as the world stands."""
        while True:
            with contextlib.suppress(
                Exception
            ):  # whatever the driver says when its server goes away under it
                connection = await asyncpg.connect(self.postgres.dsn)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection, event=lost: event.set())
                try:
                    async with connection.transaction(isolation="repeatable_read"):
                        await connection.fetchval("select pg_current_xact_id()")
                        await lost.wait()
                finally:
                    connection.terminate()
            await asyncio.sleep(0.05)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def quiet(self, timeout: float = 150) -> None:
        """Wait until every order has ended, or is held because its SMS may have left and nobody has reported it."""

        async def settled() -> bool:
            return (
                self.postman.idle
                and await self.database.fetchval("select count(*) from parked_report where dead_at is null")
                == 0
                and await self.database.fetchval(
                    "select count(*) from orders o where o.state not in ('Completed', 'Cancelled') and not exists ("
                    "select from handoff h where h.order_id = o.id and h.unknown_at is not null and h.channel = 'Sms')"
                )
                == 0
            )

        await until(lambda: self.persist(settled), timeout, "every order ends or is held")

    async def end(self, timeout: float = 150) -> None:
        await self.quiet(timeout)
        await self.move(self.calendar.now() + timedelta(hours=80))

        async def ended() -> bool:
            return (
                await self.database.fetchval(
                    "select count(*) from orders where state not in ('Completed', 'Cancelled')"
                )
                == 0
            )

        await until(lambda: self.persist(ended), timeout, "what was held ends with its life")

        async def fed() -> bool:
            return await self.database.fetchval(
                "select count(*) from feed_pending"
            ) == 0 and await self.database.fetchval("select count(*) from feed") == len(self.read)

        await until(lambda: self.persist(fed), timeout, "the feed is whole")

    async def judge(self) -> Tally:
        """0 lost, 0 not ended, 0 gaps or repeats in the feed, 0 sent after a cancel, 0 twice but what was unknown."""
        states = dict(await self.database.fetch("select id, state from orders"))
        assert set(states) == set(self.orders), "what was accepted is there, and nothing else"
        for order in self.cancelled:
            assert states[order] == "Cancelled"
            assert not self.sent[self.orders[order].address.removeprefix("+")], "sent after a cancel"
        ended = {order for order, state in states.items() if state == "Completed"}
        # A cancel whose answer was lost with the database counts, though its caller never heard of it.
        assert len(ended) + sum(state == "Cancelled" for state in states.values()) == len(states)
        assert [seq for seq, _ in self.read] == list(range(1, len(ended) + 1)), (
            "a gap or a repeat in the feed"
        )
        assert sorted(order for _, order in self.read) == sorted(ended)
        for table in ("due", "ready", "handoff", "awaiting"):
            assert await self.database.fetchval(f"select count(*) from {table}") == 0, table
        assert await self.database.fetchval("select count(*) from parked_report where dead_at is null") == 0
        rows: list[Any] = await self.database.fetch(
            "select n.address, n.channel, n.status, count(a.id) filter (where a.outcome = 'unknown') as unknown "
            "from notification n left join attempt a on a.order_id = n.order_id and a.notification_id = n.id group by 1, 2, 3"
        )
        unknown = twice = 0
        for row in rows:
            taken = self.sent[row["address"].removeprefix("+")]
            unknown += row["unknown"]
            twice += taken > 1
            assert taken <= 1 + row["unknown"], "sent twice without having been unknown"
            assert row["channel"] == "Email" or taken <= 1, "an SMS is never sent again"
            if row["status"] == "Delivered":
                assert taken, "told delivered, and nobody got it"
            else:
                assert (row["channel"], row["status"]) == ("Sms", "Failed_TTL"), row["status"]
                assert row["unknown"] == 1
        assert not self.night, f"daytime SMS that left outside 09–17 in Oslo: {self.night}"
        assert unknown <= 32 * self.breaks
        return Tally(
            len(self.orders),
            len(self.cancelled),
            len(ended),
            len(self.read),
            sum(self.sent.values()),
            unknown,
            twice,
            self.postman.repeated,
        )


@contextlib.asynccontextmanager
async def storm_world(seed: int, start: datetime, workers: int = 2) -> AsyncIterator[Storm]:
    # Not pytest's own folder: it is closed to the account that PostgreSQL runs as when the suite runs as root.
    folder = Path(tempfile.mkdtemp(prefix="varsel-storm-"))
    os.chmod(folder, 0o711)  # noqa: PTH101 - before anything runs that this could hold up
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        data = folder / "data"
        stack.callback(discard_cluster, data)
        postgres = EmbeddedServer(data)
        await postgres.start()
        await migrate(postgres.dsn)
        database = await Database.open(postgres.dsn, name="storm")
        calendar = ShiftedCalendar(SystemMachine(), start - datetime.now(UTC))
        storm = Storm(seed, postgres, data, database, calendar, Postman(seed))
        stack.push_async_callback(_stopped, storm)
        stack.push_async_callback(database.close)
        await storm.move(start)
        await _open_far_ends(storm, stack)
        storm.postman.start()
        stack.push_async_callback(storm.postman.close)
        holder = asyncio.create_task(storm.hold())
        stack.push_async_callback(_cancelled, holder)
        stack.push_async_callback(_cancelled, asyncio.create_task(storm.read_feed()))
        storm.number = workers
        for _ in range(workers):
            stack.push_async_callback(_cancelled, asyncio.create_task(storm.keep_worker()))
        await until(lambda: len(storm.workers) == workers, 60, "the workers work")
        yield storm


async def _open_far_ends(storm: Storm, stack: contextlib.AsyncExitStack) -> None:
    store = ReportStore(storm.database)
    routes = DeliveryRoutes(store)

    async def keep_mail(mail: ReceivedEmail) -> None:
        storm.sent.update(mail.recipients)

    async def keep_text(text: ReceivedSms) -> None:
        number = text.to.removeprefix("+")
        storm.sent[number] += 1
        local = storm.calendar.now().astimezone(OSLO)
        if not 9 <= local.hour < 17 and any(
            placed.daytime and placed.address.endswith(number) for placed in storm.orders.values()
        ):
            storm.night.append(f"{number} at {local}")

    async def notice(told: DeliveryNotice) -> None:
        report = RawReport("dsn", told.envelope_id, told.action, "Delivered", told.message)
        storm.postman.take(lambda: store.store([report]))

    async def reports(request: web.Request) -> web.Response:
        async def never() -> None:
            await asyncio.Event().wait()

        headers = {b"content-type": [request.headers.get("content-type", "").encode()]}
        call = Call(
            "POST", request.path, {}, b"", headers, await request.read(), ANONYMOUS, Trace(), {}, never
        )

        async def deliver() -> None:
            assert (await routes.sms_reports(call)).status == 200

        storm.postman.take(deliver)
        return web.Response()

    application = web.Application()
    application.router.add_post("/reports", reports)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    report_url = f"http://127.0.0.1:{runner.addresses[0][1]}/reports"
    inbox = SmtpInbox("127.0.0.1", 0, keep_mail, notice)
    gateway = SmsGateway("127.0.0.1", 0, keep_text, report_url, now=storm.calendar.now)
    for far in (inbox, gateway):
        await far.start()
        stack.push_async_callback(far.close)
    storm.mail, storm.text = Relay(inbox.port), Relay(gateway.port)
    for relay in (storm.mail, storm.text):
        await relay.start()
        stack.push_async_callback(relay.close)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _stopped(storm: Storm) -> None:
    await storm.postgres.stop()
