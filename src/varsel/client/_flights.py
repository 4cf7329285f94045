"""Single flight: one fetch per key, everybody else waits for its result, in threads and on any event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

#: Nobody waits longer for somebody else's fetch; its event loop may have stopped for good. Seconds.
PATIENCE = 60.0


class Abandoned(Exception):
    """The fetch ended without an outcome; whoever waited tries again."""


@dataclass(slots=True, eq=False)
class Flight:
    """One fetch under way. `loop` is the event loop that carries it, None for a thread."""

    loop: asyncio.AbstractEventLoop | None
    outcome: Future[Any] = field(default_factory=Future)
    #: Strong, because asyncio itself keeps tasks only weakly.
    task: asyncio.Task[None] | None = None


class Flights:
    """Fetches under way by key."""

    def __init__(self) -> None:
        self._forget()
        _EVERY.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Flight] = {}

    def enter(self, key: Hashable, loop: asyncio.AbstractEventLoop | None) -> tuple[Flight, bool]:
        """The flight of this key, and whether the caller has to fly it."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = Flight(loop)
            # From here on `cancel` does nothing: one waiter that gives up must not take the result from the others.
            flight.outcome.set_running_or_notify_cancel()
            self._under_way[key] = flight
            return flight, True

    def waiting(self, key: Hashable) -> bool:
        """Whether a fetch is under way."""
        return key in self._under_way

    def land(
        self, key: Hashable, flight: Flight, *, value: Any = None, error: BaseException | None = None
    ) -> None:
        """End it, with a value or an error. Harmless when it has ended."""
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
            if flight.outcome.done():
                return
            if error is None:
                flight.outcome.set_result(value)
            else:
                flight.outcome.set_exception(error)


_EVERY: weakref.WeakSet[Flights] = weakref.WeakSet()


def _after_fork() -> None:
    # The threads that carried the flights, and perhaps held the lock, stayed in the parent.
    for flights in list(_EVERY):
        flights._forget()


# Windows has no fork, and so no such function.
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_after_fork)
