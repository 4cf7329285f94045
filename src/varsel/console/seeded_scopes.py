"""What the scopes that come with Varsel are for, in Norwegian (bokmål).

The register keeps one description a scope, in English for those; owners write theirs in the language of their consumers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from varsel.identity.seed import SCOPES

NORWEGIAN: Final[Mapping[str, str]] = {
    "altinn:serviceowner": "Opptre som tjenesteeier",
    "altinn:serviceowner/notifications.create": "Bestille og følge varsler",
    "altinn:serviceowner/notifications.composedemail.create": "Bestille sammensatt e-post",
    "altinn:serviceowner/instances.read": "Lese instanser",
    "altinn:serviceowner/instances.write": "Endre instanser",
    "altinn:notifications.support.admin": "Oppslag for brukerstøtte",
    "altinn:system/notifications.condition.check": "Spørre om en sendebetingelse",
    "altinn:instances.read": "Lese instansene til en person",
    "altinn:instances.write": "Endre instansene til en person",
    "altinn:enduser": "Sluttbruker",
    "altinn:portal/enduser": "Sluttbruker i portalen",
    "idporten:dcr.read": "Lese egne klienter",
    "idporten:dcr.modify": "Endre egne klienter",
    "idporten:dcr.write": "Opprette klienter",
    "idporten:dcr/onbehalfof:write": "Administrere «på vegne av»",
    "idporten:dcr.supplier": "Klienter for andre virksomheter",
    "idporten:token.introspection": "Spørre om tokens",
    "idporten:scopes.write": "Administrere scopes",
}
_SEEDED: Final[Mapping[str, str]] = {
    f"{prefix}:{subscope}": description for prefix, subscope, description, _ in SCOPES
}


def described(name: str, description: str, language: str) -> str:
    """The description in the reader's language, as long as its owner has not written another."""
    if language == "nb" and _SEEDED.get(name) == description:
        return NORWEGIAN.get(name, description)
    return description
