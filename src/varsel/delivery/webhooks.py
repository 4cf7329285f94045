"""Telling creators' endpoints what happened: a lane of its own, at least once, tried for a day.

Events are written by the statements that make them true (feed numbers, results), so none is lost and none is invented. One
endpoint is told one thing at a time, in order as far as it answers; endpoints do not wait for each other. Each has its place in
the queue (`varsel.delivery.lowwater`), as rows that were told stay in it while any transaction is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

import structlog

from varsel.channels.retry_after import retry_after
from varsel.delivery.lowwater import LowWater
from varsel.delivery.webhook_messages import TEST, Event, octets_of, written
from varsel.runtime.clock import Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.metrics import counter
from varsel.runtime.outbound_rules import ForbiddenAddress, OutboundError, OutboundTimeout
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.long_texts import LARGE, as_written
from varsel.store.secrets import MasterKey, SealError

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

TIMEOUT: Final = 15.0
AT_ONCE: Final = 20  # endpoints that are told something at the same time
IN_HAND: Final = 50  # events of one endpoint that are taken at once
LEASE: Final = timedelta(seconds=180)
_TELLING: Final = 150.0
"""Seconds after a claim in which its events are told: one that begins then ends within the lease, whatever it takes. The rest waits again."""
FOR: Final = timedelta(hours=24)
"""How long an event is tried, and how long an endpoint may fail before it is turned off."""
KEEP_ATTEMPTS: Final = timedelta(days=30)
LONGEST_REST: Final = 300.0
"""Seconds an endpoint rests at most, unless it asks for more: one event that it cannot take must not hold up the others for long."""
_START: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
"""Before every event: when it is told next, and its id."""
_IDLE_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 0.1
_ENDPOINTS: Final = 20  # endpoints whose events are claimed at once
_FORGET_SECONDS: Final = 3600.0
_LAPSED_SECONDS: Final = 30.0
_LEAVING_SECONDS: Final = 5.0
_OFF: Final = "Every delivery failed for 24 hours; the last one: "
_GONE: Final = "The endpoint answered that it is gone: "
#: Seconds before the next try: together some 26 hours, so that the last try finds an endpoint that has failed for a day.
PAUSES: Final = (5, 30, 120, 300, 900, 1800, 3600, 7200, 14_400, 21_600, 21_600, 21_600)


_CALLS: Final = counter("webhook_calls")


class Poster(Protocol):
    """What sends; `varsel.runtime.outbound.GuardedClient`."""

    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, timeout: float = 10.0
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try. `detail` is for the creator and names nothing of what was sent."""

    status: int | None
    detail: str
    after: float | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def outcome(self) -> str:
        """The word of the metric."""
        return "taken" if self.taken else "unreachable" if self.status is None else "refused"


def pause_before(tries: int, after: float | None, most: float = PAUSES[-1]) -> timedelta:
    """Before another try after `tries` earlier ones: what the endpoint asked for, else a growing pause up to `most` seconds, up to
    a fifth more, and never less: all of them together outlast the day.
    """
    grown = min(PAUSES[min(tries, len(PAUSES) - 1)], most) * random.uniform(1.0, 1.2)
    return timedelta(seconds=min(max(after or 0.0, grown), PAUSES[-1] * 1.2))


class WebhookLane:
    """Claims what waits and tells it, from `start` to `stop`; `look` wakes it."""

    def __init__(self, database: Database, machine: Machine, client: Poster, master_key: MasterKey) -> None:
        self._database = database
        self._machine = machine
        self._client = client
        self._master_key = master_key
        self._owner = uuid4()
        self._wake = asyncio.Event()
        self._stopping = False
        self._busy: dict[UUID, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._places: dict[UUID, LowWater[tuple[datetime, UUID]]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="varsel-webhooks")

    def look(self) -> None:
        """Something may wait."""
        self._wake.set()

    async def stop(self) -> None:
        """Take nothing more, give what is on its way a few seconds, and give back the rest."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        busy = list(self._busy.values())
        if busy:
            _, late = await asyncio.wait(busy, timeout=_LEAVING_SECONDS)
            for task in late:
                task.cancel()  # told or not: it is told again
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._database.execute(_sql.leave_webhook_events, self._owner)

    async def _run(self) -> None:
        forget_at = lapsed_at = 0.0
        while not self._stopping:
            self._wake.clear()
            try:
                now = self._machine.monotonic()
                if now >= lapsed_at:
                    await self._database.execute(_sql.release_lapsed_webhook_events)
                    lapsed_at = now + _LAPSED_SECONDS
                if now >= forget_at:
                    await self._database.execute(_sql.forget_webhook_attempts, KEEP_ATTEMPTS, 2 * FOR)
                    self._places.clear()  # also those of endpoints that no longer exist
                    forget_at = now + _FORGET_SECONDS
                await self._round()
            except Unavailable:
                log.warning("webhooks wait for the database", action="delivery.webhooks_wait")
            except Exception:
                log.exception("the webhook lane failed; it goes on", action="delivery.webhooks_failed")
            await asyncio.sleep(_LEAST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._wake.wait()

    async def _round(self) -> None:
        """Claim what waits and begin to tell it. An endpoint that is still told something waits for that."""
        begun = self._machine.monotonic()
        looked = {
            webhook_id: place for webhook_id, place in self._places.items() if webhook_id not in self._busy
        }
        places = {webhook_id: place.begin() for webhook_id, place in looked.items()}
        found = await self._database.fetch(
            _sql.waiting_webhooks,
            list(places),
            [at for at, _ in places.values()],
            [event_id for _, event_id in places.values()],
        )
        waiting = [row["id"] for row in found if row["id"] not in self._busy]
        rows = await self._claim(waiting, places) if waiting else []
        for webhook_id, group in groupby(rows, key=lambda row: row["webhook_id"]):
            events = list(group)
            # A test passes by the others, which wait while the endpoint is off or rests: it says nothing of what was taken.
            last = max(((row["next_at"], row["id"]) for row in events if row["type"] != TEST), default=None)
            place = looked.pop(webhook_id, None)
            if place is None:
                place = self._places[webhook_id] = LowWater(self._machine, _START)
                place.begin()
            place.end(last, more=len(events) == IN_HAND)
            task = asyncio.create_task(self._tell_all(events, begun + _TELLING))
            self._busy[webhook_id] = task
            task.add_done_callback(partial(self._done, webhook_id))
        for place in looked.values():
            place.end(None, more=False)

    async def _claim(
        self, waiting: Sequence[UUID], places: Mapping[UUID, tuple[datetime, UUID]]
    ) -> Sequence[Any]:
        async with self._database.transaction() as connection:
            locked = await connection.fetch(_sql.lock_webhooks, waiting, _ENDPOINTS)
            if not locked:
                return ()
            ids = [row["id"] for row in locked]
            await connection.execute(_sql.take_webhooks, ids, self._owner, LEASE)
            at = [places.get(webhook_id, _START) for webhook_id in ids]
            times, events = [one[0] for one in at], [one[1] for one in at]
            rows: Sequence[Any] = await connection.fetch(
                _sql.claim_webhook_events, IN_HAND, self._owner, LEASE, ids, times, events
            )
            for webhook_id in set(ids) - {row["webhook_id"] for row in rows}:
                await connection.execute(_sql.leave_webhook, webhook_id, self._owner)
            return rows

    def _done(self, webhook_id: UUID, _task: asyncio.Task[None]) -> None:
        del self._busy[webhook_id]
        self._wake.set()

    async def _tell_all(self, rows: Sequence[Any], until: float) -> None:
        """One endpoint's events in order; after a failure the endpoint rests, and the others wait untried."""
        left = list(rows)
        webhook_id = left[0]["webhook_id"]
        try:
            async with self._turns:
                while left and not self._stopping and self._machine.monotonic() < until:
                    if not await self._tell(left.pop(0)):
                        break
        except Unavailable:
            pass  # the leases run out
        except Exception:
            log.exception(
                "an endpoint could not be told", action="delivery.webhook_failed", webhook=str(webhook_id)
            )
        if left:
            with contextlib.suppress(Unavailable):
                await self._database.execute(
                    _sql.release_webhook_events, [row["id"] for row in left], self._owner
                )
            self._places.pop(webhook_id, None)  # what went back lies before the place
        with contextlib.suppress(Unavailable):
            await self._database.execute(_sql.leave_webhook, webhook_id, self._owner)

    async def _tell(self, row: Any) -> bool:
        """Tell one event and store what came of it; whether the endpoint may be told the next one."""
        event = _event(row)
        began = self._machine.monotonic()
        answer = await self._post(row, event)
        took = int((self._machine.monotonic() - began) * 1000)
        _CALLS.labels(answer.outcome).inc()
        if answer.taken:
            await self._database.execute(
                _sql.told, event.id, event.message_id, answer.status, answer.detail, took
            )
            return True
        gone = answer.status == 410
        pause = pause_before(row["tries"], answer.after)
        last = gone or row["tries"] >= len(PAUSES)
        off = await self._database.fetchval(
            _sql.not_told,
            event.id,
            event.message_id,
            answer.status,
            answer.detail,
            took,
            None if last else pause,
            FOR,
            gone,
            _GONE if gone else _OFF,
            pause_before(row["failures"], answer.after, LONGEST_REST),
        )
        log.info(
            "an endpoint did not take an event",
            action="delivery.webhook_refused",
            webhook=str(row["webhook_id"]),
            status=answer.status,
        )
        if off:
            log.warning(
                "an endpoint was turned off", action="delivery.webhook_off", webhook=str(row["webhook_id"])
            )
            await self._database.execute(_sql.drop_webhook_events, row["webhook_id"])
        return event.type == TEST

    async def _post(self, row: Any, event: Event) -> Answer:
        try:
            secrets = [
                self._master_key.open(sealed)
                for sealed in (row["secret"], row["previous"])
                if sealed is not None
            ]
        except SealError:
            return Answer(None, "the secret cannot be opened; rotate it")
        timestamp = int(self._machine.time())
        if octets_of(event) <= LARGE:
            body, headers = written(event, timestamp, secrets)
        else:
            body, headers = await asyncio.to_thread(written, event, timestamp, secrets)
        try:
            answer = await self._client.post(row["url"], body, headers=headers, timeout=TIMEOUT)
        except ForbiddenAddress:
            return Answer(None, "the address is one that is not called")
        except OutboundTimeout:
            return Answer(None, f"no answer within {TIMEOUT:.0f} seconds")
        except (OutboundError, OSError) as error:
            return Answer(None, "no connection" if type(error) is OutboundError else str(error)[:200])
        status: int = answer.status
        now = datetime.fromtimestamp(self._machine.time(), UTC)
        return Answer(status, f"HTTP {status}", retry_after(answer.headers.get("retry-after", ""), now))


def _event(row: Any) -> Event:
    return Event(
        row["id"],
        row["type"],
        row["at"],
        row["seq"],
        row["entry"],
        row["order_id"],
        row["notification_id"],
        row["channel"],
        row["status"],
        as_written(row["address"]),
        as_written(row["senders_reference"]),
    )
