"""Acts on integrations: what the self-service API and the portal both do (docs/reference/identity.md 3.5, 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Final
from uuid import UUID

import msgspec

from varsel.identity import audit, registry
from varsel.identity.audit import Event
from varsel.identity.clientkeys import MOST, KeyRefused, PublicKey, parse_set
from varsel.identity.selfservice import wire
from varsel.identity.selfservice.errors import (
    FieldError,
    SelfServiceError,
    conflict,
    forbidden,
    invalid,
    not_found,
    stale,
)
from varsel.identity.selfservice.wire import ClientDraft
from varsel.runtime.clock import Machine
from varsel.store.database import Connection, Database
from varsel.store.queries import load
from varsel.store.secrets import MasterKey

sql = load("varsel.identity")

SECRET_LIFE: Final = timedelta(days=360)
SECRET_PURPOSE: Final = "client-secret"  # noqa: S105 - a purpose, not a secret


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a client id or the HMAC of a person, for one organisation. `supplier`: may hold integrations of others."""

    name: str
    organisation: str
    supplier: bool = False


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an integration, with the version that If-Match means."""

    keys: tuple[Mapping[str, Any], ...]
    version: int
    created: datetime
    updated: datetime

    def body(self) -> dict[str, Any]:
        return {
            "keys": list(self.keys),
            "created": wire.when(self.created),
            "last_updated": wire.when(self.updated),
        }


class Clients:
    """Integrations of organisations. Each act checks whose it is in the statement itself and leaves an event in the trail."""

    def __init__(self, database: Database, machine: Machine, master_key: MasterKey, *, sandbox: bool) -> None:
        self._database = database
        self._machine = machine
        self._master_key = master_key
        self._sandbox = sandbox

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC)

    async def own(
        self, actor: Actor, *, inactive: bool = False, environment: str | None = None
    ) -> list[Mapping[str, Any]]:
        """Rows of the organisation's integrations, oldest first."""
        rows = await self._database.fetch(sql.clients_of, actor.organisation, inactive, environment)
        return [dict(row) for row in rows]

    async def get(self, actor: Actor, client_id: UUID) -> Mapping[str, Any]:
        """One row; 404 when it is somebody else's."""
        row = await self._database.fetchrow(sql.client_of, client_id, actor.organisation)
        if row is None:
            raise not_found()
        return dict(row)

    def draft(self, body: Mapping[str, Any]) -> ClientDraft:
        """Read a body by every rule."""
        return wire.read_client(body, sandbox=self._sandbox)

    async def create(self, actor: Actor, draft: ClientDraft, environment: str) -> Mapping[str, Any]:
        """A new integration; its row."""
        await self._not_yet(actor, draft.client_id)
        organisation, supplier = actor.organisation, None
        if draft.organisation is not None and draft.organisation != actor.organisation:
            if not actor.supplier:
                raise forbidden("Integrations of other organisations need the scope idporten:dcr.supplier.")
            organisation, supplier = draft.organisation, actor.organisation
            await registry.register_organisation(self._database, organisation, "")
        await self._check_scopes(actor, draft.scopes)
        client_id = await registry.create_client(
            self._database,
            self._machine,
            organisation=organisation,
            supplier=supplier,
            name=draft.name,
            description=draft.description,
            scopes=draft.scopes,
            kind=draft.kind,
            environment=environment,
            settings=draft.settings,
            actor=actor.name,
        )
        return await self.get(actor, client_id)

    async def replace(
        self, actor: Actor, client_id: UUID, draft: ClientDraft, expected: int | None
    ) -> Mapping[str, Any]:
        """Replace what may be changed, if the integration still has version `expected`."""
        before = await self.get(actor, client_id)
        if not before["active"]:
            raise conflict("The integration is deactivated.")
        if draft.kind != before["kind"]:
            raise invalid(FieldError("integration_type", "integration_type cannot be changed."))
        if draft.client_id not in {None, str(client_id)}:
            raise invalid(FieldError("client_id", "client_id cannot be changed."))
        if draft.organisation is not None and draft.organisation != before["organisation"]:
            raise invalid(FieldError("client_orgno", "client_orgno cannot be changed."))
        added = [scope for scope in draft.scopes if scope not in before["scopes"]]
        await self._check_scopes(actor, added)
        async with self._database.transaction() as connection:
            version = await connection.fetchval(
                sql.update_client,
                client_id,
                actor.organisation,
                expected,
                draft.name,
                draft.description,
                msgspec.json.encode(draft.settings).decode(),
                self._now,
            )
            if version is None:
                raise stale()
            await connection.execute(sql.delete_client_scopes, client_id)
            await connection.execute(sql.insert_client_scopes, client_id, list(draft.scopes))
            await self._tell(connection, actor, "client.changed", client_id, {"scopes": list(draft.scopes)})
        return await self.get(actor, client_id)

    async def deactivate(self, actor: Actor, client_id: UUID) -> None:
        """The integration gives no more tokens; it stays in the list of deactivated ones."""
        await self.get(actor, client_id)
        async with self._database.transaction() as connection:
            done = await connection.fetchval(sql.deactivate_client, client_id, actor.organisation, self._now)
            if done is not None:
                await self._tell(connection, actor, "client.deactivated", client_id)

    async def new_secret(self, actor: Actor, client_id: UUID) -> str:
        """A new secret of a person client; shown once, kept as HMAC."""
        before = await self._active(actor, client_id)
        if before["kind"] == "maskinporten":
            text = "Integrations of this type have keys, no secret."
            raise invalid(FieldError("integration_type", text))
        secret = token_urlsafe(32)
        async with self._database.transaction() as connection:
            done = await connection.fetchval(
                sql.set_client_secret,
                client_id,
                actor.organisation,
                self._master_key.mac(SECRET_PURPOSE, secret.encode()),
                self._now + SECRET_LIFE,
                self._now,
            )
            if done is None:
                raise not_found()
            await self._tell(connection, actor, "client.secret_made", client_id)
        return secret

    # Keys

    async def keys(self, actor: Actor, client_id: UUID) -> KeySet:
        """The public keys, each with `exp`."""
        client = await self.get(actor, client_id)
        rows = await self._database.fetch(sql.keys_of, client_id)
        keys = tuple(
            {**msgspec.json.decode(row["jwk"]), "exp": int(row["expires_at"].timestamp())} for row in rows
        )
        created = min((row["created_at"] for row in rows), default=client["created_at"])
        return KeySet(keys, client["keys_version"], created, client["updated_at"])

    async def replace_keys(
        self, actor: Actor, client_id: UUID, document: object, expected: int | None
    ) -> KeySet:
        """Replace the whole set; in force at once."""
        await self._active(actor, client_id)
        try:
            await registry.put_keys(
                self._database,
                self._machine,
                client_id,
                document,
                expected_version=expected,
                actor=actor.name,
            )
        except KeyRefused as refused:
            raise _refused(refused) from None
        except registry.VersionConflict:
            raise stale() from None
        return await self.keys(actor, client_id)

    async def add_key(self, actor: Actor, client_id: UUID, entry: object, expected: int | None) -> KeySet:
        """Add one key, or renew it when it has the same kid; the others stay as they are."""
        return await self.add_keys(actor, client_id, [entry], expected)

    async def add_keys(self, actor: Actor, client_id: UUID, document: object, expected: int | None) -> KeySet:
        """Add every key of a set, or none of them; one that has the kid of a registered key renews it."""
        await self._active(actor, client_id)
        try:
            keys = parse_set(document, self._machine.time())
            await registry.check_shared_primes(self._database, keys)
        except KeyRefused as refused:
            raise _refused(refused) from None
        await self._change_keys(actor, client_id, expected, "keys.added", add=keys)
        return await self.keys(actor, client_id)

    async def remove_keys(self, actor: Actor, client_id: UUID, kid: str | None, expected: int | None) -> None:
        """Remove one key, or with None all of them."""
        await self._active(actor, client_id)
        await self._change_keys(actor, client_id, expected, "keys.removed", remove=kid, all_=kid is None)

    async def _change_keys(
        self,
        actor: Actor,
        client_id: UUID,
        expected: int | None,
        action: str,
        *,
        add: Sequence[PublicKey] = (),
        remove: str | None = None,
        all_: bool = False,
    ) -> None:
        async with self._database.transaction() as connection:
            if await connection.fetchval(sql.touch_keys, client_id, expected, self._now) is None:
                raise stale()
            # The row is locked from here on: nobody adds a sixth key beside this one.
            present = {row["kid"] for row in await connection.fetch(sql.keys_of, client_id)}
            if add:
                kids = [key.kid for key in add]
                if len(present | set(kids)) > MOST:
                    raise invalid(FieldError("keys", f"At most {MOST} keys.", "Jwks"))
                await registry.insert_keys(connection, self._machine, client_id, add)
            else:
                if remove is not None and remove not in present:
                    raise not_found("key")
                await connection.execute(sql.delete_keys, client_id, None if all_ else remove)
                kids = sorted(present) if all_ else [str(remove)]
            await self._tell(connection, actor, action, client_id, {"kids": kids})

    # Sub-clients

    async def onbehalfof(self, actor: Actor, client_id: UUID) -> list[Mapping[str, Any]]:
        """Rows of the sub-clients."""
        await self.get(actor, client_id)
        return [dict(row) for row in await self._database.fetch(sql.onbehalfof_of, client_id)]

    async def add_onbehalfof(
        self, actor: Actor, client_id: UUID, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """A sub-client; 409 when the name is or was in use."""
        await self._active(actor, client_id)
        name, organisation, details = wire.read_onbehalfof(body)
        encoded = msgspec.json.encode(details).decode()
        async with self._database.transaction() as connection:
            done = await connection.fetchval(
                sql.insert_onbehalfof, client_id, name, organisation, encoded, self._now
            )
            if done is None:
                raise conflict("That sub-client exists, or has existed.")
            await self._tell(connection, actor, "onbehalfof.added", client_id, {"name": name})
        return await self.one_onbehalfof(actor, client_id, name)

    async def one_onbehalfof(self, actor: Actor, client_id: UUID, name: str) -> Mapping[str, Any]:
        for row in await self.onbehalfof(actor, client_id):
            if row["name"] == name:
                return row
        raise not_found("sub-client")

    async def change_onbehalfof(
        self, actor: Actor, client_id: UUID, name: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        await self.one_onbehalfof(actor, client_id, name)
        _, organisation, details = wire.read_onbehalfof(body, name)
        encoded = msgspec.json.encode(details).decode()
        async with self._database.transaction() as connection:
            await connection.execute(sql.update_onbehalfof, client_id, name, organisation, encoded, self._now)
            await self._tell(connection, actor, "onbehalfof.changed", client_id, {"name": name})
        return await self.one_onbehalfof(actor, client_id, name)

    async def remove_onbehalfof(self, actor: Actor, client_id: UUID, name: str) -> None:
        await self.one_onbehalfof(actor, client_id, name)
        async with self._database.transaction() as connection:
            await connection.execute(sql.deactivate_onbehalfof, client_id, name, self._now)
            await self._tell(connection, actor, "onbehalfof.removed", client_id, {"name": name})

    # What the acts share

    async def registrable_scopes(self, actor: Actor) -> list[Mapping[str, Any]]:
        """The scopes the organisation may put on an integration."""
        return [dict(row) for row in await self._database.fetch(sql.registrable_scopes, actor.organisation)]

    async def usable_scopes(self, actor: Actor) -> list[str]:
        """The scopes that the organisation can put into tokens of its own."""
        rows = await self.registrable_scopes(actor)
        return [
            row["name"]
            for row in rows
            if row["granted"] or msgspec.json.decode(row["attributes"]).get("accessible_for_all", False)
        ]

    async def _check_scopes(self, actor: Actor, scopes: Sequence[str]) -> None:
        rows = await self._database.fetch(sql.registrable, actor.organisation, list(scopes))
        found = {row["name"] for row in rows}
        missing = [scope for scope in scopes if scope not in found]
        if missing:
            text = f"The organisation has no access to {', '.join(missing)}."
            raise invalid(FieldError("scopes", text))

    async def _active(self, actor: Actor, client_id: UUID) -> Mapping[str, Any]:
        row = await self.get(actor, client_id)
        if not row["active"]:
            raise conflict("The integration is deactivated.")
        return row

    async def _not_yet(self, actor: Actor, client_id: str | None) -> None:
        """Identifiers are made here; one that names an own integration asks for what is there, or was deactivated (3.5)."""
        try:
            found = None if client_id is None else await self.get(actor, UUID(client_id))
        except (ValueError, SelfServiceError):
            return
        if found is not None:
            raise conflict("The integration exists, or was deactivated and stays so.")

    async def _tell(
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        client_id: UUID,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        event = Event(actor.name, action, str(client_id), actor.organisation, details or {})
        await audit.write(connection, [event])


def _refused(refused: KeyRefused) -> SelfServiceError:
    return invalid(FieldError(refused.member, refused.text, "Jwks"))
