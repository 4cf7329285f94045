"""Altinn tokens: what the Notifications API takes, exchanged for tokens of Maskinporten or ID-porten (docs/reference/identity.md 5)."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Protocol, Self

from . import _settings
from ._cache import TokenCache, life
from ._environments import Environment
from ._environments import environment as environment_named
from ._errors import ConfigurationError, ExchangeRefused, UnexpectedAnswer
from ._flow import Answer, Flow, Request
from ._http import Http
from ._maskinporten import Maskinporten
from ._retry import persist
from ._tokens import Token, TokenSource, claims_of, is_compact

MARGIN = 60.0  # seconds before its end at which a token is renewed
TIMEOUT = 10.0  # seconds for one request


class ProviderTokens(Protocol):
    """Where the tokens to exchange come from: Maskinporten or IdPorten."""

    environment: Environment

    @property
    def http(self) -> Http: ...
    @property
    def scope(self) -> str: ...
    def key(self, scope: str | None = None) -> Hashable: ...
    def drop(self, token: Token) -> None: ...
    def _token(self, scope: str | Iterable[str] | None = None) -> Flow[Token]: ...


class AltinnTokens(TokenSource):
    """Credentials for `Notifications`: fetches provider tokens and exchanges them, both cached.

    source: Maskinporten (a service owner) or IdPorten (a person). environment: where to exchange; that of the source by default.
    test_org: ask for the test department `ttd` in place of `digdir` (only Digdir, never in production).
    """

    def __init__(
        self,
        source: ProviderTokens,
        *,
        environment: str | Environment | None = None,
        test_org: bool = False,
        http: Http | None = None,
    ) -> None:
        self._http = http or source.http
        super().__init__(self._http)
        self._source = source
        self._provider = "maskinporten" if isinstance(source, Maskinporten) else "id-porten"
        self._environment = source.environment if environment is None else environment_named(environment)
        if self._environment.maskinporten != source.environment.maskinporten:
            raise ConfigurationError(
                f"{self._environment.name} does not trust tokens of {source.environment.name}; use one environment for both."
            )
        if test_org and (self._environment.production or self._provider != "maskinporten"):
            raise ConfigurationError("test_org is for machines in test environments.")
        self._test_org = test_org
        self._cache = TokenCache(self._http.clock, MARGIN)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], *, http: Http | None = None, **more: Any) -> Self:
        """From the settings of `Maskinporten.from_mapping`, and `UseAltinnTestOrg`."""
        source = Maskinporten.from_mapping(settings, http=http, **more)
        return cls(source, **_settings.exchange_arguments(settings))

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None, **more: Any) -> Self:
        """As `from_mapping`, from environment variables."""
        return cls.from_mapping(os.environ if variables is None else variables, **more)

    @property
    def environment(self) -> Environment:
        return self._environment

    def authorize(self) -> Flow[Mapping[str, str]]:
        token = yield from self._token()
        return {"authorization": f"Bearer {token.value}"}

    def refused(self, headers: Mapping[str, str]) -> bool:
        # Whether or not this call dropped it (a neighbour may have been first), a newer one is worth one more try.
        self._cache.drop(headers.get("authorization", "").removeprefix("Bearer "))
        return True

    def _token(self) -> Flow[Token]:
        key = (self._environment.exchange, self._provider, self._test_org, self._source.key())
        return (yield from self._cache.get(key, self._fetch))

    def _fetch(self) -> Flow[Token]:
        source = yield from self._source._token()
        try:
            return (yield from self._exchange(source))
        except ExchangeRefused as refusal:
            # It may have been refused at its issuer meanwhile; the next round brings a new one.
            if refusal.status == 401:
                self._source.drop(source)
            raise

    def _exchange(self, source: Token) -> Flow[Token]:
        url = f"{self._environment.exchange}/{self._provider}" + ("?test=true" if self._test_org else "")
        clock = self._http.clock
        asked = 0.0

        def made() -> Flow[Request]:
            nonlocal asked
            yield from ()
            asked = clock.steady()
            headers = {"authorization": f"Bearer {source.value}", "accept": "text/plain"}
            return Request("GET", url, headers, timeout=min(TIMEOUT, self._http.timeout))

        answer = yield from persist(made, tries=self._http.tries, wall=clock.wall)
        return self._read(answer, asked)

    def _read(self, answer: Answer, asked: float) -> Token:
        if answer.status != 200:
            raise ExchangeRefused(_refusal(answer.status, self._environment.name), status=answer.status)
        value = answer.text.strip().strip('"').strip()
        if not is_compact(value):
            raise UnexpectedAnswer(
                "The token exchange answered 200 without a token; is the address of the environment right?"
            )
        claims = claims_of(value)
        ends, begins = claims.get("exp"), claims.get("iat")
        if not isinstance(ends, int | float) or not isinstance(begins, int | float):
            raise UnexpectedAnswer("The token exchange gave a token without exp and iat.")
        if self._provider == "id-porten":
            # Its end is the one of the login, not half an hour from the exchange.
            return Token(value, asked + life(ends - self._http.clock.wall()), str(claims.get("scope", "")))
        return Token(value, asked + life(ends - begins), str(claims.get("scope", "")))

    def auth(self) -> Any:
        """An `httpx2.Auth` for HTTP clients of your own, blocking or asynchronous."""
        from ._auth import auth_of

        return auth_of(self)

    def __repr__(self) -> str:
        return f"AltinnTokens({self._source!r}, environment={self._environment.name!r})"


def _refusal(status: int, name: str) -> str:
    if status == 401:
        return (
            f"The token exchange of {name} does not accept the provider's token (401); "
            "are integration and environment of the same kind, test or production?"
        )
    if status == 403:
        return f"The token exchange of {name} needs a token with an altinn: scope (403)."
    if status == 410:
        return f"The token exchange of {name} no longer serves enterprise users (410); use a system user."
    return f"The token exchange of {name} answered {status}."
