"""Deadlines: every row that is not final has one, and here it is kept (11.3 rule 1).

Dead workers, lapsed leases, lives that are over, unknown handoffs, accepted messages without a last word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from varsel.delivery.ending import Concluded, conclude, lock_orders, passed
from varsel.delivery.lowwater import LowWater
from varsel.delivery.model import ACS, Ended, reference_family
from varsel.delivery.outcome import UnknownRules
from varsel.delivery.transact import in_halves, transact
from varsel.delivery.window import Window
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.metrics import counter
from varsel.runtime.settings import Settings
from varsel.runtime.steps import step
from varsel.store import queries, states
from varsel.store.database import Connection, Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

DEAD_AFTER: Final = timedelta(seconds=4)
"""Without a heartbeat for so long an incarnation is dead (design 4.1: free at most 5 s after a restart)."""
_settled = counter("unknown_settled")
_recovered = counter("leases_recovered")

BATCH: Final = 500
MOST_RESENDS: Final = 3
"""How often a message is sent again because its outcome was unknown. A provider that takes it each time and never answers would
else give its recipient a copy a minute until it expires; from then on it is held.
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _is_tired(row: Any) -> bool:
    """Whether it was sent again often enough. A provider that can be asked has said that it knows nothing of it: no copy is out."""
    return bool(row["before"] >= MOST_RESENDS) and reference_family(row["provider"]) != ACS


class Reaper:
    """Keeps the deadlines. `finished` is called when orders ended, `ready` when messages wait again."""

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        settings: Settings,
        *,
        finished: Callable[[Concluded], None],
        ready: Callable[[], None],
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._finished = finished
        self._ready = ready
        self._grace = timedelta(seconds=settings.expiry_grace)
        self._unknown = UnknownRules.of(settings)
        self._window = Window.of(settings)
        self._awaited_place: LowWater[tuple[datetime, UUID]] = LowWater(machine, (_EPOCH, UUID(int=0)))

    def reset(self) -> None:
        """The calendar was moved back."""
        self._awaited_place.reset()

    @property
    def awaited_past(self) -> datetime:
        """Waits that were over before this are ended, but for those that came late."""
        return self._awaited_place.past[0]

    @property
    def held_until(self) -> datetime:
        """Held handoffs whose life ended before this are given up."""
        return self._calendar.now() - self._grace

    async def bury_workers(self, silence: timedelta = DEAD_AFTER) -> None:
        """The work of dead incarnations is free again; what they had handed over is unknown. Dead are those without a heartbeat
        for `silence`, and those that are not registered.
        """

        async def work(connection: Connection) -> tuple[int, int]:
            dead = [row[0] for row in await connection.fetch(_sql.dead_workers, silence)]
            doubted = await connection.fetch(
                _sql.doubt_of_workers, dead, self._unknown.email, self._unknown.sms
            )
            if doubted:
                await connection.execute(_sql.doubt_references, [row[0] for row in doubted])
            if dead:
                await connection.execute(_sql.free_of_workers, dead)
            return len(dead), len(doubted)

        dead, doubted = await transact(self._database, work)
        if dead or doubted:
            log.warning("a worker died", action="delivery.worker_died", workers=dead, unknown=doubted)
            self._ready()

    async def release_lapsed(self) -> None:
        for queue, query in (("due", _sql.release_lapsed_due), ("ready", _sql.release_lapsed_ready)):
            done = await self._database.execute(query)
            _recovered.labels(queue).inc(int(done.rpartition(" ")[2]))
        self._ready()

    async def expire(self) -> bool:
        """Messages that were not handed over within their life end as Failed_TTL; whether more may wait."""
        now = self._calendar.now()
        rows = await self._database.fetch(_sql.expired_ready, now, BATCH)

        async def some(part: Sequence[tuple[UUID, UUID]]) -> None:
            async def work(connection: Connection) -> Concluded:
                await lock_orders(connection, (order_id for order_id, _ in part))
                taken = await connection.fetch(_sql.take_expired, [one for _, one in part], now)
                return await conclude(
                    connection,
                    [
                        Ended(row["order_id"], row["notification_id"], states.FAILED_TTL, 30, "expiry")
                        for row in taken
                    ],
                    now,
                    self._window,
                )

            await self._done(transact(self._database, work))

        await in_halves([(row["order_id"], row["notification_id"]) for row in rows], some, self._skip)
        return len(rows) == BATCH

    async def end_awaited(self) -> bool:
        """Accepted messages whose wait is over get their status without a report; whether more may wait."""
        now = self._calendar.now()
        rows = await self._database.fetch(_sql.awaited, now, *self._awaited_place.begin(), BATCH)
        last = (rows[-1]["until"], rows[-1]["notification_id"]) if rows else None
        self._awaited_place.end(last, more=len(rows) == BATCH)

        async def some(part: Sequence[tuple[UUID, UUID]]) -> None:
            async def work(connection: Connection) -> Concluded:
                await lock_orders(connection, (order_id for order_id, _ in part))
                still = await connection.fetch(_sql.still_awaited, [one for _, one in part], now)
                return await conclude(
                    connection,
                    [
                        Ended(
                            row["order_id"],
                            row["notification_id"],
                            row["then_status"],
                            states.rank(row["channel"], row["then_status"]),
                        )
                        for row in still
                    ],
                    now,
                    self._window,
                )

            await self._done(transact(self._database, work))

        await in_halves([(row["order_id"], row["notification_id"]) for row in rows], some, self._skip)
        return len(rows) == BATCH

    async def settle_unknown(self) -> bool:
        """Unknown handoffs end by rule: sent again through the same provider, or given up with their life."""
        now = self._calendar.now()
        rows = await self._database.fetch(_sql.unsettled, self.held_until)
        alive = [row for row in rows if not row["held"] and row["expires_at"] > now]
        tired = [row["attempt_id"] for row in alive if _is_tired(row)]
        again = [row["attempt_id"] for row in alive if not _is_tired(row)]
        over = [
            (row["order_id"], row["notification_id"])
            for row in rows
            if row["held"] or row["expires_at"] <= now
        ]
        if rows:
            step("settle.before_commit")
        if again:
            await self._database.execute(_sql.resend, again, now, None)
            for row in rows:
                if row["attempt_id"] in again:
                    _settled.labels(row["channel"], "resend").inc()
            log.warning("unknown handoffs are sent again", action="delivery.resend", number=len(again))
            self._ready()
        if tired:
            await self._database.execute(_sql.hold, tired)
            log.warning(
                "unknown handoffs are held: sent often enough", action="delivery.hold", number=len(tired)
            )

        async def some(part: Sequence[tuple[UUID, UUID]]) -> None:
            async def work(connection: Connection) -> Concluded:
                await lock_orders(connection, (order_id for order_id, _ in part))
                return await conclude(
                    connection,
                    [Ended(order_id, one, states.FAILED_TTL, 30, "expiry") for order_id, one in part],
                    now,
                    self._window,
                )

            await self._done(transact(self._database, work))

        await in_halves(over, some, self._skip)
        return len(rows) == BATCH

    async def _done(self, work: Awaitable[Concluded]) -> None:
        concluded = await work
        passed(concluded)
        if concluded.tells:
            self._finished(concluded)

    async def _skip(self, row: tuple[UUID, UUID], error: BaseException) -> None:
        log.error(
            "a message could not be ended",
            action="delivery.reap_poison",
            notification=str(row[1]),
            error=type(error).__name__,
        )
        await asyncio.sleep(0)
