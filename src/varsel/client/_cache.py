"""The token cache: one fetch at a time, early refresh, and service through an issuer's outage (docs/reference/identity.md 9.2)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ._clock import Clock
from ._errors import ClientError
from ._flights import Flights
from ._flow import Flow, join
from ._tokens import Token

log = logging.getLogger("varsel.client")

#: Errors are remembered for so long, so that a thousand callers do not each knock on a door that has just been shut. Seconds.
ERROR_SECONDS = 1.0
#: While the old token lives, the next try to renew it waits so long. Seconds.
RENEWAL_PAUSE = 5.0
#: An issuer that promises more is not believed. Seconds.
LONGEST_LIFE = 24 * 3600.0
#: Tokens kept at once; the oldest go first.
ENTRIES = 256


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    renew: float


@dataclass(frozen=True, slots=True)
class _Failure:
    error: ClientError
    until: float


class TokenCache:
    """Tokens by everything that shapes them. `margin` seconds before its end a token is renewed, at most half its life before."""

    def __init__(self, clock: Clock, margin: float) -> None:
        self._clock = clock
        self._margin = margin
        self._kept: dict[Hashable, _Kept] = {}
        self._failures: dict[Hashable, _Failure] = {}
        self._flights = Flights()

    def get(self, key: Hashable, fetch: Callable[[], Flow[Token]]) -> Flow[Token]:
        """The token of this key; `fetch` makes a new one and raises ClientError when it cannot."""
        now = self._clock.steady()
        kept = self._kept.get(key)
        if kept is not None and now >= kept.token.expires:
            kept = None
        if kept is not None:
            # Only one caller at a time waits for the renewal; to the others the old token is as good as ever.
            if now < kept.renew or self._flights.waiting(key):
                return kept.token
            failure = self._failures.get(key)
            if failure is not None and now < failure.until - ERROR_SECONDS + RENEWAL_PAUSE:
                return kept.token
        else:
            failure = self._failures.get(key)
            if failure is not None and now < failure.until:
                raise failure.error
        try:
            return (yield from join(self._flights, key, lambda: self._renew(key, fetch)))
        except ClientError as error:
            if kept is None or self._clock.steady() >= kept.token.expires:
                raise
            log.warning("The token could not be renewed (%s); the old one is used", type(error).__name__)
            return kept.token

    def drop(self, value: str) -> bool:
        """Forget the token with this value, and no newer one; whether it was there."""
        for key, kept in list(self._kept.items()):
            if kept.token.value == value:
                self._kept.pop(key, None)
                return True
        return False

    def _renew(self, key: Hashable, fetch: Callable[[], Flow[Token]]) -> Flow[Token]:
        asked = self._clock.steady()
        kept = self._kept.get(key)
        if kept is not None and asked < kept.renew:
            return kept.token  # somebody landed between our look and our start
        try:
            token = yield from fetch()
        except ClientError as error:
            # Without its traceback, which would keep every frame of the first caller alive.
            self._failures[key] = _Failure(error.with_traceback(None), self._clock.steady() + ERROR_SECONDS)
            raise
        self._failures.pop(key, None)
        life = token.expires - asked
        if life > 0:
            self._kept.pop(key, None)
            while len(self._kept) >= ENTRIES:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[key] = _Kept(token, token.expires - min(self._margin, life / 2))
        return token


def life(seconds: float) -> float:
    """Seconds of life that are believed: 0 for nonsense, a day at most."""
    return min(seconds, LONGEST_LIFE) if seconds > 0 else 0.0  # NaN too
