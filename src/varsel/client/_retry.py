"""When to try again, and how long to wait first."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from ._errors import TransportError
from ._flow import Answer, Flow, Request, pause, send

log = logging.getLogger("varsel.client")

FIRST_PAUSE = 0.25  # seconds
LONGEST_PAUSE = 8.0  # seconds
#: A server that asks for more patience than this gets its refusal passed on to the caller instead. Seconds.
LONGEST_RETRY_AFTER = 60.0
#: Answers that say "not now".
PASSING = frozenset({429, 500, 502, 503, 504})


def backoff(attempt: int, rng: Callable[[], float] = random.random) -> float:
    """Seconds before try number `attempt` + 1: doubling, and spread so that callers do not come back together."""
    return float(min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * (0.5 + rng() / 2))


def retry_after(answer: Answer, wall: float) -> float | None:
    """Seconds asked for by `Retry-After`, as a number or a date; None when absent or unreadable."""
    value = answer.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - wall)
    except (ValueError, TypeError, OverflowError):
        return None


def persist(
    make: Callable[[], Flow[Request]],
    *,
    tries: int,
    wall: Callable[[], float],
    passing: frozenset[int] = PASSING,
    unsent_only: bool = False,
) -> Flow[Answer]:
    """Send what `make` builds until it is answered for good or the tries are used up.

    unsent_only: the request must not arrive twice, so only a failure before anything was sent is repeated, and the answers in
    `passing`, which must then be such that nothing was done.
    """
    attempt = 0
    while True:
        attempt += 1
        request = yield from make()
        try:
            answer = yield from send(request)
        except TransportError as error:
            if attempt >= tries or (unsent_only and error.sent):
                raise
            wait = backoff(attempt)
            log.info("Try %d failed (%s); again in %.1f s", attempt, type(error).__name__, wait)
        else:
            if answer.status not in passing or attempt >= tries:
                return answer
            asked = retry_after(answer, wall())
            if asked is not None and asked > LONGEST_RETRY_AFTER:
                return answer
            wait = max(asked or 0.0, backoff(attempt))
            log.info("Try %d was answered %d; again in %.1f s", attempt, answer.status, wait)
        yield from pause(wait)
