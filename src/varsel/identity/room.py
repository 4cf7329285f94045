"""The identity room put together: what composition opens, mounts and closes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from varsel.identity import http
from varsel.identity.altinn.exchange import Exchange
from varsel.identity.altinn.routes import AltinnRoutes
from varsel.identity.audit import AuditLog
from varsel.identity.authorizer import PolicyAuthorizer
from varsel.identity.devroutes import DevTokenRoutes
from varsel.identity.devtokens import PlatformSigner
from varsel.identity.issuers import Getter, Issuer, RemoteKeys
from varsel.identity.keys import KeyRing
from varsel.identity.limits import SLICE, RateLimiter
from varsel.identity.maskinporten.enterprise import EnterpriseTrust
from varsel.identity.maskinporten.routes import MaskinportenRoutes
from varsel.identity.maskinporten.server import TokenServer
from varsel.identity.platform.tokens import PlatformTokens
from varsel.identity.seed import seed
from varsel.identity.selfservice.clients import Clients
from varsel.identity.selfservice.routes import SelfServiceRoutes
from varsel.identity.selfservice.scopes import Scopes
from varsel.identity.signing import Signer
from varsel.identity.tokens import OwnKeys, TokenChecker
from varsel.runtime.clock import Machine
from varsel.runtime.endpoints import Authorizer
from varsel.runtime.errors import SettingsError, Unavailable
from varsel.runtime.outbound import GuardedClient
from varsel.runtime.settings import Settings
from varsel.store.database import Database, Listener
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

log = structlog.get_logger("varsel.identity")
sql = load("varsel.identity")

#: How often what has expired is forgotten.
SWEEP = 60.0


class IdentityRoom:
    """Tokens and policies. `authorizer` is for the API's router; `app` serves the identity paths."""

    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine
        self._closing: list[Any] = []
        self._sweeper: asyncio.Task[None] | None = None
        self.authorizer: Authorizer
        self.app: ASGIApp
        self.keys: KeyRing
        self.signer: Signer
        self.platform: PlatformTokens
        self.clients: Clients
        self.scopes: Scopes

    @classmethod
    async def open(
        cls,
        settings: Settings,
        database: Database,
        machine: Machine,
        master_key: MasterKey,
        *,
        sandbox: bool,
        listener: Listener | None = None,
        outbound: Getter | None = None,
    ) -> IdentityRoom:
        """Seed what a fresh installation needs, load keys and issuers, follow their changes.

        `outbound` fetches the keys of other issuers; the guarded client when not given. SettingsError when the mode lacks an issuer.
        """
        room = cls(database, machine)
        await seed(database, machine, sandbox=sandbox)
        room.keys = keys = await KeyRing.open(database, machine, master_key, listener)
        room.signer = signer = Signer(keys)
        audiences = {settings.base_url, settings.base_url + "/", settings.base_url + "/notifications/api/v1"}
        room.platform = platform = await PlatformTokens.open(database, machine, listener, audiences)
        trail, limiter = AuditLog(database), RateLimiter(database, machine)
        altinn_issuer = settings.base_url + "/authentication/api/v1/openid/"
        trusted = _Trusted(settings, database, machine, keys, sandbox=sandbox, client=outbound)
        room._closing.append(trusted)
        server = TokenServer(
            settings,
            database,
            machine,
            keys=keys,
            signer=signer,
            limiter=limiter,
            trail=trail,
            trust=EnterpriseTrust.load(settings.enterprise_ca_file),
        )
        exchange = Exchange(
            database,
            machine,
            signer,
            trail,
            issuer=altinn_issuer,
            production=settings.client_environment == "production",
        )
        room.clients = Clients(database, machine, master_key, sandbox=sandbox)
        room.scopes = Scopes(database, machine)
        maskinporten = None
        if settings.identity_mode != "altinn":
            maskinporten = await trusted.checker("maskinporten", server.issuer)
            exchange.trust("maskinporten", maskinporten)
        tokens = await trusted.checker("altinn", altinn_issuer, audiences)
        room.authorizer = PolicyAuthorizer(settings, tokens, platform, sandbox=sandbox)
        routes = [*AltinnRoutes(settings, database, exchange, keys, limiter).routes()]
        if settings.identity_mode == "builtin":
            routes += MaskinportenRoutes(server, keys).routes()
            assert maskinporten is not None
            selfservice = SelfServiceRoutes(
                settings, machine, maskinporten, clients=room.clients, scopes=room.scopes, limiter=limiter
            )
            routes += selfservice.routes()
        if sandbox:
            dev = DevTokenRoutes(
                database,
                machine,
                signer,
                platform=platform,
                platform_signer=PlatformSigner(database, master_key, machine),
                issuer=altinn_issuer,
            )
            routes += dev.routes()
        room.app = Starlette(
            routes=routes, exception_handlers={Unavailable: _unavailable, Exception: _broken}
        )
        room._closing += [server, trail, keys, platform]
        room._sweeper = asyncio.get_running_loop().create_task(room._sweep(), name="varsel-identity-sweep")
        return room

    async def close(self) -> None:
        """Finish what is being written, and stop following changes."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for part in self._closing:
            await part.close()
        self.signer.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = self._machine.time()
            try:
                await self._database.execute(
                    sql.sweep, datetime.fromtimestamp(now, UTC), int(now // SLICE) - 2
                )
            except Unavailable:
                log.warning("nothing swept; the database is away", action="identity.sweep_failed")


class _Trusted:
    """Whose tokens count in which mode (docs/reference/identity.md 11): our own, or those of an issuer named in the settings."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        machine: Machine,
        keys: KeyRing,
        *,
        sandbox: bool,
        client: Getter | None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._machine = machine
        self._keys = keys
        self._sandbox = sandbox
        self._given = client
        self._own: GuardedClient | None = None
        self._remote: list[RemoteKeys] = []

    def _issuer(self, kind: str) -> str | None:
        """The issuer elsewhere that stands in for ours; None when ours counts."""
        mode = self._settings.identity_mode
        named = str(getattr(self._settings, f"{kind}_issuer"))
        if kind == "idporten":
            return named or None
        elsewhere = {"maskinporten": "external", "altinn": "altinn"}[kind]
        if mode != elsewhere:
            return None
        if not named:
            raise SettingsError(f"VARSEL_IDENTITY_MODE={mode} needs VARSEL_{kind.upper()}_ISSUER.")
        return named

    async def checker(
        self, kind: str, own_issuer: str, audiences: Collection[str] | None = None
    ) -> TokenChecker:
        """A checker for tokens of this kind."""
        name = self._issuer(kind)
        if name is None:
            return TokenChecker(OwnKeys(self._keys, kind), own_issuer, self._machine, audiences=audiences)
        source = await self.remote(kind, name)
        return TokenChecker(source, name, self._machine, audiences=audiences)

    async def remote(self, kind: str, name: str) -> RemoteKeys:
        issuer = Issuer.named(name, kind, self._settings.client_environment)
        if self._given is None and self._own is None:
            self._own = GuardedClient(self._machine, sandbox=self._sandbox)
        client = self._given or self._own
        assert client is not None
        source = await RemoteKeys.open(issuer, client, self._database, self._machine)
        self._remote.append(source)
        return source

    async def close(self) -> None:
        for source in self._remote:
            await source.close()
        if self._own is not None:
            await self._own.close()


async def _unavailable(request: Request, error: Exception) -> Response:
    retry = error.retry_after if isinstance(error, Unavailable) else 5
    return http.problem(request, 503, {"Retry-After": str(retry)})


async def _broken(_request: Request, error: Exception) -> Response:
    # Neither the message nor the variables of the error are logged: both may hold what a caller sent.
    where = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-8:]
    ]
    log.error("request failed", action="identity.failed", error=type(error).__name__, where=where)
    return Response(status_code=500)
