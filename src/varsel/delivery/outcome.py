"""What became of handoffs: attempts, references, statuses and the next wait, stored in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from varsel.channels.model import Accepted, Message, Outcome, Permanent, Temporary, Unknown
from varsel.delivery.backoff import message_pause, provider_pause
from varsel.delivery.ending import Concluded, conclude, lock_orders, passed
from varsel.delivery.handoff import Handoffs
from varsel.delivery.model import ACS, DSN, FIRST_POLL, Ended, Parcel, reference_family
from varsel.delivery.reports import MOST_REFERENCE
from varsel.delivery.transact import in_halves, transact
from varsel.delivery.window import Window
from varsel.runtime.clock import Calendar
from varsel.runtime.errors import DatabaseUnavailable
from varsel.runtime.metrics import counter
from varsel.runtime.settings import Settings
from varsel.runtime.steps import step
from varsel.store import queries, states
from varsel.store.database import Connection, Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

_handoffs = counter("handoffs")

GATHER: Final = 0.004  # seconds outcomes may gather while others are on their way
GROUP: Final = 24  # outcomes that need not wait for more
_MOST: Final = 200
STOPPED: Final = Temporary(None, "", "stopped before it was handed over", "provider", stopped=True)

Settled: TypeAlias = tuple[Parcel, Outcome]


@dataclass(frozen=True, slots=True)
class UnknownRules:
    """After how long an unknown handoff is sent again; None holds it until a report or its expiry."""

    email: timedelta | None
    sms: timedelta | None

    @classmethod
    def of(cls, settings: Settings) -> UnknownRules:
        pause = timedelta(seconds=settings.unknown_settle_seconds)
        return cls(
            pause if settings.email_unknown == "resend" else None,
            pause if settings.sms_unknown == "resend" else None,
        )

    def pause(self, channel: str, provider: str) -> timedelta | None:
        """None also where the provider can be asked: then its answer settles, not the clock."""
        if reference_family(provider) == ACS:
            return None
        return self.email if channel == "Email" else self.sms


def rest(outcome: Outcome) -> timedelta | None:
    """How long a provider is left alone after an answer; a refusal that names no time to come is given the usual one."""
    if isinstance(outcome, Temporary) and outcome.pauses_provider:
        return provider_pause(outcome.after if outcome.after and outcome.after > 0 else None)
    if isinstance(outcome, Unknown) and outcome.after is not None:
        return timedelta(seconds=outcome.after)
    return None


def clean(text: str, most: int = 300) -> str:
    """A provider's words as the database takes them."""
    return text.replace("\x00", " ")[:most]


def _evidence_key(parcel: Parcel) -> tuple[str, str]:
    """Family and reference by which a report finds a message although no answer of its provider was read."""
    family = reference_family(parcel.provider)
    if family == ACS:
        return ACS, str(parcel.attempt_id)
    return (DSN, parcel.notification_id.hex) if family == DSN else ("", "")


class Outcomes:
    """Stores outcomes as channels settle them. `early` is called when a report about one of them waits already,
    `finished` when orders ended, `paused` when a provider refused as a whole, or is in doubt.
    """

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        settings: Settings,
        handoffs: Handoffs,
        owner: UUID,
        *,
        early: Callable[[], None],
        finished: Callable[[Concluded], None],
        ready: Callable[[], None],
        paused: Callable[[str, timedelta], None],
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._handoffs = handoffs
        self._owner = owner
        self._window = Window.of(settings)
        self._email_settle = timedelta(seconds=settings.email_settle)
        self._grace = timedelta(seconds=settings.expiry_grace)
        self._unknown = UnknownRules.of(settings)
        self._early = early
        self._finished = finished
        self._ready = ready
        self._paused = paused
        self._waiting: list[Settled] = []
        self._enough = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def settle(self, message: Message, outcome: Outcome) -> None:
        """See `varsel.channels.model.Settle`."""
        step("send.answered")
        parcel = self._handoffs.settled(message.attempt_id)
        if parcel is None:
            return
        pause = rest(outcome)
        if pause is not None:
            self._paused(parcel.provider, pause)
        self._add(parcel, outcome)

    def put_back(self, parcels: Sequence[Parcel], why: Temporary = STOPPED) -> None:
        """Messages that certainly did not leave, though their intent may have been committed: they wait again."""
        for parcel in parcels:
            self._add(parcel, why)

    def _add(self, parcel: Parcel, outcome: Outcome) -> None:
        self._waiting.append((parcel, outcome))
        if self._gathered():
            self._enough.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def _gathered(self) -> bool:
        return len(self._waiting) >= GROUP or not self._handoffs.on_the_way

    async def drain(self) -> None:
        """Return when everything settled so far is stored."""
        while self._task is not None:
            self._enough.set()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if not self._gathered():
                    self._enough.clear()
                    timer = loop.call_later(GATHER, self._enough.set)
                    await self._enough.wait()
                    timer.cancel()
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._keep(batch)
        finally:
            self._task = None

    async def _keep(self, batch: Sequence[Settled]) -> None:
        """Store a batch, however long the database is away: what is not stored would become unknown."""
        pause = 0.05
        while True:
            try:
                await in_halves(batch, self._store, self._park)
            except DatabaseUnavailable:
                log.warning(
                    "outcomes wait for the database", action="delivery.outcome_waits", number=len(batch)
                )
            except Exception:
                log.exception(
                    "outcomes could not be stored", action="delivery.outcome_failed", number=len(batch)
                )
            else:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        self._handoffs.closed(sum(parcel.granted for parcel, _ in batch))

    async def _park(self, settled: Settled, error: BaseException) -> None:
        """One outcome cannot be stored as it is: its handoff is unknown, and the rule for those ends it."""
        parcel, _ = settled
        log.error(
            "an outcome could not be stored; its handoff counts as unknown",
            action="delivery.outcome_poison",
            notification=str(parcel.notification_id),
            error=type(error).__name__,
        )
        await self._database.execute(
            _sql.doubt,
            [parcel.attempt_id],
            [""],
            [self._unknown.pause(parcel.channel, parcel.provider)],
            [""],
            [""],
        )

    async def _store(self, batch: Sequence[Settled]) -> None:
        accepted = [(parcel, outcome) for parcel, outcome in batch if isinstance(outcome, Accepted)]
        step("outcome.before_commit")
        concluded = Concluded()
        if len(accepted) == len(batch):
            async with self._database.connection() as connection:
                early = await self._accept(connection, accepted)
        else:

            async def store(connection: Connection) -> tuple[bool, Concluded]:
                return await self._store_mixed(connection, batch, accepted)

            early, concluded = await transact(self._database, store)
        step("outcome.committed")
        for parcel, outcome in batch:
            _handoffs.labels(parcel.provider, type(outcome).__name__.lower()).inc()
        passed(concluded)
        if early:
            self._early()
        if concluded.tells:
            self._finished(concluded)
        if any(isinstance(outcome, Temporary) for _, outcome in batch):
            self._ready()

    async def _store_mixed(
        self, connection: Connection, batch: Sequence[Settled], accepted: Sequence[tuple[Parcel, Accepted]]
    ) -> tuple[bool, Concluded]:
        refused = [(parcel, outcome) for parcel, outcome in batch if isinstance(outcome, Permanent)]
        later = [(parcel, outcome) for parcel, outcome in batch if isinstance(outcome, Temporary)]
        doubted = [(parcel, outcome) for parcel, outcome in batch if isinstance(outcome, Unknown)]
        if refused:
            await lock_orders(connection, (parcel.order_id for parcel, _ in refused))
        early = bool(accepted) and await self._accept(connection, accepted)
        if later:
            await self._postpone(connection, later)
        if doubted:
            await self._doubt(connection, doubted)
        await self._pause_providers(connection, batch)
        if not refused:
            return early, Concluded()
        rows = await connection.fetch(
            _sql.refuse,
            [parcel.attempt_id for parcel, _ in refused],
            [parcel.order_id for parcel, _ in refused],
            [parcel.notification_id for parcel, _ in refused],
            [parcel.provider for parcel, _ in refused],
            [parcel.tries + 1 for parcel, _ in refused],
            [clean(outcome.code, 40) for _, outcome in refused],
            [clean(outcome.detail) for _, outcome in refused],
            self._owner,
        )
        stored = {row[0] for row in rows}
        ended = [
            Ended(
                parcel.order_id,
                parcel.notification_id,
                outcome.result,
                states.rank(parcel.channel, outcome.result),
            )
            for parcel, outcome in refused
            if parcel.attempt_id in stored
        ]
        return early, await conclude(connection, ended, self._calendar.now(), self._window)

    async def _accept(self, connection: Connection, accepted: Sequence[tuple[Parcel, Accepted]]) -> bool:
        now = self._calendar.now()
        families = [reference_family(parcel.provider) for parcel, _ in accepted]
        settled = now + self._email_settle
        return bool(
            await connection.fetchval(
                _sql.accept,
                [parcel.attempt_id for parcel, _ in accepted],
                [parcel.order_id for parcel, _ in accepted],
                [parcel.notification_id for parcel, _ in accepted],
                families,
                [clean(outcome.reference, MOST_REFERENCE) for _, outcome in accepted],
                [clean(outcome.evidence) for _, outcome in accepted],
                [
                    settled if family == DSN else parcel.expires_at + self._grace
                    for (parcel, _), family in zip(accepted, families, strict=True)
                ],
                now,
                [FIRST_POLL if family == ACS else None for family in families],
            )
        )

    async def _postpone(self, connection: Connection, later: Sequence[tuple[Parcel, Temporary]]) -> None:
        now = self._calendar.now()
        pauses = [
            message_pause(parcel.tries, outcome.after) if outcome.scope == "message" else timedelta(0)
            for parcel, outcome in later
        ]
        await connection.execute(
            _sql.postpone,
            [parcel.attempt_id for parcel, _ in later],
            [parcel.order_id for parcel, _ in later],
            [parcel.notification_id for parcel, _ in later],
            [parcel.provider for parcel, _ in later],
            [parcel.tries + 1 for parcel, _ in later],
            [now + pause for pause in pauses],
            pauses,
            [clean(outcome.code, 40) for _, outcome in later],
            [clean(outcome.detail) for _, outcome in later],
            self._owner,
            now,
            [outcome.scope == "message" for _, outcome in later],
            [parcel.pinned for parcel, _ in later],
        )

    async def _pause_providers(self, connection: Connection, batch: Sequence[Settled]) -> None:
        pauses: dict[str, tuple[timedelta, str]] = {}
        for parcel, outcome in batch:
            if isinstance(outcome, Temporary | Unknown) and (pause := rest(outcome)) is not None:
                known = pauses.get(parcel.provider)
                if known is None or known[0] <= pause:
                    pauses[parcel.provider] = pause, clean(outcome.detail)
        for provider, (pause, reason) in sorted(pauses.items()):
            await connection.execute(_sql.pause_provider, provider, pause, reason)

    async def _doubt(self, connection: Connection, doubted: Sequence[tuple[Parcel, Unknown]]) -> None:
        keys = [_evidence_key(parcel) for parcel, _ in doubted]
        await connection.execute(
            _sql.doubt,
            [parcel.attempt_id for parcel, _ in doubted],
            [clean(outcome.detail) for _, outcome in doubted],
            [self._unknown.pause(parcel.channel, parcel.provider) for parcel, _ in doubted],
            [family for family, _ in keys],
            [key for _, key in keys],
        )
