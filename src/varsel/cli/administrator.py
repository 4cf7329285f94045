"""The administrator of a sandbox: an integration with the scopes of self-service, made once per data directory.

In a public environment somebody has one registered; in a sandbox whoever has the data directory may have it.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from varsel.cli.calling import WrongInput
from varsel.cli.profiles import write_private

if TYPE_CHECKING:
    from varsel.client import Maskinporten, SigningKey
    from varsel.client.testing import Sandbox

#: The synthetic service owner that the integrations belong to.
ORGANISATION: Final = "312718286"
FILE: Final = "administrator.json"


def administrator(sandbox: Sandbox) -> Maskinporten:
    """Its credentials."""
    from varsel.client import Maskinporten, SelfService, SigningKey

    path = sandbox.data / FILE
    if not (sandbox.data / "varsel.json").is_file():
        raise WrongInput(
            "Integrations of a sandbox are made through its data directory; name it with --data."
        )
    try:
        found = json.loads(path.read_text("utf-8"))
        client_id, key = found["client_id"], SigningKey.from_jwk(found["key"])
    except FileNotFoundError:
        # The time in its name tells keys apart when a directory is restored from an older copy.
        key = SigningKey.generate(f"administrator-{int(time.time())}")
        client_id = asyncio.run(_register(sandbox.data, key, SelfService.SCOPES.split()))
        write_private(path, json.dumps({"client_id": client_id, "key": key.private_jwk()}))
    except (OSError, ValueError, KeyError, TypeError):
        raise WrongInput(f"{path} cannot be read; remove it, and a new administrator is made.") from None
    return Maskinporten(client_id, key, environment=sandbox.environment, scope=SelfService.SCOPES)


async def _register(data: Path, key: SigningKey, scopes: list[str]) -> str:
    from varsel.cli.opened import opened_database
    from varsel.identity.registry import create_client, put_keys
    from varsel.runtime.clock import SystemMachine
    from varsel.runtime.settings import load

    async with opened_database(load(data=str(data)), sandbox=True) as database:
        machine = SystemMachine()
        client = await create_client(
            database, machine, organisation=ORGANISATION, name="Administrator", scopes=scopes
        )
        await put_keys(database, machine, client, {"keys": [key.public_jwk()]})
    return str(client)
