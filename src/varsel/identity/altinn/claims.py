"""The claims of Altinn tokens, without I/O (docs/reference/identity.md 5.3 to 5.5).

Only named claims are carried over, and nothing that starts with `urn:altinn:` ever comes from outside: whoever issued the
incoming token may not decide what we say about organisations, levels and users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from varsel.identity.maskinporten.grant import organisation_of
from varsel.identity.tokens import InvalidToken, scopes_of

MACHINE_LIFE: Final = 1800
_FROM_MACHINE: Final = (
    "scope",
    "token_type",
    "client_id",
    "jti",
    "consumer",
    "supplier",
    "delegation_source",
    "authorization_details",
    "pid",
)
_FROM_PERSON: Final = ("acr", "scope", "client_amr", "client_id", "consumer", "pid", "jti")
_LEVELS: Final = {"idporten-loa-low": 0, "idporten-loa-substantial": 3, "idporten-loa-high": 4}
PARTNER_SCOPES: Final = frozenset(
    {
        "skatteetaten:formueinntekt/skattemelding",
        "skatteetaten:mvameldinginnsending",
        "skatteetaten:mvameldingvalidering",
    }
)


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the party register knows them."""

    pid: str
    user_id: int
    party_id: int
    party_uuid: UUID
    username: str = ""


def consumer_of(claims: Mapping[str, Any]) -> str:
    """The organisation number of a Maskinporten token; InvalidToken unless it is exactly `0192:` and nine digits."""
    number = organisation_of(claims.get("consumer"))
    if number is None:
        raise InvalidToken("the token has no usable consumer")
    return number


def wants_code(claims: Mapping[str, Any]) -> bool:
    """Whether the scopes make the caller a service owner: `altinn:serviceowner` itself or something below it, nothing like it."""
    return any(
        scope == "altinn:serviceowner" or scope.startswith("altinn:serviceowner/")
        for scope in scopes_of(claims)
    )


def machine_claims(
    incoming: Mapping[str, Any],
    number: str,
    code: str | None,
    issuer: str,
    *,
    now: int,
    life: int = MACHINE_LIFE,
) -> dict[str, Any]:
    """The token of an organisation; `urn:altinn:org` only with a code."""
    claims = {name: incoming[name] for name in _FROM_MACHINE if name in incoming}
    if code is not None:
        claims["urn:altinn:org"] = code
    claims |= {
        "urn:altinn:orgNumber": number,
        "urn:altinn:authenticatemethod": "maskinporten",
        "urn:altinn:authlevel": 3,
        "iss": issuer,
        "sid": str(uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + life,
    }
    return claims


def may_exchange_person(claims: Mapping[str, Any]) -> bool:
    """Whether a person's token has a scope that Altinn takes: any `altinn:`, or a partner's."""
    scopes = scopes_of(claims)
    return bool(scopes & PARTNER_SCOPES) or any(scope.startswith("altinn:") for scope in scopes)


def level_of(acr: object) -> int:
    """The authentication level of an `acr`; InvalidToken for one that is not known."""
    if not isinstance(acr, str) or acr not in _LEVELS:
        raise InvalidToken("the token has an unknown acr")
    return _LEVELS[acr]


def person_claims(
    incoming: Mapping[str, Any], person: Person, issuer: str, now: int, exp: int
) -> dict[str, Any]:
    """The token of a person; it ends when the incoming one does."""
    amr = incoming.get("amr")
    method = amr[0] if isinstance(amr, list) and amr and isinstance(amr[0], str) else amr
    claims: dict[str, Any] = {
        "nameid": str(person.user_id),
        "urn:altinn:userid": str(person.user_id),
        "urn:altinn:username": person.username,
        "urn:altinn:partyid": person.party_id,
        "urn:altinn:party:uuid": str(person.party_uuid),
        "urn:altinn:authenticatemethod": method if isinstance(method, str) else "NotDefined",
        "urn:altinn:authlevel": level_of(incoming.get("acr")),
    }
    claims |= {name: incoming[name] for name in _FROM_PERSON if name in incoming}
    claims |= {"iss": issuer, "sid": str(uuid4()), "iat": now, "nbf": now, "exp": exp}
    return claims
