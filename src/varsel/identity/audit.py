"""Who did what: every change of an integration, every token, every refusal (docs/reference/identity.md 11).

Events hold names of things, never tokens, keys, addresses or national numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from varsel.identity.gathering import Gatherer
from varsel.store.database import Connection, Database
from varsel.store.ids import uuid7
from varsel.store.queries import load

sql = load("varsel.identity")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the trail. `actor` is a client id, the HMAC of a person, or `operator`."""

    actor: str
    action: str
    subject: str = ""
    organisation: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


async def write(connection: Connection | Database, events: Sequence[Event]) -> None:
    """Insert events, within the transaction of the change they tell of."""
    if events:
        await connection.execute(
            sql.insert_audit,
            [uuid7() for _ in events],
            [event.actor for event in events],
            [event.organisation for event in events],
            [event.action for event in events],
            [event.subject for event in events],
            [msgspec.json.encode(event.details).decode() for event in events],
        )


async def trail(
    database: Database, organisation: str | None, most: int, before: UUID | None = None
) -> list[Mapping[str, Any]]:
    """The latest events, newest first: `id`, `at`, `actor`, `organisation`, `action`, `subject`, `details` (decoded)."""
    rows = await database.fetch(sql.audit_of, organisation, most, before)
    return [{**dict(row), "details": msgspec.json.decode(row["details"])} for row in rows]


class AuditLog:
    """Events that belong to no other write; they share commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gatherer: Gatherer[Event, None] = Gatherer(self._write)

    async def _write(self, events: Sequence[Event]) -> Sequence[None]:
        await write(self._database, events)
        return [None] * len(events)

    async def record(self, event: Event) -> None:
        """Durable when this returns."""
        await self._gatherer.submit(event)

    def note(self, event: Event) -> None:
        """Soon; for refusals, where nothing depends on it."""
        self._gatherer.note(event)

    async def close(self) -> None:
        await self._gatherer.close()
