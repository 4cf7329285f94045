"""The rules of an authorization request, without I/O (docs/reference/identity.md 7.2, 10.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from varsel.identity.encoding import b64url, sha256
from varsel.identity.idporten.errors import OpenIdError, UntrustedRequest

LEVELS: Final = ("idporten-loa-low", "idporten-loa-substantial", "idporten-loa-high")
_OLD_LEVELS: Final = {"Level3": LEVELS[1], "Level4": LEVELS[2]}
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_OPAQUE: Final = re.compile(r"[\x20-\x7e]{1,512}")
#: Hosts of addresses that a program on the person's own machine listens at (RFC 8252, 7.3).
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
ALWAYS: Final = frozenset({"openid", "profile"})
LOCALES: Final = ("nb", "nn", "en", "se")
MODES: Final = ("query", "form_post", "fragment")


@dataclass(frozen=True, slots=True)
class PersonClient:
    """A client that people log in to. `method` is how it proves itself at the token endpoint."""

    client_id: str
    organisation: str
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str] = frozenset()
    method: str = "none"
    native: bool = False
    post_logout_redirect_uris: tuple[str, ...] = ()
    frontchannel_logout_uri: str | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """Where and how the client wants its answer: a registered address, a response mode, the client's own `state`."""

    uri: str
    mode: str = "query"
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An authorization request that may be answered at its redirect URI."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str
    nonce: str
    challenge: str
    acr: str
    locale: str = "nb"
    response_mode: str = "query"
    prompt: str = ""
    resource: str | None = None

    @property
    def back(self) -> ReturnAddress:
        return ReturnAddress(self.redirect_uri, self.response_mode, self.state)

    def stored(self) -> dict[str, Any]:
        return asdict(self)


def one(params: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The single value of a parameter; a repeated one is an error (RFC 6749 3.1)."""
    values = params.get(name, ())
    if len(values) > 1:
        raise UntrustedRequest("invalid_request", f"{name} stands twice.")
    return values[0] if values else None


def redirect_allowed(client: PersonClient, uri: str) -> bool:
    """Exact match with a registered address; a native application's loopback address may vary its port (RFC 8252 7.3)."""
    if uri in client.redirect_uris:
        return True
    if not client.native:
        return False
    try:
        asked = urlsplit(uri)
        if asked.hostname not in LOOPBACK or asked.fragment or "@" in asked.netloc or asked.port is None:
            return False
        for registered in map(urlsplit, client.redirect_uris):
            same = (registered.scheme, registered.hostname, registered.path, registered.query)
            if same == (asked.scheme, asked.hostname, asked.path, asked.query):
                return True
    except ValueError:
        return False
    return False


def return_address(params: Mapping[str, Sequence[str]], client: PersonClient) -> ReturnAddress:
    """Where even a refusal goes; UntrustedRequest when the address is not the client's. An unknown mode is told in the query."""
    redirect_uri = one(params, "redirect_uri")
    if redirect_uri is None or not redirect_allowed(client, redirect_uri):
        raise UntrustedRequest("invalid_request", "redirect_uri is not registered for this client.")
    mode = one(params, "response_mode")
    return ReturnAddress(redirect_uri, mode if mode in MODES else "query", one(params, "state"))


def read_request(params: Mapping[str, Sequence[str]], client: PersonClient) -> Request:
    """The request by every rule. UntrustedRequest when it must be told here, OpenIdError when it may be told to the client."""
    back = return_address(params, client)
    challenge, method = one(params, "code_challenge"), one(params, "code_challenge_method")
    if method != "S256" or challenge is None or _CHALLENGE.fullmatch(challenge) is None:
        raise UntrustedRequest(
            "invalid_request", "code_challenge with code_challenge_method S256 is required."
        )
    if one(params, "response_type") != "code":
        raise OpenIdError("unsupported_response_type", "response_type must be code.")
    state, nonce = one(params, "state"), one(params, "nonce")
    if state is None or nonce is None or not _OPAQUE.fullmatch(state) or not _OPAQUE.fullmatch(nonce):
        raise OpenIdError("invalid_request", "state and nonce are required.")
    scopes = (one(params, "scope") or "").split(" ")
    if "openid" not in scopes or len(set(scopes)) != len(scopes):
        raise OpenIdError("invalid_scope", "scope must hold openid, and each scope once.")
    if not set(scopes) <= ALWAYS | client.scopes:
        raise OpenIdError("invalid_scope", "A scope is not registered for this client.")
    mode = one(params, "response_mode") or "query"
    if mode not in MODES:
        raise OpenIdError("invalid_request", f"response_mode must be one of {', '.join(MODES)}.")
    prompt = one(params, "prompt") or ""
    if prompt not in {"", "login", "none"}:
        raise OpenIdError("invalid_request", "prompt must be login or none.")
    locale = (one(params, "ui_locales") or "nb").split(" ")[0]
    return Request(
        client_id=client.client_id,
        redirect_uri=back.uri,
        scope=" ".join(scopes),
        state=state,
        nonce=nonce,
        challenge=challenge,
        acr=_level(one(params, "acr_values")),
        locale=locale if locale in LOCALES else "nb",
        response_mode=mode,
        prompt=prompt,
        resource=one(params, "resource"),
    )


def _level(text: str | None) -> str:
    """The first level asked for; substantial when none is. An unknown one is refused, never lowered."""
    if not text:
        return LEVELS[1]
    names = [_OLD_LEVELS.get(name, name) for name in text.split(" ")]
    if any(name not in LEVELS for name in names):
        raise OpenIdError("invalid_request", "acr_values holds an unknown level.")
    return names[0]


def at_least(level: object, asked: str) -> bool:
    """Whether a login's level satisfies what was asked for; unknown levels never do."""
    return isinstance(level, str) and level in LEVELS and LEVELS.index(level) >= LEVELS.index(asked)


def verifier_fits(verifier: str | None, challenge: str) -> bool:
    """RFC 7636 4.6 with S256."""
    if verifier is None or _VERIFIER.fullmatch(verifier) is None:
        return False
    return b64url(sha256(verifier)).decode() == challenge


def with_query(uri: str, **values: str) -> str:
    """The URI with more query parameters."""
    return f"{uri}{'&' if urlsplit(uri).query else '?'}{urlencode(values)}"
