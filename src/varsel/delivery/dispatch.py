"""Feeding the channels: messages claimed in batches, made ready, handed over; one dispatcher for each kind and lane."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from varsel.channels.model import Channel, EmailMessage, Message, SmsMessage, Temporary
from varsel.delivery.files import Files
from varsel.delivery.handoff import Handoffs
from varsel.delivery.lowwater import LowWater
from varsel.delivery.model import LEASE, Kind, Parcel
from varsel.delivery.outcome import Outcomes
from varsel.delivery.pace import Pace
from varsel.delivery.pauses import Providers
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.steps import step
from varsel.store import queries
from varsel.store.content import OrderContent, read
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.long_texts import LARGE, decoded

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

CLAIM: Final = 256  # messages a claim takes
HOLD: Final = 512  # messages in hand, beyond which nothing is claimed
BATCH: Final = 96  # messages a channel gets at once
AT_ONCE: Final = 4  # batches a channel works on at once
_LONGEST_REST: Final = (
    30.0  # seconds a message waits for the one provider that may have it, before it looks again
)
_CONTENTS: Final = 64  # decoded orders that are kept
_NEVER: Final = UUID(int=0)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def _whole(text: str | None, long: bytes | None) -> str | None:
    """A text of a message; one that came as octets is decoded in a thread."""
    return text if long is None else await asyncio.to_thread(decoded, long)


class Contents:
    """Decoded texts of the orders that messages in hand belong to, the latest few."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[UUID, OrderContent] = OrderedDict()

    async def read(self, order_ids: Iterable[UUID]) -> dict[UUID, OrderContent]:
        """Texts by order; an order whose texts are gone or unreadable is left out."""
        wanted = set(order_ids)
        found = {order_id: self._known[order_id] for order_id in wanted if order_id in self._known}
        missing = sorted(wanted - found.keys())
        if missing:
            for row in await self._database.fetch(_sql.read_contents, missing):
                with contextlib.suppress(ValueError):
                    found[row["order_id"]] = self._known[row["order_id"]] = await read(row["content"])
            while len(self._known) > _CONTENTS:
                self._known.popitem(last=False)
        return found


class Dispatcher:
    """One lane of one kind of message."""

    def __init__(
        self,
        kind: Kind,
        lane: int,
        *,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        providers: Providers,
        handoffs: Handoffs,
        outcomes: Outcomes,
        owner: UUID,
        batch: int = BATCH,
        files: Files | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.kind = kind
        self.lane = lane
        self._database = database
        self._calendar = calendar
        self._providers = providers
        self._handoffs = handoffs
        self._outcomes = outcomes
        self._owner = owner
        self._batch = batch
        self._files = files
        self._pace = pace
        self._contents = Contents(database)
        self._place: LowWater[tuple[datetime, UUID]] = LowWater(machine, (_EPOCH, _NEVER))
        self._held: deque[Parcel] = deque()
        self._sending: dict[asyncio.Task[None], list[Parcel]] = {}
        self._wake = asyncio.Event()
        self._look = True
        self._lost = False
        self._stopping = False

    # -- what others tell it -------------------------------------------------------------------------------------

    def put(self, parcels: Iterable[Parcel]) -> None:
        """Messages that were planned straight into this worker's hands."""
        self._held.extend(parcels)
        self._wake.set()

    def look(self) -> None:
        """Something may wait in the table."""
        self._look = True
        self._wake.set()

    def reset(self) -> None:
        """The calendar was moved back."""
        self._place.reset()
        self.look()

    @property
    def past(self) -> datetime:
        """Messages ready before this were taken, but for those that came late."""
        return self._place.past[0]

    @property
    def room(self) -> int:
        """How many more messages it takes at once."""
        if self._stopping or self._providers.choose(self.kind) is None:
            return 0
        return max(0, HOLD - len(self._held))

    def in_hand(self) -> list[UUID]:
        """The messages whose leases must be renewed."""
        return [parcel.notification_id for parcel in self._held] + [
            parcel.notification_id
            for parcels in self._sending.values()
            for parcel in parcels
            if not parcel.granted
        ]

    # -- its work --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until `stop`; then returns when no message is on its way."""
        while not self._stopping:
            self._wake.clear()
            channel = self._providers.choose(self.kind)
            if channel is None:
                await self._pause(max(0.02, min(self._providers.wait(self.kind), 1.0)))
                continue
            if self._look and len(self._held) < HOLD // 2:
                try:
                    if self._lost:
                        await self._give_back_lost()
                    await self._claim()
                except Unavailable:
                    self._look = self._lost = True
                    await self._pause(0.5)
                    continue
                except Exception:
                    log.exception("messages could not be claimed", action="delivery.claim_failed")
                    await self._pause(1.0)
                    continue
            try:
                while self._held and len(self._sending) < AT_ONCE:
                    await self._start(channel)
            except Exception:
                log.exception("messages could not be given to a channel", action="delivery.start_failed")
                self._look = self._lost = True
                await self._pause(1.0)
                continue
            if len(self._held) >= HOLD // 2:
                await self._wake.wait()  # of a batch that is done
            elif not self._look:
                await self._pause(self._place.again_after)
        if self._sending:
            await asyncio.wait(self._sending)

    async def stop(self) -> None:
        """Take nothing more, and give back what no channel has."""
        self._stopping = True
        self._wake.set()
        held, self._held = list(self._held), deque()
        if held:
            with contextlib.suppress(Unavailable):
                await self._database.execute(
                    _sql.release_ready,
                    [parcel.notification_id for parcel in held],
                    self._owner,
                    [None] * len(held),
                )

    def cancel(self) -> None:
        """Break off what is on its way: the time to stop is over."""
        for task in self._sending:
            task.cancel()

    async def _pause(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        if not self._wake.is_set():
            self._look = True

    async def _give_back_lost(self) -> None:
        """A claim that broke off may have been committed: without this its messages would wait for the end of their lease."""
        await self._database.execute(_sql.release_unheld, self._owner, self.kind, self.lane, self.in_hand())
        self._lost = False

    async def _claim(self) -> None:
        self._look = False
        place = self._place.begin()
        rows = await self._database.fetch(
            _sql.claim_ready, self.kind, self.lane, self._calendar.now(), *place, CLAIM, self._owner, LEASE
        )
        last = max(((row["ready_at"], row["notification_id"]) for row in rows), default=None)
        self._place.end(last, more=len(rows) == CLAIM)
        if not rows:
            return
        self._look = len(rows) == CLAIM
        step("send.claimed")
        order_ids = [row["order_id"] for row in rows]
        contents = await self._contents.read(order_ids)
        texts = {
            row["id"]: row
            for row in await self._database.fetch(
                _sql.read_messages, order_ids, [row["notification_id"] for row in rows], LARGE
            )
        }
        lost = 0
        for row in sorted(rows, key=lambda row: (row["ready_at"], row["notification_id"])):
            text, content = texts.get(row["notification_id"]), contents.get(row["order_id"])
            if text is None or content is None:
                lost += 1  # its lease lapses, its expiry ends it
                continue
            self._held.append(
                Parcel(
                    row["notification_id"],
                    row["order_id"],
                    row["creator"],
                    self.kind,
                    row["lane"],
                    row["domain"],
                    row["ready_at"],
                    row["expires_at"],
                    row["tries"],
                    row["daytime"],
                    await _whole(text["address"], text["long_address"]) or "",
                    await _whole(text["custom_subject"], text["long_subject"]),
                    await _whole(text["custom_body"], text["long_body"]),
                    content,
                    row["provider"],
                )
            )
        if lost:
            log.error("messages without a text wait for their expiry", action="delivery.no_text", number=lost)

    async def _start(self, first: Channel) -> None:
        """Give the next batch to a channel; a pinned message goes to its own provider, or waits for it."""
        channel = first
        parcels: list[Parcel] = []
        resting: list[tuple[Parcel, float]] = []
        while self._held and len(parcels) < self._batch:
            pinned = self._held[0].pinned
            wanted = first if pinned is None else self._providers.choose(self.kind, pinned)
            if wanted is None:
                assert pinned is not None
                rest = self._providers.rest(pinned)
                resting.append((self._held.popleft(), min(max(rest, 0.1), _LONGEST_REST)))
                continue
            if parcels and wanted is not channel:
                break
            channel = wanted
            parcels.append(self._held.popleft())
        try:
            if resting:
                # A provider rests by the machine's clock, whatever the calendar does.
                await self._put_off(resting, later=timedelta(0))
            if self._pace is not None and parcels:
                parcels = await self._admitted(self._pace, channel, parcels)
        except Unavailable:
            self._held.extendleft(reversed(parcels))
            self._look = self._lost = True
            await self._pause(0.5)
            return
        if parcels:
            task = asyncio.create_task(self._send(channel, parcels))
            self._sending[task] = parcels
            task.add_done_callback(self._sent)

    async def _admitted(self, pace: Pace, channel: Channel, parcels: list[Parcel]) -> list[Parcel]:
        """Those that may leave at the pace of their provider and domain; the others go back until their turn."""
        waits = await pace.admit(channel.name, [parcel.domain for parcel in parcels])
        late = [(parcel, wait) for parcel, wait in zip(parcels, waits, strict=True) if wait]
        if late:
            await self._put_off(late)
        return [parcel for parcel, wait in zip(parcels, waits, strict=True) if not wait]

    async def _put_off(self, late: Sequence[tuple[Parcel, float]], *, later: timedelta | None = None) -> None:
        """Give messages back for so many seconds each; they are as many due later, or `later`."""
        now = self._calendar.now()
        pauses = [timedelta(seconds=wait) for _, wait in late]
        await self._database.execute(
            _sql.delay_ready,
            [parcel.notification_id for parcel, _ in late],
            self._owner,
            [now + (pause if later is None else later) for pause in pauses],
            pauses,
        )
        asyncio.get_running_loop().call_later(min(wait for _, wait in late), self.look)

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._wake.set()

    async def _send(self, channel: Channel, parcels: Sequence[Parcel]) -> None:
        try:
            messages = [self._message(parcel, channel) for parcel in parcels]
            if self._files is not None:
                messages = await self._with_files(parcels, messages, self._files)
            if messages:
                await channel.send(messages, self._handoffs.intend, self._outcomes.settle)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        except Unavailable:
            log.warning("sending waits for the database", action="delivery.send_waits", provider=channel.name)
        except Exception as error:
            log.exception("a channel failed", action="delivery.send_failed", provider=channel.name)
            # One of them may be what it failed at: at once and together they would only come back to it.
            failed = Temporary(None, "", f"the channel failed ({type(error).__name__})", "message")
            self._outcomes.put_back(self._handoffs.dropped(parcels), failed)
        finally:
            self._outcomes.put_back(self._handoffs.dropped(parcels))

    async def _with_files(
        self, parcels: Sequence[Parcel], messages: Sequence[Message], files: Files
    ) -> list[Message]:
        """The messages whose files could be had; the others are settled here, before any intent."""
        ready: list[Message] = []
        sizes: list[tuple[Parcel, int]] = []
        for parcel, message in zip(parcels, messages, strict=True):
            if not parcel.content.attachments or not isinstance(message, EmailMessage):
                ready.append(message)
                continue
            found = await files.fetch(parcel.content.attachments)
            if isinstance(found, tuple):
                ready.append(replace(message, attachments=found))
                sizes.append((parcel, sum(len(file.content) for file in found)))
            else:
                self._outcomes.settle(message, found)
        if sizes:
            await self._database.execute(
                _sql.attachment_sizes,
                [parcel.order_id for parcel, _ in sizes],
                [parcel.notification_id for parcel, _ in sizes],
                [size for _, size in sizes],
            )
        return ready

    def _message(self, parcel: Parcel, channel: Channel) -> Message:
        attempt_id = uuid7()
        content = parcel.content
        message: Message
        if self.kind == "Email":
            email = content.email
            assert email is not None
            message = EmailMessage(
                attempt_id,
                parcel.notification_id,
                email.sender,
                parcel.address,
                email.subject if parcel.custom_subject is None else parcel.custom_subject,
                email.body if parcel.custom_body is None else parcel.custom_body,
                email.html,
                parcel.expires_at,
            )
        else:
            sms = content.sms
            assert sms is not None
            message = SmsMessage(
                attempt_id,
                parcel.notification_id,
                sms.sender,
                parcel.address,
                sms.body if parcel.custom_body is None else parcel.custom_body,
                parcel.expires_at - self._calendar.now(),
            )
        self._handoffs.carry(parcel, attempt_id, channel.name)
        return message
