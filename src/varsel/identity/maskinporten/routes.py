"""Maskinporten over HTTP: metadata, keys, token, help pages (docs/reference/identity.md 2.1)."""

from __future__ import annotations

import html
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from varsel.identity import http
from varsel.identity.jws import RSA_ALL
from varsel.identity.keys import KeyRing
from varsel.identity.maskinporten import errors as rules
from varsel.identity.maskinporten.errors import BY_PAGE, Refusal
from varsel.identity.maskinporten.server import GRANT_TYPE, TokenServer
from varsel.identity.sheet import document


class MaskinportenRoutes:
    """All anonymous; everything else under the path is 404."""

    def __init__(self, server: TokenServer, keys: KeyRing) -> None:
        self._server = server
        self._keys = keys
        base = server.issuer
        self._metadata = msgspec.json.encode(
            {
                "issuer": base,
                "token_endpoint": base + "token",
                "jwks_uri": base + "jwk",
                "grant_types_supported": [GRANT_TYPE],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": sorted(RSA_ALL),
                "authorization_details_types_supported": ["urn:altinn:systemuser"],
            }
        )

    def routes(self) -> list[Route]:
        return [
            Route("/maskinporten/.well-known/oauth-authorization-server", self.metadata, methods=["GET"]),
            Route("/.well-known/oauth-authorization-server/maskinporten", self.metadata, methods=["GET"]),
            Route("/maskinporten/jwk", self.jwk, methods=["GET"]),
            Route("/maskinporten/token", self.token, methods=["POST"]),
            Route("/maskinporten/errors/{code}", self.help, methods=["GET"]),
        ]

    async def metadata(self, request: Request) -> Response:
        return http.json(self._metadata, cache=3600)

    async def jwk(self, request: Request) -> Response:
        return http.json(self._keys.jwks("maskinporten"), cache=300)

    async def token(self, request: Request) -> Response:
        wait = await self._server.admit(http.address(request))
        if wait is not None:
            return self._refuse(request, Refusal(rules.TOO_MANY), wait)
        try:
            if request.url.query or http.media_type(request) != "application/x-www-form-urlencoded":
                raise Refusal(rules.REQUEST)
            body = await http.body(request, http.SMALL_BODY)
            if body is None:
                raise Refusal(rules.REQUEST)
            try:
                form = parse_qs(
                    body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=16
                )
            except ValueError:
                raise Refusal(rules.REQUEST) from None
            issued = await self._server.grant(form)
        except Refusal as refusal:
            return self._refuse(request, refusal)
        answer = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": issued.scope,
        }
        return http.json(msgspec.json.encode(answer))

    def _refuse(self, request: Request, refusal: Refusal, wait: int = 60) -> Response:
        rule = refusal.rule
        body = {
            "error": rule.error,
            "error_description": f"{refusal.text} (trace_id: {http.trace(request).trace_id})",
        }
        body["error_uri"] = f"{self._server.issuer}errors/{rule.page}"
        headers = {"Retry-After": str(wait)} if rule.status == 429 else {}
        return http.json(msgspec.json.encode(body), rule.status, headers)

    async def help(self, request: Request) -> Response:
        """The page that `error_uri` points at, in Norwegian and English."""
        rule = BY_PAGE.get(request.path_params["code"])
        if rule is None:
            return Response(status_code=404)
        text = html.escape(rule.text)
        body = (
            f'<p><code>{text}</code></p><div class="card"><p>{html.escape(rule.advice_nb)}</p>'
            f'<p lang="en">{html.escape(rule.advice)}</p></div>'
        )
        return HTMLResponse(document("nb", rule.code or rule.error, body), headers=http.PAGE_HEADERS)
