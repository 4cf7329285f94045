"""Shipments and feed read from real rows (docs/reference/notifications-api.md 2.15, 2.16)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from tests.support.polling import until
from varsel.recipients.registers import BuiltinRegisters
from varsel.review.feed import FeedReader
from varsel.review.log import LogReader
from varsel.review.query import FeedQuery, feed_query, wait_seconds
from varsel.review.routes import Routes
from varsel.review.search import Search
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import Call, Caller
from varsel.runtime.errors import CodedProblem, EmptyProblem, ValidationProblem
from varsel.runtime.trace import Trace
from varsel.store.database import Database, Listener
from varsel.store.ids import uuid7
from varsel.store.secrets import MasterKey

NOW = datetime(2031, 3, 14, 8, 0, 41, 500_000, tzinfo=UTC)


def call(creator: str | None = "ttd", query: bytes = b"", prefer: bytes | None = None, **params: str) -> Call:
    async def never() -> None:
        await asyncio.Event().wait()

    headers = {b"prefer": [prefer]} if prefer else {}
    return Call("GET", "/", params, query, headers, b"", Caller(creator=creator), Trace(), {}, never)


async def add_order(
    database: Database, creator: str = "ttd", state: str = "Processed", kind: str = "Notification"
) -> UUID:
    order = uuid7()
    await database.execute(
        "insert into orders (id, creator, kind, channel, requested_at, created_at, state, state_at, senders_reference) "
        "values ($1, $2, $3, 'Email', $4, $4, $5, $6, 'ref-1')",
        order,
        creator,
        kind,
        NOW - timedelta(minutes=1),
        state,
        NOW,
    )
    return order


async def add_message(
    database: Database, order: UUID, channel: str, address: str, status: str, position: int = 0
) -> None:
    await database.execute(
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, expires_at) "
        "values ($1, $2, 'ttd', $3, $4, 'direct', $5, $6, 0, $7, $7)",
        order,
        uuid7(),
        channel,
        position,
        address,
        status,
        NOW,
    )


async def add_entries(database: Database, creator: str, *numbers: int) -> None:
    for number in numbers:
        await database.execute(
            "insert into feed (seq, creator, order_id, created_at, entry) values ($1, $2, $3, $4, $5)",
            number,
            creator,
            uuid7(),
            NOW,
            b',\n    "shipmentId": "x"\n  }',
        )


def routes(database: Database, listener: Listener | None = None) -> Routes:
    master_key, registers = MasterKey(bytes(32)), BuiltinRegisters(database, sandbox=True)
    return Routes(
        database,
        ManualClock(NOW),
        FeedReader(database, listener),
        LogReader(database, master_key, registers, builtin=True),
        Search(database, master_key),
        base_url="https://varsel.example.org",
        largest_page=500,
    )


async def test_api_2_15_shipment_lists_email_before_sms(database: Database) -> None:
    order = await add_order(database)
    await add_message(database, order, "Sms", "+4799999999", "Failed_TTL")
    await add_message(database, order, "Email", "kari@example.org", "Failed_SupressedRecipient", 1)
    await add_message(database, order, "Email", "", "Failed_RecipientReserved", 0)
    reply = await routes(database).get_shipment(call(id=str(order)))
    shown = json.loads(reply.body)
    assert shown["status"] == "Order_Processed"
    assert shown["lastUpdate"] == "2031-03-14T08:00:41.5Z"
    assert shown["sendersReference"] == "ref-1"
    assert [(r["type"], r["destination"], r["status"]) for r in shown["recipients"]] == [
        ("Email", "", "Email_Failed_RecipientReserved"),
        ("Email", "kari@example.org", "Email_Failed_SuppressedRecipient"),
        ("SMS", "+4799999999", "SMS_Failed_TTL"),
    ]


async def test_api_2_15_another_creators_shipment_is_missing(database: Database) -> None:
    order = await add_order(database, creator="skd")
    with pytest.raises(CodedProblem, match="NOT-00003"):
        await routes(database).get_shipment(call(id=str(order)))
    with pytest.raises(EmptyProblem) as refused:
        await routes(database).get_shipment(call(creator=" ", id=str(order)))
    assert refused.value.status == 403


async def read(database: Database, query: bytes, creator: str = "ttd") -> list[int]:
    reply = await routes(database).get_feed(call(creator, query))
    return [entry["sequenceNumber"] for entry in json.loads(reply.body)]


async def test_api_5_54_to_56_feed_pages(database: Database) -> None:
    await add_entries(database, "ttd", 3, 5, 5_000_001, 9)
    await add_entries(database, "skd", 4, 5_000_002)
    assert await read(database, b"") == [3, 5, 9, 5_000_001]
    assert await read(database, b"SEQ=5&pagesize=1") == [9]
    assert await read(database, b"pageSize=0") == [3]
    assert await read(database, b"pageSize=100000") == [3, 5, 9, 5_000_001]
    assert await read(database, b"orderBy=desc&seq=0&pageSize=2") == [5_000_001, 9]
    assert await read(database, b"orderBy=1&seq=9") == [5, 3]
    assert await read(database, b"seq=5000001") == []
    assert await read(database, b"", "skd") == [4, 5_000_002]


async def test_feed_is_laid_out_as_every_answer(database: Database) -> None:
    await add_entries(database, "ttd", 3, 5)
    body = (await routes(database).get_feed(call())).body
    assert body == (
        b'[\n  {\n    "sequenceNumber": 3,\n    "shipmentId": "x"\n  },\n  {\n    "sequenceNumber": 5,\n    "shipmentId": "x"\n  }\n]'
    )
    assert (await routes(database).get_feed(call("nobody"))).body == b"[]"


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        (b"seq=-1", {"Seq"}),
        (b"seq=abc", {"Seq"}),
        (b"seq=9223372036854775808", {"Seq"}),
        (b"seq=", {"Seq"}),
        (b"seq=%2B-5", {"Seq"}),
        (b"seq=%C2%B2", {"Seq"}),
        (b"seq=1_0", {"Seq"}),
        (b"pageSize=--1", {"PageSize"}),
        (b"pageSize=abc", {"PageSize"}),
        (b"orderBy=sideways", {"OrderBy"}),
        (b"orderBy=2", {"OrderBy"}),
        (b"seq=x&pageSize=y&orderBy=z", {"Seq", "PageSize", "OrderBy"}),
    ],
)
def test_api_2_16_bad_parameters(query: bytes, keys: set[str]) -> None:
    with pytest.raises(ValidationProblem) as refused:
        feed_query(query, 500)
    assert set(refused.value.errors) == keys


def test_defaults_and_preferences() -> None:
    assert feed_query(b"", 500) == FeedQuery(0, 500, descending=False)
    assert wait_seconds([b"respond-async, wait=10"]) == 10
    assert wait_seconds([b'Wait="99"']) == 30
    assert wait_seconds([b"wait=soon"]) == 0
    assert wait_seconds([b"wait=\xb2", b"wait=1\xb2", b'wait="', b"wait=-1"]) == 0
    assert wait_seconds([b"wait=" + b"9" * 10_000]) == 30
    assert wait_seconds(None) == 0


async def test_long_poll_answers_when_an_entry_is_numbered(database: Database) -> None:
    listener = Listener(database.direct_url)
    reader = FeedReader(database, listener)
    listener.start()
    await until(listener.connected.is_set)
    waiting: Any = asyncio.ensure_future(reader.page_within("ttd", FeedQuery(0, 500, descending=False), 30))
    await add_entries(database, "skd", 1)
    database.wake("feed")
    await until(lambda: not database._topics)
    assert not waiting.done()
    await add_entries(database, "ttd", 2)
    database.wake("feed")
    assert json.loads(await asyncio.wait_for(waiting, 5))[0]["sequenceNumber"] == 2
    await listener.stop()


async def test_a_long_poll_that_need_not_wait_has_the_tag_of_the_page(database: Database) -> None:
    await add_entries(database, "ttd", 1)
    plain = await routes(database).get_feed(call())
    waited = await routes(database).get_feed(call(prefer=b"wait=5"))
    assert dict(waited.headers) == {**dict(plain.headers), b"preference-applied": b"wait=5"}


async def test_many_who_wait_leave_the_database_to_others() -> None:
    looking, most, looks = 0, 0, 0

    class Counting:
        async def fetchval(self, *_: object) -> None:
            nonlocal looking, most, looks
            looking += 1
            most, looks = max(most, looking), looks + 1
            for _ in range(3):
                await asyncio.sleep(0)
            looking -= 1

    reader = FeedReader(cast("Any", Counting()))
    query = FeedQuery(0, 500, descending=False)
    waiting = [asyncio.ensure_future(reader.page_within("ttd", query, 30)) for _ in range(200)]
    await until(lambda: looks == 200)
    reader._wake()
    await until(lambda: looks >= 400)
    assert most == 2
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_long_poll_ends_empty_when_its_time_is_over(database: Database) -> None:
    assert await FeedReader(database).page_within("ttd", FeedQuery(0, 500, descending=False), 0.01) == b"[]"
