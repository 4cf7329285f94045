"""docs/reference/notifications-api.md 2.17 and 2.18: the support search."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.review.world import KARI, NOW, OLA, World
from varsel.review.search import moment, span, years_before

PERSON = "future/dashboard/recipients/notifications/nin"
ORGANIZATION = "future/dashboard/recipients/notifications/orgnumber"
ORG = "312345609"


async def search(world: World, query: str = "", nin: str = KARI) -> list[dict[str, object]]:
    answer = await world.get(f"{PERSON}{query}", nationalidentitynumber=nin)
    assert answer.status_code == 200
    found: list[dict[str, object]] = answer.json()
    return found


async def test_2_17_an_unchanged_search_is_audited_and_not_sent_again(world: World) -> None:
    tag = (await world.get(PERSON, nationalidentitynumber=KARI)).headers["etag"]
    again = await world.get(PERSON, nationalidentitynumber=KARI, if_none_match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert await world.database.fetchval("select count(*) from audit_event") == 2


async def test_2_17_every_notification_of_a_person_across_creators(world: World) -> None:
    resource = "urn:altinn:resource:example-resource"
    older = await world.add_order(creator="skd", requested_at=NOW - timedelta(days=2), reference=None)
    newer = await world.add_order(
        channel="EmailPreferred", resource=resource, requested_at=NOW - timedelta(days=1)
    )
    await world.add_message(older, person=KARI, address="", status="Failed_RecipientReserved")
    await world.add_message(newer, "Sms", "+4799999999", "Failed_TTL", person=KARI)
    await world.add_message(newer, "Email", person=KARI)
    await world.add_message(newer, "Email", "ola@example.org", person=OLA, position=1)
    assert await search(world) == [
        {
            "shipmentId": str(newer),
            "creatorName": "ttd",
            "resourceId": resource,
            "sendersReference": "ref-1",
            "requestedSendTime": "2031-03-13T08:00:41.5Z",
            "notificationChannel": "EmailPreferred",
            "notificationType": "Notification",
            "deliveryAttempts": [
                {
                    "nationalIdentityNumber": KARI,
                    "channel": "email",
                    "emailAddress": "kari@example.org",
                    "result": "Delivered",
                    "resultTime": "2031-03-14T08:00:41.5Z",
                },
                {
                    "nationalIdentityNumber": KARI,
                    "channel": "sms",
                    "mobileNumber": "+4799999999",
                    "result": "Failed_TTL",
                    "resultTime": "2031-03-14T08:00:41.5Z",
                },
            ],
        },
        {
            "shipmentId": str(older),
            "creatorName": "skd",
            "requestedSendTime": "2031-03-12T08:00:41.5Z",
            "notificationChannel": "Email",
            "notificationType": "Notification",
            "deliveryAttempts": [
                {
                    "nationalIdentityNumber": KARI,
                    "channel": "email",
                    "emailAddress": "",
                    "result": "Failed_RecipientReserved",
                    "resultTime": "2031-03-14T08:00:41.5Z",
                }
            ],
        },
    ]


async def test_2_18_an_organization_may_have_several_attempts(world: World) -> None:
    order = await world.add_order()
    await world.add_message(order, organization=ORG)
    await world.add_message(order, address="post@example.org", organization=ORG, position=1)
    answer = await world.get(ORGANIZATION, organizationnumber=ORG)
    (found,) = answer.json()
    assert [attempt["organizationNumber"] for attempt in found["deliveryAttempts"]] == [ORG, ORG]
    assert "nationalIdentityNumber" not in found["deliveryAttempts"][0]


async def test_2_17_direct_and_unprocessed_orders_are_not_found(world: World) -> None:
    await world.add_message(await world.add_order())
    await world.add_order(state="Registered")
    assert await search(world) == []


async def test_5_59_the_range_is_inclusive_at_its_start_and_exclusive_at_its_end(world: World) -> None:
    start = datetime(2031, 3, 10, 12, tzinfo=UTC)
    for at in (start, start + timedelta(hours=1)):
        await world.add_message(await world.add_order(requested_at=at), person=KARI)
    query = "?from=2031-03-10T12:00:00Z&to=2031-03-10T13:00:00Z"
    assert [found["requestedSendTime"] for found in await search(world, query)] == ["2031-03-10T12:00:00Z"]
    offset = "?FROM=2031-03-10T13:00:00%2B01:00&TO=2031-03-10T14:00:00.001%2B01:00"
    assert len(await search(world, offset)) == 2


async def test_2_17_without_a_range_the_last_seven_days_count(world: World) -> None:
    for days in (8, 6):
        await world.add_message(await world.add_order(requested_at=NOW - timedelta(days=days)), person=KARI)
    assert len(await search(world)) == 1
    assert len(await search(world, "?from=2031-03-01T00:00:00Z")) == 2


@pytest.mark.parametrize("number", ["", " ", "1283901018", "128390101822", "1283901018x", "١٢٨٣٩٠١٠١٨٢"])
async def test_2_17_the_number_is_checked(refusing: World, number: str) -> None:
    answer = await refusing.client.get(
        f"/notifications/api/v1/{PERSON}",
        headers=[(b"x-test-creator", b"ttd"), (b"NationalIdentityNumber", number.encode())],
    )
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"NationalIdentityNumber"}
    assert number.strip() == "" or number not in answer.text, "the number is not repeated"


async def test_2_17_the_headers_are_required(refusing: World) -> None:
    assert set((await refusing.get(PERSON)).json()["errors"]) == {"NationalIdentityNumber"}
    assert set((await refusing.get(ORGANIZATION)).json()["errors"]) == {"OrganizationNumber"}
    swapped = await refusing.get(ORGANIZATION, organizationnumber=KARI)
    assert set(swapped.json()["errors"]) == {"OrganizationNumber"}


BAD_RANGES = [
    ("from=yesterday", {"From"}),
    ("to=tomorrow", {"To"}),
    ("from=2031-13-01T00:00:00Z", {"From"}),
    ("from=2031-03-10T12:00:00+01:00", {"From"}),  # a plus that was not written %2B
    ("from=2031-03-10T12:00:00", {"From"}),
    ("to=2031-03-10", {"To"}),
    ("from=2031-03-10T12:00:00Z&to=2031-03-10T12:00:00Z", {"From"}),
    ("from=2031-03-10T12:00:01Z&to=2031-03-10T12:00:00Z", {"From"}),
    ("from=2031-03-14T08:00:42Z", {"From"}),
    ("from=2021-03-14T08:00:41Z", {"From"}),
    ("to=2031-03-14T08:00:42Z", {"To"}),
    ("to=2031-03-07T08:00:41Z", {"To"}),
    ("from=x&to=y", {"From", "To"}),
    ("from=9999-12-31T23:59:59-12:00", {"From"}),
]


@pytest.mark.parametrize(("query", "keys"), BAD_RANGES)
async def test_2_17_bad_ranges(refusing: World, query: str, keys: set[str]) -> None:
    for path, header in (
        (PERSON, {"nationalidentitynumber": KARI}),
        (ORGANIZATION, {"organizationnumber": ORG}),
    ):
        answer = await refusing.get(f"{path}?{query}", **header)
        assert answer.status_code == 400
        assert set(answer.json()["errors"]) == keys


async def test_2_17_all_that_is_wrong_is_told_at_once(refusing: World) -> None:
    answer = await refusing.get(f"{PERSON}?from=x&to=y")
    assert set(answer.json()["errors"]) == {"NationalIdentityNumber", "From", "To"}


@pytest.mark.parametrize(
    "query",
    [
        "from=2021-03-14T08:00:42Z",
        "to=2031-03-07T08:00:42Z",
        "from=&to=",
        "from=2031-03-14T08:00:41.5Z",
        "other=1",
    ],
)
async def test_2_17_edges_that_are_in_order(world: World, query: str) -> None:
    assert await search(world, f"?{query}") == []


async def test_5_16_the_search_needs_no_organisation_but_a_token(world: World) -> None:
    assert (await world.get(PERSON, "", nationalidentitynumber=KARI)).status_code == 200
    assert (await world.get(PERSON, None, nationalidentitynumber=KARI)).status_code == 401


async def test_each_search_is_audited_without_the_number(world: World) -> None:
    await world.add_message(await world.add_order(), person=KARI)
    await search(world)
    row = await world.database.fetchrow("select * from audit_event")
    assert row is not None
    assert (row["actor"], row["organisation"], row["action"]) == ("support-client", "ttd", "support.search")
    assert row["subject"] == "person:" + world.key.mac("recipient", KARI.encode()).hex()
    details = json.loads(row["details"])
    assert (details["kind"], details["notifications"]) == ("person", 1)
    assert KARI not in str(dict(row))
    await world.get(f"{PERSON}?from=x", nationalidentitynumber=KARI)
    assert await world.database.fetchval("select count(*) from audit_event") == 1, (
        "a refused search finds nothing"
    )


async def test_the_search_finds_what_retention_left_only_the_hmac_of(world: World) -> None:
    order = await world.add_order()
    await world.add_message(order, person=KARI)
    await world.database.execute("update notification set recipient = null")
    assert len(await search(world)) == 1


def test_moments_and_leap_days() -> None:
    assert moment("2031-03-14T08:00:00.1234567z") == datetime(2031, 3, 14, 8, 0, 0, 123456, tzinfo=UTC)
    assert moment("2031-03-14 08:00:00Z") is None
    assert moment("2031-03-14T08:00:00+0100") is None
    assert years_before(datetime(2032, 2, 29, tzinfo=UTC), 10) == datetime(2022, 2, 28, tzinfo=UTC)
    within, errors = span(b"", NOW)
    assert (within.start, within.end, errors) == (NOW - timedelta(days=7), NOW, {})
