"""Grouped commits: requests that arrive together are stored together (docs/design.md, "Grouped commits").

While a flush is under way the next requests gather; there is no timer, nor any waiting for more (measured: larger groups leave the
processor idle while the statement runs, 15 % fewer orders a second). One statement stores a whole flush, and the unique key
decides who was first, so that a race of repeats needs no lock and no read beforehand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from varsel.orders.large import apart, in_groups, join, key_apart
from varsel.orders.model import Entry, Key, NewOrder, Stored
from varsel.runtime.clock import Calendar
from varsel.runtime.errors import DatabaseUnavailable
from varsel.runtime.metrics import counter, histogram
from varsel.runtime.steps import step
from varsel.store.database import Connection, Database, unavailable_as_such
from varsel.store.pieces import PIECE, Value
from varsel.store.queries import load

log = structlog.get_logger("varsel.orders")
_accepted: Final = counter("orders_accepted")
_repeated: Final = counter("orders_repeated")
_flush_size: Final = histogram("accept_flush_size")
_flush_seconds: Final = histogram("accept_flush_seconds")
_sql: Final = load("varsel.orders")

#: Orders in one statement; beyond, the statement's own time outweighs the saved commit.
MOST_ORDERS: Final = 200
#: Octets in one statement, as many as keep the event loop for a few milliseconds.
MOST_BYTES: Final = 2 * PIECE
#: Seconds in which an unknown commit must become known before its callers hear 503.
_LOOK_UP_FOR: Final = 20.0
_CLASHES: Final = 5

_Waiting: TypeAlias = tuple[Entry, asyncio.Future[Stored]]
_KeyOf: TypeAlias = tuple[str, str, bytes]

_COLUMNS: Final = tuple(
    attrgetter(name)
    for name in (
        "position",
        "creator",
        "kind",
        "channel",
        "sending_policy",
        "senders_reference",
        "resource_id",
        "resource_action",
        "dialog_id",
        "transmission_id",
        "created_at",
    )
)


def _key_of(key: Key) -> _KeyOf:
    return key.creator, key.family, key.hash


def _spread(values: list[Any]) -> tuple[list[Any], Any]:
    """A column as a list, or as the one value that all of it holds beside an empty list."""
    first = values[0]
    return ([], first) if values.count(first) == len(values) else (values, None)


def _columns(orders: Sequence[NewOrder]) -> list[Any]:
    """The arguments of orders: lists, then the values of columns that hold one value.

    The driver spends about a microsecond on each element of a list, and most columns of a group hold one value.
    """
    chains = [order.chain_id for order in orders]
    spread = [_spread(list(map(column, orders))) for column in _COLUMNS]
    # Most orders leave at once: their send time is the moment of their request, and is told once.
    at_once = all(order.requested_at is order.created_at for order in orders)
    spread.append(([], None) if at_once else _spread([order.requested_at for order in orders]))
    return [
        [order.id for order in orders],
        [] if chains.count(None) == len(chains) else chains,
        [order.content for order in orders],
        *(values for values, _ in spread),
        *(value for _, value in spread),
    ]


def _key_columns(entries: Sequence[Entry], created_at: datetime) -> list[Any]:
    # Sorted by the unique key: two processes that store the same keys wait for each other instead of deadlocking.
    keys = sorted((entry.key for entry in entries if entry.key is not None), key=_key_of)
    creators, creator = _spread([key.creator for key in keys]) if keys else ([], None)
    families, family = _spread([key.family for key in keys]) if keys else ([], None)
    return [
        [key.hash for key in keys],
        [key.chain_id for key in keys],
        [key.mac for key in keys],
        [key.receipt for key in keys],
        creators,
        families,
        creator,
        family,
        created_at,
    ]


def _kind(entry: Entry) -> str:
    """What the request was, for the metrics: v1, chain, instant or composed."""
    return "v1" if entry.key is None else entry.key.family


def _undone(error: BaseException | None) -> bool:
    """Whether the database said itself that it stored nothing (out of space, read-only, cancelled), so nothing is unknown."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith("53") or state in {"25006", "57014", "57P03"}


class Flusher:
    """Stores entries; `store` answers when they are durable. A caller that goes away does not stop a flush.

    One flush at a time. Measured: two at once make smaller groups, and 5 % fewer orders a second on two cores.
    """

    def __init__(self, database: Database, calendar: Calendar) -> None:
        self._database = database
        self._calendar = calendar
        self._waiting: list[_Waiting] = []
        self._flight: asyncio.Task[None] | None = None
        self._flying = False
        #: Kept from flush to flush while there is work and all goes well: the pool's give and take costs as much as ten orders.
        self._kept: Connection | None = None
        self._giving_back = contextlib.AsyncExitStack()

    async def store(self, entry: Entry) -> Stored:
        """What became of it. Raises DatabaseUnavailable, or the database's own error for an entry that it refuses."""
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if not self._flying:
            self._flying = True
            self._flight = asyncio.create_task(self._fly(), name="varsel-accept")
        return await future

    async def standing(self, key: Key) -> Stored | None:
        """What stands under a key; None while it is free. Raises DatabaseUnavailable."""
        row = await self._database.fetchrow(_sql.keys_taken, [key.creator], [key.family], [key.hash])
        return None if row is None else Stored(False, row["receipt"], row["body_mac"])

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._flying and self._flight is not None:
            await asyncio.wait({self._flight})

    async def _fly(self) -> None:
        try:
            while self._waiting:
                group = self._take()
                try:
                    await self._flush(group)
                except Exception as error:
                    for _, future in group:
                        _fail(future, error)
                if not self._waiting:
                    await self._give_back()
        finally:
            # At once, not when the task is cleaned up: what comes in between would wait for nobody.
            self._flying = False

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """The kept connection, given back as soon as something goes wrong on it."""
        if self._kept is None:
            self._kept = await self._giving_back.enter_async_context(self._database.connection())
        try:
            with unavailable_as_such():
                yield self._kept
        except BaseException:
            await self._give_back()
            raise

    async def _give_back(self) -> None:
        self._kept = None
        with contextlib.suppress(DatabaseUnavailable):
            await self._giving_back.aclose()

    def _take(self) -> list[_Waiting]:
        orders = size = count = 0
        for entry, _ in self._waiting:
            orders += len(entry.orders)
            size += entry.size
            if count and (orders > MOST_ORDERS or size > MOST_BYTES):
                break
            count += 1
        group = self._waiting[:count]
        del self._waiting[:count]
        return group

    async def _flush(self, group: list[_Waiting]) -> None:
        # Repeats within one group would meet each other in one statement; only the first of a key goes in.
        leaders: dict[_KeyOf | UUID, _Waiting] = {}
        followers: list[_Waiting] = []
        for waiting in group:
            key = waiting[0].key
            if leaders.setdefault(_key_of(key) if key else waiting[0].orders[0].id, waiting) is not waiting:
                followers.append(waiting)
        late = followers + await self._insert(list(leaders.values()))
        while late:
            late = await self._answer_repeats(late)
            # A key can go away between the two statements (an instant order that was refused): then someone is first after all.
            late = await self._insert(late[:1]) + late[1:] if late else late

    async def _insert(self, group: list[_Waiting]) -> list[_Waiting]:
        """Store what can be stored and answer it; those whose key was taken come back."""
        try:
            stored = await self._attempt([entry for entry, _ in group])
        except DatabaseUnavailable as error:
            for _, future in group:
                _fail(future, error)
            return []
        except Exception as error:
            if len(group) == 1:
                log.warning(
                    "order refused by the database", action="orders.refused", error=type(error).__name__
                )
                _fail(group[0][1], error)
                return []
            # One row that the database refuses must not fail its neighbours.
            middle = len(group) // 2
            return await self._insert(group[:middle]) + await self._insert(group[middle:])
        now = self._calendar.now()
        late = []
        due = False
        accepted: Counter[str] = Counter()
        for entry, future in group:
            key = entry.key
            if key is not None and key.chain_id not in stored:
                late.append((entry, future))
                continue
            due = due or any(order.requested_at <= now for order in entry.orders)
            accepted[_kind(entry)] += len(entry.orders)
            if not future.done():
                future.set_result(Stored(True, key.receipt if key else b"", key.mac if key else b""))
        if due:
            self._database.wake("due")
        for kind, number in accepted.items():
            _accepted.labels(kind).inc(number)
        return late

    async def _answer_repeats(self, late: list[_Waiting]) -> list[_Waiting]:
        """Answer those whose key stands in the database; the others come back."""
        keys = [entry.key for entry, _ in late if entry.key is not None]
        try:
            async with self._connection() as connection:
                rows = await connection.fetch(
                    _sql.keys_taken,
                    [key.creator for key in keys],
                    [key.family for key in keys],
                    [key.hash for key in keys],
                )
        except DatabaseUnavailable as error:
            for _, future in late:
                _fail(future, error)
            return []
        taken = {(row["creator"], row["family"], row["key_hash"]): row for row in rows}
        left = []
        for entry, future in late:
            assert entry.key is not None
            row = taken.get(_key_of(entry.key))
            if row is None:
                left.append((entry, future))
            elif not future.done():
                # Its own chain: the commit that seemed lost had been done.
                own = row["chain_id"] == entry.key.chain_id
                (_accepted if own else _repeated).labels(_kind(entry)).inc(len(entry.orders) if own else 1)
                future.set_result(Stored(own, row["receipt"], row["body_mac"]))
        return left

    async def _attempt(self, entries: list[Entry]) -> set[UUID]:
        """Run the statement until its outcome is known; the chain ids that it stored.

        A connection that is lost meanwhile leaves it open whether the commit was done. The statement is then run again: the keys
        of a commit that was done stop it, and it waits for one that is still under way.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _LOOK_UP_FOR
        asked = False
        clashes = 0
        pause = 0.05
        _flush_size.observe(sum(len(entry.orders) for entry in entries))
        begun = loop.time()
        while True:
            try:
                async with self._connection() as connection:
                    step("accept.before_commit")
                    asked = True
                    stored = await _run(connection, entries)
                step("accept.committed")
                _flush_seconds.observe(loop.time() - begun)
                return stored
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                clashes += 1
                if clashes == _CLASHES:
                    raise
            except DatabaseUnavailable as error:
                if not asked or _undone(error.__cause__) or loop.time() > give_up:
                    raise
                log.warning(
                    "commit unknown, asking again", action="orders.commit_unknown", entries=len(entries)
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)


async def _run(connection: Connection, entries: list[Entry]) -> set[UUID]:
    orders = [order for entry in entries for order in entry.orders]
    if len(orders) <= MOST_ORDERS and sum(entry.size for entry in entries) <= MOST_BYTES:
        rows = await connection.fetch(
            _sql.accept, *_key_columns(entries, orders[0].created_at), *_columns(orders)
        )
        return {row[0] for row in rows}
    # One request with many reminders or large values: several statements, so that no single one keeps the event loop busy with its
    # arguments.
    large: list[Value] = []
    short = [Entry([], key_apart(entry.key, large)) for entry in entries if entry.key is not None]
    groups = in_groups((apart(order, large) for order in orders), MOST_ORDERS)
    first = next(groups)
    async with connection.transaction():
        rows = await connection.fetch(
            _sql.accept, *_key_columns(short, orders[0].created_at), *_columns(first)
        )
        if rows or entries[0].key is None:
            for group in groups:
                await connection.execute(_sql.accept_more, *_columns(group))
            await join(connection, large)
        return {row[0] for row in rows}


def _fail(future: asyncio.Future[Stored], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # the caller may have gone; then nobody asks, and that is no fault
