"""Service owners, integrations and keys: the acts that command line, portal and self-service API share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from varsel.identity import audit
from varsel.identity.audit import Event
from varsel.identity.clientkeys import KeyRefused, PublicKey, parse_set, shares_a_prime
from varsel.identity.encoding import uint
from varsel.identity.numbers import is_nine_digits
from varsel.runtime.clock import Machine
from varsel.runtime.endpoints import SCOPES, Policy
from varsel.runtime.errors import OperatorError, VarselError
from varsel.store.database import Connection, Database
from varsel.store.queries import load

sql = load("varsel.identity")

CREATE_SCOPE: Final = SCOPES[Policy.CREATE]
OPERATOR: Final = "operator"
_CODE_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class VersionConflict(VarselError):
    """Somebody else changed this in the meantime."""


@dataclass(frozen=True, slots=True)
class Names:
    """A name in bokmål, nynorsk and English; one is enough."""

    nb: str
    nn: str = ""
    en: str = ""


def _now(machine: Machine) -> datetime:
    return datetime.fromtimestamp(machine.time(), UTC)


async def register_organisation(database: Database | Connection, number: str, name: str) -> None:
    """An organisation by its number (nine digits); nothing happens when it is there."""
    if not is_nine_digits(number):
        raise OperatorError("An organisation number has nine digits.")
    await database.execute(sql.insert_organisation, number, name)


async def register_service_owner(
    database: Database,
    machine: Machine,
    code: str,
    number: str | None,
    names: Names,
    *,
    details: Mapping[str, Any] | None = None,
    actor: str = OPERATOR,
) -> None:
    """A service owner: short code, organisation number (None for a code without one), names.

    Grants the scope `altinn:serviceowner/notifications.create` to the organisation, as Digdir does. Repeating changes the names.
    """
    if not 1 <= len(code) <= 40 or not set(code) <= _CODE_CHARACTERS:
        raise OperatorError("A service owner's code is 1 to 40 small letters and digits.")
    if number is not None:
        holder = await database.fetchrow(sql.codes_of, [number])
        if holder is not None and holder["code"] != code:
            raise OperatorError(f"The organisation number belongs to the service owner {holder['code']}.")
    async with database.transaction() as connection:
        if number is not None:
            await register_organisation(connection, number, names.nb)
        await connection.execute(
            sql.upsert_service_owner,
            code,
            number,
            names.nb,
            names.nn or names.nb,
            names.en or names.nb,
            msgspec.json.encode(details or {}).decode(),
        )
        if number is not None:
            for scope in ("altinn:serviceowner", CREATE_SCOPE):
                await connection.execute(sql.grant_scope, scope, number, _now(machine))
        await audit.write(connection, [Event(actor, "service_owner.registered", code, number)])


async def hand_out_prefix(
    database: Database, prefix: str, organisation: str, *, actor: str = OPERATOR
) -> None:
    """Let an organisation make scopes under a prefix, for good. OperatorError for a bad prefix, and for one that is taken."""
    if not 1 <= len(prefix) <= 40 or not set(prefix) <= _CODE_CHARACTERS:
        raise OperatorError("A prefix is 1 to 40 small letters and digits.")
    async with database.transaction() as connection:
        if not await connection.fetchval(sql.knows_organisation, organisation):
            raise OperatorError("There is no such organisation; register it with varsel owner add.")
        if await connection.fetchval(sql.insert_prefix, prefix, organisation) is None:
            raise OperatorError(f"The prefix {prefix} has been handed out already.")
        await audit.write(connection, [Event(actor, "prefix.handed_out", prefix, organisation)])


async def prefixes(database: Database) -> list[dict[str, Any]]:
    """Every scope prefix: `name`, `owner`, `owner_name`."""
    return [dict(row) for row in await database.fetch(sql.prefixes)]


async def create_client(
    database: Database,
    machine: Machine,
    *,
    organisation: str,
    name: str,
    scopes: Sequence[str] = (),
    kind: str = "maskinporten",
    environment: str = "test",
    description: str = "",
    settings: Mapping[str, Any] | None = None,
    supplier: str | None = None,
    actor: str = OPERATOR,
) -> UUID:
    """An integration of a known organisation; its client id. Whether the scopes may be had is the caller's check."""
    client_id = uuid4()
    async with database.transaction() as connection:
        await connection.execute(
            sql.insert_client,
            client_id,
            environment,
            organisation,
            supplier,
            kind,
            name,
            description,
            msgspec.json.encode(settings or {}).decode(),
            _now(machine),
        )
        await connection.execute(sql.insert_client_scopes, client_id, list(scopes))
        event = Event(
            actor, "client.created", str(client_id), organisation, {"kind": kind, "scopes": list(scopes)}
        )
        await audit.write(connection, [event])
    return client_id


async def put_keys(
    database: Database,
    machine: Machine,
    client_id: UUID,
    document: object,
    *,
    expected_version: int | None = None,
    actor: str = OPERATOR,
) -> int:
    """Replace the key set of a client; in force at once. Returns the set's new version.

    Raises KeyRefused for a key that may not be registered, VersionConflict when the set is no longer at `expected_version`.
    """
    keys = parse_set(document, machine.time())
    await check_shared_primes(database, keys)
    async with database.transaction() as connection:
        version = await connection.fetchval(sql.touch_keys, client_id, expected_version, _now(machine))
        if version is None:
            raise VersionConflict
        await connection.execute(sql.delete_keys, client_id, None)
        await insert_keys(connection, machine, client_id, keys)
        details = {"kids": [key.kid for key in keys]}
        await audit.write(connection, [Event(actor, "keys.replaced", str(client_id), None, details)])
    return int(version)


async def insert_keys(
    connection: Connection, machine: Machine, client_id: UUID, keys: Sequence[PublicKey]
) -> None:
    """Add or renew keys of a client."""
    now = _now(machine)
    await connection.execute(
        sql.insert_keys,
        client_id,
        [key.kid for key in keys],
        [msgspec.json.encode(key.jwk).decode() for key in keys],
        [key.thumbprint for key in keys],
        [now for _ in keys],
        [datetime.fromtimestamp(key.expires_at, UTC) for key in keys],
    )


async def check_shared_primes(database: Database, keys: Sequence[PublicKey]) -> None:
    """KeyRefused when a key shares a prime with another registered one, or within the set."""
    rows = await database.fetch(sql.other_moduli, [key.thumbprint for key in keys])
    moduli = [key.modulus for key in keys]
    others = [uint(row["n"]) for row in rows] + moduli

    def any_shared() -> bool:
        return any(shares_a_prime(modulus, others) for modulus in moduli)

    if await asyncio.to_thread(any_shared):
        raise KeyRefused("n", "This key shares a prime with another key and is worthless; make a new one.")


async def delegate(
    database: Database,
    machine: Machine,
    consumer: str,
    supplier: str,
    scope: str,
    *,
    until: datetime | None = None,
    actor: str = OPERATOR,
) -> None:
    """Let a supplier use a scope for a consumer (docs/reference/identity.md 3.7)."""
    async with database.transaction() as connection:
        await connection.execute(sql.delegate, consumer, supplier, scope, _now(machine), until)
        details = {"supplier": supplier, "scope": scope}
        await audit.write(connection, [Event(actor, "delegation.made", scope, consumer, details)])


async def end_delegation(
    database: Database, machine: Machine, consumer: str, supplier: str, scope: str, *, actor: str = OPERATOR
) -> None:
    """The supplier may no longer use the scope for the consumer."""
    async with database.transaction() as connection:
        await connection.execute(sql.end_delegation, consumer, supplier, scope, _now(machine))
        details = {"supplier": supplier, "scope": scope}
        await audit.write(connection, [Event(actor, "delegation.ended", scope, consumer, details)])


async def living_delegations(database: Database, machine: Machine) -> list[dict[str, Any]]:
    """Delegations that count now: both sides with names, scope, from, until (None: until further notice)."""
    return [dict(row) for row in await database.fetch(sql.living_delegations, _now(machine))]


async def delegations_of(database: Database, machine: Machine, organisation: str) -> list[dict[str, Any]]:
    """Living delegations from or to an organisation, as `living_delegations` shows them."""
    return [dict(row) for row in await database.fetch(sql.delegations, organisation, _now(machine))]


async def delegable_scopes(database: Database) -> list[str]:
    """Scopes that a consumer may delegate (docs/reference/identity.md 3.7)."""
    return [row["name"] for row in await database.fetch(sql.delegable_scopes)]


async def add_person(database: Database, pid: str, name: str) -> None:
    """A person who can log in at the built-in provider."""
    await database.execute(sql.insert_person, pid, name, uuid4())


async def add_member(
    database: Database,
    pid: str,
    organisation: str | None,
    role: str,
    *,
    actor: str = OPERATOR,
    subject: str = "",
) -> bool:
    """Invite a person: `service-owner` of an organisation, or `operator` of the platform; False when the role was there already.

    `subject` stands for the person in the audit trail, which knows no national numbers.
    """
    async with database.transaction() as connection:
        added = await connection.fetchval(sql.upsert_membership, pid, organisation, role) is not None
        if added:
            await audit.write(
                connection, [Event(actor, "member.added", subject, organisation, {"role": role})]
            )
    return added


async def remove_member(
    database: Database,
    pid: str,
    organisation: str | None,
    role: str,
    *,
    actor: str = OPERATOR,
    subject: str = "",
) -> bool:
    """Take a role back, in force with the person's next request; False when there was none.

    OperatorError for the last operator: nobody could invite one any more but the command line.
    """
    async with database.transaction() as connection:
        if await connection.fetchval(sql.delete_membership, pid, organisation, role) is None:
            return False
        if role == OPERATOR and await connection.fetchval(sql.count_operators) == 0:
            raise OperatorError("The last operator stays; invite another one first.")
        await audit.write(connection, [Event(actor, "member.removed", subject, organisation, {"role": role})])
    return True


async def members(database: Database) -> list[dict[str, Any]]:
    """Everybody with a role: `pid`, `name`, `organisation`, `organisation_name`, `role`, `created_at`."""
    return [dict(row) for row in await database.fetch(sql.members)]


async def organisations(database: Database) -> list[dict[str, Any]]:
    """Every organisation: `number`, `name`, `code` (None for one that is no service owner)."""
    return [dict(row) for row in await database.fetch(sql.organisations)]


async def knows_organisation(database: Database, number: str) -> bool:
    """Whether an organisation of this number is registered."""
    return bool(await database.fetchval(sql.knows_organisation, number))
