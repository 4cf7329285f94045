"""Due orders: claimed, asked about where they must be, planned, all in sets (docs/reference/delivery.md 1.2).

An order to direct addresses goes from Registered to Processed in one transaction. One that asks somebody outside, a
send condition or a register, is leased first, so that no transaction waits for a stranger.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import asyncpg
import structlog

from varsel.delivery.fallback import keep_in_reserve, other_way
from varsel.delivery.finish import finish
from varsel.delivery.groups import ASKING, LARGE, Shares, group_of, origin_of, registers_for
from varsel.delivery.lowwater import LowWater
from varsel.delivery.model import LEASE, Addressee, DueOrder, Kind, Planned, due_order
from varsel.delivery.plan import direct_addressees, plan
from varsel.delivery.store import insert_plan
from varsel.delivery.transact import is_poison, transact
from varsel.delivery.window import Window, expiry, is_daytime
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.metrics import counter, histogram
from varsel.runtime.steps import step
from varsel.store import queries, states
from varsel.store.content import OrderContent, decode
from varsel.store.database import Connection, Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

CLAIM: Final = 250
SMALL: Final = 1 << 16  # octets of content that are read with the claim
_ended = counter("orders_ended")
_lag = histogram("due_lag_seconds")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_RETRY: Final = 900.0
_CROWDED: Final = 30.0  # seconds after which a large order comes back to a group that has no room
_SPREAD: Final = 2.0  # seconds over which orders come back to a register that may be asked again


T = TypeVar("T")


class Run(Protocol):
    """Runs a function, here or in a thread; `asyncio.to_thread`."""

    async def __call__(self, function: Callable[..., T], /, *args: Any) -> T: ...


class Conditions(Protocol):
    """Asks send conditions (`varsel.delivery.conditions`)."""

    async def ask(self, url: str) -> bool | None:
        """True, false, or None for an inconclusive answer."""


class Resolver(Protocol):
    """Finds addresses (`varsel.delivery.resolving`)."""

    async def resolve(self, order: DueOrder, content: OrderContent) -> list[Addressee]:
        """The messages of an order; RegisterUnavailable when a register does not answer."""


@dataclass(frozen=True, slots=True)
class Made:
    """A planned order: its texts, its messages, of which this worker holds some already, and what takes over if they fail."""

    order_id: UUID
    content: OrderContent
    rows: list[Planned]
    reserve: list[Planned] = field(default_factory=list)


async def _at_once(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


class DueOrders:
    """Plans orders. `rooms` tells how many messages of a (channel, lane) this worker may keep at once; `made` gets them
    after the commit; `finished` is called when orders ended at birth, `again` when it is worth while to run again.
    """

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        window: Window,
        owner: UUID,
        *,
        key: Callable[[str], bytes],
        conditions: Conditions,
        resolver: Resolver,
        retry: timedelta,
        rooms: Callable[[str, int], int],
        made: Callable[[Sequence[Made]], None],
        finished: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._window = window
        self._owner = owner
        self._key = key
        self._conditions = conditions
        self._resolver = resolver
        self._retry = retry
        self._rooms = rooms
        self._made = made
        self._finished = finished
        self._again = again
        self._place: LowWater[tuple[datetime, UUID]] = LowWater(machine, (_EPOCH, UUID(int=0)))
        self._asking: dict[UUID, asyncio.Task[None]] = {}
        self._groups: dict[UUID, str] = {}
        self._shares = Shares()
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._left = False
        self._large = asyncio.Semaphore(1)

    def reset(self) -> None:
        """The calendar was moved back."""
        self._place.reset()

    @property
    def again_after(self) -> float | None:
        return self._place.again_after

    @property
    def past(self) -> datetime:
        """Orders due before this were taken, but for those that came late."""
        return self._place.past[0]

    def leased(self) -> list[UUID]:
        """Orders whose leases must be renewed."""
        return list(self._asking)

    async def run(self) -> bool:
        """Claim and plan one batch; whether more may wait right now."""
        batch: list[DueOrder] = []

        async def work(connection: Connection) -> tuple[int, list[Made], bool, list[tuple[DueOrder, str]]]:
            return await self._take(connection, batch)

        try:
            taken, made, ended, leased = await transact(self._database, work)
        except (asyncpg.PostgresError, ValueError, TypeError, KeyError) as error:
            if not is_poison(error):
                raise
            # One order spoils the batch: each alone, so that only that one fails.
            for order in batch:
                await self._alone(order)
            return True
        if taken:
            step("plan.committed")
        for order, group in leased:
            self._ask_later(order, group)
        self._made(made)
        if ended:
            self._finished()
        return taken == CLAIM

    async def settle(self) -> None:
        """Give orders that are being asked about back: they are asked again elsewhere."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- orders that need nobody ---------------------------------------------------------------------------------

    async def _take(
        self, connection: Connection, batch: list[DueOrder]
    ) -> tuple[int, list[Made], bool, list[tuple[DueOrder, str]]]:
        batch.clear()
        now = self._calendar.now()
        place = self._place.begin()
        rows = await connection.fetch(_sql.claim_due, now, *place, CLAIM)
        last = (rows[-1]["due_at"], rows[-1]["order_id"]) if rows else None
        self._place.end(last, more=len(rows) == CLAIM)
        if not rows:
            return 0, [], False, []
        found = {
            row["id"]: row
            for row in await connection.fetch(_sql.lock_due_orders, [row["order_id"] for row in rows])
        }
        stored = {
            row["order_id"]: row for row in await connection.fetch(_sql.due_contents, list(found), SMALL)
        }
        step("due.claimed")
        made: list[Made] = []
        leased: list[tuple[DueOrder, str]] = []
        shares = self._shares.copy()
        for row in rows:
            if row["order_id"] not in found:
                continue
            _lag.observe(max(0.0, (now - row["due_at"]).total_seconds()))
            order = due_order(row, found[row["order_id"]])
            batch.append(order)
            text = stored.get(order.id)
            if text is not None and text["content"] is None:
                self._lease(order, LARGE, leased, shares)
                continue
            try:
                if text is None:
                    raise TypeError("the order has no content")
                content = decode(text["content"])
                addressees = None if content.condition_endpoint else direct_addressees(order, content)
                if addressees is not None:
                    made.append(self._plan(order, content, addressees, now))
                else:
                    self._lease(order, group_of(order, content), leased, shares)
            except (ValueError, TypeError, KeyError) as error:
                made.append(self._failed(order, error, now))
        ended = await self._store(connection, made, now)
        if leased:
            await connection.execute(
                _sql.lease_due, [order.id for order, _ in leased], self._owner, LEASE, now
            )
        return len(rows), made, ended, leased

    def _lease(self, order: DueOrder, group: str, leased: list[tuple[DueOrder, str]], shares: Shares) -> None:
        """What does not fit into this worker's hands stays where it is, unlocked at the commit."""
        if shares.fits(group, order.creator):
            shares.take(group, order.creator)
            leased.append((order, group))
        else:
            self._left = True

    def _plan(
        self, order: DueOrder, content: OrderContent, addressees: Sequence[Addressee], now: datetime
    ) -> Made:
        return Made(
            order.id,
            content,
            plan(order, content, addressees, window=self._window, now=now, key=self._key, owner=self._owner),
        )

    async def _store(self, connection: Connection, made: Sequence[Made], now: datetime) -> bool:
        """Write plans; whether an order ended at once because none of its messages can be sent."""
        rooms: dict[tuple[str, int], int] = {}
        for row in (row for one in made for row in one.rows):
            if row.owner is None:
                continue
            lane = (row.channel, row.lane)
            left = rooms.get(lane)
            if left is None:
                left = self._rooms(*lane)
            if left <= 0:
                row.owner = None
            rooms[lane] = left - 1
        step("plan.before_commit")
        ended = await insert_plan(connection, [(one.order_id, one.rows) for one in made], now)
        await keep_in_reserve(connection, [row for one in made for row in one.reserve])
        return bool(await finish(connection, ended, now))

    def _failed(self, order: DueOrder, error: BaseException, now: datetime) -> Made:
        """An order that cannot be planned ends as Failed, so that it neither blocks others nor waits for ever."""
        log.error(
            "an order could not be planned; it ends as Failed",
            action="delivery.plan_failed",
            order=str(order.id),
            error=type(error).__name__,
        )
        return self._ended(order, "Failed", now)

    def _ended(self, order: DueOrder, status: str, now: datetime) -> Made:
        nothing = OrderContent(recipients=())
        channel: Kind = "Sms" if order.channel.startswith("Sms") else "Email"
        addressee = Addressee(channel, "direct", status=status)
        return self._plan(order, nothing, [addressee], now)

    async def _alone(self, order: DueOrder) -> None:
        """Plan one order of a spoilt batch in a transaction of its own."""
        now = self._calendar.now()
        asked: list[str] = []

        async def work(connection: Connection) -> list[Made]:
            asked.clear()
            await connection.execute(_sql.lease_due, [order.id], self._owner, LEASE, now)
            if not await self._holds(connection, order):
                return []
            data = await connection.fetchval(_sql.read_content, order.id)
            if len(data) > SMALL:
                asked.append(LARGE)
                return []
            content = decode(data)
            addressees = None if content.condition_endpoint else direct_addressees(order, content)
            if addressees is None:
                asked.append(group_of(order, content))
                return []
            made = [self._plan(order, content, addressees, now)]
            await self._store(connection, made, now)
            return made

        try:
            self._made(await transact(self._database, work))
        except (asyncpg.PostgresError, ValueError, TypeError, KeyError) as error:
            if not is_poison(error):
                raise
            await self._end(order, self._failed(order, error, now), now)
        for group in asked:
            self._ask_later(order, group)
        self._finished()

    async def _end(self, order: DueOrder, made: Made, now: datetime) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(_sql.lease_due, [order.id], self._owner, LEASE, now)
            if await self._holds(connection, order):
                await self._store(connection, [made], now)

        await transact(self._database, work)
        self._finished()

    async def _holds(self, connection: Connection, order: DueOrder) -> bool:
        """Lock the order and its lease, in the order of a cancel; False when it was cancelled or taken back."""
        if not await connection.fetch(_sql.lock_waiting_order, order.id):
            return False
        return bool(await connection.fetch(_sql.lock_lease, order.id, self._owner))

    # -- orders that ask somebody --------------------------------------------------------------------------------

    def _ask_later(self, order: DueOrder, group: str) -> None:
        task = asyncio.create_task(self._ask(order, group))
        self._asking[order.id] = task
        self._groups[order.id] = group
        self._shares.take(group, order.creator)

        def done(_task: asyncio.Task[None]) -> None:
            self._asking.pop(order.id, None)
            self._give(order)
            if not self._asking:
                self._turns.clear()

        task.add_done_callback(done)

    def _give(self, order: DueOrder) -> None:
        """An order leaves its group; others may come for its place."""
        group = self._groups.pop(order.id)
        self._shares.give(group, order.creator)
        if self._left and self._shares.roomy(group, order.creator):
            self._left = False
            self._place.reset()
            self._again()

    def _move(self, order: DueOrder, group: str) -> bool:
        """A large order was read, and it is known who is asked; whether there is room for it."""
        if not self._shares.fits(group, order.creator):
            return False
        self._give(order)
        self._groups[order.id] = group
        self._shares.take(group, order.creator)
        return True

    def _turn(self, group: str, most: int = ASKING) -> asyncio.Semaphore:
        return self._turns.setdefault(group, asyncio.Semaphore(most))

    async def _ask(self, order: DueOrder, group: str) -> None:
        try:
            if group == LARGE:
                await self._process_large(order)
            else:
                async with self._turn(group):
                    await self._process(order)
        except Unavailable:
            # The database: the lease lapses, somebody asks again.
            log.warning("an order waits for the database", action="delivery.due_waits", order=str(order.id))
        except Exception as error:
            log.exception(
                "an order could not be processed", action="delivery.due_failed", order=str(order.id)
            )
            with contextlib.suppress(Unavailable):
                if is_poison(error):
                    now = self._calendar.now()
                    await self._end(order, self._failed(order, error, now), now)
                else:
                    # Nobody knows why: it comes back like one whose register is away, and ends with its life.
                    await self._later(order, None)

    async def _process(self, order: DueOrder) -> None:
        content = await self._content(order)
        if content is None or not await self._may_go(order, content.condition_endpoint):
            return
        addressees = direct_addressees(order, content)
        if addressees is not None:
            await self._keep(order, content, addressees, [], _at_once)
            return
        async with self._turn(f"asking {registers_for(order, content)}"):
            found = await self._resolve(order, content, _at_once)
        if found is not None:
            await self._keep(order, content, *found, _at_once)

    async def _process_large(self, order: DueOrder) -> None:
        """One is read and planned at a time, as each takes memory; while somebody is asked the others go on."""
        run: Run = asyncio.to_thread
        async with self._large:
            content = await self._content(order)
            if content is None:
                return
            condition = content.condition_endpoint
            addressees = await run(direct_addressees, order, content)
            if addressees is not None and not condition:
                await self._keep(order, content, addressees, [], run)
                return
            direct = addressees is not None
            registers = await run(registers_for, order, content)
            del content, addressees
        group = origin_of(condition) if condition else registers
        if not self._move(order, group):
            await self._put_back(order, order.tries, asked=order.asked, after=timedelta(seconds=_CROWDED))
            return
        if condition:
            async with self._turn(group):
                if not await self._may_go(order, condition):
                    return
        if direct:
            async with self._large:
                content = await self._content(order)
                if content is not None:
                    addressees = await run(direct_addressees, order, content)
                    assert addressees is not None
                    await self._keep(order, content, addressees, [], run)
            return
        # One at a time of those that ask the same registers.
        async with self._turn(f"large {registers}", 1):
            async with self._large:
                content = await self._content(order)
            found = None if content is None else await self._resolve(order, content, run)
            if content is not None and found is not None:
                async with self._large:
                    await self._keep(order, content, *found, run)

    async def _content(self, order: DueOrder) -> OrderContent | None:
        """What was ordered; an order without ends."""
        data = await self._database.fetchval(_sql.read_content, order.id)
        if data is None:
            now = self._calendar.now()
            await self._end(order, self._failed(order, LookupError("no content"), now), now)
            return None
        return decode(data) if len(data) <= SMALL else await asyncio.to_thread(decode, data)

    async def _may_go(self, order: DueOrder, condition: str | None) -> bool:
        """Whether the condition lets it go; otherwise it has ended, or is asked again later."""
        if not condition:
            return True
        met = await self._conditions.ask(condition)
        if met is None and not order.asked:
            await self._put_back(order, order.tries, asked=True, after=self._retry)
            return False
        if met is False:
            await self._not_met(order)
            return False
        return True

    async def _resolve(
        self, order: DueOrder, content: OrderContent, run: Run
    ) -> tuple[list[Addressee], list[Planned]] | None:
        """Its messages, and what is kept in reserve; None when a register does not answer: then it comes back later."""
        try:
            addressees = await self._resolver.resolve(order, content)
            return addressees, await self._reserve(order, content, addressees, run)
        except Unavailable as error:
            await self._later(order, getattr(error, "spared_for", None))
            return None

    async def _reserve(
        self, order: DueOrder, content: OrderContent, addressees: Sequence[Addressee], run: Run
    ) -> list[Planned]:
        """What goes over the other channel if all of these fail. A direct address knows no other channel."""
        now = self._calendar.now()
        if not content.fallback_on_failure:
            return []
        chosen = await run(self._plan, order, content, addressees, now)
        other = other_way(order, content, chosen.rows)
        if other is None:
            return []
        found = await self._resolver.resolve(other, content)
        return (await run(self._plan, other, content, found, now)).rows

    async def _keep(
        self,
        order: DueOrder,
        content: OrderContent,
        addressees: Sequence[Addressee],
        reserve: list[Planned],
        run: Run,
    ) -> None:
        now = self._calendar.now()

        async def work(connection: Connection) -> tuple[list[Made], bool]:
            if not await self._holds(connection, order):
                return [], False  # cancelled meanwhile, or taken back: somebody else's now
            planned = await run(self._plan, order, content, addressees, now)
            planned.reserve.extend(reserve)
            return [planned], await self._store(connection, [planned], now)

        made, ended = await transact(self._database, work)
        step("plan.committed")
        self._made(made)
        if ended:
            self._finished()

    async def _not_met(self, order: DueOrder) -> None:
        now = self._calendar.now()

        async def work(connection: Connection) -> int:
            if not await self._holds(connection, order):
                return 0
            return await finish(connection, [order.id], now, "SendConditionNotMet")

        if await transact(self._database, work):
            _ended.labels("SendConditionNotMet").inc()
            step("finish.committed")
            self._finished()

    async def _later(self, order: DueOrder, spared_for: float | None) -> None:
        """Ask again later, more and more seldom; an order that outlived its messages ends (11.2 no. 4).

        A register that was not asked, because it failed others, says nothing about this order: it is asked as soon as it may be.
        """
        now = self._calendar.now()
        # Its last message may be an SMS that lives from the next opening of the window.
        daytime = order.channel != "Email" and is_daytime("Sms", order.sending_policy)
        if now >= expiry(self._window, daytime=daytime, requested_at=order.requested_at):
            await self._end(order, self._ended(order, states.FAILED_TTL, now), now)
            return
        if spared_for is not None:
            pause = timedelta(seconds=spared_for + random.uniform(0, _SPREAD))
            await self._put_back(order, order.tries, asked=False, after=pause)
            return
        pause = min(self._retry.total_seconds() * 2 ** min(order.tries, 6), _LONGEST_RETRY)
        log.warning("an order is asked about later", action="delivery.register_waits", order=str(order.id))
        # The order starts over, so its condition is asked from the beginning too (5).
        await self._put_back(order, order.tries + 1, asked=False, after=timedelta(seconds=pause))

    async def _put_back(self, order: DueOrder, tries: int, *, asked: bool, after: timedelta) -> None:
        now = self._calendar.now()
        await self._database.execute(
            _sql.put_back_due, order.id, self._owner, now + after, min(tries, 30_000), asked, now
        )
