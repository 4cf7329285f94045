"""Everything fails in turn while orders come in (design promises 1 to 6; docs/reference/delivery.md 13 no. 1 to 9, 20).

PostgreSQL is stopped, killed and started again, workers are killed, providers cut and slowed, reports repeated and reordered, a
transaction stays open all the while, and the calendar goes over both clock changes of a year. Then everything is counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.storm import Storm, storm_world

#: The evenings before Oslo's clocks change, and the mornings after: 08:50 by the new time, which the old one takes for 09:50 or 07:50.
CHANGES = {
    "spring": (datetime(2031, 3, 29, 21, 0, tzinfo=UTC), datetime(2031, 3, 30, 6, 50, tzinfo=UTC)),
    "autumn": (datetime(2031, 10, 25, 21, 0, tzinfo=UTC), datetime(2031, 10, 26, 7, 50, tzinfo=UTC)),
}


def troubles(storm: Storm, seconds: float) -> dict[str, Callable[[], Awaitable[None]]]:
    """What can go wrong, by name; each is over when it returns."""
    return {
        "postgres stopped": lambda: storm.restart_postgres(kill=False),
        "postgres killed": lambda: storm.restart_postgres(kill=True),
        "worker killed": storm.kill_worker,
        "mail cut": lambda: storm.cut(storm.mail, seconds),
        "gateway cut": lambda: storm.cut(storm.text, seconds),
        "mail slow": lambda: storm.slow(storm.mail, seconds),
        "gateway slow": lambda: storm.slow(storm.text, seconds),
    }


async def over_a_change(storm: Storm, season: str, orders: int, trouble: list[str], seconds: float) -> None:
    """An evening under load and in trouble, and the morning after in which the daytime SMS leave."""
    evening, morning = CHANGES[season]
    if storm.orders:
        await storm.quiet()
        await storm.move(evening)
    happen = troubles(storm, seconds)
    for name in trouble:
        await asyncio.gather(storm.place(orders), happen[name]())
    # Some are ordered for the hour that does not exist, or exists twice.
    await storm.place(orders // 4, at=evening + timedelta(hours=4, minutes=30))
    await storm.move(morning)
    await storm.place(orders // 4)
    waiting = [placed for placed in storm.orders.values() if placed.daytime]
    assert waiting, "the draw has daytime SMS"
    await storm.move(morning + timedelta(minutes=11))


async def test_a_short_storm_loses_nothing() -> None:
    async with storm_world(7, CHANGES["spring"][0]) as storm:
        await over_a_change(storm, "spring", 40, ["postgres killed", "mail cut", "gateway slow"], 0.3)
        await over_a_change(storm, "autumn", 40, ["postgres stopped", "gateway cut", "mail slow"], 0.3)
        await storm.end(90)
        print("short storm:", await storm.judge())  # noqa: T201 - the count, for the reader of the run


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_long_storm_loses_nothing(seed: int) -> None:
    chooses = random.Random(seed)
    async with storm_world(seed, CHANGES["spring"][0]) as storm:
        every = list(troubles(storm, 0))
        for season in CHANGES:
            trouble = [*every, *chooses.choices(every, k=5)]
            chooses.shuffle(trouble)
            await over_a_change(storm, season, 200, trouble, 2.0)
        await storm.end(300)
        print(f"storm {seed}:", await storm.judge())  # noqa: T201 - the count, for the reader of the run
