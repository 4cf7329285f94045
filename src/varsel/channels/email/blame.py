"""Who is to blame for a refusal: the mail server, or the one message that meets it each time.

A reply like `421` or `451 4.3.0`, or a connection that is dropped, speaks of the server as a whole; but many servers say the
same about one recipient only (a lookup that fails, a filter that crashes). If each of these paused the provider, one such
message would hold up all mail for as long as it lives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from varsel.channels.model import Accepted, Outcome, Permanent, Temporary

T = TypeVar("T", Outcome, Permanent | Temporary)

HEALTHY: Final = 5.0
"""Seconds for which a mail that was taken speaks for the server."""
_FIRST: Final = 1.0
_MOST: Final = 60.0


class Blame:
    """Weighs the refusals of one mail server by what else it did. Times are those of the event loop, in seconds.

    While other mail is taken, a refusal concerns its message. Otherwise the provider rests: a second, then twice as long each
    time, at most a minute, until a mail is taken again. Refusals of connections side by side count once.
    """

    def __init__(self) -> None:
        self._taken_at = float("-inf")
        self._rests_until = float("-inf")
        self._refusals = 0

    def judge(self, outcome: T, now: float) -> T:
        """The outcome as it stands for the message."""
        if isinstance(outcome, Accepted):
            self._taken_at = now
            self._refusals = 0
        elif isinstance(outcome, Temporary) and outcome.scope == "provider" and outcome.after is None:
            if now - self._taken_at < HEALTHY:
                return replace(outcome, scope="message")
            if now >= self._rests_until:
                self._rests_until = now + min(_FIRST * 2**self._refusals, _MOST)
                self._refusals = min(self._refusals + 1, 10)
            return replace(outcome, after=self._rests_until - now)
        return outcome
