"""Asking providers that decide later, and about handoffs whose answer was lost (docs/reference/delivery.md 7.7).

A question never hands anything over: whatever goes wrong with it, the message stays where it is and is asked about again,
with growing pauses and a cap (11.2, 11.3 rule 8), and a provider that asks for time is asked nothing before. A provider's
last word is stored as a report and applied like one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from varsel.channels.model import Channel, Permanent, Temporary
from varsel.channels.polling import Missing, Passed, Polled, Standing, Underway
from varsel.delivery.model import ACS, FIRST_POLL, reference_family
from varsel.delivery.reports import RawReport, ReportStore
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.metrics import counter
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

_settled = counter("unknown_settled")

EVERY: Final = 1.0  # seconds between looks at what is to be asked
BATCH: Final = 100
AT_ONCE: Final = 10
MOST_POLLS: Final = 50
"""Some four hours with the pauses below; after that the delivery report or the deadline decides."""
_LONGEST_PAUSE: Final = 300.0
_COMES_BACK: Final = timedelta(seconds=120)
_LOST_EVERY: Final = 10.0  # seconds between questions about one handoff whose answer was lost
_LOST_AT_ONCE: Final = 200  # as many as the statement gives
_START: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


def poll_pause(polls: int, after: float | None) -> timedelta | None:
    """After the question number `polls` (from 0): 8, 12, 18 … 300 s, a fifth more or less, never less than the provider said;
    None when it was the last.
    """
    if polls + 1 >= MOST_POLLS:
        return None
    grown = min(FIRST_POLL.total_seconds() * 1.5 ** min(polls, 20), _LONGEST_PAUSE)
    return timedelta(seconds=max(after or 0.0, grown * random.uniform(0.8, 1.2)))


def polled(channels: Sequence[Channel]) -> dict[str, Polled]:
    """The channels whose providers are asked, by name."""
    return {channel.name: channel for channel in channels if isinstance(channel, Polled)}


class Poller:
    """Asks `channels`. `early` is called when a report about a handoff that was just found waits already."""

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        settings: Settings,
        channels: Mapping[str, Polled],
        *,
        early: Callable[[], None],
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._machine = machine
        self._channels = dict(channels)
        self._names = sorted(self._channels)
        self._grace = timedelta(seconds=settings.expiry_grace)
        self._patience = timedelta(seconds=settings.unknown_settle_seconds)
        self._reports = ReportStore(database)
        self._early = early
        self._asked: dict[UUID, float] = {}
        self._place: tuple[datetime, UUID] = _START
        self._rests_until: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            more = False
            try:
                more = await self.ask_accepted()
                await self.ask_unknown()
            except Unavailable:
                pass
            except Exception:
                log.exception("asking a provider failed; it goes on", action="delivery.poll_failed")
            if not more:
                await asyncio.sleep(EVERY)

    async def ask_accepted(self) -> bool:
        """One batch of accepted messages; whether more may wait right now."""
        names = self._awake()
        rows = await self._database.fetch(_sql.claim_polls, names, BATCH, _COMES_BACK) if names else []
        if not rows:
            return False
        stands = await self._ask([(row["provider"], row["reference"]) for row in rows])
        passed: list[Any] = []
        ended: list[tuple[Any, Permanent]] = []
        again: list[tuple[UUID, timedelta | None]] = []
        for row, stand in zip(rows, stands, strict=True):
            match stand:
                case Passed():
                    passed.append(row)
                case Permanent():
                    ended.append((row, stand))
                case Underway(after) | Temporary(after):
                    again.append((row["notification_id"], poll_pause(row["polls"], after)))
                case _:
                    again.append((row["notification_id"], poll_pause(row["polls"], None)))
        if ended:
            await self._reports.store([_last_word(row, stand) for row, stand in ended])
            await self._database.execute(_sql.asked_enough, [row["notification_id"] for row, _ in ended])
        if passed:
            await self._database.execute(
                _sql.passed_on,
                [row["order_id"] for row in passed],
                [row["notification_id"] for row in passed],
                self._calendar.now(),
            )
        if again:
            await self._database.execute(
                _sql.poll_again, [one for one, _ in again], [pause for _, pause in again]
            )
            over = sum(pause is None for _, pause in again)
            if over:
                log.warning("a provider never decided", action="delivery.poll_given_up", number=over)
        return len(rows) == BATCH

    async def ask_unknown(self) -> None:
        """Handoffs whose answer was lost: taken, when the provider knows them; to be sent again, when it does not.

        Each look goes on behind the last one, so that those about which nothing can be learned stand in nobody's way.
        """
        names = self._awake()
        if not names:
            return
        rows = await self._database.fetch(_sql.unknown_operations, names, *self._place)
        whole = len(rows) == _LOST_AT_ONCE
        self._place = (rows[-1]["unknown_at"], rows[-1]["attempt_id"]) if whole else _START
        now = self._machine.monotonic()
        self._asked = {one: at for one, at in self._asked.items() if at + _LOST_EVERY > now}
        rows = [row for row in rows if row["attempt_id"] not in self._asked]
        if not rows:
            return
        self._asked |= dict.fromkeys((row["attempt_id"] for row in rows), now)
        stands = await self._ask([(row["provider"], str(row["attempt_id"])) for row in rows])
        known = [
            row
            for row, stand in zip(rows, stands, strict=True)
            if isinstance(stand, Underway | Passed | Permanent)
        ]
        missing = [
            row["attempt_id"] for row, stand in zip(rows, stands, strict=True) if isinstance(stand, Missing)
        ]
        if known:
            early = await self._database.fetchval(
                _sql.accept,
                [row["attempt_id"] for row in known],
                [row["order_id"] for row in known],
                [row["notification_id"] for row in known],
                [reference_family(row["provider"]) for row in known],
                [str(row["attempt_id"]) for row in known],
                ["found by its operation"] * len(known),
                [row["expires_at"] + self._grace for row in known],
                self._calendar.now(),
                [timedelta(0)] * len(known),
            )
            log.info("lost answers were found", action="delivery.unknown_found", number=len(known))
            if early:
                self._early()
        if missing:
            again = await self._database.fetch(_sql.resend, missing, self._calendar.now(), self._patience)
            if again:
                _settled.labels("Email", "resend").inc(len(again))
                log.warning(
                    "messages that never arrived are sent again", action="delivery.resend", number=len(again)
                )
                self._database.wake("ready")

    def _awake(self) -> list[str]:
        """The providers that did not ask for time."""
        return [name for name in self._names if self._rest(name) <= 0]

    def _rest(self, provider: str) -> float:
        return self._rests_until.get(provider, 0.0) - self._machine.monotonic()

    async def _ask(self, references: Sequence[tuple[str, str]]) -> list[Standing]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(provider: str, reference: str) -> Standing:
            async with turns:
                left = self._rest(provider)
                if left > 0:
                    return Temporary(left, "", "the provider asked for time", "provider")
                stand: Standing = Underway()
                with contextlib.suppress(Exception):
                    stand = await self._channels[provider].stand(reference)
                if isinstance(stand, Temporary) and stand.after is not None:
                    until = self._machine.monotonic() + stand.after
                    self._rests_until[provider] = max(until, self._rests_until.get(provider, 0.0))
                return stand

        return await asyncio.gather(*(ask(provider, reference) for provider, reference in references))


def _last_word(row: Any, stand: Permanent) -> RawReport:
    """What the operation came to, kept like a report that was sent."""
    raw = msgspec.json.encode({"operation": row["reference"], "code": stand.code, "message": stand.detail})
    return RawReport(ACS, row["reference"], f"operation {stand.code}".strip(), stand.result, raw)
