"""Tokens that Varsel itself carries outside (docs/reference/identity.md 6.7): one for send conditions, one for the name register.

Both open their keys when they are first needed, so a worker that asks nobody pays nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from varsel.identity.devtokens import PlatformSigner
from varsel.identity.keys import KeyRing
from varsel.identity.maskinporten.grant import party
from varsel.identity.seed import DIGDIR
from varsel.identity.signing import sign
from varsel.runtime.clock import Machine
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

CONDITION_SCOPE: Final = "altinn:system/notifications.condition.check"
CONDITION_CLIENT: Final = "varsel-conditions"
CONDITION_LIFE: Final = 120
_LEFT: Final = 60  # seconds a token that is used again still lives at least
_KEPT: Final = 500
#: A platform access token is used again for so long (6.6).
PLATFORM_REUSE: Final = 295


class ConditionTokens:
    """Maskinporten tokens for the addresses that callers name.

    Such a token is good for one thing in one place: its only scope opens nothing here, and `aud` is the origin that it goes to, so
    that whoever gets it cannot show it to somebody else's condition.
    """

    def __init__(
        self, settings: Settings, database: Database, machine: Machine, master_key: MasterKey
    ) -> None:
        self._issuer = settings.base_url + "/maskinporten/"
        self._own = settings.identity_mode == "builtin"
        self._database = database
        self._machine = machine
        self._master_key = master_key
        self._keys: KeyRing | None = None
        self._making = asyncio.Lock()
        self._made: OrderedDict[str, tuple[str, int]] = OrderedDict()

    async def close(self) -> None:
        if self._keys is not None:
            await self._keys.close()

    async def token(self, url: str) -> str | None:
        """The token for a question to `url`; None where another Maskinporten is trusted, since its keys are not here."""
        if not self._own:
            return None
        parts = urlsplit(url)
        origin = f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2].lower()}"
        async with self._making:
            now = int(self._machine.time())
            token, until = self._made.get(origin, ("", 0))
            if until - _LEFT > now:
                return token
            if self._keys is None:
                self._keys = await KeyRing.open(self._database, self._machine, self._master_key)
            token = sign(self._keys.signer("maskinporten"), self._claims(origin, now))
            self._made[origin] = token, now + CONDITION_LIFE
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return token

    def _claims(self, origin: str, now: int) -> dict[str, Any]:
        return {
            "scope": CONDITION_SCOPE,
            "iss": self._issuer,
            "aud": origin,
            "client_amr": "private_key_jwt",
            "token_type": "Bearer",
            "exp": now + CONDITION_LIFE,
            "iat": now,
            "client_id": CONDITION_CLIENT,
            "jti": str(uuid4()),
            "consumer": party(DIGDIR),
        }


class PlatformToken:
    """The platform access token of the component `notifications`; it goes to the name register and nowhere else."""

    def __init__(self, database: Database, machine: Machine, master_key: MasterKey) -> None:
        self._signer = PlatformSigner(database, master_key, machine)
        self._machine = machine
        self._token = ""
        self._until = 0.0
        self._making = asyncio.Lock()

    async def __call__(self) -> str:
        """A token that lives for some seconds still at least."""
        async with self._making:
            now = self._machine.time()
            if now >= self._until:
                self._token = await self._signer.sign("platform", "notifications")
                self._until = now + PLATFORM_REUSE
            return self._token
