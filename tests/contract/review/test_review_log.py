"""The notification logs: GET future/log (the creator's own) and GET future/enduser/log (what concerns a person)."""

from __future__ import annotations

import pytest

from tests.contract.review.world import KARI, OLA, World, open_world
from varsel.store.database import Database

DIALOG = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"
OTHER = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c99"
ORG = "312345609"
RESOURCE = "urn:altinn:resource:example-resource"


async def creators(world: World, query: str, creator: str = "ttd") -> list[str]:
    answer = await world.get(f"future/log?{query}", creator)
    assert answer.status_code == 200
    return [line["notificationId"] for line in answer.json()]


async def persons(world: World, pid: str = KARI, claims: str = "{}") -> list[str]:
    answer = await world.get(f"future/enduser/log?dialogId={DIALOG}", None, pid=pid, x_test_claims=claims)
    assert answer.status_code == 200
    return [line["notificationId"] for line in answer.json()]


async def test_a_line_tells_everything_of_its_message(world: World) -> None:
    line = await world.add_line(dialog=DIALOG, transmission="t-1", status="Failed_SupressedRecipient")
    answer = await world.get(f"future/log?dialogId={DIALOG}")
    assert answer.json() == [
        {
            "notificationId": str(line),
            "dialogId": DIALOG,
            "transmissionId": "t-1",
            "type": "Notification",
            "channel": "Email",
            "destination": "kari@example.org",
            "status": "Email_Failed_SuppressedRecipient",
            "requestedSendTime": "2031-03-14T08:00:41.5Z",
            "lastUpdateTime": "2031-03-14T08:00:41.5Z",
        }
    ]


async def test_a_creator_sees_its_own_lines_by_dialog_and_transmission(world: World) -> None:
    one = str(await world.add_line(dialog=DIALOG, transmission="t-1"))
    two = str(await world.add_line(dialog=DIALOG, transmission="t-2"))
    three = str(await world.add_line(dialog=OTHER, transmission="t-1"))
    theirs = str(await world.add_line(dialog=DIALOG, transmission="t-1", creator="skd"))
    assert await creators(world, f"dialogId={DIALOG}") == [one, two]
    assert await creators(world, f"dialogId={DIALOG}&transmissionId=t-2") == [two]
    assert await creators(world, "transmissionId=t-1") == [one, three]
    assert await creators(world, f"DIALOGID={DIALOG.upper()}") == [one, two]
    assert await creators(world, f"dialogId={DIALOG}", "skd") == [theirs]
    assert await creators(world, f"dialogId={'0' * 32}") == []


async def test_a_dialog_that_was_ordered_in_capitals_is_found(world: World) -> None:
    line = str(await world.add_line(dialog=DIALOG.upper()))
    assert await creators(world, f"dialogId={DIALOG}") == [line]


@pytest.mark.parametrize("path", ["future/log", "future/enduser/log"])
@pytest.mark.parametrize(
    "query", ["", "?dialogId=", "?dialogId=%20", "?dialogId=x", f"?dialogId={DIALOG}0", "?transmissionId="]
)
async def test_a_dialog_is_required_and_a_uuid(refusing: World, path: str, query: str) -> None:
    answer = await refusing.get(path + query, pid=KARI)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"dialogId"}


async def test_a_transmission_alone_is_for_creators(world: World) -> None:
    assert (await world.get("future/log?transmissionId=t")).status_code == 200
    assert (await world.get("future/enduser/log?transmissionId=t", pid=KARI)).status_code == 400


async def test_who_may_ask(refusing: World) -> None:
    for path, creator, pid, status in (
        ("future/log", None, None, 401),
        ("future/log", "", None, 403),
        ("future/enduser/log", None, None, 401),
        ("future/enduser/log", "ttd", None, 403),
    ):
        answer = await refusing.get(f"{path}?dialogId={DIALOG}", creator, pid=pid)
        assert (answer.status_code, answer.content) == (status, b""), path


async def test_a_person_sees_messages_to_its_own_number(world: World) -> None:
    mine = await world.add_line(dialog=DIALOG, kind="person", recipient=KARI)
    await world.add_line(dialog=DIALOG, kind="person", recipient=OLA)
    await world.add_line(dialog=OTHER, kind="person", recipient=KARI)
    of_another_creator = await world.add_line(dialog=DIALOG, kind="person", recipient=KARI, creator="skd")
    assert await persons(world) == [str(mine), str(of_another_creator)]


async def test_a_number_used_as_another_kind_of_recipient_is_not_a_person(world: World) -> None:
    await world.add_line(dialog=DIALOG, kind="identity", recipient=KARI)
    assert await persons(world) == []


async def test_a_person_sees_messages_to_its_identity(world: World) -> None:
    line = await world.add_line(dialog=DIALOG, kind="identity", recipient="urn:altinn:username:Kari")
    assert await persons(world) == []
    assert await persons(world, claims='{"urn:altinn:username": "kari"}') == [str(line)]
    assert await persons(world, claims='{"urn:altinn:username": ""}') == []
    assert await persons(world, claims='{"urn:altinn:username": "kar"}') == []


async def test_a_person_sees_an_organizations_messages_where_authorized(world: World) -> None:
    database = world.database
    await database.execute("insert into contact_organization (number) values ($1)", ORG)
    await database.execute(
        "insert into contact_user (number, position, pid, resources) values ($1, 0, $2, '{example-resource}')",
        ORG,
        KARI,
    )
    allowed = await world.add_line(dialog=DIALOG, kind="organization", recipient=ORG, resource=RESOURCE)
    await world.add_line(
        dialog=DIALOG, kind="organization", recipient=ORG, resource="urn:altinn:resource:other"
    )
    await world.add_line(dialog=DIALOG, kind="organization", recipient=ORG)
    await world.add_line(dialog=DIALOG, kind="organization", recipient="312345700", resource=RESOURCE)
    assert await persons(world) == [str(allowed)]
    assert await persons(world, OLA) == []


async def contact(world: World, pid: str, email: str | None, mobile: str | None) -> None:
    await world.database.execute(
        "insert into contact_person (pid, email, mobile) values ($1, $2, $3)", pid, email, mobile
    )


async def test_a_plain_address_is_shown_to_the_one_who_has_it(world: World) -> None:
    await contact(world, KARI, "Kari@example.org", "99 99 99 99")
    mail = await world.add_line(dialog=DIALOG)
    sms = await world.add_line(dialog=DIALOG, channel="Sms", destination="004799999999", status="Delivered")
    await world.add_line(dialog=DIALOG, destination="someone@example.org")
    await world.add_line(dialog=DIALOG, destination="", status="Failed_RecipientNotIdentified")
    assert await persons(world) == [str(mail), str(sms)]
    assert await persons(world, OLA) == []


@pytest.mark.parametrize(
    "insert",
    [
        f"insert into contact_person (pid, email, mobile) values ('{OLA}', 'KARI@example.org', '+4799999999')",
        "insert into contact_identity (urn, email, mobile) values ('urn:x', 'kari@example.org', '4799999999')",
        f"insert into contact_organization (number, emails, mobiles) values ('{ORG}', '{{kari@example.org}}', '{{99999999}}')",
        f"with o as (insert into contact_organization (number) values ('{ORG}')) select 1",
    ],
)
async def test_a_shared_address_is_shown_to_nobody(world: World, insert: str) -> None:
    await contact(world, KARI, "kari@example.org", "+4799999999")
    await world.add_line(dialog=DIALOG)
    await world.add_line(dialog=DIALOG, channel="Sms", destination="+4799999999")
    await world.database.execute(insert)
    if insert.startswith("with"):
        await world.database.execute(
            "insert into contact_user (number, position, pid, email, mobile) values ($1, 0, $2, 'kari@example.org', '99999999')",
            ORG,
            OLA,
        )
    assert await persons(world) == []


async def test_the_same_digits_abroad_are_another_number(world: World) -> None:
    await contact(world, KARI, None, "+4640000001")
    await world.add_line(dialog=DIALOG, channel="Sms", destination="+4740000001")
    assert await persons(world) == []


async def test_with_another_register_plain_addresses_stay_hidden(database: Database) -> None:
    async with open_world(database, profile_url="https://profile.example.org") as world:
        await contact(world, KARI, "kari@example.org", None)
        await world.add_line(dialog=DIALOG)
        assert await persons(world) == []


async def test_no_line_is_an_empty_list(world: World) -> None:
    answer = await world.get(f"future/log?dialogId={DIALOG}")
    assert answer.content == b"[]"
