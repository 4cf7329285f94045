"""Platform access tokens: for callers inside the platform, who hold a certificate that it knows (docs/reference/identity.md 6.6)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from ._cache import TokenCache
from ._environments import Environment
from ._environments import environment as environment_named
from ._errors import ConfigurationError
from ._flow import Flow
from ._http import Http
from ._jws import Signer, b64url, signed
from ._tokens import Token, TokenSource

HEADER = "PlatformAccessToken"
LIFE = 300  # seconds; the API takes at most 600
MARGIN = 5.0  # seconds before its end at which a new one is made
_ISSUER = re.compile(r"[a-z0-9-]{2,40}")


class PlatformToken(TokenSource):
    """Makes its own tokens with a registered certificate; no network needed.

    issuer: service owner code of the app (`ttd`), or `platform`. app: name of the app, or of the component.
    key: a SigningKey with its certificate (`SigningKey.from_certificate`), or a signer with certificates.
    alongside: other credentials to send in the same request, for a component that acts in somebody's name.
    """

    def __init__(
        self,
        issuer: str,
        key: Signer,
        *,
        app: str = "",
        alongside: Any = None,
        environment: str | Environment | None = None,
        http: Http | None = None,
    ) -> None:
        self._http = http or Http()
        super().__init__(self._http)
        if not _ISSUER.fullmatch(issuer):
            raise ConfigurationError(
                "The issuer of a platform token is a service owner code: 2 to 40 of a–z, 0–9 and '-'."
            )
        if not key.certificates:
            raise ConfigurationError(
                "A platform token is signed with a certificate; give key and certificate."
            )
        self._issuer, self._key, self._app = issuer, key, app
        self._alongside = alongside
        self._environment = None if environment is None else environment_named(environment)
        self._cache = TokenCache(self._http.clock, MARGIN)

    @property
    def environment(self) -> Environment | None:
        return self._environment

    def authorize(self) -> Flow[Mapping[str, str]]:
        token = yield from self._token()
        beside: Mapping[str, str] = {}
        if self._alongside is not None:
            beside = yield from self._alongside.authorize()
        return {**beside, HEADER: token.value}

    def refused(self, headers: Mapping[str, str]) -> bool:
        self._cache.drop(headers.get(HEADER, ""))
        if self._alongside is not None:
            self._alongside.refused(headers)
        return True

    def _token(self) -> Flow[Token]:
        return (yield from self._cache.get((self._issuer, self._app), self._make))

    def _make(self) -> Flow[Token]:
        asked = self._http.clock.steady()
        thumbprint = hashlib.sha1(self._key.certificates[0], usedforsecurity=False).digest()
        now = math.floor(self._http.clock.wall())
        header = {
            "alg": self._key.alg,
            "kid": thumbprint.hex().upper(),
            "x5t": b64url(thumbprint),
            "typ": "JWT",
        }
        claims = {
            **({"urn:altinn:app": self._app} if self._app else {}),
            "nbf": now - 5,
            "exp": now + LIFE,
            "iat": now,
            "iss": self._issuer,
            "aud": "platform.altinn.no",
        }
        return Token((yield from signed(header, claims, self._key)), asked + LIFE)

    def __repr__(self) -> str:
        return f"PlatformToken({self._issuer!r}, app={self._app!r})"
