"""`varsel sandbox clock`: the calendar of a sandbox, that runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.opened import opened_database
from varsel.cli.terminal import say, spell
from varsel.runtime.clock import ShiftedCalendar, SystemMachine
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings_sources import load
from varsel.runtime.times import OSLO

if TYPE_CHECKING:
    from varsel.store.database import Database

Data = Annotated[Path | None, Parameter(help="Data directory of the sandbox; found by default.")]


def advance(
    by: Annotated[str, Parameter(help="How far, such as 7d, 36h or 1d12h30m.")], /, *, data: Data = None
) -> None:
    from varsel.sandbox import clock

    length = clock.duration(by)

    async def work(database: Database) -> None:
        shift = await clock.advance(database, length)
        say(f"Moved on by {spell(length.total_seconds())}.")
        _tell(shift)

    _with_database(data, work)


def show(*, data: Data = None) -> None:
    from varsel.sandbox import clock

    async def work(database: Database) -> None:
        _tell(await clock.show(database))

    _with_database(data, work)


def reset(
    *,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    data: Data = None,
) -> None:
    from varsel.sandbox import clock

    async def work(database: Database) -> None:
        if not await clock.show(database):
            say("The calendar goes with this machine already.")
            return
        ahead = await clock.ahead(database, SystemMachine())
        if ahead:
            say("Dated later than this machine's time, and in the future after a reset:")
            for number, what in (
                (ahead.orders, "orders"),
                (ahead.results, "results of messages"),
                (ahead.messages, "received messages"),
            ):
                if number:
                    say(f"  {number} {what}")
        if not yes and not _agreed("Set the calendar back to this machine's time? [y/N] "):
            raise OperatorError("Nothing was changed.")
        await clock.reset(database)
        _tell(timedelta(0))

    _with_database(data, work)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise OperatorError("Nothing was changed; say --yes where nobody can be asked.")
    return input(question).strip().lower() in {"y", "yes", "j", "ja"}


def _tell(shift: timedelta) -> None:
    now = ShiftedCalendar(SystemMachine(), shift).now()
    oslo = now.astimezone(OSLO)
    ahead = f"{spell(shift.total_seconds())} ahead of this machine" if shift else "as this machine"
    say(f"It is {_written(oslo)} in Oslo ({now:%Y-%m-%dT%H:%M:%SZ}), {ahead}.")


def _written(moment: datetime) -> str:
    return f"{moment:%A} {moment.day} {moment:%B %Y %H:%M}"


def _with_database(data: Path | None, work: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        settings = load(data=None if data is None else str(data))
        async with opened_database(settings, sandbox=True) as database:
            await work(database)

    asyncio.run(run())
