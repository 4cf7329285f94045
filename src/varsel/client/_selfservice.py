"""Self-service: integrations, their keys and scopes (docs/reference/identity.md 3.4 to 3.7)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from ._answers import decoded, problem
from ._drive import Awaiting, Blocking, operation
from ._environments import Environment
from ._environments import environment as environment_named
from ._errors import (
    ApiError,
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidRequest,
    KeyRefused,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from ._flow import Answer, Flow, Request
from ._forwarded import ForwardedToken
from ._http import Http
from ._keys import PRIVATE_MEMBERS, SigningKey
from ._maskinporten import GRANT_TYPE, Maskinporten
from ._retry import persist, retry_after

#: What an administrator's integration needs.
SCOPES = "idporten:dcr.read idporten:dcr.write idporten:dcr.modify"
MOST_KEYS = 5


class Integration(msgspec.Struct, frozen=True, kw_only=True):
    """One integration (client). `client_id` is its identifier, the `iss` of its grants."""

    client_id: str
    client_name: str = ""
    description: str = ""
    integration_type: str = "maskinporten"
    scopes: tuple[str, ...] = ()
    active: bool = True
    client_orgno: str | None = None
    created: str | None = None
    last_updated: str | None = None


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys of an integration, each with `kid` and its end `exp` (seconds since 1970)."""

    keys: tuple[dict[str, Any], ...] = ()
    created: str | None = None
    last_updated: str | None = None


class ScopeAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A scope that the organisation was given. `state`: REQUESTED, APPROVED or DENIED."""

    scope: str
    state: str = ""
    consumer_orgno: str = ""
    owner_orgno: str = ""


class _SelfService:
    _http: Http
    _environment: Environment
    _source: Maskinporten | ForwardedToken

    @property
    def environment(self) -> Environment:
        """Where it asks."""
        return self._environment

    @operation
    def integrations(self, *, inactive: bool = False) -> Flow[tuple[Integration, ...]]:
        """Your organisation's integrations."""
        answer = yield from self._ask("GET", "/clients" + ("?inactive=true" if inactive else ""))
        return decoded(answer, tuple[Integration, ...])

    @operation
    def integration(self, client_id: str) -> Flow[Integration]:
        """One of them."""
        answer = yield from self._ask("GET", f"/clients/{_part(client_id)}")
        return decoded(answer, Integration)

    @operation
    def create(
        self, name: str, /, *, scopes: Iterable[str], description: str = "", **more: Any
    ) -> Flow[Integration]:
        """A new Maskinporten integration. `more`: further members by their wire names."""
        body = {
            "integration_type": "maskinporten",
            "client_name": name,
            "description": description or name,
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": [GRANT_TYPE],
            "scopes": list(scopes),
            **more,
        }
        answer = yield from self._ask("POST", "/clients", body)
        return decoded(answer, Integration)

    @operation
    def change(self, client_id: str, /, **members: Any) -> Flow[Integration]:
        """Change members by their wire names, such as `scopes` or `description`; the others stay."""
        answer = yield from self._ask("GET", f"/clients/{_part(client_id)}")
        model = problem(answer)
        for name in ("created", "last_updated"):
            model.pop(name, None)
        answer = yield from self._ask("PUT", f"/clients/{_part(client_id)}", {**model, **members})
        return decoded(answer, Integration)

    @operation
    def deactivate(self, client_id: str) -> Flow[None]:
        """Take an integration out of use; it is never erased."""
        yield from self._ask("DELETE", f"/clients/{_part(client_id)}")

    @operation
    def keys(self, client_id: str) -> Flow[KeySet]:
        """Its public keys."""
        found, _ = yield from self._keys(client_id)
        return found

    @operation
    def add_key(self, client_id: str, key: SigningKey | Mapping[str, Any]) -> Flow[KeySet]:
        """Register a public key beside the ones there; one of the same kid is replaced, which renews it. Only the public half is sent."""
        public = key.public_jwk() if isinstance(key, SigningKey) else dict(key)
        if any(name in public for name in (*PRIVATE_MEMBERS, "oth", "k")):
            raise KeyRefused("That is a private key; only its public half is registered. Nothing was sent.")
        if not public.get("kid"):
            raise KeyRefused("The key has no kid.")
        found, tag = yield from self._keys(client_id)
        others = [one for one in found.keys if one.get("kid") != public["kid"]]
        if len(others) >= MOST_KEYS:
            raise ConfigurationError(f"The integration has {len(others)} keys already; remove one first.")
        return (yield from self._replace(client_id, [*others, public], tag))

    @operation
    def remove_key(self, client_id: str, kid: str) -> Flow[KeySet]:
        """Take one public key away."""
        found, tag = yield from self._keys(client_id)
        others = [one for one in found.keys if one.get("kid") != kid]
        if len(others) == len(found.keys):
            raise ConfigurationError("The integration has no key of that kid.")
        if not others:
            yield from self._ask("DELETE", f"/clients/{_part(client_id)}/jwks", tag=tag)
            return KeySet()
        return (yield from self._replace(client_id, others, tag))

    @operation
    def scopes(self) -> Flow[tuple[ScopeAccess, ...]]:
        """What your organisation has been given."""
        answer = yield from self._ask("GET", "/scopes/access/all")
        return decoded(answer, tuple[ScopeAccess, ...])

    def _keys(self, client_id: str) -> Flow[tuple[KeySet, str]]:
        try:
            answer = yield from self._ask("GET", f"/clients/{_part(client_id)}/jwks")
        except NotFound:
            # The set of an integration that never had one; an unknown integration is told apart here.
            yield from self._ask("GET", f"/clients/{_part(client_id)}")
            return KeySet(), ""
        return decoded(answer, KeySet), answer.headers.get("etag", "")

    def _replace(self, client_id: str, keys: list[dict[str, Any]], tag: str) -> Flow[KeySet]:
        # The API knows whole sets only; with its tag a neighbour's change is not lost.
        answer = yield from self._ask("POST", f"/clients/{_part(client_id)}/jwks", {"keys": keys}, tag=tag)
        return decoded(answer, KeySet)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, tag: str = ""
    ) -> Flow[Answer]:
        headers = {"accept": "application/json", **({"if-match": tag} if tag else {})}
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        if content is not None:
            headers["content-type"] = "application/json"
        url = self._environment.self_service + path

        def made() -> Flow[Request]:
            if isinstance(self._source, Maskinporten):
                token = yield from self._source._token()
                proof: Mapping[str, str] = {"authorization": f"Bearer {token.value}"}
            else:
                proof = yield from self._source.authorize()
            return Request(method, url, {**headers, **proof}, content, self._http.timeout)

        answer = yield from persist(
            made,
            tries=self._http.tries,
            wall=self._http.clock.wall,
            unsent_only=method == "POST" and path == "/clients",
            passing=frozenset({429})
            if method == "POST" and path == "/clients"
            else frozenset({429, 502, 503, 504}),
        )
        if answer.status not in {200, 201, 204}:
            raise _refusal(answer, self._http.clock.wall())
        return answer


class SelfService(_SelfService, Blocking):
    """The self-service API for blocking code.

    source: Maskinporten with an administrator's scopes (`SelfService.SCOPES`), or a token at hand. environment: that of the source.
    """

    SCOPES = SCOPES

    def __init__(
        self,
        source: Maskinporten | ForwardedToken,
        *,
        environment: str | Environment | None = None,
        http: Http | None = None,
    ) -> None:
        self._http = http or getattr(source, "http", None) or Http()
        Blocking.__init__(self, self._http)
        self._source, self._environment = source, _environment(source, environment)


class AsyncSelfService(_SelfService, Awaiting):
    """The self-service API for asyncio."""

    SCOPES = SCOPES

    def __init__(
        self,
        source: Maskinporten | ForwardedToken,
        *,
        environment: str | Environment | None = None,
        http: Http | None = None,
    ) -> None:
        self._http = http or getattr(source, "http", None) or Http()
        Awaiting.__init__(self, self._http)
        self._source, self._environment = source, _environment(source, environment)


def _environment(source: Maskinporten | ForwardedToken, which: str | Environment | None) -> Environment:
    if which is not None:
        found = environment_named(which)
        if isinstance(source, Maskinporten) and source.environment.maskinporten != found.maskinporten:
            raise ConfigurationError(
                f"The credentials are for {source.environment.name}, not for {found.name}."
            )
        return found
    if source.environment is None:
        raise ConfigurationError("Say which environment: a name such as 'tt02', or the address of a Varsel.")
    return source.environment


def _part(client_id: str) -> str:
    if not client_id or client_id in {".", ".."}:
        raise ConfigurationError("The identifier of the integration is missing.")
    return quote(client_id, safe="")


_KINDS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: TooManyRequests,
}


def _refusal(answer: Answer, wall: float) -> ApiError:
    body = problem(answer)
    errors: dict[str, list[str]] = {}
    for one in body.get("errors", []) if isinstance(body.get("errors"), list) else []:
        if isinstance(one, dict):
            errors.setdefault(str(one.get("fieldIdentifier") or ""), []).append(
                " ".join(str(one.get("errorMessage", "")).split())[:300]
            )
    title = " ".join(str(body.get("error_description") or body.get("error") or "").split())[:300]
    kind = _KINDS.get(answer.status, ServerError if answer.status >= 500 else ApiError)
    advice = {
        401: "The token is missing, expired or of another environment.",
        403: "The token lacks an idporten:dcr scope.",
        404: "No such integration, or another organisation's.",
        412: "Somebody else changed it meanwhile; look again.",
    }.get(answer.status, "")
    return kind(
        answer.status,
        title=title,
        errors=errors,
        trace_id=str(body["correlation_id"])[:100] if body.get("correlation_id") else None,
        retry_after=retry_after(answer, wall),
        advice=advice,
    )
