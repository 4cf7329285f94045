"""Maskinporten and the Altinn token exchange in memory, as strict as the real ones (docs/reference/identity.md 2.5 to 2.9, 5)."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from varsel.client._clock import Clock
from varsel.client._environments import Environment
from varsel.client._jws import ALGORITHMS, b64url
from varsel.client._keys import SigningKey
from varsel.client._maskinporten import GRANT_TYPE
from varsel.client._tokens import claims_of, header_of

WINDOW = 10  # seconds
LONGEST_GRANT = 120  # seconds
TOKEN_SECONDS = 119
ALTINN_SECONDS = 1800

#: One key for all in a process: making one takes a while, and nothing here is worth protecting.
_OWN: dict[str, SigningKey] = {}


def own_key() -> SigningKey:
    if "own" not in _OWN:
        _OWN["own"] = SigningKey.generate("memory")
    return _OWN["own"]


@dataclass(frozen=True, slots=True)
class Client:
    """A registered integration."""

    client_id: str
    keys: Mapping[str, Mapping[str, str]]
    scopes: frozenset[str]
    organization: str
    code: str


class Refusal(Exception):
    """What the issuer says no with."""

    def __init__(self, error: str, text: str, code: str = "", status: int = 400) -> None:
        super().__init__(text)
        self.status = status
        self.error, self.text, self.code = error, text, code


class Issuer:
    """Issues Maskinporten tokens to registered clients and exchanges them."""

    def __init__(self, environment: Environment, clock: Clock, *, lenient: bool) -> None:
        self._environment = environment
        self._clock = clock
        self._lenient = lenient
        self._used: set[tuple[str, str]] = set()
        self.clients: dict[str, Client] = {}
        #: Scopes taken away from everybody.
        self.withdrawn: set[str] = set()
        self.revoked: set[str] = set()

    def metadata(self) -> dict[str, Any]:
        issuer = self._environment.maskinporten
        return {"issuer": issuer, "token_endpoint": f"{issuer}token", "jwks_uri": f"{issuer}jwk"}

    def grant(self, form: bytes) -> dict[str, Any]:
        """The answer to a token request; Refusal otherwise."""
        fields = parse_qs(form.decode("ascii", "replace"))
        if fields.get("grant_type") != [GRANT_TYPE]:
            raise Refusal("unsupported_grant_type", "Only jwt-bearer is served")
        assertion = fields.get("assertion", [""])[0]
        header, claims = header_of(assertion), claims_of(assertion)
        client = self.clients.get(str(claims.get("iss")))
        if client is None:
            raise Refusal("invalid_grant", "Client authentication failed. Client not found", "MP-100")
        if not self._lenient:
            self._check(assertion, header, claims, client)
        scopes = str(claims.get("scope", "")).split()
        if not set(scopes) <= client.scopes:
            raise Refusal("invalid_scope", "Token request contains invalid scopes for client", "MP-200")
        for scope in scopes:
            if scope in self.withdrawn:
                raise Refusal(
                    "forbidden", f"Consumer has not been granted access to the scope {scope}", "MP-250", 403
                )
        now = int(self._clock.wall())
        token = sign(
            {
                "iss": self._environment.maskinporten,
                "client_id": client.client_id,
                "scope": " ".join(scopes),
                "token_type": "Bearer",
                "consumer": {"authority": "iso6523-actorid-upis", "ID": f"0192:{client.organization}"},
                "iat": now,
                "exp": now + TOKEN_SECONDS + 1,
                "jti": b64url(uuid.uuid4().bytes * 2),
            }
        )
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": " ".join(scopes),
        }

    def _check(self, assertion: str, header: dict[str, Any], claims: dict[str, Any], client: Client) -> None:
        now = self._clock.wall()
        kid = header.get("kid")
        if header.get("alg") not in ALGORITHMS or kid is None:
            raise Refusal(
                "invalid_grant", "The client requires pre-registered jwk and no key identifier (kid) provided"
            )
        if kid not in client.keys:
            raise Refusal("invalid_grant", "Unknown key identifier (kid) for client")
        if not verified(assertion, client.keys[kid], header["alg"]):
            raise Refusal("invalid_grant", "Invalid assertion. Invalid JWT signature", "MP-124")
        if claims.get("aud") != self._environment.maskinporten:
            raise Refusal("invalid_grant", "Invalid assertion. Invalid JWT claim aud", "MP-110")
        issued, ends = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or not isinstance(ends, int):
            raise Refusal("invalid_grant", "Invalid assertion. Invalid parameter value", "MP-011")
        if issued > now + WINDOW:
            raise Refusal("invalid_grant", "Invalid assertion. Issue time is after now")
        if issued < now - WINDOW or ends < now or ends - issued > LONGEST_GRANT:
            raise Refusal("invalid_grant", "Invalid assertion. JWT is expired", "MP-130")
        used = (client.client_id, str(claims.get("jti")))
        if "jti" not in claims or used in self._used:
            raise Refusal("invalid_grant", "Invalid assertion. Grant is used before", "MP-012")
        self._used.add(used)

    def exchange(self, token: str) -> str | None:
        """The Altinn token; None when the token is not one of ours that lives."""
        if not verified(token, own_key().public_jwk(), "RS256"):
            return None
        claims = claims_of(token)
        now = int(self._clock.wall())
        if claims.get("iss") != self._environment.maskinporten or claims.get("exp", 0) <= now:
            return None
        client = self.clients[claims["client_id"]]
        service_owner = "altinn:serviceowner" in claims["scope"] and client.code
        return sign(
            {
                **{name: claims[name] for name in ("scope", "client_id", "consumer", "jti")},
                **({"urn:altinn:org": client.code} if service_owner else {}),
                "urn:altinn:orgNumber": client.organization,
                "iss": self._environment.issuer,
                "iat": now,
                "nbf": now,
                "exp": now + ALTINN_SECONDS,
                "sid": str(uuid.uuid4()),
            }
        )

    def caller(self, authorization: str) -> dict[str, Any] | None:
        """Claims of a good Altinn token; None otherwise."""
        token = authorization.removeprefix("Bearer ")
        claims = claims_of(token)
        good = (
            token not in self.revoked
            and claims.get("iss") == self._environment.issuer
            and claims.get("exp", 0) > self._clock.wall()
            and verified(token, own_key().public_jwk(), "RS256")
        )
        return claims if good else None


def sign(claims: Mapping[str, Any]) -> str:
    head = b64url(json.dumps({"alg": "RS256", "kid": "memory", "typ": "JWT"}).encode())
    body = b64url(json.dumps(claims).encode())
    return f"{head}.{body}.{b64url(own_key().sign(f'{head}.{body}'.encode()))}"


def verified(token: str, jwk: Mapping[str, str], alg: str) -> bool:
    """Whether the signature is by this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    signing_input, _, signature = token.rpartition(".")
    kinds = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
    n, e = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="), "big") for name in ("n", "e"))
    try:
        RSAPublicNumbers(e, n).public_key().verify(
            base64.urlsafe_b64decode(signature + "=="), signing_input.encode(), padding.PKCS1v15(), kinds[alg]
        )
    except (InvalidSignature, ValueError):
        return False
    return True
