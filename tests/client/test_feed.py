"""The feed as an endless iterator that survives restarts and outages."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest

from tests.client.test_orders import EMAIL
from varsel.client import (
    CallableCursor,
    ConfigurationError,
    FileCursor,
    MemoryCursor,
    Notifications,
    Order,
    ServerError,
    ToEmail,
    Unauthorized,
)


async def fill(api, memory, count):
    for number in range(count):
        await api.order(Order(f"case-{number}-{len(memory.orders)}", ToEmail("kari@example.org", EMAIL)))
    memory.deliver()


def feeds(memory):
    return [one for one in memory.requests if "/shipment/feed" in one.url]


async def test_every_entry_comes_once_in_order(api, memory):
    await fill(api, memory, 7)
    entries = await api.listed(api.client.feed(follow=False, page_size=3))
    assert [one.sequence_number for one in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert entries[0].status == "Order_Completed"
    assert entries[0].shipment_type == "Notification"
    assert entries[0].recipients[0].status == "Email_Delivered"
    assert [one.url.partition("?")[2] for one in feeds(memory)] == [
        "seq=0&pageSize=3",
        "seq=3&pageSize=3",
        "seq=6&pageSize=3",
        "seq=7&pageSize=3",
    ]


async def test_pages_by_hand(api, memory):
    await fill(api, memory, 3)
    assert [one.sequence_number for one in await api.feed_page(1)] == [2, 3]
    assert [one.sequence_number for one in await api.feed_page(newest_first=True, page_size=2)] == [3, 2]
    assert feeds(memory)[-1].url.endswith("seq=0&pageSize=2&orderBy=Desc")
    assert "prefer" not in feeds(memory)[-1].headers


async def test_the_cursor_survives_a_restart(api, memory, tmp_path):
    await fill(api, memory, 5)
    path = tmp_path / "cursor"
    first = await api.listed(api.client.feed(path), count=3)
    # The third was in hand when the reader stopped: it may not have been dealt with, so it comes again.
    assert path.read_text() == "2\n"
    second = await api.listed(api.client.feed(str(path), follow=False))
    assert [one.sequence_number for one in first + second] == [1, 2, 3, 3, 4, 5]
    assert path.read_text() == "5\n"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_cursor_of_ones_own(api, memory):
    await fill(api, memory, 2)
    saved = []
    await api.listed(api.client.feed(CallableCursor(lambda: 1, saved.append), follow=False))
    assert saved == [2]
    cursor = MemoryCursor(1)
    assert len(await api.listed(api.client.feed(cursor, follow=False))) == 1
    assert cursor.sequence_number == 2
    with pytest.raises(ConfigurationError, match="cursor must be"):
        await api.listed(api.client.feed(object()))


async def test_an_asynchronous_cursor(memory):
    from varsel.client import AsyncNotifications

    saved = []

    async def load():
        return 0

    async def save(number):
        saved.append(number)

    async with AsyncNotifications(memory.credentials(), http=memory.http) as api:
        await api.order(Order("a", ToEmail("kari@example.org", EMAIL)))
        memory.deliver()
        assert [one async for one in api.feed(CallableCursor(load, save), follow=False)]
    assert saved == [1]
    with pytest.raises(ConfigurationError, match="asynchronous client"):
        await asyncio.to_thread(
            list, Notifications(memory.credentials(), http=memory.http).feed(CallableCursor(load, save))
        )


async def test_it_waits_for_new_entries(api, memory):
    await fill(api, memory, 1)
    sleep = memory.clock.advance

    def advance(seconds):
        sleep(seconds)
        if len(memory.clock.pauses) == 2:
            memory.api.deliver(memory.orders[0])

    memory.clock.advance = advance
    entries = await api.listed(api.client.feed(idle=9), count=2)
    assert [one.sequence_number for one in entries] == [1, 2]
    assert memory.clock.pauses == [9, 9]
    assert {one.headers["prefer"] for one in feeds(memory)} == {"wait=20"}


async def test_a_server_that_waits_is_asked_again_at_once(api, memory):
    await fill(api, memory, 1)
    for _ in range(3):
        memory.fail("seq=1", status=200, headers={"preference-applied": "wait=20"}, body=b"[]")
    memory.fail(
        "seq=1", status=200, body=json.dumps([{**memory.api.feed[0][1], "sequenceNumber": 2}]).encode()
    )
    entries = await api.listed(api.client.feed(), count=2)
    assert len(entries) == 2
    assert memory.clock.pauses == []


async def test_an_outage_is_waited_out(api, memory, caplog):
    await fill(api, memory, 2)
    memory.fail("/feed", status=503, headers={"retry-after": "30"}, times=4)
    memory.fail("/feed", error=httpx2.ReadError("broken"), times=40)
    entries = await api.listed(api.client.feed(), count=2)
    assert len(entries) == 2
    assert "The feed does not answer" in caplog.text


async def test_without_following_an_outage_is_an_error(api, memory):
    memory.fail("/feed", status=500, times=4)
    with pytest.raises(ServerError):
        await api.listed(api.client.feed(follow=False))


async def test_a_refusal_ends_it(api, memory):
    memory.fail("/feed", status=401, times=2)
    with pytest.raises(Unauthorized):
        await api.listed(api.client.feed())


async def test_what_the_reader_throws_does_not_move_the_cursor(memory, tmp_path):
    api = Notifications(memory.credentials(), http=memory.http)
    api.order(Order("a", ToEmail("kari@example.org", EMAIL)))
    memory.deliver()
    feed = api.feed(tmp_path / "cursor")
    next(feed)
    with pytest.raises(RuntimeError):
        feed.throw(RuntimeError("mine"))
    assert not (tmp_path / "cursor").exists()


def test_a_file_that_is_no_cursor_is_not_overwritten(tmp_path):
    path = tmp_path / "cursor"
    for content in (b"", b"-1", b"12a", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="no feed cursor"):
            FileCursor(path).load()
    with pytest.raises(ConfigurationError, match="no feed cursor"):
        FileCursor(tmp_path).load()
    assert FileCursor(tmp_path / "new").load() == 0


def test_a_cursor_without_a_directory_is_said_before_the_first_entry(memory, tmp_path):
    with Notifications(memory.credentials(), http=memory.http) as api:
        with pytest.raises(ConfigurationError, match="There is no directory"):
            next(api.feed(tmp_path / "none" / "cursor"))
    assert memory.requests == []


def test_a_cursor_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "cursor"
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        FileCursor(path).save(7)
    assert list(tmp_path.iterdir()) == [path]
