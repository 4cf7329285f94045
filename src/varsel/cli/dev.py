"""`varsel dev token`: a token that the running sandbox accepts, made from its keys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from varsel.cli import place
from varsel.cli.opened import opened_database
from varsel.cli.terminal import say
from varsel.runtime.settings import Settings
from varsel.runtime.settings_sources import load


def token(
    *,
    org: Annotated[str, Parameter(help="Code of the service owner that the token is for.")] = "ttd",
    scope: Annotated[
        list[str] | None,
        Parameter(help="A scope; may be given several times.", negative="", consume_multiple=False),
    ] = None,
    person: Annotated[str | None, Parameter(help="National number: a person's token instead.")] = None,
    platform: Annotated[bool, Parameter(negative="", help="A platform access token instead.")] = False,
    expires_in: Annotated[
        int | None,
        Parameter(help="Seconds it counts; negative: it has expired already.", allow_leading_hyphen=True),
    ] = None,
    data: Annotated[Path | None, Parameter(help="Data directory of the sandbox; found by default.")] = None,
) -> None:
    settings = load(data=None if data is None else str(data))
    scopes = [each for words in scope or () for each in words.split()]
    text = asyncio.run(_token(settings, org, scopes, person, platform=platform, expires_in=expires_in))
    say(text)


async def _token(
    settings: Settings,
    org: str,
    scopes: list[str],
    person: str | None,
    *,
    platform: bool,
    expires_in: int | None,
) -> str:
    from varsel.identity.devtokens import dev_token
    from varsel.runtime.clock import SystemMachine
    from varsel.store.secrets import MasterKey

    async with opened_database(settings, sandbox=True) as database:
        here = place.existing(settings)
        told = place.running(here)
        # Issuers follow the address under which the sandbox answers, which its own environment may have set.
        settings = settings.replace(port=told.port, public_url=told.url)
        key = MasterKey.load(here.master_key(settings), create=False)
        return await dev_token(
            database,
            key,
            SystemMachine(),
            settings,
            org=org,
            scopes=scopes,
            person=person,
            platform=platform,
            expires_in=expires_in,
        )
