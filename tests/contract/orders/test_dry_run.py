"""`Prefer: dry-run` on the order endpoints: docs/design.md, decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.orders.bodies import (
    chain,
    composed,
    identity,
    instant_email,
    instant_sms,
    organization,
    person,
    put,
    reminder,
    sms,
    v1_channel,
    v1_email,
)
from tests.contract.orders.test_2_1_to_2_3_orders import contacts
from tests.contract.orders.world import BASE, CHAIN, World, open_world
from varsel.delivery.forecast import Forecaster
from varsel.delivery.window import Window
from varsel.recipients.registers import BuiltinRegisters
from varsel.store.database import Database

DRY = {"prefer": "dry-run"}
KARI = person(
    emailSettings={"subject": "Til $recipientName$", "body": "Hei $recipientName$"},
    smsSettings={"body": "Hei $recipientName$"},
)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    registers = BuiltinRegisters(database, sandbox=True)
    async with open_world(
        database, registers=registers, forecast=Forecaster(registers, Window()), dry_run_rate=20
    ) as opened:
        await contacts(opened)
        await database.execute("update contact_person set name = 'Kari Nordmann' where pid = '12839010182'")
        yield opened


async def tried(world: World, path: str, body: Any, **headers: str) -> Any:
    answer = await world.send(path, body, **DRY, **headers)
    assert answer.status == 200, answer.content
    assert answer.headers["preference-applied"] == "dry-run"
    assert "location" not in answer.headers
    assert set((await world.stored()).values()) == {0}
    assert answer.json["dryRun"] is True
    return answer.json


async def test_a_chain(world: World) -> None:
    shown = await tried(world, CHAIN, chain(recipient=KARI, sendersReference="ref", reminders=[reminder()]))
    assert (shown["repeat"], shown["orderCount"]) == (False, 2)
    main, later = shown["orders"]
    assert main == {
        "type": "Notification",
        "channel": "EmailPreferred",
        "sendersReference": "ref",
        "requestedSendTime": "2031-03-14T12:00:00Z",
        "recipientCount": 1,
        "email": {"sender": "noreply@altinn.cloud", "subject": "Til $recipientName$", "body": "Hei $recipientName$", "contentType": "Plain"},
        "sms": {"sender": "Altinn", "body": "Hei $recipientName$", "encoding": "GSM-7", "parts": 1, "truncated": False},
        "messages": [
            {
                "channel": "Email",
                "destination": "ka…@example.org",
                "status": "Email_New",
                "nationalIdentityNumber": "12839010182",
                "subject": "Til K… N…",
                "body": "Hei K… N…",
                "sendsAt": "2031-03-14T12:00:00Z",
                "expiresAt": "2031-03-16T12:00:00Z",
            }
        ],
    }  # fmt: skip
    [message] = later["messages"]
    assert (later["type"], message["channel"], message["destination"], message["parts"]) == (
        "Reminder",
        "Sms",
        "+47…99",
        1,
    )
    # Seven days after the main order it is 13:00 in Oslo, inside the daytime window.
    assert (message["sendsAt"], message["expiresAt"]) == ("2031-03-21T12:00:00Z", "2031-03-23T12:00:00Z")


async def test_a_daytime_sms_waits_for_the_window(world: World) -> None:
    shown = await tried(world, CHAIN, chain(recipient=sms(), requestedSendTime="2031-03-14T20:00:00Z"))
    [message] = shown["orders"][0]["messages"]
    assert (message["sendsAt"], message["expiresAt"]) == ("2031-03-15T08:00:00Z", "2031-03-17T08:00:00Z")


async def test_organizations_and_identities(world: World) -> None:
    await world.database.execute(
        "insert into contact_identity (urn, mobile) values ('urn:altinn:username:kari', '+4799999999')"
    )
    shown = await tried(world, CHAIN, chain(recipient=organization()))
    assert shown["orders"][0]["messages"][0]["organizationNumber"] == "312345609"
    shown = await tried(world, CHAIN, chain(recipient=identity(externalIdentity="urn:altinn:username:kari")))
    assert shown["orders"][0]["messages"][0]["externalIdentity"] == "urn:altinn:username:kari"


async def test_reservation_shows_only_where_the_answer_tells_it(world: World) -> None:
    reserved = person(nationalIdentityNumber="12839010183", channelSchema="Email")
    shown = await tried(world, CHAIN, chain(recipient=reserved))
    assert shown["orders"][0]["messages"][0]["status"] == "Email_New"
    body = v1_email(recipients=[{"nationalIdentityNumber": "12839010183"}])
    shown = await tried(world, f"{BASE}/orders/email", body)
    assert shown["recipientLookup"]["isReserved"] == ["12839010183"]
    assert shown["orders"][0]["messages"][0]["status"] == "Email_Failed_RecipientReserved"


async def test_missing_contacts_are_refused_as_in_earnest(world: World) -> None:
    answer = await world.send(CHAIN, chain(recipient=person(nationalIdentityNumber="00000000000")), **DRY)
    assert (answer.status, answer.json["code"]) == (422, "NOT-00001")


async def test_a_wrong_order_is_refused_as_in_earnest(world: World) -> None:
    assert (await world.send(CHAIN, put(chain(), "recipient", {}), **DRY)).keys == {"Recipient"}
    assert (await world.send(CHAIN, chain(), creator="-", **DRY)).status == 403
    assert await world.database.fetchval("select count(*) from audit_event") == 0


async def test_a_repeat_is_told(world: World) -> None:
    assert (await world.send(CHAIN, chain())).status == 201
    answer = await world.send(CHAIN, chain(), **DRY)
    assert answer.json["repeat"] is True
    assert (await world.stored())["orders"] == 1


@pytest.mark.parametrize(
    ("path", "body", "kind", "channel"),
    [
        (f"{BASE}/orders", v1_channel("EmailAndSms"), "Notification", "EmailAndSms"),
        (f"{CHAIN}/composed-email", composed(), "Composed", "Email"),
        (f"{CHAIN}/instant/email", instant_email(), "Instant", "Email"),
        (f"{CHAIN}/instant/sms", instant_sms(), "Instant", "Sms"),
    ],
)
async def test_every_kind_of_order(world: World, path: str, body: Any, kind: str, channel: str) -> None:
    shown = await tried(world, path, body, x_composed="1")
    [order] = shown["orders"]
    assert (order["type"], order["channel"]) == (kind, channel)
    if channel == "Sms":
        assert order["messages"][0]["expiresAt"] == "2031-03-14T12:06:00Z"
    assert "sig=" not in str(shown)


async def test_instant_messages_are_shown_as_written(world: World) -> None:
    """They have no keywords (docs/reference/delivery.md 4), so no text of the message differs from the order's."""
    text = {"subject": "Hei $recipientName$", "body": "Hei $recipientName$"}
    email = put(instant_email(), "recipientEmail.emailSettings", text)
    [order] = (await tried(world, f"{CHAIN}/instant/email", email))["orders"]
    assert not {"subject", "body"} & set(order["messages"][0])
    assert order["email"] | text == order["email"]
    # 153 characters and a keyword: two parts, which it would not be without.
    sms_text = "x" * 153 + "$recipientName$"
    body = put(instant_sms(), "recipientSms.smsSettings", {"body": sms_text})
    [order] = (await tried(world, f"{CHAIN}/instant/sms", body))["orders"]
    assert order["messages"][0]["parts"] == 2 and "body" not in order["messages"][0]


async def test_sms_that_would_be_cut(world: World) -> None:
    answer = await world.send(CHAIN, chain(recipient=sms(smsSettings={"body": "x" * 3000})), **DRY)
    assert answer.headers["varsel-warning"] == "sms-truncated"
    assert answer.json["orders"][0]["sms"]["truncated"] is True


@pytest.mark.parametrize(
    ("text", "encoding", "parts", "truncated"),
    [
        ("x" * 159 + "\r\n", "GSM-7", 1, False),
        ("x" * 100 + "\x7f", "GSM-7", 1, False),
        ("x" * 2143 + "\r\n", "GSM-7", 16, False),
        ("x" * 1500 + "😀", "GSM-7", 8, True),
    ],
)
async def test_sms_are_counted_as_they_would_be_sent(
    world: World, text: str, encoding: str, parts: int, truncated: bool
) -> None:
    """docs/reference/delivery.md 7.10: clean, and of a text that is cut what is left of it."""
    answer = await world.send(CHAIN, chain(recipient=sms(smsSettings={"body": text})), **DRY)
    [shown] = answer.json["orders"]
    assert shown["sms"] == {
        "sender": "Altinn",
        "body": text,
        "encoding": encoding,
        "parts": parts,
        "truncated": truncated,
    }
    assert shown["messages"][0]["parts"] == parts
    assert answer.headers.get("varsel-warning") == ("sms-truncated" if truncated else None)


async def test_one_audit_row_a_call_and_a_limit(world: World) -> None:
    for _ in range(20):
        assert (await world.send(CHAIN, chain(recipient=KARI), **DRY)).status == 200
    answer = await world.send(CHAIN, chain(), **DRY)
    assert (answer.status, answer.json["title"]) == (429, "Too Many Requests")
    assert int(answer.headers["retry-after"]) in range(1, 61)
    assert (await world.send(CHAIN, chain(), creator="skd", **DRY)).status == 200
    rows = await world.database.fetch("select * from audit_event")
    assert len(rows) == 21
    assert {(row["action"], row["organisation"], row["subject"]) for row in rows} == {
        ("orders.dry-run", "ttd", CHAIN),
        ("orders.dry-run", "skd", CHAIN),
    }
    assert not any("12839010182" in str(row) or "example.org" in str(row) for row in rows)
    world.clock.advance(timedelta(minutes=1))
    assert (await world.send(CHAIN, chain(), **DRY)).status == 200


@pytest.mark.parametrize("prefer", ["return=minimal", "dry-runs", ""])
async def test_other_preferences_order_in_earnest(world: World, prefer: str) -> None:
    assert (await world.send(CHAIN, chain(), prefer=prefer)).status == 201


@pytest.mark.parametrize("prefer", ["Dry-Run", "respond-async, dry-run", "dry-run; x=1"])
async def test_the_preference_in_other_spellings(world: World, prefer: str) -> None:
    assert (await world.send(CHAIN, chain(), prefer=prefer)).json["dryRun"] is True
