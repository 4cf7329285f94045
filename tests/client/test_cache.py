"""The corners of the token cache that only races and long lives reach: docs/reference/identity.md 9.2."""

from __future__ import annotations

import pytest

from varsel.client import Http, Token
from varsel.client._cache import ENTRIES, TokenCache
from varsel.client._drive import BlockingDriver, _seen
from varsel.client._flights import _EVERY, Flights, _after_fork


@pytest.fixture
def cache(clock):
    return TokenCache(clock, margin=60.0)


@pytest.fixture
def ask(cache, clock):
    driver = BlockingDriver(Http(clock=clock))

    def asked(key, value="a.b.c", seconds=1800.0):
        def fetch():
            return Token(value, clock.steady() + seconds)
            yield

        return driver.run(cache.get(key, fetch)).value

    return asked


def test_only_the_refused_token_is_dropped(cache, ask):
    for name in "one", "two", "three":
        ask(name, value=name)
    assert cache.drop("two")
    assert not cache.drop("two")
    assert [ask(name, value="new") for name in ("one", "two", "three")] == ["one", "new", "three"]


def test_the_oldest_token_makes_room(cache, ask):
    for number in range(ENTRIES + 1):
        ask(number, value=f"t{number}")
    assert ask(1, value="new") == "t1"
    assert ask(0, value="new") == "new"


def test_who_comes_just_after_a_renewal_takes_its_token(cache, clock):
    """It looked before the other landed and starts after it: there is nothing left to fetch."""
    driver = BlockingDriver(Http(clock=clock))

    def fetch():
        return Token("first", clock.steady() + 1800.0)
        yield

    def never():
        raise AssertionError("fetched twice")
        yield

    first = driver.run(cache._renew("key", fetch))
    assert driver.run(cache._renew("key", never)) is first


async def test_a_waiter_that_was_cancelled_is_not_reported():
    import asyncio

    outcome = asyncio.get_running_loop().create_future()
    outcome.cancel()
    _seen(outcome)
    assert outcome.cancelled()


def test_a_forked_process_starts_without_flights():
    flights = Flights()
    flights.enter("key", None)
    lock = flights._lock
    assert flights in _EVERY
    _after_fork()
    assert not flights.waiting("key")
    assert flights._lock is not lock
