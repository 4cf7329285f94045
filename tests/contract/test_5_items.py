"""docs/reference/notifications-api.md 5: each of its 66 items has a test. Those that stand nowhere else are here."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.composed import NOW, Composed
from tests.contract.orders.bodies import (
    ABSENT,
    chain,
    organization,
    person,
    put,
    reminder,
    sms,
    v1_email,
)
from tests.contract.orders.bodies import (
    composed as files,
)
from varsel.store.ids import uuid7

TESTS = Path(__file__).parents[1]
BASE = "/notifications/api/v1"
CHAIN = f"{BASE}/future/orders"
#: Items whose tests are named otherwise.
ELSEWHERE = {
    13: "security/test_tokens_scope.py::test_041_scopes_that_only_look_right",
    14: "security/test_tokens_transport.py::test_060_platform_issuer_names",
    18: "security/test_tokens_transport.py::test_052_bad_bearer_beside_a_good_cookie",
    23: "contract/orders/test_2_10_orders.py::test_what_is_stored",
    # Overridden (6, cancel): until the handoff, not until five minutes before.
    48: "contract/orders/test_2_7_cancel.py::test_a_planned_order_before_its_handoff",
    53: "engine/test_asking.py::test_twice_inconclusive_sends",
    54: "engine/test_review.py::test_api_5_54_to_56_feed_pages",
    55: "engine/test_review.py::test_api_5_54_to_56_feed_pages",
    56: "engine/test_review.py::test_api_5_54_to_56_feed_pages",
    60: "security/test_tokens_transport.py::test_083_metrics_key",
}


def test_each_item_has_a_test():
    told = set(
        map(
            int,
            re.findall(
                r'id="api-5\.(\d+)"', (TESTS.parent / "docs/reference/notifications-api.md").read_text()
            ),
        )
    )
    assert told == set(range(1, 67))
    found = set()
    for path in [*(TESTS / "contract").rglob("*.py"), *(TESTS / "engine").glob("*.py")]:
        for first, second, between in re.findall(
            r"\bdef test_items?_(\d+)(?:_(?:and|to)_(\d+))?\w*|\bitem (\d+):", path.read_text("utf-8")
        ):
            numbers = [int(one) for one in (first, second, between) if one]
            found.update(range(min(numbers), max(numbers) + 1))
        found.update(
            int(one)
            for one in re.findall(r"\b(?:\w*_and_|test_)5_(\d+)_|\"5\.(\d+): ", path.read_text("utf-8"))
            for one in one
            if one
        )
    for number, place in ELSEWHERE.items():
        path, _, name = place.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (TESTS / path).read_text("utf-8"), re.MULTILINE), place
        found.add(number)
    assert told - found == set()


async def placed(world: Composed, body: dict[str, Any]) -> str:
    answer = await world.ask("POST", CHAIN, body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["notification"]["shipmentId"])


def keys(answer: Any) -> set[str]:
    assert answer.status_code == 400
    return set(answer.json()["errors"])


async def test_item_2_ids_that_are_none(composed: Composed) -> None:
    assert keys(await composed.ask("GET", f"{BASE}/orders/not-a-uuid")) == {"id"}
    shipment = await composed.ask("GET", f"{BASE}/future/shipment/not-a-uuid")
    assert (shipment.status_code, shipment.content) == (404, b"")


async def test_item_3_content_types(composed: Composed) -> None:
    wrong = await composed.ask("POST", CHAIN, b"{}", None, content_type="text/plain")
    assert (wrong.status_code, wrong.content) == (415, b"")
    for creator, status in ((None, 401), ("ttd", 415)):
        missing = await composed.ask("POST", CHAIN, b"{}", creator, content_type="")
        assert (missing.status_code, bool(missing.content)) == (status, creator is not None)


async def test_item_4_content_types_of_the_feed(composed: Composed) -> None:
    feed = f"{BASE}/future/shipment/feed"
    wrong = await composed.ask("GET", feed, content_type="text/plain")
    assert (wrong.status_code, wrong.content) == (415, b"")
    assert (await composed.ask("GET", feed)).status_code == 200


async def test_items_5_to_7_parse_errors_and_missing_values(composed: Composed) -> None:
    malformed = await composed.ask("POST", CHAIN, b'{"idempotencyId": oops}')
    assert malformed.headers["content-type"] == "application/json; charset=utf-8"
    assert keys(malformed) == {"$.idempotencyId", "notificationOrderRequest"}
    for value, expected in (
        (ABSENT, {"$", "notificationOrderRequest"}),
        (None, {"IdempotencyId"}),
        (" ", {"IdempotencyId"}),
    ):
        assert keys(await composed.ask("POST", CHAIN, put(chain(), "idempotencyId", value))) == expected


async def test_item_12_settings_in_keys(composed: Composed) -> None:
    direct = put(chain(), "recipient.recipientEmail.emailSettings.body", "")
    assert keys(await composed.ask("POST", CHAIN, direct)) == {"Recipient.RecipientEmail.Settings.Body"}
    looked_up = chain(recipient=put(person(), "recipientPerson.emailSettings.body", ""))
    assert keys(await composed.ask("POST", CHAIN, looked_up)) == {
        "Recipient.RecipientPerson.EmailSettings.Body"
    }


async def test_item_21_offsets_come_back_as_utc(composed: Composed) -> None:
    shipment = await placed(composed, chain(requestedSendTime="2031-03-14T08:00:00.120+02:00"))
    order = await composed.ask("GET", f"{BASE}/orders/{shipment}")
    assert order.json()["requestedSendTime"] == "2031-03-14T06:00:00.12Z"


async def contacts(world: Composed) -> None:
    await world.database.execute(
        "insert into contact_person (pid, name, email) values ('12839010182', 'Kari Prøve', 'kari@example.org')"
    )
    await world.database.execute(
        "insert into contact_organization (number, name, emails) values ('312345609', 'Prøve AS', '{post@example.org}')"
    )


async def test_item_28_keywords(composed: Composed) -> None:
    await contacts(composed)
    text = "$recipientName$ $recipientNumber$"
    for recipient, sent in ((person(), "K… P… "), (organization(), "P… A… 312345609")):
        [(kind, settings)] = recipient.items()
        body = chain(
            recipient={kind: settings | {"emailSettings": {"subject": "s", "body": text}}}, idempotencyId=kind
        )
        planned = await composed.ask("POST", CHAIN, body, prefer="dry-run")
        assert planned.json()["orders"][0]["messages"][0]["body"] == sent
        order = await composed.ask("GET", f"{BASE}/orders/{await placed(composed, body)}")
        assert order.json()["emailTemplate"]["body"] == text


async def test_item_31_check_digits_are_not_checked(composed: Composed) -> None:
    body = v1_email(
        recipients=[{"nationalIdentityNumber": "11111111111"}, {"organizationNumber": "111111111"}]
    )
    assert (await composed.ask("POST", f"{BASE}/orders/email", body)).status_code == 202


async def test_item_36_settings_of_a_channel_that_is_not_used(composed: Composed) -> None:
    body = chain(recipient=person(channelSchema="Email", smsSettings={"body": " "}))
    assert keys(await composed.ask("POST", CHAIN, body)) == {"Recipient.RecipientPerson.SmsSettings.Body"}


async def test_item_49_reminders_stay_when_the_main_order_is_cancelled(composed: Composed) -> None:
    body = chain(requestedSendTime="2031-03-14T08:00:00Z", reminders=[reminder()])
    receipt = (await composed.ask("POST", CHAIN, body)).json()["notification"]
    assert (await composed.ask("PUT", f"{BASE}/orders/{receipt['shipmentId']}/cancel")).status_code == 200
    [remaining] = receipt["reminders"]
    left = await composed.ask("GET", f"{BASE}/future/shipment/{remaining['shipmentId']}")
    assert left.json()["status"] == "Order_Registered"
    assert (
        await composed.database.fetchval(
            "select (select count(*) from feed) + (select count(*) from feed_pending)"
        )
        == 0
    )


async def test_items_57_and_58_recipients_of_a_manifest(composed: Composed) -> None:
    shipment = await placed(composed, chain(recipient=sms()))
    for position, (channel, address, status) in enumerate(
        (("Email", "", "Failed_RecipientReserved"), ("Sms", "+4799999999", "Accepted"))
    ):
        await composed.database.execute(
            "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, "
            "expires_at) values ($1, $2, 'ttd', $3, $4, 'direct', $5, $6, 0, $7, $7)",
            shipment, uuid7(), channel, position, address, status, NOW + timedelta(hours=1),
        )  # fmt: skip
    manifest = (await composed.ask("GET", f"{BASE}/future/shipment/{shipment}")).json()
    found = [(one["type"], one["destination"], one["status"]) for one in manifest["recipients"]]
    assert found == [("Email", "", "Email_Failed_RecipientReserved"), ("SMS", "+4799999999", "SMS_Accepted")]
    # How an entry of the feed looks is in engine/test_way.py: without `type`.
    schema = composed.api._contract.document["components"]["schemas"]["FeedRecipient"]
    assert set(schema["properties"]) == {"destination", "status", "lastUpdate"}


async def test_item_62_a_report_with_a_word_nobody_knows(composed: Composed) -> None:
    body = b"<MSGLST><MSG><ID>1</ID><REF>77</REF><RCV>4799999999</RCV><STATE>LOST</STATE></MSG></MSGLST>"
    answer = await composed.ask(
        "POST", "/notifications/sms/api/v1/reports", body, content_type="application/xml"
    )
    assert answer.status_code == 200
    row = await composed.database.fetchrow("select word, status from report")
    assert row is not None
    assert tuple(row) == ("LOST", "Failed")


@pytest.mark.parametrize("kind", ["application/pdf", "APPLICATION/PDF", "Application/Pdf"])
async def test_item_66_mime_types_in_any_case(kind: str, composed: Composed) -> None:
    body = put(files(), "recipient.emailSettings.attachments.0.mimeType", kind)
    assert (await composed.ask("POST", f"{CHAIN}/composed-email", body)).status_code == 201
