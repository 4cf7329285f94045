"""UUIDv7 (RFC 9562 5.7): time-ordered public ids, so that facts are partitioned by their own key."""

from __future__ import annotations

import os
import time
from datetime import datetime
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_last = 0


def uuid7() -> UUID:
    """A new id; within a process each is greater than the one before.

    48 bits of milliseconds, 12 bits that count within the millisecond (RFC 9562 6.2, method 1), 62 random bits.
    """
    global _last
    stamp = (time.time_ns() // 1_000_000) << 12
    _last = stamp if stamp > _last else _last + 1
    stamp = _last
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=(stamp >> 12) << 80 | _VERSION | (stamp & 0xFFF) << 64 | _VARIANT | random)


def floor_of(moment: datetime) -> UUID:
    """The smallest UUIDv7-shaped value of that millisecond: a partition bound, or the start of an id range."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def milliseconds_of(identifier: UUID) -> int:
    """Milliseconds since 1970 at which a UUIDv7 was made."""
    return identifier.int >> 80
