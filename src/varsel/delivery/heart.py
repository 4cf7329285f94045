"""The heartbeat of a worker, on a connection of its own.

The pool serves whatever the worker does. Where all of it waits (for a lock, a slow disk, a server that has gone silent), a
heartbeat that stood in its queue would stop too, and others would take a worker for dead that only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import random
from typing import Final
from uuid import UUID

import structlog

from varsel.runtime.clock import Machine
from varsel.runtime.errors import Unavailable
from varsel.runtime.tasks import end
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

PULSE: Final = 1.0  # seconds between heartbeats
STEADY: Final = 2.5
"""Seconds between two heartbeats up to which the silence of others means something: where this worker could not write for
longer, they could not either.
"""
_PATIENCE: Final = 10.0
"""Seconds after which a heartbeat is given up together with its connection: the server may be gone without a word."""


class Heart:
    """Beats from `start` to `stop`."""

    def __init__(self, database: Database, machine: Machine, worker: UUID) -> None:
        self._database = database
        self._machine = machine
        self._worker = worker
        self._beat_at = float("-inf")
        self._steady = False
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, database: Database, machine: Machine, worker: UUID) -> Heart:
        """Register the worker and begin; DatabaseUnavailable when it cannot be registered."""
        own = await Database.open(
            database.url,
            direct_url=database.direct_url,
            size=1,
            name="varsel-heart",
            patience=_PATIENCE,
        )
        heart = cls(own, machine, worker)
        try:
            await heart._register()
        except BaseException:
            await own.close()
            raise
        heart._task = asyncio.create_task(heart._run(), name="varsel-heart")
        return heart

    @property
    def steady(self) -> bool:
        """Whether the last two heartbeats came in time."""
        return self._steady and self._machine.monotonic() - self._beat_at < STEADY

    async def stop(self, *, leave: bool) -> None:
        """Beat no more; with `leave` the worker is no longer registered."""
        await end(self._task)
        if leave:
            with contextlib.suppress(Unavailable):
                await self._database.execute(_sql.leave_worker, self._worker)
        await self._database.close()

    async def _register(self) -> None:
        await self._database.execute(_sql.register_worker, self._worker, platform.node()[:200], os.getpid())
        self._beaten()

    def _beaten(self) -> None:
        now = self._machine.monotonic()
        self._steady, self._beat_at = now - self._beat_at < STEADY, now

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PULSE * random.uniform(0.9, 1.05))
            try:
                if await self._database.fetchval(_sql.beat, self._worker):
                    self._beaten()
                else:
                    # Declared dead after a long silence: what it held is free, and no intent of it will be granted.
                    log.warning(
                        "this worker was taken for dead and registers again", action="delivery.revived"
                    )
                    await self._register()
            except Unavailable:
                log.warning("no heartbeat: the database is away", action="delivery.no_pulse")
            except Exception:
                log.exception("the heartbeat failed; it goes on", action="delivery.pulse_failed")
