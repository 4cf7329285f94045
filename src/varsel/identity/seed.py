"""What a fresh installation knows: Digdir, the prefix `altinn` with its scopes, the test department, and in a sandbox some
synthetic organisations and people. Written again at every start; what an operator changed stays.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from varsel.identity.registry import Names, add_member, add_person, register_service_owner
from varsel.runtime.clock import Machine
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")

DIGDIR: Final = "991825827"
_MACHINE: Final[dict[str, Any]] = {
    "visibility": "PUBLIC",
    "allowed_integration_types": ["maskinporten"],
    "delegation_source": "https://tt02.altinn.no/",
    "at_max_age": 0,
    "token_type": "SELF_CONTAINED",
}
_PERSON: Final[dict[str, Any]] = {
    "visibility": "PUBLIC",
    "allowed_integration_types": ["idporten", "ansattporten"],
    "accessible_for_all": True,
    "requires_user_authentication": True,
}
#: (prefix, subscope, description, attributes): docs/reference/identity.md 3.4, 3.8 and 7.3.
SCOPES: Final[tuple[tuple[str, str, str, dict[str, Any]], ...]] = (
    ("altinn", "serviceowner", "Service owner", {**_MACHINE, "at_max_age": 1000}),
    ("altinn", "serviceowner/notifications.create", "Order and follow notifications", _MACHINE),
    ("altinn", "serviceowner/notifications.composedemail.create", "Order composed e-mail", _MACHINE),
    ("altinn", "serviceowner/instances.read", "Read instances", _MACHINE),
    ("altinn", "serviceowner/instances.write", "Change instances", _MACHINE),
    ("altinn", "notifications.support.admin", "Support look-ups", {**_MACHINE, "visibility": "PRIVATE"}),
    (
        "altinn",
        "system/notifications.condition.check",
        "Ask a send condition",
        {**_MACHINE, "visibility": "INTERNAL"},
    ),
    ("altinn", "instances.read", "Read a person's instances", _PERSON),
    ("altinn", "instances.write", "Change a person's instances", _PERSON),
    ("altinn", "enduser", "End user", _PERSON),
    ("altinn", "portal/enduser", "End user in the portal", _PERSON),
    ("idporten", "dcr.read", "Read own clients", {**_MACHINE, "accessible_for_all": True}),
    ("idporten", "dcr.modify", "Change own clients", {**_MACHINE, "accessible_for_all": True}),
    ("idporten", "dcr.write", "Create clients", {**_MACHINE, "accessible_for_all": True}),
    ("idporten", "dcr/onbehalfof:write", "Manage sub-clients", {**_MACHINE, "visibility": "PRIVATE"}),
    ("idporten", "dcr.supplier", "Clients for other organisations", {**_MACHINE, "visibility": "PRIVATE"}),
    (
        "idporten",
        "token.introspection",
        "Ask about tokens",
        {"visibility": "PRIVATE", "allowed_integration_types": ["idporten", "api_klient"]},
    ),
    ("idporten", "scopes.write", "Manage scopes", {**_MACHINE, "visibility": "PRIVATE"}),
)
#: Synthetic service owners of the sandbox.
SANDBOX_OWNERS: Final = (
    ("testkommune", "312718286", "Testkommune"),
    ("testetaten", "311618032", "Testetaten"),
    ("provefylke", "310332712", "Prøvefylke"),
)
#: Synthetic people of the sandbox: (national number, name, role, organisation).
SANDBOX_PEOPLE: Final[tuple[tuple[str, str, str, str | None], ...]] = (
    ("17849012320", "Kari Prøve", "operator", None),
    ("17849012320", "Kari Prøve", "service-owner", DIGDIR),
    *(("17849012320", "Kari Prøve", "service-owner", number) for _, number, _ in SANDBOX_OWNERS),
)


async def seed(database: Database, machine: Machine, *, sandbox: bool) -> None:
    """Write what is missing."""
    async with database.transaction() as connection:
        await connection.execute(sql.insert_organisation, DIGDIR, "Digitaliseringsdirektoratet")
        for prefix in ("altinn", "idporten"):
            await connection.execute(sql.insert_prefix, prefix, DIGDIR)
        for prefix, subscope, description, attributes in SCOPES:
            await connection.execute(
                sql.insert_scope,
                f"{prefix}:{subscope}",
                prefix,
                subscope,
                description,
                DIGDIR,
                msgspec.json.encode(attributes).decode(),
            )
    known = {row["code"] for row in await database.fetch(sql.service_owners)}
    if "digdir" not in known:
        names = Names(
            "Digitaliseringsdirektoratet", "Digitaliseringsdirektoratet", "Norwegian Digitalisation Agency"
        )
        details = {"homepage": "https://www.digdir.no", "environments": ["tt02", "production"]}
        await register_service_owner(database, machine, "digdir", DIGDIR, names, details=details)
    if "ttd" not in known:
        names = Names("Testdepartement", "Testdepartement", "Test Ministry")
        details = {"environments": ["at22", "at23", "at24", "tt02", "yt01", "production"]}
        await register_service_owner(database, machine, "ttd", None, names, details=details)
    if sandbox:
        for code, number, name in SANDBOX_OWNERS:
            if code not in known:
                await register_service_owner(
                    database, machine, code, number, Names(name), details={"environments": ["tt02"]}
                )
                # Each can make scopes of its own: who has a prefix of the code's name already keeps it.
                await database.execute(sql.insert_prefix, code, number)
        for pid, name, role, organisation in SANDBOX_PEOPLE:
            await add_person(database, pid, name)
            await add_member(database, pid, organisation, role)
