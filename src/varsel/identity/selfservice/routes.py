"""The self-service API over HTTP (docs/reference/identity.md 3.4 to 3.7), under both of its historic bases."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.limits import RateLimiter
from varsel.identity.maskinporten.grant import organisation_of
from varsel.identity.selfservice import wire
from varsel.identity.selfservice.clients import Actor, Clients, KeySet
from varsel.identity.selfservice.errors import FieldError, SelfServiceError, forbidden, invalid, not_found
from varsel.identity.selfservice.scopes import Scopes, version_of
from varsel.identity.tokens import InvalidToken, TokenChecker, scopes_of
from varsel.runtime.clock import Machine
from varsel.runtime.settings import Settings

BASES: Final = ("/selfservice/api/v1", "/selfservice")
LARGEST: Final = 256 * 1024

READ: Final = frozenset({"idporten:dcr.read", "idporten:dcr.modify", "idporten:dcr.write"})
MODIFY: Final = frozenset({"idporten:dcr.modify"})
WRITE: Final = frozenset({"idporten:dcr.write"})
SUPPLIER: Final = "idporten:dcr.supplier"
ONBEHALFOF: Final = frozenset({"idporten:dcr.modify", "idporten:dcr/onbehalfof:write"})
SCOPES: Final = frozenset({"idporten:scopes.write"})
_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})"')

Act = Callable[[Request, Actor], Awaitable[Response]]


class SelfServiceRoutes:
    """The caller is a Maskinporten client; everything is bound to the organisation in its token's `consumer`."""

    def __init__(
        self,
        settings: Settings,
        machine: Machine,
        tokens: TokenChecker,
        *,
        clients: Clients,
        scopes: Scopes,
        limiter: RateLimiter,
    ) -> None:
        self._settings = settings
        self._machine = machine
        self._tokens = tokens
        self._clients = clients
        self._scopes = scopes
        self._limiter = limiter

    def routes(self) -> list[Route]:
        one = "/clients/{client_id}"
        table: list[tuple[str, str, Act, frozenset[str] | None]] = [
            ("GET", "/clients", self.list_clients, READ),
            ("POST", "/clients", self.create_client, WRITE),
            ("GET", one, self.get_client, READ),
            ("PUT", one, self.replace_client, MODIFY),
            ("DELETE", one, self.deactivate_client, MODIFY),
            ("POST", one + "/secret", self.new_secret, MODIFY),
            ("GET", one + "/jwks", self.get_keys, READ),
            ("POST", one + "/jwks", self.replace_keys, MODIFY),
            ("PUT", one + "/jwks", self.replace_keys, MODIFY),
            ("DELETE", one + "/jwks", self.remove_keys, MODIFY),
            ("POST", one + "/jwks/keys", self.add_key, MODIFY),
            ("DELETE", one + "/jwks/keys/{kid}", self.remove_keys, MODIFY),
            ("GET", one + "/onbehalfof", self.list_onbehalfof, READ | ONBEHALFOF),
            ("POST", one + "/onbehalfof", self.add_onbehalfof, ONBEHALFOF),
            ("GET", one + "/onbehalfof/{name}", self.get_onbehalfof, READ | ONBEHALFOF),
            ("PUT", one + "/onbehalfof/{name}", self.change_onbehalfof, ONBEHALFOF),
            ("DELETE", one + "/onbehalfof/{name}", self.remove_onbehalfof, ONBEHALFOF),
            ("GET", "/delegationsources", self.delegation_sources, READ | SCOPES),
            ("GET", "/scopes/all", self.public_scopes, None),
            ("GET", "/scopes/access/all", self.given, READ | SCOPES),
            ("GET", "/scopes/access", self.accesses, SCOPES),
            ("PUT", "/scopes/access/{orgno}", self.grant, SCOPES),
            ("DELETE", "/scopes/access/{orgno}", self.withdraw, SCOPES),
            ("GET", "/scopes", self.list_scopes, None),
            ("POST", "/scopes", self.create_scope, SCOPES),
            ("PUT", "/scopes", self.replace_scope, SCOPES),
            ("DELETE", "/scopes", self.deactivate_scope, SCOPES),
        ]
        paths = list(dict.fromkeys(path for _, path, _, _ in table))
        routes = []
        for base in BASES:
            for path in paths:
                acts = {method: (act, needed) for method, at, act, needed in table if at == path}
                routes.append(Route(base + path, self._endpoint(acts), methods=list(acts)))
        return routes

    def _endpoint(
        self, acts: dict[str, tuple[Act, frozenset[str] | None]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            act, needed = acts["GET" if request.method == "HEAD" else request.method]
            try:
                actor = Actor("", "") if needed is None else await self._actor(request, needed)
                wait = await self._limiter.take(
                    "selfservice:" + (actor.organisation or http.address(request)), self._settings.token_rate
                )
                if wait is not None:
                    refused = SelfServiceError(429, "temporarily_unavailable", "Too many requests.")
                    return self._refuse(request, refused, {"Retry-After": str(wait)})
                return await act(request, actor)
            except SelfServiceError as error:
                return self._refuse(request, error)

        return endpoint

    async def _actor(self, request: Request, needed: frozenset[str]) -> Actor:
        """Who calls, when its token has one of the scopes needed: 401, 403."""
        token = http.bearer(request)
        try:
            if token is None:
                raise InvalidToken
            claims = (await self._tokens.check(token)).claims
        except InvalidToken:
            raise SelfServiceError(401, "invalid_token", "A valid Maskinporten token is needed.") from None
        organisation = organisation_of(claims.get("consumer"))
        held = scopes_of(claims)
        if organisation is None or not held & needed:
            raise forbidden(f"One of the scopes {', '.join(sorted(needed))} is needed.")
        return Actor(str(claims.get("client_id", "")), organisation, SUPPLIER in held)

    def _refuse(
        self, request: Request, error: SelfServiceError, headers: dict[str, str] | None = None
    ) -> Response:
        body = {
            "status": error.status,
            "timestamp": http.timestamp(self._machine),
            "correlation_id": http.trace(request).trace_id,
            "errors": [
                {
                    "errorMessage": fault.text,
                    "isFieldError": True,
                    "objectName": fault.object,
                    "fieldIdentifier": fault.field,
                }
                for fault in error.fields
            ],
            "error": error.error,
            "error_description": error.text,
        }
        return http.json(msgspec.json.encode(body), error.status, headers)

    # Clients

    async def list_clients(self, request: Request, actor: Actor) -> Response:
        inactive = request.query_params.get("inactive", "").lower() == "true"
        rows = await self._clients.own(
            actor, inactive=inactive, environment=self._settings.client_environment
        )
        return _list(request, [wire.client_body(row) for row in rows])

    async def create_client(self, request: Request, actor: Actor) -> Response:
        draft = self._clients.draft(await _object(request))
        row = await self._clients.create(actor, draft, self._settings.client_environment)
        return _answer(wire.client_body(row), row["version"])

    async def get_client(self, request: Request, actor: Actor) -> Response:
        row = await self._clients.get(actor, _client_id(request))
        rows = await self._clients.onbehalfof(actor, row["id"])
        subs = [wire.onbehalfof_body(sub) for sub in rows]
        return _answer(wire.client_body(row) | ({"onbehalfof": subs} if subs else {}), row["version"])

    async def replace_client(self, request: Request, actor: Actor) -> Response:
        client_id = _client_id(request)
        await self._clients.get(actor, client_id)
        draft = self._clients.draft(await _object(request))
        row = await self._clients.replace(actor, client_id, draft, _expected(request))
        return _answer(wire.client_body(row), row["version"])

    async def deactivate_client(self, request: Request, actor: Actor) -> Response:
        await self._clients.deactivate(actor, _client_id(request))
        return _done()

    async def new_secret(self, request: Request, actor: Actor) -> Response:
        client_id = _client_id(request)
        secret = await self._clients.new_secret(actor, client_id)
        return _answer({"client_id": str(client_id), "client_secret": secret})

    # Keys

    async def get_keys(self, request: Request, actor: Actor) -> Response:
        return _keys(await self._clients.keys(actor, _client_id(request)))

    async def replace_keys(self, request: Request, actor: Actor) -> Response:
        client_id = _client_id(request)
        await self._clients.get(actor, client_id)
        document = wire.read_json(await _body(request))
        return _keys(await self._clients.replace_keys(actor, client_id, document, _expected(request)))

    async def add_key(self, request: Request, actor: Actor) -> Response:
        client_id = _client_id(request)
        await self._clients.get(actor, client_id)
        entry = wire.read_json(await _body(request))
        return _keys(await self._clients.add_key(actor, client_id, entry, _expected(request)))

    async def remove_keys(self, request: Request, actor: Actor) -> Response:
        kid = request.path_params.get("kid")
        await self._clients.remove_keys(actor, _client_id(request), kid, _expected(request))
        return _done()

    # Sub-clients

    async def list_onbehalfof(self, request: Request, actor: Actor) -> Response:
        rows = await self._clients.onbehalfof(actor, _client_id(request))
        return _list(request, [wire.onbehalfof_body(row) for row in rows])

    async def add_onbehalfof(self, request: Request, actor: Actor) -> Response:
        client_id = _client_id(request)
        await self._clients.get(actor, client_id)
        row = await self._clients.add_onbehalfof(actor, client_id, await _object(request))
        return _answer(wire.onbehalfof_body(row))

    async def get_onbehalfof(self, request: Request, actor: Actor) -> Response:
        row = await self._clients.one_onbehalfof(actor, _client_id(request), request.path_params["name"])
        return _answer(wire.onbehalfof_body(row))

    async def change_onbehalfof(self, request: Request, actor: Actor) -> Response:
        row = await self._clients.change_onbehalfof(
            actor, _client_id(request), request.path_params["name"], await _object(request)
        )
        return _answer(wire.onbehalfof_body(row))

    async def remove_onbehalfof(self, request: Request, actor: Actor) -> Response:
        await self._clients.remove_onbehalfof(actor, _client_id(request), request.path_params["name"])
        return _done()

    # Scopes

    async def delegation_sources(self, request: Request, actor: Actor) -> Response:
        return _answer([{"name": name, "issuer": issuer} for name, issuer in wire.DELEGATION_SOURCES.items()])

    async def public_scopes(self, request: Request, actor: Actor) -> Response:
        rows = await self._scopes.public(for_all=_flag(request, "accessible_for_all"))
        return _list(request, [wire.scope_body(row) for row in rows])

    async def list_scopes(self, request: Request, actor: Actor) -> Response:
        """The catalogue of what is open to all, for anybody; own scopes, or one of them, for their owner."""
        if _flag(request, "accessible_for_all"):
            return await self.public_scopes(request, actor)
        owner = await self._actor(request, SCOPES | READ)
        if "scope" in request.query_params:
            row = await self._scopes.get(owner, _scope(request))
            return _answer(wire.scope_body(row), version_of(row))
        rows = await self._scopes.own(owner, inactive=_flag(request, "inactive"))
        return _list(request, [wire.scope_body(row) for row in rows])

    async def create_scope(self, request: Request, actor: Actor) -> Response:
        return _answer(wire.scope_body(await self._scopes.create(actor, await _object(request))))

    async def replace_scope(self, request: Request, actor: Actor) -> Response:
        row = await self._scopes.replace(actor, _scope(request), await _object(request), _expected(request))
        return _answer(wire.scope_body(row), version_of(row))

    async def deactivate_scope(self, request: Request, actor: Actor) -> Response:
        await self._scopes.deactivate(actor, _scope(request))
        return _done()

    async def accesses(self, request: Request, actor: Actor) -> Response:
        rows = await self._scopes.accesses(actor, _scope(request))
        return _list(request, [wire.access_body(row) for row in rows])

    async def given(self, request: Request, actor: Actor) -> Response:
        return _list(request, [wire.access_body(row) for row in await self._scopes.given(actor)])

    async def grant(self, request: Request, actor: Actor) -> Response:
        row = await self._scopes.grant(actor, _scope(request), request.path_params["orgno"])
        return _answer(wire.access_body(row))

    async def withdraw(self, request: Request, actor: Actor) -> Response:
        await self._scopes.withdraw(actor, _scope(request), request.path_params["orgno"])
        return _done()


def _answer(value: Any, version: int | None = None) -> Response:
    headers = {} if version is None else {"ETag": f'"{version}"'}
    return http.json(msgspec.json.encode(value), headers=headers)


def _list(request: Request, rows: list[Any]) -> Response:
    """All of it as one array, which is what callers of the reference expect; a part to those that ask with `page` (from 0) or `size`.

    The parts are told by `Link` (RFC 8288) and `X-Total-Count`.
    """
    if not {"page", "size"} & request.query_params.keys():
        return _answer(rows)
    page, size = _count(request, "page", 0, 0, 1_000_000), _count(request, "size", 100, 1, 1000)
    headers = {"X-Total-Count": str(len(rows))}
    others = [pair for pair in request.query_params.multi_items() if pair[0] not in {"page", "size"}]
    links = []
    for relation, other in (("prev", page - 1), ("next", page + 1)):
        if 0 <= other * size < len(rows):
            query = urlencode([*others, ("page", other), ("size", size)])
            links.append(f'<{request.url.path}?{query}>; rel="{relation}"')
    if links:
        headers["Link"] = ", ".join(links)
    return http.json(msgspec.json.encode(rows[page * size : (page + 1) * size]), headers=headers)


def _count(request: Request, name: str, usual: int, least: int, most: int) -> int:
    values = request.query_params.getlist(name)
    if not values:
        return usual
    text = values[0]
    if len(values) > 1 or not (text.isascii() and text.isdecimal()) or not least <= int(text[:9]) <= most:
        raise invalid(FieldError(name, f"{name} is a number from {least} to {most}."))
    return int(text)


def _keys(keys: KeySet) -> Response:
    return _answer(keys.body(), keys.version)


def _done() -> Response:
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _scope(request: Request) -> str:
    """The one scope of the query."""
    names = request.query_params.getlist("scope")
    if len(names) != 1:
        raise not_found("scope")
    return names[0]


def _client_id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["client_id"])
    except ValueError:
        raise not_found() from None


def _expected(request: Request) -> int | None:
    """The version in If-Match; None when there is none or it is `*`."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    match = _TAG.fullmatch(text.strip())
    # A tag that was never ours matches nothing.
    return int(match.group(1)) if match else 0


async def _body(request: Request) -> bytes:
    if http.media_type(request) != "application/json":
        raise SelfServiceError(415, "unsupported_media_type", "The body must be application/json.")
    body = await http.body(request, LARGEST)
    if body is None:
        raise SelfServiceError(413, "too_large", "The body is too large.")
    return body


async def _object(request: Request) -> dict[str, Any]:
    return wire.read_object(await _body(request))
