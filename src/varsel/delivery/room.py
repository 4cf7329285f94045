"""The worker: every loop of delivery in one process, woken by the database, polled once a second as the net below.

Any number of workers run beside each other; each holds what it works on by leases of its incarnation.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import structlog

from varsel.channels.model import Channel
from varsel.delivery.conditions import Getter, HttpConditions
from varsel.delivery.dispatch import BATCH, Dispatcher
from varsel.delivery.due import DueOrders, Made, Resolver
from varsel.delivery.ending import Concluded
from varsel.delivery.feed import Sequencer
from varsel.delivery.files import Files
from varsel.delivery.handoff import Handoffs
from varsel.delivery.heart import Heart
from varsel.delivery.lookout import Lookout, Places
from varsel.delivery.lost_answers import LostAnswers
from varsel.delivery.model import (
    LANE_COMPOSED,
    LANE_INSTANT,
    LANE_ORDINARY,
    LEASE,
    RENEW_SECONDS,
    Kind,
    Parcel,
)
from varsel.delivery.outcome import Outcomes
from varsel.delivery.pace import Limits, Pace, StoredLedger
from varsel.delivery.pauses import Providers
from varsel.delivery.polling import Poller, polled
from varsel.delivery.reaper import DEAD_AFTER, Reaper
from varsel.delivery.reports import Matcher, ReportStore, give_up
from varsel.delivery.resolving import RegisterResolver
from varsel.delivery.retention import Retention
from varsel.delivery.routes import ENDPOINTS, DeliveryRoutes
from varsel.delivery.transact import fetch_alone
from varsel.delivery.triggers import ENDPOINTS as TRIGGERS
from varsel.delivery.triggers import TriggerRoutes
from varsel.delivery.webhooks import Poster, WebhookLane
from varsel.delivery.window import Window
from varsel.recipients.registers import Registers
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.errors import Unavailable
from varsel.runtime.settings import Settings
from varsel.runtime.tasks import end
from varsel.store import queries
from varsel.store.database import Database, Listener
from varsel.store.ids import uuid7
from varsel.store.partitions import ensure_partitions
from varsel.store.secrets import MasterKey

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

HOUSEKEEPING_EVERY: Final = 3600.0
_LANES: Final[tuple[tuple[Kind, int], ...]] = (
    ("Email", LANE_INSTANT),
    ("Email", LANE_ORDINARY),
    ("Email", LANE_COMPOSED),
    ("Sms", LANE_INSTANT),
    ("Sms", LANE_ORDINARY),
)
_COMPOSED_BATCH: Final = 4  # mails with files in one batch: each may hold 25 MB


class Outbound(Getter, Poster, Protocol):
    """What reaches addresses that callers chose; `varsel.runtime.outbound.GuardedClient`."""


class DeliveryRoom:
    """What the HTTP role needs of delivery: the endpoints of providers' reports, and triggers."""

    def __init__(self, bound: tuple[Bound, ...]) -> None:
        self.bound = bound

    @classmethod
    async def open(
        cls, settings: Settings, database: Database, calendar: Calendar, machine: Machine
    ) -> DeliveryRoom:
        reports = bind(ENDPOINTS, DeliveryRoutes(ReportStore(database)))
        triggers = bind(TRIGGERS, TriggerRoutes(settings, database, calendar, machine))
        return cls((*reports, *triggers))


def window_of(settings: Settings) -> Window:
    """The daytime window of the settings; SettingsError when its hours make none."""
    return Window.of(settings)


class Worker:
    """One incarnation. `start` returns when it works, `stop` when nothing of it is in hand any more."""

    def __init__(  # noqa: PLR0917 - the shape that composition gives to every room
        self,
        settings: Settings,
        database: Database,
        listener: Listener,
        calendar: Calendar,
        machine: Machine,
        master_key: MasterKey,
        channels: Sequence[Channel],
        registers: Registers,
        outbound: Outbound,
        sandbox: bool = False,
        *,
        resolver: Resolver | None = None,
        condition_token: Callable[[str], Awaitable[str | None]] | None = None,
    ) -> None:
        self.id: UUID = uuid7()
        self._settings = settings
        self._database = database
        self._machine = machine
        self._calendar = calendar
        self._channels = tuple(channels)
        self._stopping = False
        self._heart: Heart | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sleepers: list[asyncio.Task[None]] = []
        self._dispatch_tasks: list[asyncio.Task[None]] = []
        window = window_of(settings)
        self._providers = Providers(channels, machine)
        self._handoffs = Handoffs(database, calendar, window, self.id)
        self._outcomes = Outcomes(
            database,
            calendar,
            settings,
            self._handoffs,
            self.id,
            early=self._early,
            finished=self._finished,
            ready=self._look_ready,
            paused=self._providers.pause,
        )
        limits = Limits.read(settings.pace, [channel.name for channel in channels])
        pace = Pace(limits, StoredLedger(database), machine) if limits.rates else None
        self._dispatchers = {
            (kind, lane): Dispatcher(
                kind,
                lane,
                database=database,
                calendar=calendar,
                machine=machine,
                providers=self._providers,
                handoffs=self._handoffs,
                outcomes=self._outcomes,
                owner=self.id,
                batch=_COMPOSED_BATCH if lane == LANE_COMPOSED else BATCH,
                files=Files(outbound, master_key) if lane == LANE_COMPOSED else None,
                pace=None if lane == LANE_INSTANT else pace,  # somebody waits for an instant message
            )
            for kind, lane in _LANES
            if self._providers.has(kind)
        }
        self._due = DueOrders(
            database,
            calendar,
            machine,
            window,
            self.id,
            key=lambda recipient: master_key.mac("recipient", recipient.encode()),
            conditions=HttpConditions(outbound, settings.condition_timeout, condition_token),
            resolver=resolver or RegisterResolver(registers),
            retry=timedelta(seconds=settings.retry_seconds),
            rooms=self._rooms,
            made=self._made,
            finished=lambda: self._finished(Concluded(1)),
            again=self._due_again,
        )
        self._sequencer = Sequencer(database, machine)
        self._matcher = Matcher(database, calendar, machine, window, finished=self._finished)
        self._lost = LostAnswers(database, machine, settings, early=self._early)
        self._reaper = Reaper(
            database, calendar, machine, settings, finished=self._finished, ready=self._look_ready
        )
        asked = polled(channels)
        self._poller = (
            Poller(database, calendar, machine, settings, asked, early=self._early) if asked else None
        )
        self._poll_task: asyncio.Task[None] | None = None
        self._webhooks = WebhookLane(database, machine, outbound, master_key)
        self._wakes = {name: asyncio.Event() for name in ("due", "feed", "report", "reap")}
        for topic, callback in (
            ("due", self._wakes["due"].set),
            ("ready", self._look_ready),
            ("feed", self._wakes["feed"].set),
            ("report", self._wakes["report"].set),
            ("webhook", self._webhooks.look),
            ("clock", self._clock_moved),
        ):
            listener.on(topic, callback)
        self._lookout = Lookout(database, machine)
        self._looked_at = calendar.now()
        self._found: Any = None
        self._moved = asyncio.Event()
        self._retention = Retention(database, calendar, machine, settings)

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register this incarnation and begin; DatabaseUnavailable when it cannot be registered."""
        self._heart = await Heart.start(self._database, self._machine, self.id)
        create = asyncio.create_task
        self._tasks = [
            create(self._loop("due", self._due.run, lambda: self._due.again_after), name="varsel-due"),
            create(self._loop("feed", self._number, lambda: self._sequencer.again_after), name="varsel-feed"),
            create(
                self._loop("report", self._matcher.run, lambda: self._matcher.again_after),
                name="varsel-report",
            ),
            create(self._loop("reap", self._reap, lambda: None), name="varsel-reap"),
        ]
        self._sleepers = [
            create(self._looks(), name="varsel-look"),
            create(self._renewals(), name="varsel-renew"),
            create(self._housekeeping(), name="varsel-housekeeping"),
        ]
        if self._poller is not None:
            self._poll_task = create(self._poller.run(), name="varsel-poll")
        self._webhooks.start()
        self._dispatch_tasks = [create(dispatcher.run()) for dispatcher in self._dispatchers.values()]

    async def stop(self) -> None:
        """Finish what is in hand within VARSEL_STOP_SECONDS, give back the rest, and leave."""
        heart = self._heart
        if self._stopping or heart is None:
            return
        self._stopping = True
        for wake in self._wakes.values():
            wake.set()
        leaving = asyncio.create_task(self._webhooks.stop())
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._due.settle(), 5)
        for dispatcher in self._dispatchers.values():
            await dispatcher.stop()
        if self._dispatch_tasks:
            _, late = await asyncio.wait(self._dispatch_tasks, timeout=self._settings.stop_seconds)
            if late:
                for dispatcher in self._dispatchers.values():
                    dispatcher.cancel()
                await asyncio.wait(late, timeout=5)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._outcomes.drain(), 10)
        # The loops end by themselves after the round they are in; the sleepers would sleep on.
        await asyncio.wait(self._tasks, timeout=5)
        await end(*self._tasks, *self._sleepers, *self._dispatch_tasks, self._poll_task)
        await leaving
        with contextlib.suppress(Unavailable):
            await self._sequencer.run()
            await self._database.execute(_sql.release_due, self.id)
            await self._database.execute(_sql.release_all_ready, self.id)
        # With handoffs that are open the heartbeat just stops, and the reaper of another worker settles them.
        await heart.stop(leave=not self._handoffs.open)
        self._database.wake("due", "ready")
        log.info("the worker has stopped", action="delivery.stopped")

    # -- loops -----------------------------------------------------------------------------------------------------

    async def _loop(
        self, name: str, run: Callable[[], Awaitable[bool]], again_after: Callable[[], float | None]
    ) -> None:
        wake = self._wakes[name]
        while True:
            wake.clear()
            if self._stopping:
                return
            pause: float | None
            try:
                if await run():
                    continue
                pause = again_after()
            except Unavailable:
                pause = 0.5
            except Exception:
                log.exception("a loop of the worker failed; it goes on", action=f"delivery.{name}_failed")
                pause = 1.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()

    async def _number(self) -> bool:
        if await self._sequencer.run():
            self._webhooks.look()
        return False

    async def _looks(self) -> None:
        while True:
            try:
                await self._look_around()
            except Unavailable:
                log.warning("nothing can be looked for: the database is away", action="delivery.no_look")
            except Exception:
                log.exception("looking for work failed; it goes on", action="delivery.look_failed")
            await asyncio.sleep(self._lookout.pause * random.uniform(0.9, 1.05))

    async def _look_around(self) -> None:
        lanes = [(kind, lane, one.past) for (kind, lane), one in self._dispatchers.items()]
        places = Places(
            self._due.past, self._sequencer.past, self._matcher.past, self._reaper.awaited_past, lanes
        )
        self._looked_at = now = self._calendar.now()
        found = await self._lookout.look(now, self._silence(), self._reaper.held_until, places)
        if found["paused"]:
            self._providers.learn(msgspec.json.decode(found["paused"], type=dict[str, float]))
        for name in ("due", "feed", "report"):
            if found[name]:
                if name == "report":
                    self._matcher.look_back()
                self._wakes[name].set()
        for number in found["lanes"]:
            kind, lane, _ = lanes[number - 1]
            self._dispatchers[kind, lane].look()
        self._found = found
        if any(
            found[name]
            for name in (
                "dead",
                "orphaned",
                "lapsed_due",
                "lapsed_ready",
                "expired",
                "awaited",
                "unsettled",
                "held",
                "given_up",
                "lost",
            )
        ):
            self._wakes["reap"].set()

    def _silence(self) -> timedelta:
        """How long another worker must be silent to be dead. Where this one's own heartbeat was late, a short silence means nothing."""
        return DEAD_AFTER if self._heart is not None and self._heart.steady else LEASE

    async def _reap(self) -> bool:
        found, self._found = self._found, None
        if found is None:
            return False
        if found["dead"] or found["orphaned"]:
            await self._reaper.bury_workers(self._silence())
        if found["lapsed_due"] or found["lapsed_ready"]:
            await self._reaper.release_lapsed()
            self._wakes["due"].set()
        for name, work in (
            ("unsettled", self._reaper.settle_unknown),
            ("held", self._reaper.settle_unknown),
            ("expired", self._reaper.expire),
            ("awaited", self._reaper.end_awaited),
        ):
            if found[name]:
                while await work() and not self._stopping:
                    pass
        if found["lost"]:
            await self._lost.find()
        if found["given_up"]:
            await give_up(self._database)
        return False

    async def _housekeeping(self) -> None:
        """Once an hour, and whenever the calendar was moved: partitions of the coming months, and forgetting."""
        while not self._stopping:
            self._moved.clear()
            try:
                async with self._database.connection() as connection:
                    await ensure_partitions(connection)
                await self._retention.run()
            except Unavailable:
                log.warning("housekeeping waits for the database", action="delivery.housekeeping_waits")
            except Exception:
                log.exception("housekeeping failed; it is tried again", action="delivery.housekeeping_failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOUSEKEEPING_EVERY * random.uniform(0.8, 1.0)):
                    await self._moved.wait()

    async def _renewals(self) -> None:
        while not self._stopping:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._renew()
            except Unavailable:
                log.warning("leases are not renewed: the database is away", action="delivery.no_renewal")
            except Exception:
                # Without renewals everything in hand would be taken back after a lease, over and over.
                log.exception("leases could not be renewed; it goes on", action="delivery.renewal_failed")

    async def _renew(self) -> None:
        orders = self._due.leased()
        if orders:
            await self._database.execute(_sql.renew_due, orders, self.id, LEASE)
        messages = [one for dispatcher in self._dispatchers.values() for one in dispatcher.in_hand()]
        if messages:
            await fetch_alone(self._database, _sql.renew_ready, messages, self.id, LEASE)

    # -- what happens between the parts ----------------------------------------------------------------------------

    def _rooms(self, channel: str, lane: int) -> int:
        for (kind, number), dispatcher in self._dispatchers.items():
            if kind == channel and number == lane:
                return dispatcher.room
        return 0

    def _made(self, made: Sequence[Made]) -> None:
        for one in made:
            for row in one.rows:
                if row.owner != self.id or row.rank:
                    continue
                self._dispatchers[row.channel, row.lane].put(
                    (
                        Parcel(
                            row.id,
                            row.order_id,
                            row.creator,
                            row.channel,
                            row.lane,
                            row.domain,
                            row.ready_at,
                            row.expires_at,
                            0,
                            row.daytime,
                            row.address,
                            row.custom_subject,
                            row.custom_body,
                            one.content,
                        ),
                    )
                )
        if any(row.owner is None and not row.rank for one in made for row in one.rows):
            self._look_ready()

    def _due_again(self) -> None:
        self._wakes["due"].set()

    def _early(self) -> None:
        self._matcher.look_back()
        self._wakes["report"].set()

    def _finished(self, concluded: Concluded) -> None:
        if concluded.finished:
            self._wakes["feed"].set()
        if concluded.revived:
            self._look_ready()

    def _look_ready(self) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.look()

    def _clock_moved(self) -> None:
        self._moved.set()
        now = self._calendar.now()
        if now < self._looked_at:
            # What is due at last lies behind the places of the queues; after a move forward it lies before them as ever.
            self._due.reset()
            self._reaper.reset()
            self._lookout.reset()
            for dispatcher in self._dispatchers.values():
                dispatcher.reset()
        self._looked_at = now
        for wake in self._wakes.values():
            wake.set()
        self._look_ready()
