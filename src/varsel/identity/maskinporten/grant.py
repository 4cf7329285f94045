"""The rules of a token grant, without I/O (docs/reference/identity.md 2.5 to 2.8 and 3.7).

The order of checks is that of 2.6, so that a grant with several faults always gets the same refusal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from varsel.identity.encoding import sha256
from varsel.identity.jws import RSA_ALL, MalformedToken, Reading, moment, read
from varsel.identity.maskinporten import errors as rules
from varsel.identity.maskinporten.errors import Refusal
from varsel.identity.numbers import is_national, is_nine_digits

WINDOW: Final = 10
LONGEST: Final = 120
#: How long a used grant is remembered after it was made: its life plus skew on both sides.
REMEMBERED: Final = 140
MOST_SCOPES: Final = 50
MOST_RESOURCES: Final = 10
DEFAULT_LIFETIME: Final = 120
LONGEST_LIFETIME: Final = 3600
ACTOR: Final = "iso6523-actorid-upis"

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
_REFERENCE: Final = re.compile(r"[^\x00-\x1f]{1,255}")
_KNOWN: Final = frozenset(
    [
        "aud",
        "iss",
        "scope",
        "iat",
        "exp",
        "jti",
        "resource",
        "pid",
        "consumer_org",
        "iss_onbehalfof",
        "authorization_details",
        "nbf",
        "sub",
    ]
)


@dataclass(frozen=True, slots=True)
class Assertion:
    """A grant of the right form, not yet proven. `used_as` is what its single use is remembered under."""

    reading: Reading
    client_id: UUID
    used_as: bytes

    @property
    def claims(self) -> dict[str, Any]:
        return self.reading.payload

    def text(self, name: str) -> str | None:
        value = self.claims.get(name)
        return value if isinstance(value, str) else None

    @property
    def wanted(self) -> list[str]:
        """The scopes as they stand, for looking up; whether they are well written is decided later."""
        scopes = (self.text("scope") or "").split(" ")
        return [scope for scope in scopes if scope][:MOST_SCOPES]

    @property
    def system_user_organisation(self) -> str | None:
        """The organisation of a system user, for looking up."""
        details = self.claims.get("authorization_details")
        entry = details[0] if isinstance(details, list) and details else None
        party = entry.get("systemuser_org") if isinstance(entry, dict) else None
        return organisation_of(party)


def organisation_of(party: object) -> str | None:
    """The number of `{"authority": "iso6523-actorid-upis", "ID": "0192:…"}`; None for anything else."""
    if not isinstance(party, dict) or party.get("authority") != ACTOR:
        return None
    identifier = party.get("ID")
    if not isinstance(identifier, str) or not identifier.startswith("0192:"):
        return None
    number = identifier[5:]
    return number if is_nine_digits(number) else None


def party(number: str) -> dict[str, str]:
    """An organisation as tokens name it."""
    return {"authority": ACTOR, "ID": "0192:" + number}


@dataclass(frozen=True, slots=True)
class ScopeFacts:
    """What is known of one scope that a grant asks for."""

    name: str
    registered: bool
    attributes: Mapping[str, Any]
    granted_own: bool
    granted_consumer: bool
    delegated: bool


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What is known of the client, as of now."""

    client_id: UUID
    organisation: str
    supplier: str | None
    kind: str
    lifetime: int
    onbehalfof: str | None
    scopes: Sequence[ScopeFacts]
    system_user_undelegated: bool


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the token will say."""

    scope: str
    consumer: str
    supplier: str | None
    lifetime: int
    delegation_source: str | None = None
    audience: str | list[str] | None = None
    pid: str | None = None
    details: list[dict[str, Any]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def parse(assertion: str) -> Assertion:
    """Form, algorithm, payload and the client's name; MP-011 or MP-100."""
    try:
        reading = read(assertion, RSA_ALL)
    except MalformedToken:
        raise Refusal(rules.PARAMETER) from None
    issuer = reading.payload.get("iss")
    try:
        client = UUID(issuer) if isinstance(issuer, str) and len(issuer) == 36 else None
    except ValueError:
        client = None
    if client is None or str(client) != issuer:
        raise Refusal(rules.CLIENT)
    jti = reading.payload.get("jti")
    return Assertion(reading, client, sha256("jti:" + jti if isinstance(jti, str) else "grant:" + assertion))


def check_claims(
    assertion: Assertion, issuer: str, now: float, *, require_jti: bool, known_only: bool = False
) -> int:
    """Audience, times, jti: what stands before the single use. Returns `iat`."""
    claims = assertion.claims
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if audience != issuer:
        raise Refusal(rules.AUDIENCE)
    try:
        issued, expires, not_before = moment(claims, "iat"), moment(claims, "exp"), moment(claims, "nbf")
    except MalformedToken:
        raise Refusal(rules.PARAMETER) from None
    if issued is None or expires is None:
        raise Refusal(rules.PARAMETER)
    if issued >= now + WINDOW:
        raise Refusal(rules.FUTURE)
    if issued <= now - WINDOW - 1 or expires <= now - WINDOW:
        # `iat` was cut to whole seconds by its maker: up to one second of its age is rounding.
        raise Refusal(rules.EXPIRED)
    if expires < issued:
        raise Refusal(rules.EXPIRED)
    if expires - issued > LONGEST:
        raise Refusal(rules.PARAMETER)
    if not_before is not None and not_before > now + WINDOW:
        raise Refusal(rules.FUTURE)
    jti = claims.get("jti")
    if ("jti" in claims or require_jti) and not (isinstance(jti, str) and 1 <= len(jti) <= 255):
        raise Refusal(rules.PARAMETER)
    if "sub" in claims and claims["sub"] != claims["iss"]:
        raise Refusal(rules.PARAMETER)
    if known_only and not claims.keys() <= _KNOWN:
        raise Refusal(rules.PARAMETER)
    return issued


def decide(assertion: Assertion, client: ClientFacts) -> Allowed:
    """Claim formats, scopes, access and delegation: what stands after the single use."""
    claims = assertion.claims
    scope = claims.get("scope")
    names = scope.split(" ") if isinstance(scope, str) else []
    if not names or len(names) > MOST_SCOPES or len(set(names)) != len(names):
        raise Refusal(rules.SCOPE_FORM)
    if not all(_SCOPE.fullmatch(name) for name in names):
        raise Refusal(rules.SCOPE_FORM)
    pid = claims.get("pid")
    if "pid" in claims and not is_national(pid):
        raise Refusal(rules.PARAMETER)
    audience = _resources(claims)
    own = client.supplier or client.organisation
    consumer = _consumer(claims, client, own)
    details = _details(claims, client, own)
    assert isinstance(scope, str)
    _check_registered(client.scopes)
    delegated = consumer != own
    for facts in client.scopes:
        if delegated:
            if not facts.delegated or not facts.attributes.get("delegation_source"):
                words = f"Consumer {consumer} has not delegated access to the scope {facts.name} to supplier {own}"
                raise Refusal(rules.NOT_DELEGATED, words)
            if not (facts.granted_consumer or facts.attributes.get("accessible_for_all")):
                raise Refusal(rules.NOT_GRANTED, f"{rules.NOT_GRANTED.text} {facts.name}")
        elif not (facts.granted_own or facts.attributes.get("accessible_for_all")):
            raise Refusal(rules.NOT_GRANTED, f"{rules.NOT_GRANTED.text} {facts.name}")
    return Allowed(
        scope=scope,
        consumer=consumer,
        supplier=own if delegated else None,
        lifetime=_lifetime(client),
        delegation_source=next(
            (facts.attributes["delegation_source"] for facts in client.scopes if delegated), None
        ),
        audience=audience,
        pid=pid,
        details=details,
    )


def _resources(claims: Mapping[str, Any]) -> str | list[str] | None:
    """Absolute http(s) or urn URIs: an array, or one text as two widely used clients send it."""
    if "resource" not in claims:
        return None
    given = claims["resource"]
    entries = [given] if isinstance(given, str) else given
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_RESOURCES:
        raise Refusal(rules.PARAMETER)
    for entry in entries:
        if not isinstance(entry, str) or not is_absolute(entry):
            raise Refusal(rules.PARAMETER)
    return given if isinstance(given, str) else entries


def is_absolute(uri: str, schemes: Collection[str] = ("https", "http", "urn")) -> bool:
    """Whether this is an absolute URI of one of the schemes, printable and without user name."""
    if not 1 <= len(uri) <= 2048 or not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri:
        return False
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme not in schemes or "@" in parts.netloc:
        return False
    return bool(parts.path) if parts.scheme == "urn" else bool(host)


def _consumer(claims: Mapping[str, Any], client: ClientFacts, own: str) -> str:
    """The legal consumer: the client's own organisation, or another that has delegated."""
    if "consumer_org" in claims:
        consumer = claims["consumer_org"]
        if "iss_onbehalfof" in claims or not is_nine_digits(consumer):
            raise Refusal(rules.PARAMETER)
        if consumer == own:
            raise Refusal(rules.OWN_CONSUMER)
        assert isinstance(consumer, str)
        return consumer
    if "iss_onbehalfof" in claims:
        if client.onbehalfof is None:
            raise Refusal(rules.PARAMETER)
        return client.onbehalfof
    return client.organisation


def _details(claims: Mapping[str, Any], client: ClientFacts, own: str) -> list[dict[str, Any]] | None:
    """Rich authorization requests: one system user (2.8)."""
    if "authorization_details" not in claims:
        return None
    given = claims["authorization_details"]
    if not isinstance(given, list) or not given or not all(isinstance(entry, dict) for entry in given):
        raise Refusal(rules.DETAILS_VALUE)
    for entry in given:
        if entry.get("type") != "urn:altinn:systemuser":
            raise Refusal(rules.DETAILS_TYPE)
        if not entry.keys() <= {"type", "systemuser_org", "externalRef"}:
            raise Refusal(rules.DETAILS_FIELD)
    entry = given[0]
    number = organisation_of(entry.get("systemuser_org"))
    reference = entry.get("externalRef", "-")
    if (
        len(given) != 1
        or number is None
        or not isinstance(reference, str)
        or not _REFERENCE.fullmatch(reference)
    ):
        raise Refusal(rules.DETAILS_VALUE)
    if number != own and client.system_user_undelegated:
        raise Refusal(rules.DETAILS_VALUE)
    # There is no register of system users here: the same organisation, system and reference always give the same user.
    user = uuid5(client.client_id, f"{number}:{entry.get('externalRef', '')}")
    return [{**entry, "systemuser_id": [str(user)], "system_id": f"{own}_{client.client_id}"}]


def _check_registered(scopes: Sequence[ScopeFacts]) -> None:
    missing = [facts.name for facts in scopes if not facts.registered]
    if missing or not scopes:
        raise Refusal(rules.SCOPE_UNREGISTERED, f"{rules.SCOPE_UNREGISTERED.text}, {' '.join(missing)}")
    for facts in scopes:
        kinds = facts.attributes.get("allowed_integration_types")
        if kinds and "maskinporten" not in kinds:
            raise Refusal(rules.SCOPE_KIND, f"{rules.SCOPE_KIND.text}, {facts.name}")


def _lifetime(client: ClientFacts) -> int:
    """The lowest of the client's and every scope's number; 0 means none (3.7)."""
    limits = [client.lifetime or DEFAULT_LIFETIME, LONGEST_LIFETIME]
    for facts in client.scopes:
        highest = facts.attributes.get("at_max_age")
        if isinstance(highest, int) and highest > 0:
            limits.append(highest)
    return min(limits)
