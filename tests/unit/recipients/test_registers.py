"""The built-in contacts: docs/reference/delivery.md 3.2 to 3.5."""

from __future__ import annotations

import pytest

from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.recipients.registers import BuiltinRegisters
from varsel.runtime.errors import DatabaseUnavailable, RegisterUnavailable
from varsel.store.database import Database


@pytest.fixture
async def registers(database: Database) -> BuiltinRegisters:
    await database.execute(
        "insert into contact_person values ('00000000001', 'Kari', 'kari@example.org', '99999999', false, false), "
        "('00000000002', null, 'old@example.org', null, true, true)"
    )
    await database.execute(
        "insert into contact_organization values ('000000001', 'Firma', '{a@b.no,c@d.no}', '{99999998}'), ('000000002', null, '{}', '{}')"
    )
    await database.execute(
        "insert into contact_user values ('000000001', 1, '2', null, '99999997', '{urn:altinn:resource:thing,other}'), "
        "('000000001', 0, '1', 'u@b.no', null, null), ('000000002', 0, '2', 'v@b.no', null, '{}')"
    )
    await database.execute(
        "insert into contact_identity (urn, email, stale, reserved) values ('urn:altinn:username:kari', 'k@b.no', false, true), ('urn:altinn:username:old', 'o@b.no', true, false)"
    )
    return BuiltinRegisters(database, sandbox=True)


async def test_persons(registers: BuiltinRegisters) -> None:
    asked = ["00000000001", "00000000002", "00000000003"]
    assert await registers.persons(asked, use_stale=False) == {
        "00000000001": PersonContact("kari@example.org", "99999999"),
        "00000000002": PersonContact(reserved=True),
    }
    assert (await registers.persons(asked, use_stale=True))["00000000002"] == PersonContact(
        "old@example.org", None, True
    )
    assert await registers.persons([], use_stale=True) == {}


async def test_organizations_and_users(registers: BuiltinRegisters) -> None:
    assert await registers.organizations(["000000001", "9"]) == {
        "000000001": OrganizationContact(("a@b.no", "c@d.no"), ("99999998",))
    }
    assert await registers.organization_users(["000000001"], "thing") == {
        "000000001": [
            UserContact("1", "000000001", "u@b.no", None),
            UserContact("2", "000000001", None, "99999997"),
        ]
    }


async def test_authorization(registers: BuiltinRegisters, database: Database) -> None:
    pairs = {("1", "000000001"), ("2", "000000001"), ("2", "000000002"), ("3", "000000001")}
    assert await registers.authorize(pairs, "thing", "read") == {("1", "000000001"), ("2", "000000001")}
    assert await registers.authorize(pairs, "other", "read") == {("1", "000000001"), ("2", "000000001")}
    assert await registers.authorize(pairs, "third", "read") == {("1", "000000001")}
    production = BuiltinRegisters(database, sandbox=False)
    assert await production.authorize(pairs, "thing", "read") == {("2", "000000001")}
    assert await registers.authorize([], "thing", "read") == set()


async def test_identities(registers: BuiltinRegisters) -> None:
    asked = ["urn:altinn:username:KARI", "urn:altinn:username:old", "urn:altinn:username:x"]
    assert await registers.identities(asked) == {
        "urn:altinn:username:KARI": IdentityContact("k@b.no", None),
        "urn:altinn:username:old": IdentityContact(None, None),
    }


async def test_names(registers: BuiltinRegisters) -> None:
    assert await registers.names(["00000000001", "00000000002", "00000000009"], ["000000001", "9"]) == {
        "00000000001": "Kari",
        "00000000002": "",
        "000000001": "Firma",
    }
    assert await registers.names([], []) == {}


async def test_an_outage(
    registers: BuiltinRegisters, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(database, "fetch", away)
    with pytest.raises(RegisterUnavailable):
        await registers.persons(["1"], use_stale=False)
