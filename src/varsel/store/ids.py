"""UUIDv7 (RFC 9562 5.7): time-ordered public ids, so that facts are partitioned by their own key."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from struct import Struct
from typing import Final
from uuid import UUID

from asyncpg.pgproto import pgproto

_VERSION: Final = 0x7000
_VARIANT: Final = 0b10 << 62
#: Randomness is fetched for so many ids at once: a system call for each would be most of an id's price. And one every few milliseconds
#: would starve all other threads: each gives the interpreter away for a microsecond, so that who waits for it never asks for it.
_AT_ONCE: Final = 8192
_halves: Final = Struct(">QQ")
_random: Iterator[int] = iter(())
_last = 0


def _forget_randomness() -> None:
    # A forked process must not hand out the numbers of its parent.
    global _random
    _random = iter(())


os.register_at_fork(after_in_child=_forget_randomness)


def _fetched() -> int:
    global _random
    fresh = iter(Struct(f">{_AT_ONCE}Q").unpack(os.urandom(8 * _AT_ONCE)))
    first = next(fresh)
    _random = fresh
    return int(first)


def uuid7() -> UUID:
    """A new id; within a process each is greater than the one before.

    48 bits of milliseconds, 12 bits that count within the millisecond (RFC 9562 6.2, method 1), 62 random bits. The class is the
    driver's own, which writes itself as text and into a statement at a tenth of the cost of the standard library's.
    """
    global _last
    stamp = (time.time_ns() // 1_000_000) << 12
    _last = stamp if stamp > _last else _last + 1
    stamp = _last
    random = next(_random, None)
    if random is None:
        random = _fetched()
    return pgproto.UUID(
        _halves.pack((stamp >> 12) << 16 | _VERSION | (stamp & 0xFFF), _VARIANT | random >> 2)
    )


def floor_of(moment: datetime) -> UUID:
    """The smallest UUIDv7-shaped value of that millisecond: a partition bound, or the start of an id range."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def milliseconds_of(identifier: UUID) -> int:
    """Milliseconds since 1970 at which a UUIDv7 was made."""
    return identifier.int >> 80
