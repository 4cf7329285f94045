"""Where addresses, names and authorizations come from (docs/reference/delivery.md 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import asyncpg

from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.runtime.errors import DatabaseUnavailable, RegisterUnavailable
from varsel.store.database import Database
from varsel.store.queries import load

_sql: Final = load("varsel.recipients")
RESOURCE_PREFIX: Final = "urn:altinn:resource:"


class Registers(Protocol):
    """The contact registers. Answers leave out what is unknown; every call raises RegisterUnavailable."""

    async def persons(self, nins: Sequence[str], *, use_stale: bool) -> dict[str, PersonContact]:
        """By national identity number; `use_stale` also gives details not confirmed for 18 months."""
        ...

    async def organizations(self, numbers: Sequence[str]) -> dict[str, OrganizationContact]:
        """Official addresses by organization number."""
        ...

    async def organization_users(self, numbers: Sequence[str], resource: str) -> dict[str, list[UserContact]]:
        """Users with addresses for a resource (its name without the URN prefix), by organization number; not yet authorized."""
        ...

    async def authorize(
        self, pairs: Iterable[tuple[str, str]], resource: str, action: str
    ) -> set[tuple[str, str]]:
        """Those of the pairs (user, party) that may do the action."""
        ...

    async def identities(self, urns: Sequence[str]) -> dict[str, IdentityContact]:
        """By URN as asked; letter case does not matter."""
        ...

    async def names(self, persons: Sequence[str], organizations: Sequence[str]) -> dict[str, str]:
        """Registered names by number; empty for somebody known without a name."""
        ...


class BuiltinRegisters:
    """The built-in contacts, one query a question. Outside a sandbox a user is authorized for the resources named for it only."""

    def __init__(self, database: Database, sandbox: bool) -> None:
        self._database = database
        self._sandbox = sandbox

    async def close(self) -> None:
        """The database is its owner's to close."""

    async def persons(self, nins: Sequence[str], *, use_stale: bool) -> dict[str, PersonContact]:
        if not nins:
            return {}
        return {
            row["pid"]: PersonContact(row["email"], row["mobile"], row["reserved"])
            for row in await self._ask(_sql.persons, list(nins), use_stale)
        }

    async def organizations(self, numbers: Sequence[str]) -> dict[str, OrganizationContact]:
        if not numbers:
            return {}
        return {
            row["number"]: OrganizationContact(tuple(row["emails"]), tuple(row["mobiles"]))
            for row in await self._ask(_sql.organizations, list(numbers))
        }

    async def organization_users(self, numbers: Sequence[str], resource: str) -> dict[str, list[UserContact]]:
        del resource  # whom it concerns is told by `authorize`
        found: dict[str, list[UserContact]] = {}
        if numbers:
            for row in await self._ask(_sql.organization_users, list(numbers)):
                user = UserContact(row["pid"], row["number"], row["email"], row["mobile"])
                found.setdefault(row["number"], []).append(user)
        return found

    async def authorize(
        self, pairs: Iterable[tuple[str, str]], resource: str, action: str
    ) -> set[tuple[str, str]]:
        del action  # the built-in contacts know resources only
        asked = list(pairs)
        if not asked:
            return set()
        rows = await self._ask(
            _sql.authorized,
            [user for user, _ in asked],
            [party for _, party in asked],
            [resource, RESOURCE_PREFIX + resource],
            self._sandbox,
        )
        return {(row["pid"], row["number"]) for row in rows}

    async def identities(self, urns: Sequence[str]) -> dict[str, IdentityContact]:
        if not urns:
            return {}
        rows = {
            row["urn"]: IdentityContact(row["email"], row["mobile"])
            for row in await self._ask(_sql.identities, [urn.lower() for urn in urns])
        }
        return {urn: rows[urn.lower()] for urn in urns if urn.lower() in rows}

    async def names(self, persons: Sequence[str], organizations: Sequence[str]) -> dict[str, str]:
        if not persons and not organizations:
            return {}
        return {
            row["number"]: row["name"]
            for row in await self._ask(_sql.registered_names, list(persons), list(organizations))
        }

    async def _ask(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        try:
            return await self._database.fetch(sql, *args)
        except DatabaseUnavailable as error:
            raise RegisterUnavailable from error
