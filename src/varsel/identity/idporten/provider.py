"""The built-in OpenID provider with synthetic people, for sandboxes (docs/reference/identity.md 7).

Nobody proves anything here: whoever opens the page chooses who to be. It exists in a sandbox only, and refuses national numbers
that could belong to somebody.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from secrets import token_bytes, token_urlsafe
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from varsel.identity.audit import AuditLog, Event
from varsel.identity.encoding import b64url, sha256
from varsel.identity.idporten.errors import OpenIdError, UntrustedRequest
from varsel.identity.idporten.rules import PersonClient, Request, one, verifier_fits
from varsel.identity.maskinporten.grant import party
from varsel.identity.numbers import is_synthetic
from varsel.identity.registry import add_person
from varsel.identity.seed import DIGDIR
from varsel.identity.selfservice.clients import SECRET_PURPOSE
from varsel.identity.signing import Signer
from varsel.runtime.clock import Machine
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

sql = load("varsel.identity")

LOGIN_LIFE: Final = timedelta(minutes=10)
REQUEST_LIFE: Final = timedelta(seconds=120)
CODE_LIFE: Final = timedelta(seconds=120)
FAMILY_LIFE: Final = timedelta(hours=12)
LOCK: Final = timedelta(minutes=15)
ACCESS_LIFE: Final = 600
ID_LIFE: Final = 120
REFRESH_LIFE: Final = 600
REQUEST_PREFIX: Final = "urn:idporten:"
_LONGEST_HANDLE: Final = 128


@dataclass(frozen=True, slots=True)
class Login:
    """Who logged in, how, and in which session of the provider."""

    pid: str
    acr: str
    amr: str
    auth_time: int
    sid: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gives."""

    access_token: str
    id_token: str
    expires_in: int
    scope: str
    refresh_token: str | None = None

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "access_token": self.access_token,
            "id_token": self.id_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
        }
        if self.refresh_token is not None:
            found["refresh_token"] = self.refresh_token
        return found


def family_of(jti: object) -> UUID | None:
    """The login that an access token came of; our `jti` begins with it."""
    if not isinstance(jti, str) or len(jti) != 43:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(jti + "=")[:16])
    except ValueError:
        return None


class Provider:
    """Transactions, codes and tokens of the built-in provider. All state is in the database."""

    #: Whose keys sign, and whose codes and refresh tokens these are: another realm's are unknown here.
    realm = "idporten"
    family_life = FAMILY_LIFE
    refresh_life = REFRESH_LIFE

    def __init__(
        self,
        settings: Settings,
        database: Database,
        machine: Machine,
        master_key: MasterKey,
        *,
        signer: Signer,
        trail: AuditLog,
        own_clients: Mapping[str, PersonClient],
        issuer: str | None = None,
    ) -> None:
        self.issuer = settings.base_url + "/idporten" if issuer is None else issuer
        self._settings = settings
        self._database = database
        self._machine = machine
        self._master_key = master_key
        self._signer = signer
        self._trail = trail
        self._own_clients = own_clients

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC)

    # Clients

    async def client(self, client_id: str | None) -> PersonClient:
        """A client by its id; UntrustedRequest when there is none."""
        if client_id is not None and client_id in self._own_clients:
            return self._own_clients[client_id]
        row = await self._client_row(client_id)
        if row is None:
            raise UntrustedRequest("invalid_client", "There is no such client.")
        settings = msgspec.json.decode(row["settings"])
        return PersonClient(
            client_id=str(row["id"]),
            organisation=row["organisation"],
            redirect_uris=tuple(settings.get("redirect_uris", ())),
            scopes=frozenset(row["scopes"]),
            method=settings.get("token_endpoint_auth_method", "private_key_jwt"),
            native=settings.get("application_type") == "native",
            post_logout_redirect_uris=tuple(settings.get("post_logout_redirect_uris", ())),
            frontchannel_logout_uri=settings.get("frontchannel_logout_uri"),
            settings=settings,
        )

    async def _client_row(self, client_id: str | None) -> Any:
        try:
            identifier = UUID(client_id or "")
        except ValueError:
            return None
        return await self._database.fetchrow(sql.person_client, identifier, self._settings.client_environment)

    async def secret_fits(self, client: PersonClient, secret: str) -> bool:
        """Whether this is the client's living secret."""
        row = await self._client_row(client.client_id)
        if row is None or row["secret"] is None or row["secret_until"] <= self.now:
            return False
        return compare_digest(self._master_key.mac(SECRET_PURPOSE, secret.encode()), row["secret"])

    # Handles

    async def keep(
        self, kind: str, client_id: str, data: Mapping[str, Any], life: timedelta, family: UUID | None = None
    ) -> str:
        """Keep data under a new handle, of which only the digest is stored."""
        handle = token_urlsafe(32)
        encoded = msgspec.json.encode(data).decode()
        await self._database.execute(
            sql.insert_transaction, sha256(handle), kind, client_id, family, encoded, self.now + life
        )
        return handle

    async def peek(self, kind: str, handle: str | None) -> dict[str, Any] | None:
        """What a handle stands for, without using it."""
        if not handle or len(handle) > _LONGEST_HANDLE:
            return None
        row = await self._database.fetchrow(sql.peek_transaction, sha256(handle), kind, self.now)
        return None if row is None else dict(msgspec.json.decode(row["data"]))

    async def _use(self, kind: str, handle: str | None, client_id: str) -> tuple[UUID, dict[str, Any]]:
        """Use a code or refresh token once. A second use ends everything that came of the login."""
        if not handle or len(handle) > _LONGEST_HANDLE:
            raise OpenIdError("invalid_grant", "The code or token is missing.")
        mark, kind = sha256(handle), self._kind(kind)
        row = await self._database.fetchrow(sql.use_transaction, mark, kind, self.now)
        if row is None:
            family = await self._database.fetchval(sql.used_family, mark, kind)
            if family is not None:
                await self._database.execute(sql.kill_family, family, self.now)
            raise OpenIdError("invalid_grant", "The code or token is unknown, used or expired.")
        if row["client_id"] != client_id:
            await self._database.execute(sql.kill_family, row["family"], self.now)
            raise OpenIdError("invalid_grant", "The code or token belongs to another client.")
        return row["family"], dict(msgspec.json.decode(row["data"]))

    def _kind(self, kind: str) -> str:
        return kind if self.realm == "idporten" else f"{self.realm}-{kind}"

    async def push(self, request: Request) -> str:
        """Keep a pushed request (RFC 9126); its `request_uri`."""
        return REQUEST_PREFIX + await self.keep("request", request.client_id, request.stored(), REQUEST_LIFE)

    async def pushed(self, uri: str, client_id: str) -> Request:
        """Take a pushed request, once."""
        if not uri.startswith(REQUEST_PREFIX) or len(uri) > _LONGEST_HANDLE:
            raise UntrustedRequest("invalid_request", "request_uri is not ours.")
        row = await self._database.fetchrow(
            sql.use_transaction, sha256(uri.removeprefix(REQUEST_PREFIX)), "request", self.now
        )
        if row is None or row["client_id"] != client_id:
            raise UntrustedRequest("invalid_request", "request_uri is unknown, used or expired.")
        return Request(**msgspec.json.decode(row["data"]))

    # Logging in

    async def people(self) -> list[tuple[str, str]]:
        """Synthetic people to choose from: (national number, name)."""
        rows = await self._database.fetch(sql.test_people)
        return [(row["pid"], row["name"]) for row in rows if is_synthetic(row["pid"])]

    async def log_in(self, pid: str, acr: str, source: str) -> Login | None:
        """Log a synthetic person in. None when the number is refused; five refusals lock the source for 15 minutes.

        Raises OpenIdError while the source is locked.
        """
        mark = self._master_key.mac("login-source", source.encode()).hex()
        if await self._database.fetchval(sql.login_locked, mark, self.now) is not None:
            raise OpenIdError("access_denied", "Too many failed logins. Try again in 15 minutes.", 429)
        if not is_synthetic(pid):
            await self._database.fetchval(sql.login_failed, mark, self.now, self.now + LOCK)
            self._trail.note(Event(mark[:16], "login.refused", "idporten"))
            return None
        await self._database.execute(sql.login_succeeded, mark)
        await add_person(self._database, pid, "")
        actor = self._master_key.mac("person", pid.encode()).hex()
        await self._trail.record(Event(actor, "login.done", "idporten", None, {"acr": acr}))
        return Login(pid, acr, "TestID", int(self._machine.time()), str(uuid4()))

    async def code_for(self, request: Request, login: Login) -> dict[str, str]:
        """What the browser brings back to the client: a fresh code, and who gave it (RFC 9207)."""
        family = uuid4()
        data = {"request": request.stored(), "login": _stored(login)}
        await self.keep("family", request.client_id, {}, self.family_life, family)
        code = await self.keep(self._kind("code"), request.client_id, data, CODE_LIFE, family)
        return {"code": code, "iss": self.issuer}

    # Tokens

    async def grant(self, client: PersonClient, form: Mapping[str, Sequence[str]]) -> Tokens:
        """What a request at a token endpoint asks for; OpenIdError where it asks for anything else."""
        match one(form, "grant_type"):
            case "authorization_code":
                return await self.redeem(
                    client, one(form, "code"), one(form, "redirect_uri"), one(form, "code_verifier")
                )
            case "refresh_token":
                return await self.refresh(client, one(form, "refresh_token"))
            case None:
                raise OpenIdError("invalid_request", "grant_type is missing.")
            case _:
                raise OpenIdError(
                    "unsupported_grant_type", "Only authorization_code and refresh_token are served."
                )

    async def redeem(
        self, client: PersonClient, code: str | None, redirect_uri: str | None, verifier: str | None
    ) -> Tokens:
        """Tokens for a code (7.3); the code is gone after the first try, right or wrong."""
        family, data = await self._use("code", code, client.client_id)
        request, login = Request(**data["request"]), Login(**data["login"])
        if redirect_uri != request.redirect_uri or not verifier_fits(verifier, request.challenge):
            await self._database.execute(sql.kill_family, family, self.now)
            raise OpenIdError("invalid_grant", "redirect_uri or code_verifier does not fit the code.")
        return await self._tokens(client, request, login, family, refreshed=False)

    async def refresh(self, client: PersonClient, token: str | None) -> Tokens:
        """New tokens for a refresh token, which is replaced; at most 12 hours after the login."""
        family, data = await self._use("refresh", token, client.client_id)
        login = Login(**data["login"])
        longest = min(self._longest(client), int(self.family_life.total_seconds()))
        if int(self._machine.time()) >= login.auth_time + longest:
            await self._database.execute(sql.kill_family, family, self.now)
            raise OpenIdError("invalid_grant", "The login is too old.")
        return await self._tokens(client, Request(**data["request"]), login, family, refreshed=True)

    def _longest(self, client: PersonClient) -> int:
        """Seconds after the login in which it can be refreshed."""
        return int((client.settings or {}).get("authorization_lifetime") or 7200)

    def _access_life(self, client: PersonClient) -> int:
        return int((client.settings or {}).get("access_token_lifetime") or ACCESS_LIFE)

    async def _claims(
        self, client: PersonClient, request: Request, login: Login, family: UUID, now: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The claims of the access token and of the ID token."""
        subject = self.subject(client, login.pid)
        access: dict[str, Any] = {
            "sub": subject,
            "acr": login.acr,
            "amr": [login.amr],
            "client_id": client.client_id,
            "client_amr": client.method,
            "consumer": party(client.organisation),
            "scope": request.scope,
            "pid": login.pid,
            "iss": self.issuer,
            "token_type": "Bearer",
            "exp": now + self._access_life(client),
            "iat": now,
            "jti": b64url(family.bytes + token_bytes(16)).decode(),
        }
        if request.resource is not None:
            access["aud"] = request.resource
        return access, self._identity(client, request, login, now) | {"sub": subject}

    def _identity(self, client: PersonClient, request: Request, login: Login, now: int) -> dict[str, Any]:
        """What every ID token says (7.3), the subject excepted."""
        return {
            "iss": self.issuer,
            "aud": client.client_id,
            "pid": login.pid,
            "acr": login.acr,
            "amr": [login.amr],
            "auth_time": login.auth_time,
            "iat": now,
            "exp": now + ID_LIFE,
            "nonce": request.nonce,
            "jti": token_urlsafe(32),
            "locale": request.locale,
            "sid": login.sid,
        }

    async def _tokens(
        self, client: PersonClient, request: Request, login: Login, family: UUID, *, refreshed: bool
    ) -> Tokens:
        now = int(self._machine.time())
        settings = client.settings or {}
        access, identity = await self._claims(client, request, login, family, now)
        refresh = None
        if "refresh_token" in settings.get("grant_types", ()):
            refresh_life = settings.get("refresh_token_lifetime") or self.refresh_life
            data = {"request": request.stored(), "login": _stored(login)}
            refresh = await self.keep(
                self._kind("refresh"), client.client_id, data, timedelta(seconds=refresh_life), family
            )
        # Whoever ended the family while this was being made wins: what is given out now is dead already.
        if await self._database.fetchval(sql.family_dead, family):
            await self._database.execute(sql.kill_family, family, self.now)
            raise OpenIdError("invalid_grant", "The login has been ended.")
        details = {"scope": request.scope, "refreshed": refreshed}
        await self._trail.record(
            Event(client.client_id, "token.issued", self.realm, client.organisation, details)
        )
        return Tokens(
            await self._signer.sign(self.realm, access),
            await self._signer.sign(self.realm, identity),
            self._access_life(client) - 1,
            request.scope,
            refresh,
        )

    def subject(self, client: PersonClient, pid: str) -> str:
        """The pairwise name of a person: the same at all clients of an organisation, another one elsewhere."""
        return b64url(self._master_key.mac("subject", f"{client.organisation}:{pid}".encode())).decode()

    async def alive(self, jti: object) -> bool:
        """Whether the login that an access token came of has not been ended."""
        family = family_of(jti)
        return family is not None and not await self._database.fetchval(sql.family_dead, family)


def _stored(login: Login) -> dict[str, Any]:
    return {
        "pid": login.pid,
        "acr": login.acr,
        "amr": login.amr,
        "auth_time": login.auth_time,
        "sid": login.sid,
    }


def own_client(name: str, *redirect_uris: str, logout: str = "") -> PersonClient:
    """A client that Varsel itself is (console, Altinn login): public, with PKCE."""
    return PersonClient(
        client_id=name,
        organisation=DIGDIR,
        redirect_uris=redirect_uris,
        scopes=frozenset({"altinn:portal/enduser", "altinn:instances.read"}),
        post_logout_redirect_uris=(logout,) if logout else (),
    )
