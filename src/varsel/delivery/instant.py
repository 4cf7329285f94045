"""Instant messages: sent while the caller waits, over the same channels and with the same outcomes as all others.

The orders room stores the order (`Attempting`), its notification (`Sending`) and its handoff in one commit, then calls
`send`: the intent is on disk before anything leaves, as for every message (design 4.1, Instant orders).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import structlog

from varsel.channels.model import Channel, EmailMessage, Message, Outcome, SmsMessage, Temporary
from varsel.delivery.handoff import Handoffs
from varsel.delivery.heart import PULSE, Heart
from varsel.delivery.model import LANE_INSTANT, Kind, Parcel
from varsel.delivery.outcome import Outcomes, clean, rest
from varsel.delivery.pauses import Providers
from varsel.delivery.transact import transact
from varsel.delivery.window import Window
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.settings import Settings
from varsel.runtime.steps import step
from varsel.runtime.tasks import end
from varsel.store import queries
from varsel.store.content import OrderContent
from varsel.store.database import Connection, Database
from varsel.store.ids import uuid7

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

NOT_HANDED_OVER: Final = Temporary(None, "", "not handed over", "provider", stopped=True)
PATIENCE: Final = 30.0  # seconds a caller waits for the provider
_WORTH_A_TRY: Final = 5.0  # seconds of them that another provider must have left
_AGAIN_SECONDS: Final = 0.5  # between two tries of what the database must be told, while it is away


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the handoff row of an instant message must say. `attempt_id`, `worker` and `provider` go into it as they are."""

    kind: Kind
    attempt_id: UUID
    worker: UUID
    provider: str
    channel: Channel = field(repr=False)


class InstantSender:
    """Sends one message at a time for callers that wait; an incarnation of its own, so that a crash is noticed."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        channels: Sequence[Channel],
    ) -> None:
        self.id = uuid7()
        self._database = database
        self._calendar = calendar
        self._channels = tuple(channels)
        self._providers = Providers(channels, machine)
        self._handoffs = Handoffs(database, calendar, Window(), self.id)
        self._outcomes = Outcomes(
            database,
            calendar,
            settings,
            self._handoffs,
            self.id,
            early=lambda: database.wake("report"),
            finished=lambda _: database.wake("feed"),
            ready=lambda: database.wake("ready"),
            paused=self._providers.pause,
        )
        self._heart: Heart | None = None
        self._learning: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        settings: Settings,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        channels: Sequence[Channel],
    ) -> InstantSender:
        """Register this incarnation; DatabaseUnavailable when it cannot be."""
        sender = cls(settings, database, calendar, machine, channels)
        # The pool serves whatever the API is asked: behind a crowd of slow questions its heart would seem to have stopped, and
        # what waits for its provider would count as unknown.
        sender._heart = await Heart.start(database, machine, sender.id)
        sender._learning = asyncio.create_task(sender._learn(), name="varsel-instant-pauses")
        return sender

    async def close(self) -> None:
        """Store what is left to store, and leave. Requests under way must have ended."""
        await self._outcomes.drain()
        await end(self._learning)
        if self._heart is not None:
            await self._heart.stop(leave=True)
        for channel in self._channels:
            await channel.close()

    def prepare(self, kind: Kind) -> Prepared | None:
        """Choose a provider; None while none may be used, which is NOT-00004 with nothing stored."""
        return self._another(kind, ())

    async def send(
        self,
        prepared: Prepared,
        *,
        order_id: UUID,
        notification_id: UUID,
        creator: str,
        address: str,
        content: OrderContent,
        expires_at: datetime,
    ) -> bool:
        """Hand over a stored message; its handoff row is committed. True: the order stands (201), whatever becomes of the
        message. False: no provider got it for certain, the order is void and its key free (503 NOT-00004).

        A provider that answers nothing for 30 s leaves it unknown, which is settled by rule: the order stands. One that certainly
        did not take it gives way to the next, as long as the caller's time lasts.
        """
        step("instant.stored")
        parcel = Parcel(
            notification_id,
            order_id,
            creator,
            prepared.kind,
            LANE_INSTANT,
            None,
            self._calendar.now(),
            expires_at,
            0,
            daytime=False,
            address=address,
            custom_subject=None,
            custom_body=None,
            content=content,
        )
        clock = asyncio.get_running_loop().time
        give_up = clock() + PATIENCE
        tried: set[str] = set()
        while True:
            parcel.attempt_id, parcel.provider = prepared.attempt_id, prepared.provider
            outcome = await asyncio.shield(
                asyncio.ensure_future(self._hand_over(prepared, parcel, give_up - clock()))
            )
            step("instant.sent")
            now = self._calendar.now()
            if not isinstance(outcome, Temporary) or outcome.scope != "provider":
                break
            another = None
            if (pause := rest(outcome)) is not None:
                self._providers.pause(prepared.provider, pause)
                tried.add(prepared.provider)
                if give_up - clock() >= _WORTH_A_TRY:
                    another = self._another(prepared.kind, tried)
            if another is None or not await self._turn_to(another, parcel, outcome):
                await self._void(order_id, now)
                return False
            prepared = another
            parcel.tries += 1
        self._handoffs.carry(parcel, prepared.attempt_id, prepared.provider)
        await self._stand(order_id, now)
        self._outcomes.settle(_message(prepared, parcel, now), outcome)
        await self._outcomes.drain()
        return True

    def _another(self, kind: Kind, tried: Collection[str]) -> Prepared | None:
        channel = self._providers.choose(kind, without=tried)
        return None if channel is None else Prepared(kind, uuid7(), self.id, channel.name, channel)

    async def _turn_to(self, another: Prepared, parcel: Parcel, refusal: Temporary) -> bool:
        """Write down that the next provider is about to get it; False when that cannot be told or the order ended meanwhile."""
        try:
            turned = await self._database.fetchval(
                _sql.instant_goes_elsewhere,
                parcel.attempt_id,
                another.attempt_id,
                another.provider,
                clean(refusal.code, 40),
                clean(refusal.detail),
            )
        except Unavailable:
            return False  # voiding it takes either handoff away
        return turned is not None

    async def _void(self, order_id: UUID, now: datetime) -> None:
        """Take it back, however long the database is away: an open handoff of a process that lives on counts as under way, and
        later as unknown, so that what the caller was told is not sent would be.
        """

        async def void(connection: Connection) -> None:
            await connection.execute(_sql.void_instant, order_id, now)

        while True:
            try:
                await transact(self._database, void)
                return
            except Unavailable:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _stand(self, order_id: UUID, now: datetime) -> None:
        """Make it an order like any other, and before its outcome is stored: a process that dies between the two leaves an open
        handoff, which is settled by rule, and not an attempt that nobody makes any more and that repeats would wait for.
        """
        while True:
            try:
                await self._database.execute(_sql.instant_stands, order_id, now)
                return
            except Unavailable:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _hand_over(self, prepared: Prepared, parcel: Parcel, patience: float) -> Outcome:
        """Not broken off when the caller goes away: a message under way has an outcome that must be kept."""
        outcomes: list[Outcome] = []

        async def granted(messages: Sequence[Message]) -> frozenset[UUID]:
            return frozenset(message.attempt_id for message in messages)

        def settle(_message: Message, outcome: Outcome) -> None:
            outcomes.append(outcome)

        message = _message(prepared, parcel, self._calendar.now())
        try:
            async with asyncio.timeout(patience):
                await prepared.channel.send([message], granted, settle)
        except TimeoutError:
            log.warning("a provider kept an instant message waiting", action="delivery.instant_slow")
        except Exception:
            log.exception("a channel failed", action="delivery.send_failed", provider=prepared.provider)
        return outcomes[0] if outcomes else NOT_HANDED_OVER

    async def _learn(self) -> None:
        """Which providers rest, as all workers know it."""
        while True:
            try:
                paused = await self._database.fetchval(_sql.pauses)
                if paused:
                    self._providers.learn(msgspec.json.decode(paused, type=dict[str, float]))
            except Unavailable:
                pass  # the heart tells of it
            except Exception:
                log.exception("pauses could not be read; it goes on", action="delivery.pauses_failed")
            await asyncio.sleep(PULSE)


def _message(prepared: Prepared, parcel: Parcel, now: datetime) -> Message:
    content = parcel.content
    if prepared.kind == "Email":
        email = content.email
        if email is None:
            raise ValueError("an instant e-mail without a text")
        return EmailMessage(
            prepared.attempt_id,
            parcel.notification_id,
            email.sender,
            parcel.address,
            email.subject,
            email.body,
            email.html,
            parcel.expires_at,
        )
    sms = content.sms
    if sms is None:
        raise ValueError("an instant SMS without a text")
    return SmsMessage(
        prepared.attempt_id,
        parcel.notification_id,
        sms.sender,
        parcel.address,
        sms.body,
        parcel.expires_at - now,
    )
