"""`varsel signing-key`: the keys that this installation's own issuers sign tokens with (docs/reference/identity.md 2.3, 5.7).

They change by themselves; these commands are for looking, for changing early, and for the day a key has leaked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from varsel.cli import place
from varsel.cli.calling import Json, print_json, table
from varsel.cli.opened import opened_database
from varsel.cli.terminal import say
from varsel.runtime.clock import SystemMachine
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings_sources import load

if TYPE_CHECKING:
    from varsel.identity.keys import KeyRing, SigningKey

T = TypeVar("T")

Data = Annotated[Path | None, Parameter(help="Data directory; found by default.")]
Own = Literal["maskinporten", "altinn", "idporten"]


def signing_key_list(*, data: Data = None, json: Json = False) -> None:
    async def read(ring: KeyRing) -> list[dict[str, object]]:
        now = ring.now()
        return [_told(key, now, key is ring.shown(key.issuer).signer) for key in ring.all()]

    found = _with_keys(data, read)
    if json:
        print_json(found)
        return
    columns = ["issuer", "kid", "state", "signs_from", "signs_until", "shown_until"]
    table(
        [name.replace("_", " ") for name in columns],
        [[_text(row[name]) for name in columns] for row in found],
    )


def signing_key_rotate(issuer: Annotated[Own, Parameter(help="Whose key.")], /, *, data: Data = None) -> None:
    kid = _with_keys(data, lambda ring: ring.rotate(issuer))
    say(f"The key {kid} of {issuer} is shown now and signs in 48 hours; until then the present one does.")


def signing_key_withdraw(
    kid: Annotated[str, Parameter(help="Name of the key, as varsel signing-key list shows it.")],
    /,
    *,
    data: Data = None,
) -> None:
    async def withdraw(ring: KeyRing) -> None:
        if not await ring.withdraw(kid):
            raise OperatorError("There is no such key; see varsel signing-key list.")

    _with_keys(data, withdraw)
    say("Tokens signed with that key count no more; their holders fetch new ones.")


def _told(key: SigningKey, now: float, signs: bool) -> dict[str, object]:
    state = "signs" if signs else "next" if key.sign_from > now and key.sign_until is None else "previous"
    return {
        "issuer": key.issuer,
        "kid": key.kid,
        "state": state,
        "signs_from": _moment(key.sign_from),
        "signs_until": _moment(key.sign_until),
        "shown_until": _moment(key.retire_at),
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _text(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}Z" if isinstance(value, datetime) else str(value or "")


def _with_keys(data: Path | None, act: Callable[[KeyRing], Awaitable[T]]) -> T:
    async def run() -> T:
        from varsel.identity.keys import KeyRing
        from varsel.runtime.logs import configure_logging
        from varsel.store.secrets import MasterKey

        settings = load(data=None if data is None else str(data))
        # What the server logs about a new key, the command says in its own words.
        configure_logging(settings.replace(log_level="warning"))
        async with opened_database(settings, sandbox=False) as database:
            key = MasterKey.load(place.existing(settings).master_key(settings), create=False)
            ring = KeyRing(database, SystemMachine(), key)
            await ring.reload()
            return await act(ring)

    return asyncio.run(run())
