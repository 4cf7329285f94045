"""Tokens for people: login in the browser, authorization code with PKCE on a loopback address (docs/reference/identity.md 7, RFC 8252)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from ._cache import life
from ._environments import Environment, is_loopback
from ._environments import environment as environment_named
from ._errors import ConfigurationError, LoginRefused, UnexpectedAnswer
from ._flow import Answer, Flow, Request, send
from ._http import Http
from ._jws import Signer, signed
from ._maskinporten import scopes_of
from ._tokens import Token, TokenSource, is_compact

PATIENCE = 300.0  # seconds for a person to log in
TIMEOUT = 10.0  # seconds for one request
SKEW = 10  # seconds
_LEVELS = {"idporten-loa-low": 0, "idporten-loa-substantial": 3, "idporten-loa-high": 4}
_DONE = """<!doctype html><html lang="nb"><meta charset="utf-8"><title>Varsel</title>
<style>body{font:18px system-ui;margin:15vh auto;max-width:32em;padding:0 1em}</style>
<h1>%s</h1><p>%s</p></html>"""


@dataclass(frozen=True, slots=True)
class _Provider:
    issuer: str
    authorize: str
    token: str
    jwks: str


class IdPorten(TokenSource):
    """Logs a person in through the browser and keeps the token until it ends.

    client_id: a client that may use a loopback redirect. scope: `openid` is added. key: for private_key_jwt; client_secret: for
    client_secret_basic; neither for a public client. level: lowest security level to accept. port: of the loopback address; 0 takes a
    free one. open_browser: gets the address of the login page; the default opens the browser.
    """

    def __init__(
        self,
        client_id: str,
        *,
        environment: str | Environment = "tt02",
        scope: str | Iterable[str] = "openid altinn:instances.read",
        key: Signer | None = None,
        client_secret: str | None = None,
        level: str = "idporten-loa-substantial",
        locale: str = "nb",
        port: int = 0,
        path: str = "/callback",
        open_browser: Callable[[str], Any] | None = None,
        http: Http | None = None,
    ) -> None:
        self._http = http or Http()
        super().__init__(self._http)
        if level not in _LEVELS:
            raise ConfigurationError(f"level must be one of {', '.join(_LEVELS)}.")
        self.environment = environment_named(environment)
        self.client_id = client_id
        self._scope = scopes_of(["openid", *([scope] if isinstance(scope, str) else scope)])
        self._key, self._secret = key, client_secret
        self._level, self._locale, self._port, self._path = level, locale, port, path
        self._open = open_browser or _open_browser
        self._kept: Token | None = None
        self._refresh = ""

    @property
    def http(self) -> Http:
        return self._http

    @property
    def scope(self) -> str:
        return self._scope

    def key(self, scope: str | None = None) -> tuple[str, ...]:
        """Everything that shapes a token, the person apart: one object is one person's login."""
        return (self.environment.idporten, self.client_id, scope or self._scope)

    def drop(self, token: Token) -> None:
        """Forget this very token."""
        if self._kept is not None and self._kept.value == token.value:
            self._kept = None

    def login(self) -> Token:
        """Open the browser, wait for the person, and keep the token. LoginRefused when it ends otherwise."""
        provider = self._blocking.run(self._discover())
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        with _Loopback(self._port, self._path) as loopback:
            address = self._login_address(provider, loopback.address, state, nonce, verifier)
            self._open(address)
            answer = loopback.wait(state, PATIENCE)
        code = _code(answer, provider.issuer)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": loopback.address,
            "code_verifier": verifier,
        }
        return self._blocking.run(self._redeem(provider, form, nonce))

    async def login_async(self) -> Token:
        """As `login`, while the event loop goes on."""
        return await asyncio.to_thread(self.login)

    def _token(self, scope: str | Iterable[str] | None = None) -> Flow[Token]:
        now = self._http.clock.steady()
        if self._kept is not None and now < self._kept.expires - SKEW:
            return self._kept
        if not self._refresh:
            raise LoginRefused("Nobody is logged in, or the login has ended; call login().")
        provider = yield from self._discover()
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh}
        return (yield from self._redeem(provider, form, None))

    def _login_address(
        self, provider: _Provider, redirect: str, state: str, nonce: str, verifier: str
    ) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect,
            "scope": self._scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode("ascii"),
            "code_challenge_method": "S256",
            "acr_values": self._level,
            "ui_locales": self._locale,
        }
        return f"{provider.authorize}?{urlencode(query, quote_via=quote)}"

    def _discover(self) -> Flow[_Provider]:
        issuer = self.environment.idporten
        url = f"{issuer}/.well-known/openid-configuration"
        answer = yield from send(Request("GET", url, {"accept": "application/json"}, timeout=TIMEOUT))
        found = _object(answer, "metadata of an OpenID provider")
        if found.get("issuer") != issuer:
            raise UnexpectedAnswer(
                f"The metadata belongs to another issuer than {issuer}; nothing is sent there."
            )
        return _Provider(
            issuer,
            _address(found, "authorization_endpoint"),
            _address(found, "token_endpoint", issuer),
            _address(found, "jwks_uri", issuer),
        )

    def _redeem(self, provider: _Provider, form: Mapping[str, str], nonce: str | None) -> Flow[Token]:
        asked = self._http.clock.steady()
        body = {**form, "client_id": self.client_id}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if self._key is not None:
            body["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            body["client_assertion"] = yield from self._assertion(provider.issuer, self._key)
        elif self._secret is not None:
            pair = f"{quote(self.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
        request = Request("POST", provider.token, headers, urlencode(body).encode("ascii"), TIMEOUT)
        answer = yield from send(request)
        if answer.status != 200:
            self._refresh = ""
            raise LoginRefused(*_said(answer))
        found = _object(answer, "a token")
        if nonce is not None:
            yield from self._check_id_token(provider, found.get("id_token"), nonce)
        value, seconds, refresh = (
            found.get(name) for name in ("access_token", "expires_in", "refresh_token")
        )
        if not isinstance(value, str) or not is_compact(value) or not isinstance(seconds, int | float):
            raise UnexpectedAnswer("The login provider answered without a usable access token.")
        self._refresh = refresh if isinstance(refresh, str) else ""
        self._kept = Token(value, asked + life(seconds), self._scope)
        return self._kept

    def _assertion(self, audience: str, key: Signer) -> Flow[str]:
        now = math.floor(self._http.clock.wall())
        claims = {
            "aud": audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(16),
        }
        return (yield from signed({"alg": key.alg, "kid": key.kid}, claims, key))

    def _check_id_token(self, provider: _Provider, id_token: Any, nonce: str) -> Flow[None]:
        """Signature, issuer, audience, nonce, end and level of the ID token."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        answer = yield from send(
            Request("GET", provider.jwks, {"accept": "application/json"}, timeout=TIMEOUT)
        )
        keys = _object(answer, "the keys of the login provider")
        try:
            claims = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=["RS256"]).claims  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            raise LoginRefused("The ID token of the login is not signed by the provider.") from None
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        ends = claims.get("exp")
        if (
            claims.get("iss") != provider.issuer
            or self.client_id not in audiences
            or not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode())
            or not isinstance(ends, int | float)
            or ends + SKEW < self._http.clock.wall()
        ):
            raise LoginRefused("The ID token belongs to another login.")
        if _LEVELS.get(str(claims.get("acr")), -1) < _LEVELS[self._level]:
            raise LoginRefused(f"The login was at a lower level than {self._level}.")

    def __repr__(self) -> str:
        return f"IdPorten({self.client_id!r}, environment={self.environment.name!r})"


class _Loopback:
    """A listener on 127.0.0.1 that takes one answer of the provider."""

    def __init__(self, port: int, path: str) -> None:
        from http.server import BaseHTTPRequestHandler, HTTPServer

        answers: list[dict[str, str]] = []
        self._answers = answers

        class Handler(BaseHTTPRequestHandler):
            timeout = (
                5  # seconds; a browser that opens a connection and says nothing must not hold up the login
            )

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                known = parts.path == path
                if known:
                    answers.append({name: values[0] for name, values in parse_qs(parts.query).items()})
                page = _page(answers[-1] if known else {}) if known else b""
                self.send_response(200 if known else 404)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(page)))
                self.send_header("cache-control", "no-store")
                self.send_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                """Nothing: the address holds the code."""

        try:
            self._server = HTTPServer(("127.0.0.1", port), Handler)
        except OSError:
            raise ConfigurationError(f"Port {port} is taken; choose another for the login.") from None
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def wait(self, state: str, seconds: float) -> dict[str, str]:
        """The answer that carries this state; others, which anybody could send, are passed over."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._server.timeout = left
            self._server.handle_request()
            while self._answers:
                answer = self._answers.pop()
                if hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
                    return answer
        raise LoginRefused(f"Nobody logged in within {seconds:g} seconds.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


def _open_browser(address: str) -> None:
    import webbrowser

    webbrowser.open(address)


def _page(answer: Mapping[str, str]) -> bytes:
    if "code" in answer:
        words = ("Innloggingen er fullført", "Du kan lukke vinduet. You may close this window.")
    else:
        words = ("Innloggingen ble avbrutt", "Du kan lukke vinduet. The login was not completed.")
    return (_DONE % words).encode()


def _code(answer: Mapping[str, str], issuer: str) -> str:
    if "error" in answer:
        said = " ".join(answer.get("error_description", "").split())[:300]
        raise LoginRefused(
            f"The login was refused ({answer['error'][:60]})" + (f": {said}" if said else "."),
            error=answer["error"][:60],
        )
    # RFC 9207: an answer of another provider must not be redeemed here.
    if answer.get("iss", issuer) != issuer:
        raise LoginRefused("The answer came from another login provider.")
    if not answer.get("code"):
        raise LoginRefused("The login ended without a code.")
    return answer["code"]


def _said(answer: Answer) -> tuple[str]:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        found = None
    found = found if isinstance(found, dict) else {}
    error = str(found.get("error", f"HTTP {answer.status}"))[:60]
    said = " ".join(str(found.get("error_description", "")).split())[:300]
    return (f"The login provider refused ({error})" + (f": {said}" if said else ".") + " Log in again.",)


def _object(answer: Answer, what: str) -> dict[str, Any]:
    try:
        found = answer.json() if answer.status == 200 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnexpectedAnswer(f"The login provider answered {answer.status} without {what}.")
    return found


def _address(found: Mapping[str, Any], name: str, issuer: str | None = None) -> str:
    """An https address of the metadata; on the issuer's own host where secrets are sent to it or trust is taken from it."""
    url = found.get(name)
    parts = urlsplit(url) if isinstance(url, str) else None
    secure = parts is not None and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
    elsewhere = parts is not None and issuer is not None and parts.netloc != urlsplit(issuer).netloc
    if not secure or elsewhere or not isinstance(url, str):
        raise UnexpectedAnswer(f"The metadata of the login provider has no usable {name}.")
    return url
