"""`varsel contacts import FILE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from varsel.cli.opened import opened_database
from varsel.cli.terminal import say
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings_sources import load as load_settings


def load(
    file: Annotated[Path, Parameter(help="JSON lines; - reads standard input.", allow_leading_hyphen=True)],
    /,
    *,
    data: Annotated[Path | None, Parameter(help="Data directory; found by default.")] = None,
) -> None:
    from varsel.recipients import contacts

    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error.strerror}).") from None
    found = contacts.read(content.splitlines())

    async def store() -> None:
        settings = load_settings(data=None if data is None else str(data))
        async with opened_database(settings, sandbox=False) as database:
            await contacts.store(database, found)

    asyncio.run(store())
    say(
        f"Imported {len(found.persons)} persons, {len(found.organizations)} organizations and "
        f"{len(found.identities)} identities; they count at once."
    )
