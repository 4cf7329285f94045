"""Bodies of the self-service API: reading with rules, and writing (docs/reference/identity.md 3.5 and 3.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from varsel.identity.idporten.rules import LOOPBACK
from varsel.identity.numbers import is_nine_digits
from varsel.identity.selfservice.errors import FieldError, SelfServiceError, invalid
from varsel.runtime.outbound_rules import literal_private
from varsel.runtime.times import OSLO

KINDS: Final = ("maskinporten", "idporten", "api_klient", "ansattporten", "krr", "eformidling")
PERSON_KINDS: Final = ("idporten", "api_klient", "ansattporten")
_METHODS: Final = ("private_key_jwt", "client_secret_basic", "client_secret_post", "none")
_APPLICATIONS: Final = ("web", "browser", "native")
_URI_LISTS: Final = ("redirect_uris", "post_logout_redirect_uris")
_LIFETIMES: Final = {
    "authorization_lifetime": 12 * 3600,
    "access_token_lifetime": 3600,
    "refresh_token_lifetime": 12 * 3600,
}
_SUBSCOPE: Final = re.compile(r"[a-z0-9]+(?:/[a-z0-9]+)*(?:\.[a-z0-9]+)?")
_PREFIX: Final = re.compile(r"[a-z0-9]{1,40}")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_PRINTABLE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_VISIBILITIES: Final = ("PUBLIC", "PRIVATE", "INTERNAL")
MOST_SCOPES: Final = 100


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise SelfServiceError(400, "invalid_request", "The body must be a JSON object.")
    return value


def read_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise SelfServiceError(400, "invalid_request", "The body is not JSON.") from None


def _text(
    body: Mapping[str, Any], name: str, longest: int, faults: list[FieldError], *, needed: bool = False
) -> str:
    value = body.get(name)
    if value is None and not needed:
        return ""
    if (
        not isinstance(value, str)
        or len(value) > longest
        or _CONTROL.search(value)
        or (needed and not value.strip())
    ):
        faults.append(FieldError(name, f"{name} must be a text of at most {longest} characters."))
        return ""
    return value


@dataclass(frozen=True, slots=True)
class ClientDraft:
    """An integration as a caller wants it."""

    kind: str
    name: str
    description: str
    scopes: tuple[str, ...]
    settings: Mapping[str, Any]
    organisation: str | None = None
    client_id: str | None = None


def read_client(body: Mapping[str, Any], *, sandbox: bool) -> ClientDraft:
    """The body of a create or replace; all faults at once."""
    faults: list[FieldError] = []
    kind = body.get("integration_type")
    if kind not in KINDS:
        faults.append(FieldError("integration_type", f"integration_type must be one of {', '.join(KINDS)}."))
        kind = "maskinporten"
    name = _text(body, "client_name", 255, faults, needed=True)
    description = _text(body, "description", 1000, faults)
    scopes = body.get("scopes")
    if scopes is None:
        scopes = []
    if (
        not isinstance(scopes, list)
        or len(scopes) > MOST_SCOPES
        or not all(isinstance(scope, str) and _PRINTABLE.fullmatch(scope) for scope in scopes)
    ):
        faults.append(FieldError("scopes", f"scopes must be an array of at most {MOST_SCOPES} scope names."))
        scopes = []
    settings = _settings(body, kind, faults, sandbox=sandbox)
    organisation = body.get("client_orgno")
    if organisation is not None and not is_nine_digits(organisation):
        faults.append(FieldError("client_orgno", "client_orgno must have nine digits."))
        organisation = None
    client_id = body.get("client_id")
    if client_id is not None and not isinstance(client_id, str):
        faults.append(FieldError("client_id", "client_id is a text."))
    if faults:
        raise invalid(*faults)
    return ClientDraft(
        kind, name.strip(), description, tuple(dict.fromkeys(scopes)), settings, organisation, client_id
    )


def _settings(
    body: Mapping[str, Any], kind: str, faults: list[FieldError], *, sandbox: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    method = body.get("token_endpoint_auth_method", "private_key_jwt")
    if method not in _METHODS or (kind == "maskinporten" and method != "private_key_jwt"):
        faults.append(
            FieldError(
                "token_endpoint_auth_method", "token_endpoint_auth_method does not fit the integration type."
            )
        )
    found["token_endpoint_auth_method"] = method
    if "grant_types" in body:
        grants = body["grant_types"]
        if not isinstance(grants, list) or not all(
            isinstance(one, str) and _PRINTABLE.fullmatch(one) for one in grants
        ):
            faults.append(FieldError("grant_types", "grant_types must be an array of texts."))
        else:
            found["grant_types"] = grants
    if "application_type" in body and body["application_type"] is not None:
        if body["application_type"] not in _APPLICATIONS:
            faults.append(
                FieldError("application_type", f"application_type must be one of {', '.join(_APPLICATIONS)}.")
            )
        else:
            found["application_type"] = body["application_type"]
    for name, highest in _LIFETIMES.items():
        value = body.get(name)
        if value is None:
            continue
        if type(value) is not int or not 0 <= value <= highest:
            faults.append(FieldError(name, f"{name} must be a number of seconds from 0 to {highest}."))
        else:
            found[name] = value
    usage = body.get("refresh_token_usage")
    if usage is not None:
        if usage not in {"ONETIME", "REUSE"}:
            faults.append(FieldError("refresh_token_usage", "refresh_token_usage must be ONETIME or REUSE."))
        found["refresh_token_usage"] = usage
    where = body.get("jwks_uri")
    if isinstance(where, str) and "://" in where:
        faults.append(
            FieldError("jwks_uri", "Keys are registered here; an address of keys elsewhere is not fetched.")
        )
    if kind in PERSON_KINDS:
        _person_settings(body, found, faults, sandbox=sandbox)
    return found


def _person_settings(
    body: Mapping[str, Any], found: dict[str, Any], faults: list[FieldError], *, sandbox: bool
) -> None:
    native = body.get("application_type") == "native"
    for name in _URI_LISTS:
        value = body.get(name)
        if value is None:
            continue
        if (
            not isinstance(value, list)
            or len(value) > 50
            or not all(
                isinstance(one, str) and is_client_uri(one, sandbox=sandbox, native=native) for one in value
            )
        ):
            faults.append(
                FieldError(name, f"{name} must be an array of absolute https addresses without fragment.")
            )
        else:
            found[name] = value
    for name in ("client_uri", "frontchannel_logout_uri"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not is_client_uri(value, sandbox=sandbox):
            faults.append(FieldError(name, f"{name} must be an absolute https address."))
        else:
            found[name] = value
    for name in ("frontchannel_logout_session_required", "sso_disabled"):
        if isinstance(body.get(name), bool):
            found[name] = body[name]
    if body.get("code_challenge_method") not in {None, "S256"}:
        faults.append(FieldError("code_challenge_method", "code_challenge_method must be S256."))


def is_client_uri(uri: str, *, sandbox: bool, native: bool = False) -> bool:
    """An absolute https address that is not private; this machine, also over http, for native applications; anything in a sandbox."""
    if not 1 <= len(uri) <= 2048 or not uri.isascii() or not uri.isprintable() or set(uri) & set(' \\<>"'):
        return False
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if (
        not host
        or _AUTHORITY.fullmatch(parts.netloc) is None
        or parts.fragment
        or "#" in uri
        or "@" in parts.netloc
    ):
        return False
    loopback = host in LOOPBACK
    if parts.scheme not in {"http", "https"}:
        return False
    if sandbox or (native and loopback):
        return True
    return parts.scheme == "https" and not literal_private(uri)


def client_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """An integration as it is shown."""
    settings = _json(row["settings"])
    kind = row["kind"]
    defaults: dict[str, Any] = {
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        if kind == "maskinporten"
        else ["authorization_code", "refresh_token"],
        "application_type": "web",
        "authorization_lifetime": 0,
        "access_token_lifetime": 0,
        "refresh_token_lifetime": 0,
        "refresh_token_usage": "ONETIME",
    }
    body: dict[str, Any] = {
        "client_id": str(row["id"]),
        "client_name": row["name"],
        "description": row["description"],
        "integration_type": kind,
        "scopes": list(row["scopes"]),
        **defaults,
        **settings,
        "client_orgno": row["organisation"],
        "active": row["active"],
        "created": when(row["created_at"]),
        "last_updated": when(row["updated_at"]),
        "jwks_uri": f"/clients/{row['id']}/jwks",
    }
    if row["supplier"] is not None:
        body["supplier_orgno"] = row["supplier"]
    return body


@dataclass(frozen=True, slots=True)
class ScopeDraft:
    """A scope as its owner wants it."""

    prefix: str
    subscope: str
    description: str
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.prefix}:{self.subscope}"


def is_subscope(text: object) -> bool:
    """`words/with/slashes.end`: small letters and digits; at most 255 characters, checked first, in linear time."""
    return isinstance(text, str) and 2 <= len(text) <= 255 and _SUBSCOPE.fullmatch(text) is not None


def read_scope(body: Mapping[str, Any]) -> ScopeDraft:
    """The body of a create or replace; all faults at once."""
    faults: list[FieldError] = []
    prefix, subscope = body.get("prefix"), body.get("subscope")
    if not isinstance(prefix, str) or _PREFIX.fullmatch(prefix) is None:
        faults.append(FieldError("prefix", "prefix must be small letters and digits.", "Scope"))
    if not is_subscope(subscope):
        faults.append(
            FieldError("subscope", "subscope must be small letters and digits with single slashes.", "Scope")
        )
    description = _text(body, "description", 255, faults)
    attributes: dict[str, Any] = {"visibility": "PRIVATE", "allowed_integration_types": ["maskinporten"]}
    long_description = _text(body, "long_description", 4000, faults)
    if long_description:
        attributes["long_description"] = long_description
    visibility = body.get("visibility")
    if visibility == "INTERAL":  # as the public documentation spells it
        visibility = "INTERNAL"
    if visibility is not None:
        if visibility not in _VISIBILITIES:
            faults.append(
                FieldError("visibility", "visibility must be PUBLIC, PRIVATE or INTERNAL.", "Scope")
            )
        attributes["visibility"] = visibility
    kinds = body.get("allowed_integration_types")
    if kinds is not None:
        if not isinstance(kinds, list) or not all(kind in KINDS for kind in kinds):
            faults.append(FieldError("allowed_integration_types", "An integration type is unknown.", "Scope"))
        attributes["allowed_integration_types"] = kinds
    for name in (
        "accessible_for_all",
        "requires_user_authentication",
        "requires_user_consent",
        "requires_pseudonymous_tokens",
    ):
        if isinstance(body.get(name), bool):
            attributes[name] = body[name]
    for name in ("at_max_age", "authorization_max_lifetime"):
        value = body.get(name)
        if value is not None:
            if type(value) is not int or not 0 <= value <= 86400:
                faults.append(FieldError(name, f"{name} must be a number of seconds.", "Scope"))
            attributes[name] = value
    source = body.get("delegation_source")
    if source is not None:
        if source not in DELEGATION_SOURCES.values():
            faults.append(FieldError("delegation_source", "This delegation source is not known.", "Scope"))
        attributes["delegation_source"] = source
    if faults:
        raise invalid(*faults)
    return ScopeDraft(str(prefix), str(subscope), description, attributes)


#: Name -> issuer of the register that holds delegations (docs/reference/identity.md 3.5, 8).
DELEGATION_SOURCES: Final = {
    "altinn": "https://tt02.altinn.no/",
    "altinn-production": "https://www.altinn.no",
}


def scope_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """A scope as it is shown."""
    return {
        "name": row["name"],
        "prefix": row["prefix"],
        "subscope": row["subscope"],
        "description": row["description"],
        "owner_orgno": row["owner"],
        "active": row["active"],
        "token_type": "SELF_CONTAINED",
        **_json(row["attributes"]),
        "created": when(row["created_at"]),
        "last_updated": when(row["updated_at"]),
    }


def access_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """Who may use a scope."""
    return {
        "scope": row["scope"],
        "state": row["state"],
        "created": when(row["created_at"]),
        "last_updated": when(row["updated_at"]),
        "consumer_orgno": row["consumer"],
        "owner_orgno": row["owner"],
    }


def read_onbehalfof(body: Mapping[str, Any], name: str | None = None) -> tuple[str, str, dict[str, Any]]:
    """(name, organisation, details) of a sub-client."""
    faults: list[FieldError] = []
    given = body.get("onbehalfof", name) if name is None else name
    if not isinstance(given, str) or _NAME.fullmatch(given) is None:
        faults.append(
            FieldError("onbehalfof", "onbehalfof must be letters, digits, '.', '_' or '-'.", "OnBehalfOf")
        )
    organisation = body.get("orgno")
    if not is_nine_digits(organisation):
        faults.append(FieldError("orgno", "orgno must have nine digits.", "OnBehalfOf"))
    details = {key: text for key in ("name", "description") if (text := _text(body, key, 255, faults))}
    if faults:
        raise invalid(*faults)
    return str(given), str(organisation), details


def onbehalfof_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sub-client as it is shown."""
    return {
        "onbehalfof": row["name"],
        "orgno": row["organisation"],
        **_json(row["details"]),
        "created": when(row["created_at"]),
        "last_updated": when(row["updated_at"]),
    }


def when(moment: datetime) -> str:
    """ISO 8601 with Oslo's offset, as the public API writes it."""
    return moment.astimezone(OSLO).isoformat(timespec="seconds")


def _json(value: Any) -> dict[str, Any]:
    found = msgspec.json.decode(value) if isinstance(value, str) else value
    return dict(found)
