"""Delivery reports: stored raw before anything is understood, then matched and applied in sets (11.3 rules 10, 11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from varsel.delivery.ending import Concluded, conclude, lock_orders, passed
from varsel.delivery.lowwater import LowWater
from varsel.delivery.model import Ended
from varsel.delivery.transact import in_halves, transact
from varsel.delivery.window import Window
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.metrics import counter
from varsel.runtime.steps import step
from varsel.store import queries, states
from varsel.store.database import Connection, Database
from varsel.store.ids import uuid7

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

_counted = counter("reports")

BATCH: Final = 500
PATIENCE: Final = timedelta(minutes=10)
"""How long a report waits for its message to become known; the contract's retries end after some five minutes."""
MOST_REFERENCE: Final = 300
"""Characters of a provider's reference that are kept, of its answers and of its reports alike: they are compared."""


@dataclass(frozen=True, slots=True)
class RawReport:
    """A report as it came. `provider` is its family ('link', 'acs', 'dsn'); `status` what it means, None when nothing;
    `reason` set: for the operator at once (docs/reference/delivery.md 8.4).
    """

    provider: str
    reference: str | None
    word: str | None
    status: str | None
    raw: bytes = field(repr=False)
    reason: str | None = None


class ReportStore:
    """Stores reports; those of requests that come at the same time share a commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Sequence[RawReport], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def store(self, reports: Sequence[RawReport]) -> None:
        """Return when the reports are on disk; DatabaseUnavailable when they are not."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((reports, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(future)

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:200], self._waiting[200:]
                try:
                    await self._insert([report for reports, _ in group for report in reports])
                except Exception as error:
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)
                            future.exception()
                else:
                    step("report.stored")
                    for _, future in group:
                        if not future.done():
                            future.set_result(None)
        finally:
            self._task = None

    async def _insert(self, reports: Sequence[RawReport]) -> None:
        if not reports:
            return
        await self._database.execute(
            _sql.store_reports,
            [uuid7() for _ in reports],
            [report.provider for report in reports],
            [_plain(report.reference, MOST_REFERENCE) for report in reports],
            [_plain(report.word, 100) for report in reports],
            [report.status for report in reports],
            [report.raw for report in reports],
            [_reason(report) for report in reports],
            PATIENCE,
        )
        for report in reports:
            # The word of a provider is anything; what it means here is one of a few.
            dead = _reason(report) is not None
            _counted.labels(report.provider, report.status or "none", "dead" if dead else "stored").inc()
        self._database.wake("report")


def _plain(text: str | None, most: int) -> str | None:
    return None if text is None else text.replace("\x00", " ")[:most]


def _reason(report: RawReport) -> str | None:
    if report.reason is not None:
        return report.reason
    if report.status is None:
        return "UNRECOGNIZED_SEND_RESULT"
    return None if report.reference else "INVALID_NOTIFICATION_IDENTIFIER"


class Matcher:
    """Applies stored reports to the messages they name. `finished` is called when orders ended or were corrected."""

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        window: Window,
        *,
        finished: Callable[[Concluded], None],
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._window = window
        self._finished = finished
        self._place: LowWater[int] = LowWater(machine, 0)

    @property
    def again_after(self) -> float | None:
        return self._place.again_after

    def look_back(self) -> None:
        """A reference became known that reports wait for: they lie behind the place."""
        self._place.look_back()

    @property
    def past(self) -> UUID:
        """Reports before this one were applied, but for those whose message is not known yet."""
        return UUID(int=self._place.past)

    async def run(self) -> bool:
        """Apply one batch; whether more may wait right now."""
        place = UUID(int=self._place.begin())
        found: list[Any] = []

        async def work(connection: Connection) -> Concluded:
            rows = await connection.fetch(_sql.matching_reports, place, BATCH)
            found[:] = rows
            return await self._apply(connection, rows)

        try:
            concluded = await transact(self._database, work)
        except (asyncpg.PostgresError, ValueError, KeyError):
            await self._apply_in_halves(list(found))
            concluded = Concluded()
        self._place.end(found[-1]["report_id"].int if found else None, more=len(found) == BATCH)
        if found:
            step("report.applied")
        passed(concluded)
        if concluded.tells:
            self._finished(concluded)
        return len(found) == BATCH

    async def _apply(self, connection: Connection, rows: Sequence[Any]) -> Concluded:
        if not rows:
            return Concluded()
        locked = await lock_orders(connection, (row["order_id"] for row in rows))
        past = [row for row in rows if row["order_id"] not in locked]
        if past:
            # Their month is gone; what was said of them stays for the operator to see (8.4).
            await connection.execute(
                _sql.bury_reports, [row["report_id"] for row in past], "NOTIFICATION_EXPIRED"
            )
            for row in past:
                _counted.labels(row["provider"], row["status"], "dead").inc()
            log.warning(
                "reports about messages past retention", action="delivery.reports_past", number=len(past)
            )
            rows = [row for row in rows if row["order_id"] in locked]
        concluded = await conclude(
            connection,
            [
                Ended(
                    row["order_id"],
                    row["notification_id"],
                    row["status"],
                    states.rank("Sms" if row["provider"] == "link" else "Email", row["status"]),
                    "report",
                )
                for row in rows
            ],
            self._calendar.now(),
            self._window,
        )
        await connection.execute(_sql.drop_parked, [row["report_id"] for row in rows])
        for row in rows:
            _counted.labels(row["provider"], row["status"], "applied").inc()
        return concluded

    async def _apply_in_halves(self, rows: Sequence[Any]) -> None:
        async def some(part: Sequence[Any]) -> None:
            async def work(connection: Connection) -> Concluded:
                return await self._apply(connection, part)

            concluded = await transact(self._database, work)
            if concluded.tells:
                self._finished(concluded)

        async def bury(row: Any, error: BaseException) -> None:
            log.error(
                "a report cannot be applied", action="delivery.report_poison", error=type(error).__name__
            )
            await self._database.execute(_sql.bury_reports, [row["report_id"]], "UNRECOGNIZED_SEND_RESULT")

        await in_halves(rows, some, bury)


async def give_up(database: Database) -> int:
    """Reports whose message never became known become the operator's."""
    rows = await database.fetch(_sql.give_up_reports)
    if rows:
        log.warning("reports without a message", action="delivery.reports_dead", number=len(rows))
    return len(rows)
