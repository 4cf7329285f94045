"""The identity room put together: what composition opens, mounts and closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
from varsel.identity.altinn.openid import AltinnOpenIdRoutes, AltinnProvider
from varsel.identity.altinn.routes import BASE, AltinnRoutes
from varsel.identity.altinn.sessions import LOGGED_OUT, AltinnSessionRoutes
from varsel.identity.audit import AuditLog
from varsel.identity.authorizer import PolicyAuthorizer
from varsel.identity.devroutes import DevTokenRoutes
from varsel.identity.devtokens import PlatformSigner
from varsel.identity.idporten.clientauth import ClientAuthentication
from varsel.identity.idporten.provider import Provider, own_client
from varsel.identity.idporten.routes import IdportenRoutes
from varsel.identity.keys import KeyRing
from varsel.identity.limits import SLICE, RateLimiter
from varsel.identity.login import Backchannel, BuiltinBackchannel, LoginFlow, RemoteBackchannel
from varsel.identity.maskinporten.enterprise import EnterpriseTrust
from varsel.identity.maskinporten.routes import MaskinportenRoutes
from varsel.identity.maskinporten.server import TokenServer
from varsel.identity.platform.tokens import PlatformTokens
from varsel.identity.seed import seed
from varsel.identity.selfservice.clients import Clients
from varsel.identity.selfservice.routes import SelfServiceRoutes
from varsel.identity.selfservice.scopes import Scopes
from varsel.identity.sessions import Sessions
from varsel.identity.signing import Signer
from varsel.identity.tokens import TokenChecker
from varsel.identity.trust import Outbound, Trust
from varsel.runtime.clock import Machine
from varsel.runtime.endpoints import Authorizer
from varsel.runtime.errors import SettingsError, Unavailable
from varsel.runtime.settings import Settings
from varsel.runtime.tasks import end
from varsel.store.database import Database, Listener
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

log = structlog.get_logger("varsel.identity")
sql = load("varsel.identity")

#: Our own clients at the OpenID provider.
CONSOLE_CLIENT = "varsel-console"
ALTINN_CLIENT = "varsel-altinn"
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
        self.sessions: Sessions
        self.trail: AuditLog
        self._logins: _Logins | None = None

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
        outbound: Outbound | None = None,
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
        trail = room.trail = AuditLog(database)
        limiter = RateLimiter(database, machine)
        altinn_issuer = settings.base_url + "/authentication/api/v1/openid/"
        trusted = Trust(settings, database, machine, keys, sandbox=sandbox, client=outbound)
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
        sessions = room.sessions = Sessions(database, machine, master_key)
        room._logins = await _logins(
            room, settings, trusted, sandbox=sandbox, master_key=master_key, trail=trail
        )
        if room._logins is not None:
            exchange.trust("id-porten", room._logins.access, room._logins.alive)
            if room._logins.provider is not None:
                routes += IdportenRoutes(
                    settings,
                    room._logins.provider,
                    keys,
                    sessions=sessions,
                    tokens=room._logins.access,
                    authentication=ClientAuthentication(room._logins.provider, database),
                    limiter=limiter,
                ).routes()
        altinn_login = AltinnSessionRoutes(
            settings,
            database,
            machine,
            signer=signer,
            tokens=tokens,
            sessions=sessions,
            flow=room.login_flow(ALTINN_CLIENT, settings.base_url + BASE + "/upstream/callback"),
            issuer=altinn_issuer,
        )
        if settings.identity_mode != "altinn":
            routes += altinn_login.routes()
            if room._logins is not None:
                registered = AltinnProvider(
                    settings,
                    database,
                    machine,
                    master_key,
                    signer=signer,
                    trail=trail,
                    own_clients={},
                    issuer=altinn_issuer,
                )
                routes += AltinnOpenIdRoutes(
                    settings,
                    registered,
                    altinn_login,
                    authentication=ClientAuthentication(registered, database),
                    keys=keys,
                    limiter=limiter,
                ).routes()
        if sandbox:
            dev = DevTokenRoutes(
                database,
                machine,
                signer,
                platform=platform,
                platform_signer=PlatformSigner(database, master_key, machine),
                issuer=altinn_issuer,
                maskinporten=server.issuer,
            )
            routes += dev.routes()
        app = Starlette(routes=routes, exception_handlers={Unavailable: _unavailable, Exception: _broken})
        # A path with one slash more is another path: no redirect to whatever host the request named.
        app.router.redirect_slashes = False
        room.app = app
        room._closing += [server, trail, keys, platform]
        room._sweeper = asyncio.get_running_loop().create_task(room._sweep(), name="varsel-identity-sweep")
        return room

    def login_flow(self, client_id: str, redirect_uri: str) -> LoginFlow | None:
        """Logging people in for one of our own clients (CONSOLE_CLIENT, ALTINN_CLIENT); None where there is no provider.

        `redirect_uri` is the address of ours at which the answer arrives.
        """
        if self._logins is None:
            return None
        # At a provider elsewhere, all of Varsel is the one client that the operator registered there.
        name = self._logins.client_id or client_id
        return LoginFlow(
            self._database,
            self._machine,
            self._logins.backchannel,
            self._logins.access,
            client_id=name,
            redirect_uri=redirect_uri,
        )

    async def close(self) -> None:
        """Finish what is being written, and stop following changes."""
        await end(self._sweeper)
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


@dataclass(frozen=True, slots=True)
class _Logins:
    """Where people log in: the built-in provider (a sandbox's) or one elsewhere, at which we are `client_id`."""

    backchannel: Backchannel
    access: TokenChecker
    provider: Provider | None
    client_id: str | None
    alive: Callable[[object], Awaitable[bool]] | None


async def _logins(
    room: IdentityRoom,
    settings: Settings,
    trusted: Trust,
    *,
    sandbox: bool,
    master_key: MasterKey,
    trail: AuditLog,
) -> _Logins | None:
    elsewhere = trusted.elsewhere("idporten")
    if elsewhere is not None:
        if not settings.idporten_client_id:
            raise SettingsError("VARSEL_IDPORTEN_ISSUER needs VARSEL_IDPORTEN_CLIENT_ID.")
        access = await trusted.checker("idporten", elsewhere)
        source = await trusted.remote("idporten", elsewhere)
        client_id = settings.idporten_client_id
        backchannel = RemoteBackchannel(source, trusted.client, client_id, settings.idporten_client_secret)
        return _Logins(backchannel, access, None, client_id, None)
    if not sandbox:
        # Nobody proves anything at the built-in provider: outside a sandbox it does not exist.
        return None
    base = settings.base_url
    own = {
        CONSOLE_CLIENT: own_client(CONSOLE_CLIENT, base + "/console/callback", logout=base + "/console"),
        ALTINN_CLIENT: own_client(
            ALTINN_CLIENT, base + BASE + "/upstream/callback", logout=base + LOGGED_OUT
        ),
    }
    provider = Provider(
        settings,
        room._database,
        room._machine,
        master_key,
        signer=room.signer,
        trail=trail,
        own_clients=own,
    )
    access = await trusted.checker("idporten", provider.issuer)
    return _Logins(BuiltinBackchannel(provider), access, provider, None, provider.alive)


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
