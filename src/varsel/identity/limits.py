"""Rate limits that hold over all processes: a budget a minute in one row, taken in small portions.

A process takes a twentieth of the budget at a time and spends it without asking, so a limit of thousands costs a handful of
statements a minute and may be overrun by nobody.
"""

from __future__ import annotations

import asyncio
from typing import Final

from varsel.runtime.clock import Machine
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")

SLICE: Final = 60
_PORTIONS: Final = 20
_MOST_SCOPES: Final = 20_000


class RateLimiter:
    """Counts uses by scope (a short text such as `token:address`)."""

    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine
        self._slice = 0
        self._left: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def take(self, scope: str, limit: int) -> int | None:
        """Count one use. None when it is within `limit` a minute (0: no limit), else the seconds until it is worth trying again."""
        if limit == 0:
            return None
        now = self._machine.time()
        current = int(now // SLICE)
        if current != self._slice or len(self._left) > _MOST_SCOPES:
            self._slice = current
            self._left.clear()
            self._locks.clear()
        # One at a time fetches: many that find nothing left together would take the whole budget away from other processes.
        lock = self._locks.setdefault(scope, asyncio.Lock())
        async with lock:
            left = self._left.get(scope, 0)
            if left == 0:
                left = await self._portion(scope, current, limit)
            if left <= 0:
                self._left[scope] = -1
                return SLICE - int(now % SLICE)
            self._left[scope] = left - 1
            return None

    async def _portion(self, scope: str, current: int, limit: int) -> int:
        """Take a portion, or when that is too much a single use."""
        portion = max(limit // _PORTIONS, 1)
        for size in (portion, 1) if portion > 1 else (1,):
            if await self._database.fetchval(sql.take_budget, scope, current, size, limit) is not None:
                return size
        return 0
