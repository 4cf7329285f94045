"""The movable calendar: durations, the shift in the database, and processes that follow it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.polling import until
from varsel.runtime.clock import ManualClock
from varsel.sandbox import clock
from varsel.sandbox.clock import DurationError, FollowedCalendar, duration, spell
from varsel.store.database import Database, Listener
from varsel.store.ids import uuid7

NOW = datetime(2031, 3, 14, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("7d", timedelta(days=7)),
        ("2h30m", timedelta(hours=2, minutes=30)),
        ("90s", timedelta(seconds=90)),
        (" 1W 2d ", timedelta(days=9)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    assert duration(text) == length
    assert duration(spell(length)) == length


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-7d", "7x", "30m2h", "0d", "99999999999999d", "51w51w", "٣d", "1000000w"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DurationError):
        duration(text)


def test_lengths_are_spelled() -> None:
    assert spell(timedelta(0)) == "0s"
    assert spell(timedelta(days=-1, hours=1)) == "-23h"


async def test_the_shift_adds_up_and_goes_back(database: Database) -> None:
    assert await clock.show(database) == timedelta(0)
    assert await clock.advance(database, timedelta(days=7)) == timedelta(days=7)
    assert await clock.advance(database, timedelta(hours=1)) == timedelta(days=7, hours=1)
    await clock.reset(database)
    assert await clock.show(database) == timedelta(0)


async def test_a_process_follows_the_announcement(database: Database) -> None:
    await clock.advance(database, timedelta(hours=1))
    listener = Listener(database.direct_url)
    calendar = await FollowedCalendar.open(ManualClock(NOW), database, listener)
    assert calendar.now() == NOW + timedelta(hours=1)
    told: list[datetime] = []
    calendar.on_change(lambda: told.append(calendar.now()))
    listener.start()
    await until(listener.connected.is_set)
    await clock.advance(database, timedelta(days=7))
    await until(lambda: told)
    assert told == [NOW + timedelta(days=7, hours=1)]
    await calendar.close()
    await listener.stop()


async def test_a_lost_announcement_is_made_good(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LOOK_EVERY", 0.01)
    calendar = await FollowedCalendar.open(ManualClock(NOW), database)
    await database.execute("update calendar set shift = '1 day'")
    await until(lambda: calendar.shift == timedelta(days=1))
    await calendar.close()


async def test_what_a_reset_leaves_in_the_future_is_told(database: Database) -> None:
    assert not await clock.ahead(database, ManualClock(NOW))
    for moment in (NOW - timedelta(days=1), NOW + timedelta(days=1)):
        await database.execute(
            "insert into orders (id, creator, kind, channel, requested_at, created_at, state, state_at) "
            "values ($1, 'ttd', 'Notification', 'Email', $2, $2, 'Registered', $2)",
            uuid7(),
            moment,
        )
        await database.execute(
            "insert into sandbox_message (id, channel, recipient, sender, body, received_at) values ($1, 'sms', 'x', 'y', '', $2)",
            uuid7(),
            moment,
        )
    found = await clock.ahead(database, ManualClock(NOW))
    assert (found.orders, found.results, found.messages) == (1, 0, 1)
    assert found
