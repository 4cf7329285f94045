"""docs/reference/notifications-api.md 2.19–2.22 and 2.24: metrics, triggers, condition stub."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from datetime import UTC, datetime, timedelta
from functools import partial
from xml.etree import ElementTree as ET

import pyarrow.parquet
import pytest

from tests.contract.review.world import BASE, DIRECT, NOW, SMS, World, open_world
from tests.support.polling import until
from varsel.review.daily import rate
from varsel.store.content import OrderContent, Recipient, SmsText
from varsel.store.database import Database, Listener
from varsel.store.ids import uuid7

YESTERDAY = datetime(2031, 3, 13, 12, tzinfo=UTC)
METRICS = f"{BASE}/metrics"


# 2.19


async def test_2_19_the_form_offers_months_and_six_years(refusing: World) -> None:
    page = await refusing.client.get(METRICS)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"<option[^>]*>(\d{4})<", page.text) == [str(year) for year in range(2031, 2025, -1)]
    assert page.text.count('<option value="') == 12
    assert '<option value="3" selected>March' in page.text
    assert "<script" not in page.text


async def test_2_19_figures_by_creator(world: World) -> None:
    march = datetime(2031, 3, 1, tzinfo=UTC)
    both = await world.add_order(channel="EmailAndSms", requested_at=march)
    for position, status in enumerate(("Succeeded", "Delivered", "Failed", "New")):
        await world.add_message(both, status=status, position=position)
    for position, status in enumerate(("Accepted", "Delivered", "Failed_TTL")):
        await world.add_message(both, "Sms", "+4799999999", status, parts=2, position=position)
    await world.add_order(state="Cancelled", requested_at=march)
    await world.add_order(creator="<b>skd</b>", requested_at=march)
    await world.add_message(await world.add_order(requested_at=march - timedelta(seconds=1)))
    await world.add_message(await world.add_order(requested_at=datetime(2031, 4, 1, tzinfo=UTC)))
    page = await world.client.post(METRICS, data={"month": "3", "year": "2031"})
    assert page.status_code == 200
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page.text)
    figures = {name: re.findall(r"<td>(\d+)</td>", cells) for name, cells in rows}
    assert figures == {"ttd": ["2", "4", "2", "6", "4"], "&lt;b&gt;skd&lt;/b&gt;": ["1", "0", "0", "0", "0"]}


async def test_2_19_the_spreadsheet_lies_in_the_page(world: World) -> None:
    await world.add_order(creator="=cmd|'x'!A1 & <b>")
    page = await world.client.post(METRICS, data={"month": "3", "year": "2031"})
    found = re.search(r'download="(.*?)" href="data:.*?;base64,(.*?)"', page.text)
    assert found is not None
    assert found.group(1) == "notifications_metrics_3_2031.xlsx"
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found.group(2)))) as package:
        for name in package.namelist():
            ET.fromstring(package.read(name))
        sheet = package.read("xl/worksheets/sheet1.xml").decode()
    assert (
        '<c t="inlineStr"><is><t xml:space="preserve">=cmd|\'x\'!A1 &amp; &lt;b&gt;</t></is></c><c><v>1</v></c>'
        in sheet
    )
    assert "<f>" not in sheet


async def test_2_19_a_month_without_orders_says_so(world: World) -> None:
    page = await world.client.post(METRICS, data={"month": "12", "year": "2030"})
    assert "No orders" in page.text


async def test_2_19_multipart_works_too(world: World) -> None:
    await world.add_order()
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("month", 3), ("year", 2031))
    )
    page = await world.client.post(
        METRICS, content=f"{body}--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert '<th scope="row">ttd' in page.text


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({}, {"month", "year"}),
        ({"month": "3"}, {"year"}),
        ({"month": "march", "year": "2031"}, {"month"}),
        ({"month": "0", "year": "0"}, {"month", "year"}),
        ({"month": "13", "year": "99999"}, {"month", "year"}),
        ({"month": "-1", "year": "9999"}, {"month", "year"}),
        ({"month": "٣", "year": "2031"}, {"month"}),
    ],
)
async def test_2_19_bad_forms(refusing: World, data: dict[str, str], keys: set[str]) -> None:
    answer = await refusing.client.post(METRICS, data=data)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == keys


# 2.20, 2.21


async def test_2_20_the_daily_sms_file(world: World) -> None:
    await world.database.execute("select setval(pg_get_serial_sequence('notification', 'serial'), 41)")
    order = await world.add_order(
        OrderContent((Recipient(mobile="+4799999999"),), sms=SmsText("Varsel", "Hei $recipientName$")),
        channel="Sms",
        resource="urn:altinn:resource:example-resource",
        requested_at=datetime(2031, 3, 13, 7, 0, 0, 123_456, tzinfo=UTC),
    )
    plain = await world.add_message(
        order, "Sms", "+4799999999", "Delivered", at=YESTERDAY, parts=2, length=200, reference="gw-1"
    )
    custom = await world.add_message(
        order,
        "Sms",
        "+4670123456",
        "Failed_TTL",
        at=YESTERDAY,
        parts=1,
        length=8,
        custom="Hei Kari",
        position=1,
    )
    for status in ("New", "Sending", "Accepted"):
        await world.add_message(order, "Sms", "+4799999999", status, at=YESTERDAY, position=2)
    await world.add_message(order, "Email", at=YESTERDAY)
    await world.add_message(
        order,
        "Sms",
        "+4799999999",
        "Delivered",
        at=YESTERDAY.replace(hour=0) - timedelta(microseconds=1),
        position=3,
    )
    await world.add_message(
        order, "Sms", "+4799999999", "Delivered", at=datetime(2031, 3, 14, tzinfo=UTC), position=4
    )
    answer = await world.client.post(f"{METRICS}/sms")
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="20310313_sms_notifications_test.parquet"'
    assert headers["x-file-hash"] == base64.b64encode(hashlib.md5(answer.content).digest()).decode()
    assert headers["x-file-size"] == str(len(answer.content))
    assert headers["x-total-filetransfer-count"] == "2"
    assert headers["x-generated-at"] == "2031-03-14T08:00:41.5000000+00:00"
    assert headers["x-environment"] == "test"
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("SmsId", "int64"),
        ("ShipmentId", "string"),
        ("SendersReference", "string"),
        ("RequestedSendTime", "string"),
        ("CreatorName", "string"),
        ("ResourceId", "string"),
        ("Result", "string"),
        ("GatewayReference", "string"),
        ("Rate", "string"),
        ("MobileNumberPrefix", "string"),
        ("AltinnSmsCount", "int32"),
        ("AltinnSmsBodyLength", "int32"),
        ("AltinnSmsCustomBodyLength", "int32"),
    ]
    first, second = sorted(table.to_pylist(), key=lambda row: row["SmsId"])
    assert list(first.values()) == [
        42,
        str(plain),
        "ref-1",
        "2031-03-13T07:00:00.1234560Z",
        "ttd",
        "urn:altinn:resource:example-resource",
        "Delivered",
        "gw-1",
        "innland",
        "+479",
        2,
        200,
        0,
    ]
    assert second["ShipmentId"] == str(custom)
    assert (second["Rate"], second["GatewayReference"]) == ("utland", "")
    assert (second["AltinnSmsBodyLength"], second["AltinnSmsCustomBodyLength"]) == (19, 8)


async def test_2_21_the_daily_email_file(world: World) -> None:
    order = await world.add_order(DIRECT, reference=None)
    message = await world.add_message(order, status="Failed_Bounced", at=YESTERDAY, reference="op-1")
    await world.add_message(order, status="Succeeded", at=YESTERDAY, position=1)
    answer = await world.client.post(f"{METRICS}/email")
    assert answer.headers["content-disposition"].endswith('"20310313_email_notifications_test.parquet"')
    (row,) = pyarrow.parquet.read_table(io.BytesIO(answer.content)).to_pylist()
    assert list(row) == [
        "EmailId",
        "ShipmentId",
        "SendersReference",
        "RequestedSendTime",
        "CreatorName",
        "ResourceId",
        "Result",
        "OperationId",
    ]
    assert (row["ShipmentId"], row["SendersReference"], row["ResourceId"]) == (str(message), "", None)
    assert (row["Result"], row["OperationId"]) == ("Failed_Bounced", "op-1")


@pytest.mark.parametrize("kind", ["sms", "email"])
async def test_2_20_a_day_without_rows_is_a_valid_file(world: World, kind: str) -> None:
    answer = await world.client.post(f"{METRICS}/{kind}")
    assert answer.headers["x-total-filetransfer-count"] == "0"
    assert pyarrow.parquet.read_table(io.BytesIO(answer.content)).num_rows == 0


async def test_2_20_more_rows_than_one_batch(world: World) -> None:
    order = await world.add_order(SMS, channel="Sms")
    await world.database.execute(
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, expires_at) "
        "select $1, gen_random_uuid(), 'ttd', 'Sms', n, 'direct', '+4799999999', 'Delivered', 40, $2, $2 from generate_series(1, 12001) n",
        order,
        YESTERDAY,
    )
    answer = await world.client.post(f"{METRICS}/sms")
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert table.num_rows == 12_001
    assert len(set(table.column("SmsId").to_pylist())) == 12_001


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+4799999999", "innland"),
        ("004799999999", "innland"),
        ("+ 47 99999999", "innland"),
        ("00 4799999999", "innland"),
        ("+4670123456", "utland"),
        ("99999999", "utland"),
        ("", "n/a"),
        (" ", "n/a"),
    ],
)
def test_2_20_rates(number: str, expected: str) -> None:
    assert rate(number) == expected


async def test_2_20_without_an_environment_it_is_unknown(database: Database) -> None:
    async with open_world(database) as world:
        assert (await world.client.post(f"{METRICS}/sms")).headers["x-environment"] == "test"
    from varsel.review.daily import DailyFiles

    assert (await DailyFiles(database, "").make("sms", NOW)).environment == "Unknown"


# 2.22


TRIGGERS = {
    "sendemail": "ready",
    "sendsms": "ready",
    "sendsmsdaytime": "ready",
    "sendsmsanytime": "ready",
}


async def test_2_22_triggers_wake_the_workers(world: World) -> None:
    woken: list[str] = []
    listener = Listener(world.database.direct_url)
    for topic in set(TRIGGERS.values()):
        listener.on(topic, partial(woken.append, topic))
    listener.start()
    await until(listener.connected.is_set)
    for name, topic in TRIGGERS.items():
        woken.clear()  # a listener that has just connected wakes everybody
        answer = await world.client.post(f"{BASE}/trigger/{name}")
        assert (answer.status_code, answer.content) == (200, b"")
        await until(lambda: woken)
        assert woken == [topic], name
    await listener.stop()


async def test_1_3_triggers_declare_json(world: World) -> None:
    for name in (*TRIGGERS, "deleteoldstatusfeedrecords"):
        url = f"{BASE}/trigger/{name}"
        assert (await world.client.post(url, headers={"content-type": "application/json"})).status_code == 200
        refused = await world.client.post(url, headers={"content-type": "text/plain"})
        assert (refused.status_code, refused.content) == (415, b"")
        assert (await world.client.get(url)).status_code == 405


async def add_entries(world: World, age: timedelta, count: int, first: int) -> None:
    await world.database.execute(
        "insert into feed (seq, creator, order_id, created_at, entry) select n, 'ttd', $1, $2, '' from generate_series($3::bigint, $4::bigint) n",
        uuid7(),
        NOW - age,
        first,
        first + count - 1,
    )


async def test_2_22_old_feed_entries_are_deleted_ten_thousand_at_a_time(world: World) -> None:
    await add_entries(world, timedelta(days=90), 10_001, 1)
    await add_entries(world, timedelta(days=90) - timedelta(seconds=1), 1, 5_000_000)
    url = f"{BASE}/trigger/deleteoldstatusfeedrecords"
    assert (await world.client.post(url)).status_code == 200
    assert await world.database.fetchval("select count(*) from feed") == 2
    assert (await world.client.post(url)).status_code == 200
    assert await world.database.fetchval("select array_agg(seq) from feed") == [5_000_000]


async def test_2_22_a_failed_clean_up_is_500_with_text(world: World) -> None:
    await world.database.execute("alter table feed rename to elsewhere")
    answer = await world.client.post(f"{BASE}/trigger/deleteoldstatusfeedrecords")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text


# 2.24


@pytest.mark.parametrize(
    ("query", "met"),
    [
        ("?conditionMet=true", True),
        ("?CONDITIONMET=True", True),
        ("?conditionMet=false", False),
        ("?conditionMet=maybe", False),
        ("?conditionMet=", False),
        ("?conditionMet=1", False),
        ("", False),
    ],
)
async def test_2_24_and_5_61_the_condition_stub(refusing: World, query: str, met: bool) -> None:
    answer = await refusing.client.get(f"{BASE}/tests/sendcondition{query}")
    assert answer.status_code == 200
    assert answer.json() == {"sendNotification": met}


async def test_1_3_the_condition_stub_declares_json(refusing: World) -> None:
    answer = await refusing.client.get(f"{BASE}/tests/sendcondition", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.content) == (415, b"")
