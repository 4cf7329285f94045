"""Acts on scopes and on who may have them (docs/reference/identity.md 3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from varsel.identity import audit, registry
from varsel.identity.audit import Event
from varsel.identity.numbers import is_nine_digits
from varsel.identity.selfservice import wire
from varsel.identity.selfservice.clients import Actor
from varsel.identity.selfservice.errors import FieldError, conflict, forbidden, invalid, not_found, stale
from varsel.runtime.clock import Machine
from varsel.store.database import Connection, Database
from varsel.store.queries import load

sql = load("varsel.identity")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def version_of(row: Mapping[str, Any]) -> int:
    """The version of a scope: when it last changed, in microseconds."""
    changed: datetime = row["updated_at"]
    return (changed - _EPOCH) // _MICROSECOND


def _changed_at(version: int) -> datetime:
    """When a scope of this version last changed; for what no clock shows a moment at which none did."""
    try:
        return _EPOCH + version * _MICROSECOND
    except OverflowError:
        return _EPOCH


class Scopes:
    """Scopes of organisations. Only the owner of a prefix makes scopes under it, and only their owner gives them away."""

    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC)

    async def own(self, actor: Actor, *, inactive: bool = False) -> list[Mapping[str, Any]]:
        """Rows of the organisation's scopes."""
        return [dict(row) for row in await self._database.fetch(sql.scopes_of, actor.organisation, inactive)]

    async def public(self, *, for_all: bool = False) -> list[Mapping[str, Any]]:
        """Rows of the public catalogue."""
        return [dict(row) for row in await self._database.fetch(sql.public_scopes, for_all)]

    async def get(self, actor: Actor, name: str) -> Mapping[str, Any]:
        """One row of the organisation's own; 404 otherwise."""
        row = (
            await self._database.fetchrow(sql.scope_of, name, actor.organisation) if _askable(name) else None
        )
        if row is None:
            raise not_found("scope")
        return dict(row)

    async def create(self, actor: Actor, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new scope under an own prefix; 409 when the name is, or was, in use."""
        draft = wire.read_scope(body)
        if await self._database.fetchval(sql.prefix_owner, draft.prefix) != actor.organisation:
            raise forbidden("The prefix does not belong to your organisation.")
        async with self._database.transaction() as connection:
            made = await connection.fetchval(
                sql.insert_scope,
                draft.name,
                draft.prefix,
                draft.subscope,
                draft.description,
                actor.organisation,
                msgspec.json.encode(draft.attributes).decode(),
            )
            if made is None:
                raise conflict("That scope exists, or has existed.")
            await self._tell(connection, actor, "scope.created", draft.name)
        return await self.get(actor, draft.name)

    async def prefixes(self, actor: Actor) -> list[str]:
        """The prefixes under which the organisation makes scopes."""
        return [row["name"] for row in await self._database.fetch(sql.prefixes_of, actor.organisation)]

    async def replace(
        self, actor: Actor, name: str, body: Mapping[str, Any], expected: int | None = None
    ) -> Mapping[str, Any]:
        """Replace description and attributes, if the scope is at version `expected`; the name cannot change."""
        before = await self.get(actor, name)
        draft = wire.read_scope({"prefix": before["prefix"], "subscope": before["subscope"], **body})
        if draft.name != name:
            raise invalid(FieldError("subscope", "The name of a scope cannot be changed.", "Scope"))
        encoded = msgspec.json.encode(draft.attributes).decode()
        async with self._database.transaction() as connection:
            done = await connection.fetchval(
                sql.update_scope,
                name,
                actor.organisation,
                draft.description,
                encoded,
                self._now,
                None if expected is None else _changed_at(expected),
            )
            if done is None:
                now = await connection.fetchrow(sql.scope_of, name, actor.organisation)
                raise stale() if now is not None and now["active"] else conflict("The scope is deactivated.")
            await self._tell(connection, actor, "scope.changed", name)
        return await self.get(actor, name)

    async def deactivate(self, actor: Actor, name: str) -> None:
        """The scope goes out of use; the accesses to it stay."""
        await self.get(actor, name)
        async with self._database.transaction() as connection:
            if (
                await connection.fetchval(sql.deactivate_scope, name, actor.organisation, self._now)
                is not None
            ):
                await self._tell(connection, actor, "scope.deactivated", name)

    async def grant(self, actor: Actor, name: str, consumer: str) -> Mapping[str, Any]:
        """Let an organisation use an own scope."""
        await self.get(actor, name)
        if not is_nine_digits(consumer):
            raise invalid(
                FieldError("consumer_orgno", "An organisation number has nine digits.", "ScopeAccess")
            )
        async with self._database.transaction() as connection:
            await registry.register_organisation(connection, consumer, "")
            await connection.execute(sql.grant_scope, name, consumer, self._now)
            await self._tell(connection, actor, "scope.granted", name, {"consumer": consumer})
        return next(row for row in await self.accesses(actor, name) if row["consumer"] == consumer)

    async def withdraw(self, actor: Actor, name: str, consumer: str) -> None:
        """Take an own scope back; token requests fail from now on."""
        await self.get(actor, name)
        async with self._database.transaction() as connection:
            done = (
                await connection.fetchval(sql.withdraw_access, name, consumer, self._now)
                if is_nine_digits(consumer)
                else None
            )
            if done is None:
                raise not_found("access")
            await self._tell(connection, actor, "scope.withdrawn", name, {"consumer": consumer})

    async def accesses(self, actor: Actor, name: str) -> list[Mapping[str, Any]]:
        """Who has been given an own scope."""
        await self.get(actor, name)
        return [dict(row) for row in await self._database.fetch(sql.accesses_to, name)]

    async def given(self, actor: Actor) -> list[Mapping[str, Any]]:
        """What the organisation has been given."""
        return [dict(row) for row in await self._database.fetch(sql.accesses_of, actor.organisation)]

    async def _tell(
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        name: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        await audit.write(connection, [Event(actor.name, action, name, actor.organisation, details or {})])


def _askable(name: str) -> bool:
    return 0 < len(name) <= 300 and name.isascii() and name.isprintable()
