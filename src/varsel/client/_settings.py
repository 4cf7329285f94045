"""Settings by the names that are in use around Maskinporten (docs/reference/identity.md 9.1), as constructor arguments.

| ours                    | VARSEL_SDK_…          | Altinn                                       | NAIS                           | others                        |
|-------------------------|-----------------------|----------------------------------------------|--------------------------------|-------------------------------|
| client_id               | CLIENT_ID             | ClientId                                     | MASKINPORTEN_CLIENT_ID         | mpClientId                    |
| key                     | ENCODED_JWK, KEY_FILE | EncodedJwk, JwkBase64, Jwk, EncodedX509,     | MASKINPORTEN_CLIENT_JWK        | encodedJwk, PRIVATE_KEY (PEM) |
|                         |                       | CertificatePkcs12Path + …Password            |                                |                               |
| kid                     | KID                   | Kid                                          |                                | mpKid, KID                    |
| scope                   | SCOPE                 | Scope                                        | MASKINPORTEN_SCOPES            | SCOPE                         |
| environment             | ENVIRONMENT           | Environment, Authority                       | MASKINPORTEN_ISSUER, …WELL_…   |                               |
| resource, consumer_org  | RESOURCE, CONSUMER_ORG| Resource, ConsumerOrgNo                      |                                |                               |
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._environments import ENVIRONMENTS, Environment, environment
from ._errors import ConfigurationError
from ._keys import SigningKey

_CLIENT_ID = ("VARSEL_SDK_CLIENT_ID", "ClientId", "MASKINPORTEN_CLIENT_ID", "mpClientId")
_KID = ("VARSEL_SDK_KID", "Kid", "mpKid", "KID")
_SCOPE = ("VARSEL_SDK_SCOPE", "Scope", "MASKINPORTEN_SCOPES", "SCOPE")
_ENCODED = ("VARSEL_SDK_ENCODED_JWK", "EncodedJwk", "JwkBase64", "encodedJwk")
_JWK = ("Jwk", "MASKINPORTEN_CLIENT_JWK")
_ENVIRONMENT = ("VARSEL_SDK_ENVIRONMENT", "Environment")
_ISSUER = ("Authority", "MASKINPORTEN_ISSUER", "MASKINPORTEN_WELL_KNOWN_URL")
_RESOURCE = ("VARSEL_SDK_RESOURCE", "Resource")
_CONSUMER = ("VARSEL_SDK_CONSUMER_ORG", "ConsumerOrgNo")
_WELL_KNOWN = ".well-known/oauth-authorization-server"


def maskinporten_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `Maskinporten`. ConfigurationError names what is missing, never a value."""
    for gone in ("EnterpriseUserName", "EnterpriseUserPassword"):
        if _first(settings, (gone,)):
            raise ConfigurationError(
                f"{gone} is set, but enterprise users no longer exist; use a system user, or ID-porten."
            )
    client_id = _first(settings, _CLIENT_ID)
    if not client_id:
        raise ConfigurationError(
            f"The integration's identifier is missing; set one of {', '.join(_CLIENT_ID)}."
        )
    kid = _first(settings, _KID)
    arguments: dict[str, Any] = {
        "client_id": client_id,
        "key": _key(settings, kid),
        "environment": environment_of(settings),
        "kid": kid,
        "scope": _first(settings, _SCOPE),
        "resource": _first(settings, _RESOURCE),
        "consumer_org": _first(settings, _CONSUMER),
    }
    return {name: value for name, value in arguments.items() if value is not None}


def environment_of(settings: Mapping[str, Any]) -> Environment | None:
    """The environment of the settings; None when they name none."""
    named = _first(settings, _ENVIRONMENT)
    issuer = _first(settings, _ISSUER)
    named = _first(settings, ("TokenExchangeEnvironment",)) or named
    found = environment(named) if named else None
    if issuer is None:
        return found
    issuer = issuer.removesuffix(_WELL_KNOWN)
    issuer = issuer if issuer.endswith("/") else issuer + "/"
    if found is None:
        if issuer == ENVIRONMENTS["production"].maskinporten:
            return ENVIRONMENTS["production"]
        if issuer == ENVIRONMENTS["tt02"].maskinporten:
            return ENVIRONMENTS["tt02"]
        if issuer.endswith("/maskinporten/"):
            return environment(issuer.removesuffix("/maskinporten/"))
        raise ConfigurationError(
            "The Maskinporten in the settings belongs to no known environment; name the environment too."
        )
    return replace(found, maskinporten=issuer)


def exchange_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `AltinnTokens`."""
    return {"test_org": _truth(_first(settings, ("VARSEL_SDK_TEST_ORG", "UseAltinnTestOrg")))}


def read_file(path: str | os.PathLike[str], section: str | None = None) -> Mapping[str, Any]:
    """Settings from a JSON or TOML file, or a section of it by its dotted path."""
    try:
        text = Path(path).read_text("utf-8-sig")
        found: Any = tomllib.loads(text) if str(path).endswith(".toml") else json.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no settings file {path}.") from None
    except (OSError, ValueError):
        # A parser's text may quote a secret.
        raise ConfigurationError(f"The settings file {path} is neither readable JSON nor TOML.") from None
    for name in (section or "").replace(":", ".").split("."):
        if name:
            found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ConfigurationError(f"The settings file {path} has no section {section!r}.")
    return found


def _key(settings: Mapping[str, Any], kid: str | None) -> Any:
    encoded = _first(settings, _ENCODED)
    if encoded:
        return SigningKey.from_encoded_jwk(encoded, kid=kid)
    for name in _JWK:
        jwk = settings.get(name)
        if jwk:
            return SigningKey.from_jwk(jwk, kid=kid)
    path = _first(settings, ("VARSEL_SDK_KEY_FILE",))
    if path:
        return SigningKey.from_file(path, kid=kid)
    pem = _first(settings, ("PRIVATE_KEY",))
    if pem:
        return SigningKey.from_pem(pem.replace("\\n", "\n"), kid=kid)
    password = _first(settings, ("CertificatePkcs12Password",))
    x509 = _first(settings, ("EncodedX509",))
    if x509:
        try:
            data = base64.b64decode(x509)
        except (binascii.Error, ValueError):
            raise ConfigurationError("EncodedX509 is not base64 of a PKCS#12 file.") from None
        return SigningKey.from_pkcs12(data, password=password)
    file = _first(settings, ("CertificatePkcs12Path",))
    if file:
        try:
            data = Path(file).read_bytes()
        except OSError:
            raise ConfigurationError(f"The certificate {file} cannot be read.") from None
        return SigningKey.from_pkcs12(data, password=password)
    if _first(settings, ("CertificateStoreThumbprint",)):
        raise ConfigurationError(
            "CertificateStoreThumbprint names a certificate in the store of Windows, which is not read here; "
            "export it and set CertificatePkcs12Path or EncodedX509."
        )
    raise ConfigurationError(
        f"The key is missing; set one of {', '.join((*_ENCODED, 'VARSEL_SDK_KEY_FILE', *_JWK))}."
    )


def _first(settings: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = settings.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, bool):
            return str(value)
    return None


def _truth(text: str | None) -> bool:
    return (text or "").lower() in {"1", "true", "yes", "on"}
