"""Altinn's authentication component over HTTP (docs/reference/identity.md 5)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.altinn import exchange as exchanging
from varsel.identity.altinn.exchange import Exchange
from varsel.identity.altinn.organisations import document
from varsel.identity.keys import KeyRing
from varsel.identity.limits import RateLimiter
from varsel.identity.tokens import InvalidToken
from varsel.runtime.settings import Settings
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")

BASE = "/authentication/api/v1"


class AltinnRoutes:
    """Exchange, metadata, keys and the organisation list."""

    def __init__(
        self, settings: Settings, database: Database, exchange: Exchange, keys: KeyRing, limiter: RateLimiter
    ) -> None:
        self._settings = settings
        self._database = database
        self._exchange = exchange
        self._keys = keys
        self._limiter = limiter
        base = settings.base_url + BASE
        self._metadata = msgspec.json.encode(
            {
                "issuer": exchange.issuer,
                "authorization_endpoint": base + "/authorize/",
                "token_endpoint": base + "/token/",
                "jwks_uri": base + "/openid/.well-known/openid-configuration/jwks",
                "end_session_endpoint": base + "/openid/logout/",
                "response_types_supported": ["token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def routes(self) -> list[Route]:
        known = BASE + "/openid/.well-known/openid-configuration"
        return [
            Route(BASE + "/exchange/{provider}", self.exchange, methods=["GET"]),
            Route(known, self.metadata, methods=["GET"]),
            Route(known + "/jwks", self.jwks, methods=["GET"]),
            Route("/orgs/altinn-orgs.json", self.organisations, methods=["GET"]),
        ]

    async def metadata(self, request: Request) -> Response:
        return http.json(self._metadata, cache=3600)

    async def jwks(self, request: Request) -> Response:
        return http.json(self._keys.jwks("altinn"), cache=300)

    async def organisations(self, request: Request) -> Response:
        rows = await self._database.fetch(sql.service_owners)
        return http.json(document(dict(row) for row in rows), cache=3600)

    async def exchange(self, request: Request) -> Response:
        wait = await self._limiter.take("exchange:" + http.address(request), self._settings.token_rate)
        if wait is not None:
            return http.problem(request, 429, {"Retry-After": str(wait)})
        test = _test_of(request)
        if test is None:
            return http.problem(
                request,
                400,
                errors={"test": ["The value is not true or false, or stands twice."]},
            )
        provider = request.path_params["provider"]
        try:
            token = await self._exchange.exchange(
                exchanging.Request(
                    provider,
                    http.bearer(request),
                    test,
                    "x-altinn-enterpriseuser-authentication" in request.headers,
                )
            )
        except InvalidToken:
            return http.problem(request, 401)
        except exchanging.UnknownProvider:
            text = f"Invalid token provider: {provider}. Trusted token providers are 'Maskinporten', 'Id-porten' and 'AltinnStudio'."
            return PlainTextResponse(
                text, 400, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
            )
        except exchanging.NotAllowed:
            return Response(status_code=403, headers={"Cache-Control": "no-store"})
        except exchanging.EnterpriseUserGone:
            return _gone(request)
        return token_answer(request, token)


def token_answer(request: Request, token: str) -> Response:
    """The bare token, or with `Accept: application/json` the token in quotes: real clients need both (identity.md 5.2)."""
    if _wants_json(request.headers.get("accept", "")):
        return http.json(msgspec.json.encode(token))
    return PlainTextResponse(
        token, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    )


def _wants_json(accept: str) -> bool:
    """Whether JSON is named, and plain text is not preferred to it: by weight, then by order (RFC 9110 12.5.1)."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            weights.setdefault(kind, float(weight))
        except ValueError:
            weights.setdefault(kind, 0.0)
    json, text = weights.get("application/json", 0.0), weights.get("text/plain", 0.0)
    if json == text:
        kinds = list(weights)
        return json > 0 and kinds.index("application/json") < kinds.index("text/plain")
    return json > text


def _test_of(request: Request) -> bool | None:
    """The query value `test`; None when it is not a boolean or stands twice."""
    values = [value for name, value in request.query_params.multi_items() if name.lower() == "test"]
    if not values:
        return False
    words = {"true": True, "false": False}
    return words.get(values[0].strip().lower()) if len(values) == 1 else None


def _gone(request: Request) -> Response:
    body = {
        "type": "https://docs.altinn.studio",
        "title": "Virksomhetsbruker is no longer available",
        "status": 410,
        "detail": "Use a system user, or log in with ID-porten.",
        "traceId": http.trace(request).traceparent,
    }
    answer = http.json(msgspec.json.encode(body), 410)
    answer.headers["Content-Type"] = "application/problem+json; charset=utf-8"
    return answer
