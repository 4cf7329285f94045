"""`varsel reports`: provider reports that found no message, or that nobody understood, and what to do with them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from cyclopts import Parameter

from varsel.cli.calling import Json, print_json, table
from varsel.cli.opened import opened_database
from varsel.cli.terminal import complain, say
from varsel.runtime.clock import SystemMachine
from varsel.runtime.errors import OperatorError, SettingsError
from varsel.runtime.settings import Settings
from varsel.runtime.settings_sources import load

if TYPE_CHECKING:
    from varsel.delivery.parked import Choice, Parked
    from varsel.store.database import Database

T = TypeVar("T")

_MOST_DAYS: Final = 10_000  # longer than anything is kept, and no day before ids have a time

Ids = Annotated[tuple[UUID, ...], Parameter(help="Ids of reports, as `varsel reports list` shows them.")]
All = Annotated[bool, Parameter(name="--all", negative="", help="Every dead report that the filters leave.")]
Provider = Annotated[
    Literal["link", "acs", "dsn"] | None,
    Parameter(help="Only reports of the SMS gateway (link), of ACS (acs), or bounces (dsn)."),
]
Reason = Annotated[
    Literal[
        "RETRY_THRESHOLD_EXCEEDED",
        "NOTIFICATION_EXPIRED",
        "UNRECOGNIZED_SEND_RESULT",
        "INVALID_NOTIFICATION_IDENTIFIER",
        "MALFORMED",
    ]
    | None,
    Parameter(help="Only reports that are dead for this reason."),
]
Data = Annotated[Path | None, Parameter(help="Data directory; found by default.")]


def listed(
    *,
    provider: Provider = None,
    reason: Reason = None,
    waiting: Annotated[
        bool, Parameter(negative="", help="Also those that still wait for their message by themselves.")
    ] = False,
    limit: Annotated[int, Parameter(help="How many at most, newest first.")] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    from varsel.delivery import parked

    _within("--limit", limit, 1, parked.MOST)
    found = _with_database(
        data,
        lambda database: parked.parked(
            database, parked.Choice(None, provider, reason), waiting=waiting, most=limit
        ),
    )
    if json:
        print_json([_json(one) for one in found])
        return
    table(
        ["received", "from", "says", "means", "reference", "why it is here", "tries", "id"],
        [
            [
                f"{one.received_at.astimezone():%Y-%m-%d %H:%M:%S}",
                one.provider,
                one.word or "",
                one.status or "",
                one.reference or "",
                one.reason or "waits for its message",
                str(one.attempts),
                str(one.id),
            ]
            for one in found
        ],
    )
    if not found:
        complain("There are no such reports.")


def show(
    id: Annotated[UUID, Parameter(help="Id of the report.")],  # noqa: A002
    /,
    *,
    data: Data = None,
) -> None:
    from varsel.delivery import parked

    raw = _with_database(data, lambda database: parked.raw(database, id))
    if raw is None:
        raise OperatorError("There is no such report, or its retention is over.")
    sys.stdout.flush()
    sys.stdout.buffer.write(raw if raw.endswith(b"\n") else raw + b"\n")
    sys.stdout.buffer.flush()


def words(
    *,
    days: Annotated[int, Parameter(help="How many days back.")] = 7,
    data: Data = None,
    json: Json = False,
) -> None:
    from varsel.delivery import parked

    _within("--days", days, 0, _MOST_DAYS)
    since = datetime.fromtimestamp(SystemMachine().time(), UTC) - timedelta(days=days)
    found = _with_database(data, lambda database: parked.words(database, since))
    if json:
        print_json(
            [
                {
                    "provider": one.provider,
                    "word": one.word,
                    "status": one.status,
                    "familiar": one.familiar,
                    "number": one.number,
                    "lastAt": one.last_at.isoformat(),
                }
                for one in found
            ]
        )
        return
    table(
        ["from", "says", "means", "times", "last"],
        [
            [
                one.provider,
                (one.word or "") + ("" if one.familiar else " (unknown)"),
                one.status or "",
                str(one.number),
                f"{one.last_at.astimezone():%Y-%m-%d %H:%M:%S}",
            ]
            for one in found
        ],
    )
    if not found:
        complain("No report came in that time.")


def retry(
    *ids: Annotated[UUID, Parameter(help="Ids of reports, as `varsel reports list` shows them.")],
    every: All = False,
    provider: Provider = None,
    reason: Reason = None,
    meaning: Annotated[
        str | None,
        Parameter(
            name="--as",
            help="What the named reports mean, such as Delivered or Failed; for words nobody understood.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    from varsel.delivery import parked

    chosen = _choice(ids, provider, reason, every=every)
    if meaning is not None and chosen.ids is None:
        raise SettingsError("--as decides about reports that are named one by one; give their ids.")
    try:
        again, left = _with_database(data, lambda database: parked.retry(database, chosen, meaning=meaning))
    except parked.MeaningError:
        raise SettingsError(
            f"No such report can mean {meaning}; name a final status, such as Failed."
        ) from None
    say(f"{again} {_reports(again)} tried again.")
    if left:
        complain(
            f"{left} cannot be: they name no message, or say nothing that is understood (then --as says what it means)."
        )
    if chosen.ids is not None and again + left < len(set(ids)):
        raise OperatorError("Some of the ids are no dead reports; see `varsel reports list`.")


def drop(
    *ids: Annotated[UUID, Parameter(help="Ids of reports, as `varsel reports list` shows them.")],
    every: All = False,
    provider: Provider = None,
    reason: Reason = None,
    data: Data = None,
) -> None:
    from varsel.delivery import parked

    chosen = _choice(ids, provider, reason, every=every)
    dropped = _with_database(data, lambda database: parked.drop(database, chosen))
    say(f"{dropped} {_reports(dropped)} dropped.")
    if chosen.ids is not None and dropped < len(set(ids)):
        raise OperatorError("Some of the ids are no parked reports; see `varsel reports list --waiting`.")


def _within(option: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingsError(f"{option} must be a number from {least} to {most}.")


def _reports(number: int) -> str:
    return "report is" if number == 1 else "reports are"


def _choice(ids: tuple[UUID, ...], provider: str | None, reason: str | None, *, every: bool) -> Choice:
    from varsel.delivery.parked import Choice

    if bool(ids) == every:
        raise SettingsError("Name reports by their ids, or say --all.")
    if ids and (provider or reason):
        raise SettingsError("--provider and --reason go with --all; ids need none.")
    return Choice(ids or None, provider, reason)


def _json(one: Parked) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "provider": one.provider,
        "reference": one.reference,
        "word": one.word,
        "status": one.status,
        "reason": one.reason,
        "receivedAt": one.received_at.isoformat(),
        "deadAt": None if one.dead_at is None else one.dead_at.isoformat(),
        "attempts": one.attempts,
        "known": one.known,
    }


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    """The database the settings name, with no directory of this machine needed; else that of the Varsel that runs here."""
    from varsel.store.database import Database

    if not settings.database_url:
        async with opened_database(settings, sandbox=False) as database:
            yield database
        return
    database = await Database.open(
        settings.database_url, direct_url=settings.database_direct_url or None, size=2, name="varsel-cli"
    )
    try:
        yield database
    finally:
        await database.close()


def _with_database(data: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _database(load(data=None if data is None else str(data))) as database:
            return await work(database)

    return asyncio.run(run())
