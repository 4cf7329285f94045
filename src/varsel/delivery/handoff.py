"""The intent: what is about to leave is written down first (promise 5, design 4.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from varsel.channels.model import MOST_OPEN_HANDOFFS, Message
from varsel.delivery.model import LANE_INSTANT, Parcel
from varsel.delivery.transact import fetch_alone
from varsel.delivery.window import Window
from varsel.runtime.clock import Calendar
from varsel.runtime.metrics import histogram
from varsel.runtime.steps import step
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

_dwell = histogram("dwell_seconds")

_NO_ONE: Final[frozenset[UUID]] = frozenset()
KEPT: Final = 3  # open handoffs that only instant messages may use
GATHER: Final = 0.004  # seconds a group waits for the connections that left together with it


class Handoffs:
    """The messages that channels have in hand. At most 32 handoffs are open at once: what a crash can leave unknown.

    Channels ask in groups, and the groups of channels that ask at the same time share one commit. Connections that
    left together come back together, so a group waits a moment until as many ask as left: a commit costs the same for
    one message as for a dozen. Instant messages go first, and some room is theirs alone: a provider that is silent for
    minutes fills the rest.
    """

    def __init__(self, database: Database, calendar: Calendar, window: Window, owner: UUID) -> None:
        self._database = database
        self._calendar = calendar
        self._window = window
        self._owner = owner
        self._parcels: dict[UUID, Parcel] = {}
        self._waiting: list[tuple[Sequence[Message], asyncio.Future[frozenset[UUID]]]] = []
        self._flush: asyncio.Task[None] | None = None
        self._open = 0
        self._on_the_way = 0
        self._expected = 0
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def carry(self, parcel: Parcel, attempt_id: UUID, provider: str) -> None:
        """A channel is about to get this message as this attempt."""
        parcel.attempt_id, parcel.provider, parcel.granted = attempt_id, provider, False
        self._parcels[attempt_id] = parcel

    def settled(self, attempt_id: UUID) -> Parcel | None:
        """The message of an attempt that a channel settled; None when it was settled before."""
        parcel = self._parcels.pop(attempt_id, None)
        if parcel is not None and parcel.granted:
            self._on_the_way -= 1
        return parcel

    def dropped(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Those of a channel's messages that it neither settled nor got a grant for: forgotten here, still held."""
        return [
            parcel
            for parcel in parcels
            if parcel.attempt_id is not None and self.settled(parcel.attempt_id) is not None
        ]

    def closed(self, number: int) -> None:
        """Outcomes of so many handoffs are stored."""
        self._open -= number
        self._room.set()

    @property
    def open(self) -> int:
        return self._open

    @property
    def on_the_way(self) -> int:
        """Granted, and not settled by their channels: each of them will make an outcome soon."""
        return self._on_the_way

    async def intend(self, messages: Sequence[Message]) -> frozenset[UUID]:
        """See `varsel.channels.model.Intend`."""
        future: asyncio.Future[frozenset[UUID]] = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, future))
        if self._flush is None:
            self._flush = asyncio.create_task(self._run())
        elif self._is_instant(messages):
            self._full.set()
            self._room.set()
        elif self._gathered():
            self._full.set()
        return await asyncio.shield(future)

    async def _run(self) -> None:
        try:
            while self._waiting:
                if not self._gathered():
                    self._full.clear()
                    timer = asyncio.get_running_loop().call_later(GATHER, self._full.set)
                    await self._full.wait()
                    timer.cancel()
                self._waiting.sort(key=lambda one: not self._is_instant(one[0]))
                group: list[tuple[Sequence[Message], asyncio.Future[frozenset[UUID]]]] = []
                size = 0
                while self._waiting and self._fits(self._waiting[0][0], size):
                    group.append(self._waiting.pop(0))
                    size += len(group[-1][0])
                if group:
                    await self._commit(group)
                else:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._flush = None

    def _is_instant(self, messages: Sequence[Message]) -> bool:
        parcel = self._parcels.get(messages[0].attempt_id)
        return parcel is not None and parcel.lane == LANE_INSTANT

    def _fits(self, messages: Sequence[Message], before: int) -> bool:
        """Whether so many more may be open. A group that is larger than the limit goes when nothing else is open."""
        limit = MOST_OPEN_HANDOFFS if self._is_instant(messages) else MOST_OPEN_HANDOFFS - KEPT
        taken = self._open + before
        return not taken or taken + len(messages) <= limit

    def _gathered(self) -> bool:
        return sum(len(messages) for messages, _ in self._waiting) >= min(self._expected, MOST_OPEN_HANDOFFS)

    async def _commit(self, group: list[tuple[Sequence[Message], asyncio.Future[frozenset[UUID]]]]) -> None:
        try:
            granted = await self._write([message for messages, _ in group for message in messages])
        except Exception as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # its channel may have left meanwhile
            return
        for messages, future in group:
            if not future.done():
                future.set_result(frozenset(message.attempt_id for message in messages) & granted)

    async def _write(self, messages: Sequence[Message]) -> frozenset[UUID]:
        now = self._calendar.now()
        going: list[Parcel] = []
        late: list[Parcel] = []
        for message in messages:
            parcel = self._parcels[message.attempt_id]
            if self._may_leave(parcel, now):
                going.append(parcel)
            else:
                late.append(parcel)
        if late:
            await self._give_back(late, now)
        if not going:
            return _NO_ONE

        step("intent.before_commit")
        rows = await fetch_alone(
            self._database,
            _sql.intend,
            [parcel.attempt_id for parcel in going],
            [parcel.notification_id for parcel in going],
            [parcel.order_id for parcel in going],
            [parcel.provider for parcel in going],
            self._owner,
            now,
        )
        granted = frozenset(row[0] for row in rows)
        step("intent.committed")
        self._open += len(granted)
        self._on_the_way += len(granted)
        self._expected = self._on_the_way
        for parcel in going:
            attempt_id = parcel.attempt_id
            assert attempt_id is not None
            if attempt_id in granted:
                parcel.granted = True
                _dwell.labels(parcel.channel).observe((now - parcel.ready_at).total_seconds())
            else:
                # Cancelled, ended, or taken back as lapsed: whoever did that owns it now.
                del self._parcels[attempt_id]
        return granted

    def _may_leave(self, parcel: Parcel, now: datetime) -> bool:
        """Requested time, life and window once more, at the last moment (11.3 rule 9)."""
        if now < parcel.ready_at or now >= parcel.expires_at:
            return False
        return not parcel.daytime or self._window.is_open(now)

    async def _give_back(self, parcels: Sequence[Parcel], now: datetime) -> None:
        for parcel in parcels:
            if parcel.attempt_id is not None:
                self._parcels.pop(parcel.attempt_id, None)
        await self._database.execute(
            _sql.release_ready,
            [parcel.notification_id for parcel in parcels],
            self._owner,
            [
                self._window.opening(now)
                if parcel.daytime and not self._window.is_open(now)
                else parcel.ready_at
                for parcel in parcels
            ],
        )
        log.info("messages went back: not their time", action="delivery.gate", number=len(parcels))
