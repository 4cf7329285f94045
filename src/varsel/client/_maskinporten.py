"""Tokens for machines: the signed grant, its metadata and its refusals (docs/reference/identity.md 2)."""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from . import _settings
from ._cache import TokenCache, life
from ._environments import Environment, is_loopback
from ._environments import environment as environment_named
from ._errors import ClientError, ClockSkew, ConfigurationError, UnexpectedAnswer, maskinporten_refusal
from ._flights import Flights
from ._flow import Answer, Flow, Request, join
from ._http import Http
from ._jws import Signer, signed
from ._keys import KID, SigningKey
from ._retry import persist
from ._tokens import Token, TokenSource, is_compact

log = logging.getLogger("varsel.client")

#: The scope that lets a service owner order notifications.
CREATE = "altinn:serviceowner/notifications.create"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
METADATA_SECONDS = 3600.0
METADATA_PAUSE = 60.0  # seconds between tries while old metadata serves through an outage
MARGIN = 10.0  # seconds before its end at which a token is renewed
TIMEOUT = 10.0  # seconds for one request
LONGEST_GRANT = 120  # seconds


class Maskinporten(TokenSource):
    """Fetches Maskinporten tokens for one integration. The key never leaves this machine; grants and tokens are never logged.

    client_id: the integration's identifier. key: a SigningKey, a signer, an EncodedJwk, or a JWK.
    scope: one or several, space separated or as a list. resource: audience restriction. consumer_org: the organisation that a
    supplier acts for. on_behalf_of: a registered sub-client. pid: the person the token is meant for. authorization_details: RFC 9396.
    kid: overrides the one in the key. token_url and audience replace the metadata, together.
    grant_seconds: life of a grant, at most 120. repair_clock: when refused for its clock alone, correct the grant by the server's
    `Date` and try once more.
    """

    def __init__(
        self,
        client_id: str,
        key: Signer | str | Mapping[str, Any],
        *,
        environment: str | Environment = "tt02",
        scope: str | Iterable[str] = CREATE,
        resource: str | Iterable[str] = (),
        consumer_org: str | None = None,
        on_behalf_of: str | None = None,
        pid: str | None = None,
        authorization_details: Iterable[Mapping[str, Any]] = (),
        kid: str | None = None,
        token_url: str | None = None,
        audience: str | None = None,
        grant_seconds: int = 60,
        repair_clock: bool = True,
        http: Http | None = None,
    ) -> None:
        self._http = http or Http()
        super().__init__(self._http)
        self.environment = environment_named(environment)
        self.client_id = client_id.strip()
        self._signer = _signer(key, kid)
        self._kid = kid or self._signer.kid
        self._scope = scopes_of(scope)
        self._resource = (resource,) if isinstance(resource, str) else tuple(resource)
        self._extra = _extra_claims(consumer_org, on_behalf_of, pid, authorization_details)
        self._grant_seconds = grant_seconds
        self._repair_clock = repair_clock
        self._offset = 0.0
        self._difference: float | None = None
        self._override = _override(token_url, audience)
        self._cache = TokenCache(self._http.clock, MARGIN)
        self._metadata: tuple[str, float] | None = None
        self._flights = Flights()
        if not self.client_id:
            raise ConfigurationError("client_id is missing: it is the identifier of the integration.")
        if not 1 <= grant_seconds <= LONGEST_GRANT:
            raise ConfigurationError(f"grant_seconds must be 1 to {LONGEST_GRANT}.")
        if not self._kid and not self._signer.certificates:
            raise ConfigurationError("The key has no kid; give the one under which it is registered.")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], **more: Any) -> Self:
        """From settings by Altinn's names (`ClientId`, `EncodedJwk`, `Scope` …), those of NAIS, pymaskinporten or `VARSEL_*`.

        `more` are keyword arguments of the constructor and win.
        """
        return cls(**{**_settings.maskinporten_arguments(settings), **more})

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None, **more: Any) -> Self:
        """As `from_mapping`, from environment variables."""
        return cls.from_mapping(os.environ if variables is None else variables, **more)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], section: str | None = None, **more: Any) -> Self:
        """As `from_mapping`, from a JSON or TOML file; `section` is a dotted path such as `SendConditionClient.MaskinportenSettings`."""
        return cls.from_mapping(_settings.read_file(path, section), **more)

    @property
    def http(self) -> Http:
        return self._http

    @property
    def scope(self) -> str:
        return self._scope

    @property
    def kid(self) -> str | None:
        return None if self._signer.certificates else self._kid

    @property
    def alg(self) -> str:
        return self._signer.alg

    @property
    def clock_offset(self) -> float:
        """Seconds that grants are corrected by, after Maskinporten refused one for its time; 0 while the clock is right."""
        return self._offset

    @property
    def clock_difference(self) -> float | None:
        """Seconds that Maskinporten's clock is ahead of this machine's, by the `Date` of its last answer; None before the first."""
        return self._difference

    def token(self, scope: str | Iterable[str] | None = None) -> Token:
        """A Maskinporten token that lives; other scopes than the integration's usual ones when named."""
        return self._blocking.run(self._token(scope))

    async def token_async(self, scope: str | Iterable[str] | None = None) -> Token:
        """As `token`, awaited."""
        return await self._awaiting.run(self._token(scope))

    def drop(self, token: Token) -> None:
        """Forget this very token, because somebody refused it."""
        self._cache.drop(token.value)

    def _token(self, scope: str | Iterable[str] | None = None) -> Flow[Token]:
        wanted = self._scope if scope is None else scopes_of(scope)
        return (yield from self._cache.get(self.key(wanted), lambda: self._fetch(wanted)))

    def key(self, scope: str | None = None) -> tuple[Any, ...]:
        """Everything that shapes a token."""
        wanted = self._scope if scope is None else scope
        return (
            self.environment.maskinporten,
            self._override,
            self.client_id,
            self._kid,
            tuple(sorted(wanted.split())),
            self._resource,
            json.dumps(self._extra, sort_keys=True),
        )

    def _fetch(self, scope: str) -> Flow[Token]:
        token_url, audience = self._override or (yield from self._discover())
        try:
            return (yield from self._request(token_url, audience, scope))
        except ClockSkew as skew:
            offset = _offset(skew.date, self._http.clock.wall())
            if not self._repair_clock or offset is None:
                raise
            # The correction stays: a clock that is wrong once is wrong the next time.
            self._offset = offset
            log.warning(
                "This machine's clock is off by about %.0f s; grants are corrected for it", abs(offset)
            )
            return (yield from self._request(token_url, audience, scope))

    def _request(self, token_url: str, audience: str, scope: str) -> Flow[Token]:
        clock = self._http.clock
        asked = 0.0

        def made() -> Flow[Request]:
            # A grant counts once: every try signs a new one.
            nonlocal asked
            asked = clock.steady()
            grant = yield from self.grant(audience, scope)
            form = urlencode({"grant_type": GRANT_TYPE, "assertion": grant})
            return Request(
                "POST",
                token_url,
                {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
                form.encode("ascii"),
                min(TIMEOUT, self._http.timeout),
            )

        answer = yield from persist(made, tries=self._http.tries, wall=clock.wall)
        self._difference = _difference(answer.headers.get("date", ""), clock.wall())
        return _read(answer, asked, scope)

    def grant(self, audience: str, scope: str) -> Flow[str]:
        """The signed grant (docs/reference/identity.md 2.5 and 2.6)."""
        header: dict[str, Any] = {"alg": self._signer.alg}
        if self._signer.certificates:
            header["x5c"] = [base64.b64encode(der).decode("ascii") for der in self._signer.certificates]
        else:
            header["kid"] = self._kid
        now = math.floor(self._http.clock.wall() + self._offset)
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.client_id,
            "scope": scope,
            "iat": now,
            "exp": now + self._grant_seconds,
            "jti": str(uuid.uuid4()),
            **({"resource": list(self._resource)} if self._resource else {}),
            **self._extra,
        }
        return signed(header, claims, self._signer)

    def _discover(self) -> Flow[tuple[str, str]]:
        """Token endpoint and audience. Metadata older than an hour is asked for again, and used while it cannot be had."""
        issuer = self.environment.maskinporten
        known = self._metadata
        if known is not None and self._http.clock.steady() < known[1]:
            return known[0], issuer
        try:
            endpoint = yield from join(self._flights, issuer, lambda: self._read_metadata(issuer))
        except ClientError:
            if known is None:
                raise
            self._metadata = (known[0], self._http.clock.steady() + METADATA_PAUSE)
            return known[0], issuer
        return endpoint, issuer

    def _read_metadata(self, issuer: str) -> Flow[str]:
        url = f"{issuer.rstrip('/')}/.well-known/oauth-authorization-server"

        def made() -> Flow[Request]:
            yield from ()
            return Request(
                "GET", url, {"accept": "application/json"}, timeout=min(TIMEOUT, self._http.timeout)
            )

        answer = yield from persist(made, tries=self._http.tries, wall=self._http.clock.wall)
        endpoint = _endpoint(answer, issuer)
        self._metadata = (endpoint, self._http.clock.steady() + METADATA_SECONDS)
        return endpoint

    def __repr__(self) -> str:
        return f"Maskinporten({self.client_id!r}, environment={self.environment.name!r}, scope={self._scope!r}, kid={self._kid!r})"


def scopes_of(scope: str | Iterable[str]) -> str:
    """Space-separated, each once, in the order given."""
    words = scope.split() if isinstance(scope, str) else [word for part in scope for word in part.split()]
    if not words:
        raise ConfigurationError("scope is missing; orders need " + CREATE + ".")
    return " ".join(dict.fromkeys(words))


def _signer(key: Signer | str | Mapping[str, Any], kid: str | None) -> Signer:
    if kid is not None and not KID.fullmatch(kid):
        raise ConfigurationError("kid may hold letters, digits, '.', '_' and '-' only.")
    if isinstance(key, str):
        return SigningKey.from_encoded_jwk(key, kid=kid)
    if isinstance(key, Mapping):
        return SigningKey.from_jwk(key, kid=kid)
    if isinstance(key, Signer):
        return key
    raise ConfigurationError("key must be a SigningKey, a signer, an EncodedJwk or a JWK.")


def _extra_claims(
    consumer_org: str | None,
    on_behalf_of: str | None,
    pid: str | None,
    authorization_details: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    if consumer_org and on_behalf_of:
        raise ConfigurationError("consumer_org and on_behalf_of exclude each other.")
    details = [dict(one) for one in authorization_details]
    return {
        **({"pid": pid} if pid else {}),
        **({"consumer_org": consumer_org} if consumer_org else {}),
        **({"iss_onbehalfof": on_behalf_of} if on_behalf_of else {}),
        **({"authorization_details": details} if details else {}),
    }


def _override(token_url: str | None, audience: str | None) -> tuple[str, str] | None:
    if token_url is None and audience is None:
        return None
    if token_url is None or audience is None:
        # With one of them alone a grant meant for one server could be handed to another.
        raise ConfigurationError("token_url and audience are given together or not at all.")
    _check_address(token_url, "token_url")
    return token_url, audience


def _check_address(url: str, what: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return parts.hostname or ""
    raise ConfigurationError(f"{what} must be an https address.")


def _endpoint(answer: Answer, issuer: str) -> str:
    """The token endpoint of metadata that can be believed: the issuer asked for, on the issuer's own host."""
    host = urlsplit(issuer).netloc
    try:
        found = answer.json() if answer.status == 200 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnexpectedAnswer(
            f"{host} answered {answer.status} without metadata of an authorization server; is the environment right?"
        )
    if found.get("issuer") != issuer:
        raise UnexpectedAnswer(
            f"The metadata at {host} belongs to another issuer than {issuer}; nothing is sent there."
        )
    endpoint = found.get("token_endpoint")
    if not isinstance(endpoint, str):
        raise UnexpectedAnswer(f"The metadata at {host} names no token endpoint.")
    theirs, ours = urlsplit(endpoint), urlsplit(issuer)
    if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
        raise UnexpectedAnswer(
            f"The metadata at {host} names a token endpoint elsewhere; nothing is sent there."
        )
    return endpoint


def _read(answer: Answer, asked: float, scope: str) -> Token:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        body = None
    if answer.status != 200:
        said = body if isinstance(body, dict) else {}
        error = _text(said.get("error")) or f"HTTP {answer.status}"
        raise maskinporten_refusal(
            answer.status,
            error,
            _text(said.get("error_description")),
            _text(said.get("error_uri")),
            answer.headers.get("date", ""),
        )
    if not isinstance(body, dict):
        raise UnexpectedAnswer("The token endpoint answered 200 without JSON; is the address right?")
    value, expires_in = body.get("access_token"), body.get("expires_in")
    if not isinstance(value, str) or not is_compact(value):
        raise UnexpectedAnswer("The token endpoint answered 200 without a token.")
    try:
        seconds = float(expires_in) if not isinstance(expires_in, bool) else 0.0  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    return Token(value, asked + life(seconds), _text(body.get("scope")) or scope)


def _text(value: Any) -> str:
    """At most 500 characters on one line, so that a hostile answer cannot flood a log."""
    return " ".join(value.split())[:500] if isinstance(value, str) else ""


def _difference(date: str, wall: float) -> float | None:
    """Seconds that the server is ahead; None when the answer carries no readable Date."""
    try:
        return parsedate_to_datetime(date).timestamp() - wall
    except (ValueError, TypeError, OverflowError):
        return None


def _offset(date: str, wall: float) -> float | None:
    """Seconds to add to this machine's time; None when the answer does not say or the clocks agree."""
    offset = _difference(date, wall)
    return offset if offset is not None and abs(offset) > 1 else None
