"""A transport that answers from memory: put `memory.http` into any client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from varsel.client._environments import Environment
from varsel.client._environments import environment as environment_named
from varsel.client._exchange import AltinnTokens
from varsel.client._http import Http
from varsel.client._keys import SigningKey
from varsel.client._maskinporten import CREATE, Maskinporten

from ._api import _FAMILIES, CLASSIC, TRACE, Api, Kept, Reply
from ._clock import ManualClock
from ._issuer import Client, Issuer, Refusal

_KEYS: dict[str, SigningKey] = {}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came. Header names in lower case."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def json(self) -> Any:
        return json.loads(self.body)


class Memory(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Maskinporten, token exchange and Notifications API of one environment, in this process, on a clock of its own.

    It is as strict about grants and tokens as the real ones; `lenient=True` believes every grant. What was asked is in `requests`.
    """

    def __init__(
        self,
        environment: str | Environment = "tt02",
        *,
        clock: ManualClock | None = None,
        lenient: bool = False,
    ) -> None:
        self.environment = environment_named(environment)
        self.clock = clock or ManualClock()
        self.issuer = Issuer(self.environment, self.clock, lenient=lenient)
        self.api = Api(self.clock)
        self.requests: list[Recorded] = []
        self._failures: list[tuple[str, Callable[[], httpx2.Response]]] = []

    @property
    def http(self) -> Http:
        """Options that lead a client here."""
        return Http(transport=self, clock=self.clock)

    def register(
        self,
        key: SigningKey,
        *,
        scopes: Iterable[str] = (CREATE,),
        organization: str = "991825827",
        code: str = "ttd",
        client_id: str | None = None,
    ) -> str:
        """An integration with this key; its identifier. `code`: of the service owner, empty for none."""
        made = client_id or str(uuid.uuid4())
        keys = {str(key.kid): key.public_jwk()}
        self.issuer.clients[made] = Client(made, keys, frozenset(scopes), organization, code)
        return made

    def maskinporten(self, *, scope: str = CREATE, **more: Any) -> Maskinporten:
        """A registered integration, ready to fetch tokens. `more`: arguments of Maskinporten."""
        key = _KEYS.get("memory") or _KEYS.setdefault("memory", SigningKey.generate("memory-client"))
        client_id = self.register(key, scopes=scope.split())
        return Maskinporten(
            client_id, key, environment=self.environment, scope=scope, **{"http": self.http, **more}
        )

    def credentials(self, *, scope: str = CREATE) -> AltinnTokens:
        """Ready for `Notifications`."""
        return AltinnTokens(self.maskinporten(scope=scope))

    @property
    def orders(self) -> list[Kept]:
        """Every shipment, oldest first."""
        return list(self.api.shipments.values())

    def deliver(self, *, failed: str | None = None) -> None:
        """What waits is delivered; or fails, for a reason such as `Bounced`."""
        for kept in self.orders:
            if kept.status == "Order_Registered":
                self.api.deliver(kept, failed=failed)

    def fail(
        self,
        where: str = "",
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        error: Exception | None = None,
        times: int = 1,
    ) -> None:
        """The next `times` requests whose address contains `where` get this answer, or this httpx2 error; without either they
        find nobody there.
        """

        def made() -> httpx2.Response:
            if status is None:
                raise error or httpx2.ConnectError("Connection refused")
            return httpx2.Response(status, headers=headers, content=body)

        self._failures.extend([(where, made)] * times)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(request, request.read())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(request, await request.aread())

    def _answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        url = str(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Recorded(request.method, url, headers, body))
        for index, (where, made) in enumerate(self._failures):
            if where in url:
                del self._failures[index]
                return made()
        reply = self._route(request.method, url, headers, body)
        content = reply.body if isinstance(reply.body, bytes) else _json(reply.body)
        date = formatdate(self.clock.wall(), usegmt=True)
        return httpx2.Response(reply.status, headers={"date": date, **reply.headers}, content=content)

    def _route(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Reply:
        there = self.environment
        bare, _, query = url.partition("?")
        if bare == f"{there.maskinporten}.well-known/oauth-authorization-server":
            return Reply(200, self.issuer.metadata())
        if bare == f"{there.maskinporten}token" and method == "POST":
            return self._token(body)
        if bare == f"{there.exchange}/maskinporten":
            token = self.issuer.exchange(headers.get("authorization", "").removeprefix("Bearer "))
            return Reply(200, token.encode()) if token else Reply(401)
        if bare.startswith(there.notifications):
            asked = {name: values[-1] for name, values in parse_qs(query).items()}
            return self._notifications(method, bare.removeprefix(there.notifications), asked, headers, body)
        return Reply(404)

    def _token(self, body: bytes) -> Reply:
        try:
            return Reply(200, self.issuer.grant(body))
        except Refusal as refusal:
            said = {
                "error": refusal.error,
                "error_description": f"{refusal.text} (trace_id: {uuid.uuid4().hex})",
            }
            if refusal.code:
                said["error_uri"] = f"{self.environment.maskinporten}errors/{refusal.code}"
            return Reply(refusal.status, said)

    def _notifications(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> Reply:
        caller = self.issuer.caller(headers.get("authorization", ""))
        if caller is None:
            return Reply(401)
        creator = caller.get("urn:altinn:org")
        if not creator or "/notifications." not in caller["scope"]:
            return Reply(403)
        if method == "POST" and (path in _FAMILIES or path in CLASSIC):
            try:
                order = json.loads(body)
            except ValueError:
                return Reply(
                    400,
                    {
                        "title": "One or more validation errors occurred.",
                        "errors": {"$": ["Invalid JSON."]},
                        "traceId": TRACE,
                    },
                )
            if path in CLASSIC:
                return self.api.order_classic(order, creator)
            return self.api.order(path, order, creator)
        if method == "PUT" and path.endswith("/cancel"):
            return self.api.cancel(path, creator)
        return self.api.read(path, query, creator) if method == "GET" else Reply(405)


def _json(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body, ensure_ascii=False, indent=2).encode()
