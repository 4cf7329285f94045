"""SMS whose answer was lost, found by the receiver of a report (design 4.1: held until report or expiry).

The gateway's reference stands in its answer alone, so a report about a message whose answer nobody read names a reference that
nobody knows. What is left is the receiver: where just one unknown SMS to a number is open, and just one reference that nobody
knows was reported for that number since, the report is about that message. Anything less clear stays with the operator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from varsel.channels.sms.pswin import NumberError, receiver_number
from varsel.delivery.reports import PATIENCE
from varsel.runtime.clock import Machine
from varsel.runtime.settings import Settings
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")
log = structlog.get_logger("varsel.delivery")

EVERY: Final = 5.0  # seconds between looks
_TAIL: Final = 8  # digits by which the database chooses; whole numbers are compared here


class LostAnswers:
    """Gives lost messages the reference of their report; `early` is called when it found some.

    A report waits as long as an unknown handoff does before it is looked at: until then the answer that belongs to it may
    still be on its way into the database.
    """

    def __init__(
        self, database: Database, machine: Machine, settings: Settings, *, early: Callable[[], None]
    ) -> None:
        self._database = database
        self._machine = machine
        self._patience = timedelta(seconds=settings.unknown_settle_seconds)
        self._early = early
        self._again_at = 0.0

    async def find(self) -> int:
        """One look; how many messages were found."""
        now = self._machine.monotonic()
        if now < self._again_at:
            return 0
        self._again_at = now + min(EVERY, self._patience.total_seconds())
        reports = await self._database.fetch(_sql.reports_of_nobody, self._patience)
        told: dict[str, list[Any]] = defaultdict(list)
        for row in reports:
            number = _receiver(row["raw"])
            if number is not None:
                told[number].append(row)
        if not told:
            return 0
        messages: dict[str, list[Any]] = defaultdict(list)
        for row in await self._database.fetch(_sql.open_texts, [one[-_TAIL:] for one in told], _TAIL):
            number = _number(row["address"])
            if number in told:
                messages[number].append(row)
        pairs = [pair for number, some in messages.items() if (pair := _pair(some, told[number]))]
        if not pairs:
            return 0
        found: int = await self._database.fetchval(
            _sql.know_by_receiver,
            [reference for reference, _ in pairs],
            [attempt_id for _, attempt_id in pairs],
            PATIENCE,
        )
        if found:
            log.info("lost answers were found by reports", action="delivery.unknown_reported", number=found)
            self._early()
        return found


def _pair(messages: Sequence[Any], reports: Sequence[Any]) -> tuple[str, UUID] | None:
    """The reference and the attempt that belong together; None where it is not clear."""
    if len(messages) != 1 or not messages[0]["unknown"]:
        return None
    since = {row["reference"] for row in reports if row["received_at"] >= messages[0]["begun_at"]}
    return (since.pop(), messages[0]["attempt_id"]) if len(since) == 1 else None


def _number(text: str) -> str | None:
    try:
        return receiver_number(text)
    except NumberError:
        return None


def _receiver(raw: bytes) -> str | None:
    """The receiver of a stored report; None when it names none."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, str | None]).get("receiver")
    except msgspec.DecodeError:
        return None
    return _number(found) if found else None
