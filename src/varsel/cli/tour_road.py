"""The tour's way to a token: what a service owner does once with a key, and its system at every start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from varsel.identity.registry import create_client, put_keys
from varsel.runtime.clock import SystemMachine
from varsel.store.database import Database

SCOPE: Final = "altinn:serviceowner/notifications.create"
ADMINISTRATION: Final = "idporten:dcr.write idporten:dcr.modify"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: A synthetic service owner that every sandbox knows.
OWNER: Final = ("312718286", "testkommune", "Testkommune")

Good = Callable[[httpx2.Response, int], httpx2.Response]
"""The answer, when its status is that one."""
Tell = Callable[[str, str], None]
"""Called with a short name of the step and one sentence of what happened."""


class Road:
    """From a fresh key to an Altinn token, over HTTP. `mark` names this walk's integration and keys."""

    def __init__(self, http: httpx2.AsyncClient, url: str, mark: str, tell: Tell, good: Good) -> None:
        self._http = http
        self._url = url
        self._mark = mark
        self._tell = tell
        self._good = good
        self._machine = SystemMachine()

    async def walk(self, database: Database) -> str:
        """The Altinn token that the Notifications API takes."""
        number, code, name = OWNER
        administrator = await self._administrator(database, number)
        kid = f"tour-{self._mark}"
        key = await _key(kid)
        self._tell("Key", "RSA 2048, made here; only its public half leaves this process")
        client = await self._integration(administrator)
        self._tell("Integration", f"made for {name} ({code}) in self-service, and may ask for {SCOPE}")
        await self._register(administrator, client, key)
        self._tell("JWK", f"registered on the integration as {kid}")
        granted = await self._granted(client, kid, key, SCOPE)
        self._tell("Maskinporten token", f"granted for {granted['expires_in']} s against a signed grant")
        answer = await self._http.get(
            "/authentication/api/v1/exchange/maskinporten",
            headers={"Authorization": f"Bearer {granted['access_token']}"},
        )
        token = self._good(answer, 200).text.strip().strip('"')
        self._tell("Altinn token", "exchanged; this is what the Notifications API takes")
        return token

    async def _administrator(self, database: Database, number: str) -> str:
        """A token for self-service, of the client that Digdir registers for a service owner before anything else."""
        kid = f"tour-administrator-{self._mark}"
        key = await _key(kid)
        client = await create_client(
            database,
            self._machine,
            organisation=number,
            name=f"Varsel tour administrator {self._mark}",
            scopes=ADMINISTRATION.split(),
        )
        await put_keys(database, self._machine, client, {"keys": [key.as_dict(private=False)]})
        token: str = (await self._granted(client, kid, key, ADMINISTRATION))["access_token"]
        return token

    async def _integration(self, administrator: str) -> str:
        body = {
            "integration_type": "maskinporten",
            "client_name": f"Varsel tour {self._mark}",
            "description": "Made by varsel demo",
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": [GRANT],
            "scopes": [SCOPE],
        }
        answer = await self._http.post(
            "/selfservice/api/v1/clients", json=body, headers={"Authorization": f"Bearer {administrator}"}
        )
        client: str = self._good(answer, 200).json()["client_id"]
        return client

    async def _register(self, administrator: str, client: str, key: RSAKey) -> None:
        answer = await self._http.post(
            f"/selfservice/api/v1/clients/{client}/jwks",
            json={"keys": [key.as_dict(private=False)]},
            headers={"Authorization": f"Bearer {administrator}"},
        )
        self._good(answer, 200)

    async def _granted(self, client: str | UUID, kid: str, key: RSAKey, scope: str) -> dict[str, Any]:
        now = int(self._machine.time())
        claims = {
            "aud": f"{self._url}/maskinporten/",
            "iss": str(client),
            "scope": scope,
            "iat": now,
            "exp": now + 100,
            "jti": str(uuid4()),
        }
        assertion = jwt.encode({"alg": "RS256", "kid": kid}, claims, key)
        answer = await self._http.post(
            "/maskinporten/token", data={"grant_type": GRANT, "assertion": assertion}
        )
        return dict(self._good(answer, 200).json())


async def _key(kid: str) -> RSAKey:
    def generate() -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"}, auto_kid=False)

    return await asyncio.to_thread(generate)
