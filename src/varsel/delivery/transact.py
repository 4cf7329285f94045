"""Transactions that are tried again where the database asks for it, and batches that survive one bad row."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg
import structlog

from varsel.store.database import Connection, Database

log = structlog.get_logger("varsel.delivery")

T = TypeVar("T")
R = TypeVar("R")

_AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
_MOST_TRIES: Final = 6


async def transact(database: Database, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work` in one transaction; deadlocks and serialization failures are tried again."""

    async def once() -> T:
        async with database.transaction() as connection:
            return await work(connection)

    return await _again(once)


async def fetch_alone(database: Database, sql: str, *args: Any) -> list[asyncpg.Record]:
    """One statement that is its own transaction (a third of the round trips of `transact`), tried again likewise."""
    return await _again(lambda: database.fetch(sql, *args))


async def _again(work: Callable[[], Awaitable[T]]) -> T:
    for attempt in range(_MOST_TRIES):
        try:
            return await work()
        except _AGAIN:
            if attempt == _MOST_TRIES - 1:
                raise
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)
    raise AssertionError("unreachable")


def is_poison(error: BaseException) -> bool:
    """Whether an error is about the rows of a batch, so that a smaller batch may do."""
    return isinstance(
        error,
        asyncpg.DataError
        | asyncpg.IntegrityConstraintViolationError
        | asyncpg.ProgramLimitExceededError
        | ValueError
        | TypeError
        | KeyError,
    )


async def in_halves(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[None]],
    bad: Callable[[T, BaseException], Awaitable[None]],
) -> None:
    """Run `work` on all items at once; where a data error comes, on halves, until the bad item stands alone."""
    if not items:
        return
    try:
        await work(items)
    except Exception as error:
        if not is_poison(error):
            raise
        if len(items) == 1:
            if isinstance(error, asyncpg.ForeignKeyViolationError):
                # A webhook that was deleted while the statement ran, as a rule: it is seen no more now.
                try:
                    await work(items)
                except Exception as again:
                    if not is_poison(again):
                        raise
                else:
                    return
            await bad(items[0], error)
            return
        middle = len(items) // 2
        await in_halves(items[:middle], work, bad)
        await in_halves(items[middle:], work, bad)
