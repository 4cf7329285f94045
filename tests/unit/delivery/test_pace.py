"""Budgets of messages a second, with time under the test's hand (docs/reference/delivery.md 7.11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from varsel.delivery.pace import LONGEST, Limits, Pace
from varsel.runtime.clock import ManualClock
from varsel.runtime.errors import SettingsError

MAIL = "smtp:mail.example.org:25"


class CountedSeconds:
    """The ledger of one database: whole seconds of its clock."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._used: Counter[tuple[str, int]] = Counter()
        self.asked = 0

    async def ask(self, wanted: Mapping[str, int]) -> tuple[Mapping[str, int], float]:
        self.asked += 1
        second = int(self._clock.time())
        for scope, number in wanted.items():
            self._used[scope, second] += number
        return {scope: self._used[scope, second] for scope in wanted}, second + 1 - self._clock.time()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2031, 3, 12, 11, 0, tzinfo=UTC))


@pytest.fixture
def ledger(clock: ManualClock) -> CountedSeconds:
    return CountedSeconds(clock)


def open_pace(ledger: CountedSeconds, clock: ManualClock, *words: str) -> Pace:
    return Pace(Limits.read(words, [MAIL]), ledger, clock)


async def test_a_domain_waits_for_the_next_second(ledger: CountedSeconds, clock: ManualClock) -> None:
    pace = open_pace(ledger, clock, "@example.org=3")
    waits = await pace.admit(MAIL, ["example.org"] * 7)
    assert waits[:3] == [0, 0, 0]
    # The others get turns one after another from the next second on, at the pace of three a second.
    assert waits[3:] == pytest.approx([1, 4 / 3, 5 / 3, 2])
    clock.advance(timedelta(seconds=1))
    assert (await pace.admit(MAIL, ["example.org"] * 3)) == [0, 0, 0]


async def test_other_domains_do_not_wait(ledger: CountedSeconds, clock: ManualClock) -> None:
    pace = open_pace(ledger, clock, "@slow.example=1")
    waits = await pace.admit(MAIL, ["slow.example", "slow.example", "other.example", None])
    assert [bool(wait) for wait in waits] == [False, True, False, False]


async def test_each_domain_that_is_not_named_has_the_common_limit(
    ledger: CountedSeconds, clock: ManualClock
) -> None:
    pace = open_pace(ledger, clock, "@*=1", "@wide.example=5")
    waits = await pace.admit(MAIL, ["a.example", "b.example", "a.example", *["wide.example"] * 5])
    assert [bool(wait) for wait in waits] == [False, False, True, *[False] * 5]


async def test_a_message_counts_at_its_provider_and_its_domain(
    ledger: CountedSeconds, clock: ManualClock
) -> None:
    pace = open_pace(ledger, clock, f"{MAIL}=4", "@example.org=2")
    waits = await pace.admit(MAIL, [*["example.org"] * 3, *["other.example"] * 3])
    assert [bool(wait) for wait in waits] == [False, False, True, False, False, True]
    assert await pace.admit("smtp:another:25", ["other.example"] * 9) == [0] * 9


async def test_several_workers_share_a_second(ledger: CountedSeconds, clock: ManualClock) -> None:
    workers = [open_pace(ledger, clock, "@example.org=10") for _ in range(4)]
    for _ in range(3):
        going = 0
        for worker in workers:
            for _ in range(3):
                going += (await worker.admit(MAIL, ["example.org"] * 2)).count(0)
        assert going == 10
        clock.advance(timedelta(seconds=1))


async def test_a_spent_second_is_not_asked_for_again(ledger: CountedSeconds, clock: ManualClock) -> None:
    pace = open_pace(ledger, clock, "@example.org=1")
    for _ in range(20):
        await pace.admit(MAIL, ["example.org"])
    assert ledger.asked == 2  # the second time it learns that the second is spent


async def test_what_a_second_left_over_is_lost(ledger: CountedSeconds, clock: ManualClock) -> None:
    pace = open_pace(ledger, clock, f"{MAIL}=5", "@example.org=1")
    await pace.admit(MAIL, ["example.org"] * 5)  # five of the provider's are granted, one is used
    clock.advance(timedelta(seconds=1))
    assert (await pace.admit(MAIL, ["other.example"] * 9)).count(0) == 5


async def test_nobody_waits_longer_than_two_minutes(ledger: CountedSeconds, clock: ManualClock) -> None:
    pace = open_pace(ledger, clock, "@example.org=1")
    assert max(await pace.admit(MAIL, ["example.org"] * 500)) == LONGEST


@pytest.mark.parametrize(
    "word",
    ["@example.org", "@example.org=", "=3", "@example.org=0", "@example.org=-1", "smtp:elsewhere:25=3"],
)
def test_words_that_are_no_limit_are_refused(word: str) -> None:
    with pytest.raises(SettingsError, match="VARSEL_PACE"):
        Limits.read([word], [MAIL])


def test_a_scope_is_named_once() -> None:
    with pytest.raises(SettingsError, match="twice"):
        Limits.read(["@example.org=3", "@Example.org=4"], [MAIL])
