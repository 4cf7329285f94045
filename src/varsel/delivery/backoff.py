"""How long to wait before another try (pure but for its jitter)."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

_FIRST: Final = 5.0
_MOST: Final = 900.0
PROVIDER_PAUSE: Final = 60.0
"""Seconds a provider rests when it refused without saying for how long (docs/reference/delivery.md 6.5)."""
_LONGEST: Final = 6 * 3600.0


def message_pause(tries: int, after: float | None = None) -> timedelta:
    """Before a message is tried again: what the provider said, else 5, 10, 20 … 900 s, a fifth more or less."""
    if after is not None:
        return timedelta(seconds=min(max(after, 0.0), _LONGEST))
    return timedelta(seconds=min(_FIRST * 2 ** min(tries, 10), _MOST) * random.uniform(0.8, 1.2))


def provider_pause(after: float | None) -> timedelta:
    """Before a provider is tried again: what it said, else a minute."""
    return timedelta(seconds=PROVIDER_PAUSE if after is None else min(max(after, 0.0), _LONGEST))
