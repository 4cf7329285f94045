"""`varsel db`: the schema of the database that the settings name, or of the embedded one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from varsel.cli import place
from varsel.cli.terminal import progress, say
from varsel.runtime.settings import Settings
from varsel.runtime.settings_sources import load

Data = Annotated[Path | None, Parameter(help="Data directory; found by default.")]


def migrate(*, data: Data = None) -> None:
    asyncio.run(_migrate(load(data=_text(data))))


def status(*, data: Data = None) -> int:
    return asyncio.run(_status(load(data=_text(data))))


def _text(data: Path | None) -> str | None:
    return None if data is None else str(data)


async def _migrate(settings: Settings) -> None:
    from varsel.store import migrations

    with progress() as shown:
        async with direct_url(settings, shown) as url:
            shown("Bringing the schema up to date")
            applied = await migrations.migrate(url)
    for migration in applied:
        say(f"applied {migration.number:04d} {migration.name}")
    say("The schema is up to date.")


async def _status(settings: Settings) -> int:
    from varsel.store import migrations

    with progress() as shown:
        async with direct_url(settings, shown) as url:
            found = await migrations.status(url)
    names = {migration.number: migration.name for migration in migrations.all_migrations()}
    for number in found.applied:
        say(f"applied {number:04d} {names.get(number, '(of a newer Varsel)')}")
    for migration in found.pending:
        say(f"pending {migration.number:04d} {migration.name}")
    say("The schema is up to date." if not found.pending else "Apply what is pending: varsel db migrate")
    return 0 if not found.pending else 1


@contextlib.asynccontextmanager
async def direct_url(settings: Settings, shown: Callable[[str], None]) -> AsyncIterator[str]:
    """The address for schema work: from the settings, of the running embedded server, or of one started for the moment."""
    if settings.database_url:
        yield settings.database_direct_url or settings.database_url
        return
    from varsel.store.embedded import EmbeddedError, EmbeddedServer, data_lock, read_dsn

    here = place.existing(settings)
    try:
        yield read_dsn(here.data)
        return
    except EmbeddedError:
        lock = data_lock(here.data)
    server = EmbeddedServer(here.data, on_progress=shown)
    try:
        await server.start()
        yield server.dsn
    finally:
        await server.stop()
        lock.release()
