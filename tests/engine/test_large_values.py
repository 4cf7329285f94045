"""Nothing blocks the event loop: values that are too large for one message reach the database in pieces."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.engine.test_accept import NOW, entry
from varsel.delivery.finish import finish
from varsel.delivery.model import Planned
from varsel.delivery.store import insert_plan
from varsel.orders.accept import MOST_BYTES, Flusher
from varsel.orders.drafts import Defaults
from varsel.orders.drafts_direct import InstantDraft, draft_instant_email, draft_instant_sms
from varsel.orders.instant import Instants
from varsel.orders.model import Entry
from varsel.orders.wire_direct import (
    InstantEmail,
    InstantEmailRecipient,
    InstantEmailSettings,
    InstantSmsRecipient,
    InstantSmsSettings,
)
from varsel.review.feed import MOST, FeedReader
from varsel.review.query import FeedQuery
from varsel.runtime.clock import ManualClock
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.long_texts import decoded

_delivery = queries.load("varsel.delivery")
LONG = "æ😀\n" * 900_000
TEXTS = ("senders_reference", "resource_id", "resource_action", "dialog_id", "transmission_id")
DEFAULTS = Defaults("noreply@example.org", "Varsel")


def octets(argument: Any) -> int:
    if isinstance(argument, str):
        return len(argument.encode())
    if isinstance(argument, bytes):
        return len(argument)
    return sum(map(octets, argument)) if isinstance(argument, list) else 0


@pytest.fixture
def watched(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database to which no statement carries more than a few milliseconds of work."""

    def check(arguments: Any) -> None:
        assert sum(map(octets, arguments)) <= MOST_BYTES, "one message holds the event loop"

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        run = getattr(asyncpg.Connection, name)

        async def checked(self: Any, sql: str, *arguments: Any, run: Any = run, **options: Any) -> Any:
            check(arguments)
            return await run(self, sql, *arguments, **options)

        monkeypatch.setattr(asyncpg.Connection, name, checked)
    return database


async def stored(database: Database, order: UUID) -> asyncpg.Record:
    row = await database.fetchrow(
        "select o.*, c.content, i.receipt from orders o join order_content c on c.order_id = o.id "
        "left join idempotency i on i.chain_id = o.chain_id where o.id = $1",
        order,
    )
    assert row is not None
    return row


@pytest.mark.parametrize("keyed", [True, False], ids=["v2", "v1"])
@pytest.mark.parametrize("name", [*TEXTS, "all", "content", "receipt"])
async def test_each_large_value_of_an_order_is_stored_whole(
    watched: Database, name: str, keyed: bool
) -> None:
    changes: dict[str, Any] = {"all": dict.fromkeys(TEXTS, LONG), "receipt": {}}.get(
        name, {name: LONG.encode() if name == "content" else LONG}
    )
    large = entry("one" if keyed else None, **changes)
    if name == "receipt" and large.key is not None:
        large = Entry(large.orders, replace_receipt(large, LONG.encode()))
    flusher = Flusher(watched, ManualClock(NOW))
    assert (await flusher.store(large)).first
    row = await stored(watched, large.orders[0].id)
    assert {column: row[column] for column in (*TEXTS, "content")} == {
        column: getattr(large.orders[0], column) for column in (*TEXTS, "content")
    }
    if large.key is not None:
        assert row["receipt"] == large.key.receipt
        again = await flusher.store(large)
        assert again.receipt == large.key.receipt


def replace_receipt(large: Entry, receipt: bytes) -> Any:
    assert large.key is not None
    large.key.receipt = receipt
    return large.key


async def test_many_reminders_with_texts_go_in_several_statements(watched: Database) -> None:
    large = entry("chain", orders=60, content=b"x" * 300_000, senders_reference="r" * 50_000)
    assert (await Flusher(watched, ManualClock(NOW)).store(large)).first
    sizes = await watched.fetch("select octet_length(content) as size from order_content")
    assert [row["size"] for row in sizes] == [300_000] * 60


async def test_a_repeat_with_large_values_brings_nothing(
    watched: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    flusher = Flusher(watched, ManualClock(NOW))
    await flusher.store(entry("same"))
    again = await flusher.store(entry("same", senders_reference=LONG, content=LONG.encode()))
    assert not again.first
    assert await watched.fetchval("select count(*) from orders where senders_reference is not null") == 0


class Sender:
    """Takes everything."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def prepare(self, kind: str) -> Any:
        return SimpleNamespace(attempt_id=uuid7(), worker=uuid7(), provider="link")

    async def send(self, prepared: Any, *, address: str, **order: Any) -> bool:
        self.addresses.append(address)
        return True


def drafts() -> dict[str, InstantDraft]:
    who: dict[str, Any] = {"body_mac": b"mac", "creator": "ttd", "now": NOW, "defaults": DEFAULTS}
    settings = InstantEmailSettings(subject="s", body=LONG)
    recipient = InstantEmailRecipient(email_address="a" * len(LONG) + "@example.org", email_settings=settings)
    sms = InstantSmsRecipient(
        phone_number="+4799999999" + " " * 3_000_000,
        time_to_live_in_seconds=360,
        sms_settings=InstantSmsSettings(body="b"),
    )
    email = InstantEmail(idempotency_id="e", recipient_email=recipient, senders_reference=LONG)
    return {
        "email": draft_instant_email(email, **who),
        "sms": draft_instant_sms("s", LONG, sms, **who),
    }


@pytest.mark.parametrize("kind", ["email", "sms"])
async def test_an_instant_order_likewise(watched: Database, kind: str) -> None:
    draft = drafts()[kind]
    sender = Sender()
    answer = await Instants(watched, sender).place(draft)
    assert answer.first
    assert sender.addresses == [draft.address]
    row = await stored(watched, draft.order.id)
    assert (row["senders_reference"], row["content"], row["receipt"]) == (
        LONG,
        draft.order.content,
        draft.key.receipt,
    )
    assert await watched.fetchval("select address from notification") == draft.address


async def test_a_feed_entry_with_large_texts_is_written_by_the_database(watched: Database) -> None:
    large = entry("one", senders_reference=LONG)
    order = large.orders[0].id
    await Flusher(watched, ManualClock(NOW)).store(large)
    await watched.execute("update orders set state = 'Processed' where id = $1", order)
    plan = [planned(order, address=LONG), planned(order, address="kari@example.org", position=1)]
    async with watched.transaction() as connection:
        assert await insert_plan(connection, [(order, plan)], NOW) == []
        seen: list[int] = []
        assert await finish(Reading(connection, seen), [order], NOW) == 1  # type: ignore[arg-type]
    assert max(seen) <= 200_000, "large texts come here although nobody needs them"
    entry_ = await watched.fetchval("select entry from feed_pending")
    found = json.loads(b'{"sequenceNumber": 1' + entry_)
    assert found["sendersReference"] == LONG
    assert [one["destination"] for one in found["recipients"]] == [LONG, "kari@example.org"]


class Reading:
    """A connection that notes how many octets its answers have."""

    def __init__(self, real: Any, seen: list[int]) -> None:
        self.real = real
        self.seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def fetch(self, *arguments: Any) -> Any:
        rows = await self.real.fetch(*arguments)
        self.seen.append(sum(octets(list(row.values())) for row in rows))
        return rows


async def test_an_entry_for_many_recipients_goes_in_pieces(watched: Database) -> None:
    one = entry("one", channel="Email")
    order = one.orders[0].id
    await Flusher(watched, ManualClock(NOW)).store(one)
    await watched.execute("update orders set state = 'Processed' where id = $1", order)
    address = "k" * 4000 + "@example.org"
    plan = [planned(order, address=address, position=position) for position in range(1200)]
    async with watched.transaction() as connection:
        await insert_plan(connection, [(order, plan)], NOW)
        assert await finish(connection, [order], NOW) == 1
    found = json.loads(b'{"sequenceNumber": 1' + await watched.fetchval("select entry from feed_pending"))
    assert [one["destination"] for one in found["recipients"]] == [address] * 1200


async def test_large_texts_of_messages_are_stored_and_read_whole(watched: Database) -> None:
    one = entry("one")
    order = one.orders[0].id
    await Flusher(watched, ManualClock(NOW)).store(one)
    texts = {"address": LONG, "recipient": LONG, "custom_subject": LONG, "custom_body": LONG}
    plan = [planned(order, **texts), planned(order, custom_body="short", position=1)]
    async with watched.transaction() as connection:
        await insert_plan(connection, [(order, plan)], NOW)
    rows = await watched.fetch("select * from notification order by position")
    assert {name: rows[0][name] for name in texts} == texts
    assert (rows[1]["address"], rows[1]["custom_body"]) == ("kari@example.org", "short")
    read = await watched.fetch(_delivery.read_messages, [order] * 2, [row["id"] for row in rows], 100_000)
    long, short = sorted(read, key=lambda row: row["address"] or "")
    assert (long["custom_body"], decoded(long["long_body"]), decoded(long["long_address"])) == (
        None,
        LONG,
        LONG,
    )
    assert (short["address"], short["custom_body"], short["long_body"]) == (
        "kari@example.org",
        "short",
        None,
    )


def planned(order: UUID, **changes: Any) -> Planned:
    values: dict[str, Any] = {
        "order_id": order, "id": uuid7(), "creator": "ttd", "channel": "Email", "position": 0, "recipient_kind": "direct",
        "recipient": None, "recipient_key": None, "address": "kari@example.org", "custom_subject": None, "custom_body": None,
        "sms_parts": None, "body_length": None, "status": "New", "rank": 0, "expires_at": NOW, "lane": 1, "domain": None,
        "ready_at": NOW, "daytime": False,
    }  # fmt: skip
    return Planned(**(values | changes))


async def test_a_page_of_large_entries_ends_early(database: Database) -> None:
    for number in range(1, 6):
        entry_ = b',\n    "sendersReference": "%b"\n  }' % (b"x" * (MOST // 2))
        await database.execute(
            "insert into feed (seq, creator, order_id, created_at, entry) values ($1, 'ttd', $2, $3, $4)",
            number,
            uuid7(),
            NOW,
            entry_,
        )
    reader = FeedReader(database)
    seen: list[int] = []
    while (
        page := json.loads(await reader.page("ttd", FeedQuery(seen[-1] if seen else 0, 500, False)))
    ) != []:
        assert len(page) <= 2
        seen += [one["sequenceNumber"] for one in page]
    assert seen == [1, 2, 3, 4, 5]
    down = json.loads(await reader.page("ttd", FeedQuery(0, 500, True)))
    assert [one["sequenceNumber"] for one in down] == [5, 4]
