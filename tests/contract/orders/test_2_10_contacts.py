"""The contact check of v2 orders: docs/reference/notifications-api.md 2.10 and section 5, docs/design.md section 6."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.orders.bodies import chain, identity, organization, person, reminder, sms
from tests.contract.orders.test_2_1_to_2_3_orders import contacts
from tests.contract.orders.test_2_10_orders import row_of
from tests.contract.orders.world import BASE, CHAIN, World, open_world
from varsel.recipients.registers import BuiltinRegisters
from varsel.runtime.errors import RegisterUnavailable
from varsel.store.database import Database

NOBODY = person(nationalIdentityNumber="00000000000")
RESOURCE = {"resourceId": "urn:altinn:resource:example"}

REACHED: list[tuple[str, Any]] = [
    ("person", person()),
    ("person by SMS", person(nationalIdentityNumber="12839010184", channelSchema="Sms")),
    ("person on the other channel", person(nationalIdentityNumber="12839010184")),
    ("both, and one exists", person(nationalIdentityNumber="12839010184", channelSchema="EmailAndSms")),
    ("item 37: reserved", person(nationalIdentityNumber="12839010183")),
    ("organisation", organization()),
    ("organisation through users", organization(orgNumber="312345610", **RESOURCE)),
]
MISSING: list[tuple[str, Any]] = [
    ("nobody", NOBODY),
    ("wrong channel", person(nationalIdentityNumber="12839010184", channelSchema="Email")),
    ("organisation unknown", organization(orgNumber="312345699")),
    ("organisation without SMS", organization(channelSchema="Sms")),
    ("users without a resource", organization(orgNumber="312345610")),
    ("users without the channel", organization(orgNumber="312345610", channelSchema="Sms", **RESOURCE)),
    ("identity unknown", identity(externalIdentity="urn:altinn:username:nobody")),
]


@pytest.mark.parametrize("recipient", [case[1] for case in REACHED], ids=[case[0] for case in REACHED])
async def test_reached(world: World, recipient: Any) -> None:
    await contacts(world)
    assert (await world.send(CHAIN, chain(recipient=recipient))).status == 201


@pytest.mark.parametrize("recipient", [case[1] for case in MISSING], ids=[case[0] for case in MISSING])
async def test_missing(world: World, recipient: Any) -> None:
    await contacts(world)
    answer = await world.send(CHAIN, chain(recipient=recipient))
    assert answer.status == 422
    assert answer.json["code"] == "NOT-00001"
    assert set((await world.stored()).values()) == {0}


async def test_identities_are_known_in_any_case(world: World) -> None:
    await world.database.execute(
        "insert into contact_identity (urn, mobile) values ('urn:altinn:username:kari', '+4799999999')"
    )
    main = await world.send(CHAIN, chain(recipient=identity(externalIdentity="urn:altinn:username:KARI")))
    assert main.status == 201
    row = await row_of(world, main.json["notification"]["shipmentId"])
    assert row["channel"] == "EmailPreferred"


async def test_item_38_a_reminder_counts_too(world: World) -> None:
    await contacts(world)
    answer = await world.send(CHAIN, chain(recipient=person(), reminders=[reminder(recipient=NOBODY)]))
    assert answer.json["code"] == "NOT-00001"
    assert set((await world.stored()).values()) == {0}


async def test_a_repeat_is_answered_before_anybody_is_looked_up(world: World) -> None:
    await contacts(world)
    first = await world.send(CHAIN, chain(recipient=person()))
    await world.database.execute("delete from contact_person")
    again = await world.send(CHAIN, chain(recipient=person()))
    assert (again.status, again.content) == (200, first.content)


async def test_a_register_outage(database: Database) -> None:
    class Down(BuiltinRegisters):
        async def persons(self, *_: Any, **__: Any) -> Any:
            raise RegisterUnavailable

    async with open_world(database, registers=Down(database, sandbox=True)) as world:
        answer = await world.send(CHAIN, chain(recipient=person()))
        assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "NOT-00004", "60")
        body = {"subject": "x", "body": "y", "recipients": [{"nationalIdentityNumber": "12839010182"}]}
        answer = await world.send(f"{BASE}/orders/email", body)
        assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "NOT-00004", "60")
        assert set((await world.stored()).values()) == {0}
        assert (await world.send(CHAIN, chain(recipient=sms()))).status == 201


async def test_sms_that_would_be_cut(database: Database) -> None:
    long = sms(smsSettings={"body": "å" * 2145})
    async with open_world(database) as world:
        answer = await world.send(CHAIN, chain(recipient=long))
        assert (answer.status, answer.headers["varsel-warning"]) == (201, "sms-truncated")
        answer = await world.send(
            CHAIN, chain(idempotencyId="2", recipient=sms(smsSettings={"body": "å" * 2144}))
        )
        assert "varsel-warning" not in answer.headers
    async with open_world(database, sms_too_long="refuse") as world:
        answer = await world.send(CHAIN, chain(recipient=long))
        assert answer.keys == {"Recipient.RecipientSms.Settings.Body"}
