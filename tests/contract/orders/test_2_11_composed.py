"""POST …/future/orders/composed-email: docs/reference/notifications-api.md 2.11 and section 5."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.contract.orders.bodies import ABSENT, FILE, chain, composed, put
from tests.contract.orders.test_2_10_orders import content_of, row_of
from tests.contract.orders.world import BASE, CHAIN, PUBLIC, World, open_world
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

COMPOSED = f"{CHAIN}/composed-email"
NAME = "orderRequest"
S = "recipient.emailSettings"
A = f"{S}.attachments.0"
AK = "Recipient.Settings.Attachments[0]"


def file(**changes: str) -> str:
    url = FILE
    for name, value in changes.items():
        before, _, rest = url.partition(f"&{name}=")
        _, amp, after = rest.partition("&")
        url = before + (f"&{name}={value}" if value != "-" else "") + amp + after
    return url


ROWS: list[tuple[str, Any, set[str]]] = [
    ("no body", b"", {"", NAME}),
    ("not JSON", b"{", {"$", NAME}),
    ("idempotencyId missing", put(composed(), "idempotencyId", ABSENT), {"$", NAME}),
    ("recipient missing", put(composed(), "recipient", ABSENT), {"$", NAME}),
    ("address missing", put(composed(), "recipient.emailAddress", ABSENT), {"$.recipient", NAME}),
    ("settings missing", put(composed(), S, ABSENT), {"$.recipient", NAME}),
    ("subject missing", put(composed(), f"{S}.subject", ABSENT), {f"$.{S}", NAME}),
    ("filename missing", put(composed(), f"{A}.filename", ABSENT), {f"$.{S}.attachments[0]", NAME}),
    ("idempotencyId blank", put(composed(), "idempotencyId", " "), {"IdempotencyId"}),
    ("recipient null", put(composed(), "recipient", None), {"Recipient"}),
    ("address malformed", put(composed(), "recipient.emailAddress", "kari"), {"Recipient.EmailAddress"}),
    ("address blank", put(composed(), "recipient.emailAddress", ""), {"Recipient.EmailAddress"}),
    ("settings null", put(composed(), S, None), {"Recipient.Settings"}),
    ("subject blank", put(composed(), f"{S}.subject", " "), {"Recipient.Settings.Subject"}),
    ("body blank", put(composed(), f"{S}.body", ""), {"Recipient.Settings.Body"}),
    ("sender blank", put(composed(), f"{S}.senderEmailAddress", " "), {"Recipient.Settings.SenderEmailAddress"}),
    ("by day", put(composed(), f"{S}.sendingTimePolicy", "Daytime"), {"Recipient.Settings.SendingTimePolicy"}),
    ("time passed", put(composed(), "requestedSendTime", "2031-03-14T11:59:59Z"), {"RequestedSendTime"}),
    ("condition", put(composed(), "conditionEndpoint", "x"), {"ConditionEndpoint"}),
    *((f"item 65: filename {name!r}", put(composed(), f"{A}.filename", name), {f"{AK}.Filename"}) for name in ("", " ", "report", "report.", "a/b.pdf", "a\\b.pdf")),
    *((f"mimeType {kind!r}", put(composed(), f"{A}.mimeType", kind), {f"{AK}.MimeType"}) for kind in ("", " ", "application/x-msdownload", "application/pdf; charset=utf-8")),
    *(
        (f"sasUrl {name}", put(composed(), f"{A}.sasUrl", url), {f"{AK}.SasUrl"})
        for name, url in {
            "blank": " ",
            "null": None,
            "relative": "files/a.pdf",
            "http": FILE.replace("https", "http"),
            "another host": FILE.replace("windows.net", "windows.net.example.org"),
            "without se": file(se="-"),
            "without sp": file(sp="-"),
            "without sig": file(sig="-"),
            "blank sig": file(sig="%20"),
            "of a container": file(sr="c"),
            "without sr": file(sr="-"),
            "expiry no date": file(se="tomorrow"),
            "item 64: only write": file(sp="w"),
            "item 64: capital R": file(sp="R"),
        }.items()
    ),
    ("item 63: expiry a second early", put(put(composed(), f"{A}.sasUrl", file(se="2031-03-15T08:14:59Z")), "requestedSendTime", "2031-03-15T08:00:00Z"), {AK}),
    ("expiry too near now", put(composed(), f"{A}.sasUrl", file(se="2031-03-14T12:14:59Z")), {AK}),
    ("attachment null", put(composed(), f"{S}.attachments", [None]), {AK}),
    ("second attachment null", put(composed(), f"{S}.attachments", [composed()["recipient"]["emailSettings"]["attachments"][0], None]), {"Recipient.Settings.Attachments[1]"}),
    ("NUL", put(composed(), f"{A}.filename", "a\x00.pdf"), {f"{AK}.Filename"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "keys"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_a_wrong_order_is_refused_with_its_keys(refusing: World, body: Any, keys: set[str]) -> None:
    answer = await refusing.send(COMPOSED, body, x_composed="1")
    assert answer.status == 400, answer.content
    assert answer.keys == keys
    for secret in (b"c3ludGhldGlj", b"examplestore", b"avtale.pdf?"):
        assert secret not in answer.content


async def test_item_15_another_policy(refusing: World) -> None:
    assert (await refusing.send(COMPOSED, composed())).status == 403


async def test_accepted(world: World) -> None:
    answer = await world.send(COMPOSED, composed(sendersReference="c"), x_composed="1")
    assert answer.status == 201
    receipt = answer.json
    assert answer.headers["location"] == f"{PUBLIC}{BASE}/orders/chain/{receipt['notificationOrderId']}"
    assert receipt["notification"] == {
        "shipmentId": receipt["notification"]["shipmentId"],
        "sendersReference": "c",
    }
    row = await row_of(world, receipt["notification"]["shipmentId"])
    assert (row["kind"], row["channel"], row["state"]) == ("Composed", "Email", "Registered")
    content = await content_of(world, receipt["notification"]["shipmentId"])
    [attachment] = content.attachments
    assert (attachment.filename, attachment.mime_type) == ("avtale.pdf", "application/pdf")
    assert attachment.sealed_url is not None
    assert MasterKey(b"k" * 32).open(base64.b64decode(attachment.sealed_url)) == FILE.encode()
    raw = await world.database.fetchval("select string_agg(encode(content, 'escape'), '') from order_content")
    assert "c3ludGhldGlj" not in raw


@pytest.mark.parametrize(
    "body",
    [
        put(composed(), f"{S}.attachments", None),
        put(composed(), f"{S}.attachments", []),
        put(composed(), f"{A}.mimeType", "Application/PDF"),
        put(composed(), f"{A}.filename", ".pdf"),
        put(composed(), f"{A}.sasUrl", file(sr="B")),
        put(composed(), f"{A}.sasUrl", file(sp="rw")),
        put(composed(), f"{A}.sasUrl", FILE.replace("blob.core", "BLOB.Core")),
        put(put(composed(), f"{A}.sasUrl", file(se="2031-03-15T08:15:00Z")), "requestedSendTime", "2031-03-15T08:00:00Z"),
    ],
)  # fmt: skip
async def test_odd_but_accepted(world: World, body: Any) -> None:
    assert (await world.send(COMPOSED, body, x_composed="1")).status == 201


async def test_item_43_families(world: World) -> None:
    assert (await world.send(CHAIN, chain(idempotencyId="same"))).status == 201
    first = await world.send(COMPOSED, composed(idempotencyId="same"), x_composed="1")
    again = await world.send(COMPOSED, composed(idempotencyId="same"), x_composed="1")
    assert (first.status, again.status, again.content) == (201, 200, first.content)
    assert "location" not in again.headers


async def test_blob_hosts_are_a_setting(database: Database) -> None:
    async with open_world(database, blob_hosts=(".files.example.org",)) as world:
        assert (await world.send(COMPOSED, composed(), x_composed="1")).status == 400
        url = FILE.replace("examplestore.blob.core.windows.net", "a.files.example.org")
        assert (await world.send(COMPOSED, put(composed(), f"{A}.sasUrl", url), x_composed="1")).status == 201
