"""Reports that wait for an operator: looked at, tried again, dropped (docs/reference/delivery.md 8.4, 11.3 rules 10, 11).

A report is parked until its message is known. What names no message, or says nothing that is understood, is dead at once; what
found no message in `reports.PATIENCE` is dead then. Dead reports stay until somebody decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from varsel.delivery.reports import PATIENCE
from varsel.store import queries, states
from varsel.store.database import Database
from varsel.store.ids import floor_of

_sql = queries.load("varsel.delivery")

#: Family of a report -> channel of the messages it is about.
CHANNEL: Final = {"link": "Sms", "acs": "Email", "dsn": "Email"}
#: Reports that are looked at in one go, at most.
MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked report. `word` is the provider's, `status` what it means here; `known` once its message is.

    `dead_at` is None while it waits by itself, until `give_up_at` (machine clock).
    """

    id: UUID
    provider: str
    reference: str | None
    word: str | None
    status: str | None
    received_at: datetime
    give_up_at: datetime
    reason: str | None
    dead_at: datetime | None
    attempts: int
    known: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reports: these ids, or all of a family and a reason; None leaves a condition out."""

    ids: Sequence[UUID] | None = None
    provider: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """What a provider said, and how often. `status` is None where nothing was understood; `familiar` False for a word that no
    table has: it counts as Failed all the same (docs/reference/delivery.md 8.2).
    """

    provider: str
    word: str | None
    status: str | None
    number: int
    last_at: datetime
    familiar: bool


class MeaningError(ValueError):
    """No report of this kind can mean that."""


async def parked(
    database: Database,
    choice: Choice,
    *,
    waiting: bool = False,
    most: int | None = None,
    before: UUID | None = None,
) -> list[Parked]:
    """Up to `most` (None: MOST) dead reports older than `before`, newest first; with `waiting` also those that still wait by themselves."""
    ids = None if choice.ids is None else list(choice.ids)
    rows = await database.fetch(
        _sql.parked_reports,
        choice.provider,
        choice.reason,
        waiting,
        ids,
        MOST if most is None else most,
        before,
    )
    return [
        Parked(
            row["report_id"],
            row["provider"],
            row["reference"],
            row["word"],
            row["status"],
            row["received_at"],
            row["give_up_at"],
            row["reason"],
            row["dead_at"],
            row["attempts"],
            row["known"],
        )
        for row in rows
    ]


async def raw(database: Database, report_id: UUID) -> bytes | None:
    """A report as it came; None when there is none, or its retention is over. It may hold a recipient's number."""
    found: bytes | None = await database.fetchval(_sql.raw_report, report_id)
    return found


async def retry(database: Database, choice: Choice, *, meaning: str | None = None) -> tuple[int, int]:
    """Let dead reports wait for their message again; (how many do, how many cannot).

    One that names no message cannot; nor can one that says nothing understood, unless `meaning` says for it what it means: a
    final status of its channel, MeaningError otherwise.
    """
    again = left = 0
    async for found in _pages(database, choice):
        if meaning is not None:
            for one in found:
                channel = CHANNEL[one.provider]
                if meaning not in states.RANKS[channel] or not states.is_final(channel, meaning):
                    raise MeaningError(meaning)
        rows = await database.fetch(_sql.retry_parked, [one.id for one in found], PATIENCE, meaning)
        if rows:
            database.wake("report")
        again += len(rows)
        left += len(found) - len(rows)
    return again, left


async def drop(database: Database, choice: Choice) -> int:
    """Take dead reports from the list, for good; how many. By their ids also those that still wait."""
    dropped = 0
    async for found in _pages(database, choice, waiting=choice.ids is not None):
        rows = await database.fetch(_sql.forget_parked, [one.id for one in found])
        dropped += len(rows)
    return dropped


async def _pages(database: Database, choice: Choice, *, waiting: bool = False) -> AsyncIterator[list[Parked]]:
    """All of them, MOST at a time. What comes meanwhile is newer, so there is an end."""
    before: UUID | None = None
    while True:
        found = await parked(database, choice, waiting=waiting, before=before)
        if found:
            yield found
        if len(found) < MOST:
            return
        before = found[-1].id


async def words(database: Database, since: datetime) -> list[Word]:
    """Every word that came since then (machine clock), by family and number."""
    from varsel.channels.sms.reports import RESULTS

    rows = await database.fetch(_sql.report_words, floor_of(since))
    return [
        Word(
            row["provider"],
            row["word"],
            row["status"],
            row["number"],
            row["last_at"],
            row["status"] is not None
            and (row["provider"] != "link" or (row["word"] or "").upper() in RESULTS),
        )
        for row in rows
    ]
