"""The database of a Varsel that runs, for commands that speak to it beside the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from varsel.cli import place
from varsel.runtime.settings import Settings

if TYPE_CHECKING:
    from varsel.store.database import Database


def database_url(settings: Settings, here: place.Place) -> str:
    """Where the database of the Varsel on that directory is."""
    from varsel.store.embedded import read_dsn

    return settings.database_url or read_dsn(here.data)


@contextlib.asynccontextmanager
async def opened_database(settings: Settings, *, sandbox: bool) -> AsyncIterator[Database]:
    """The database of the Varsel that runs on the data directory; PlaceError when none does, or where a sandbox is needed."""
    from varsel.store.database import Database

    here = place.existing(settings)
    if sandbox:
        place.require_sandbox(here)
    place.running(here)
    database = await Database.open(
        database_url(settings, here),
        direct_url=settings.database_direct_url or None,
        size=2,
        name="varsel-cli",
    )
    try:
        yield database
    finally:
        await database.close()
