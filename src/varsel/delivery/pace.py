"""How fast messages may leave: so many a second through a provider, or to a recipient domain, over all workers.

Each second is a slice of its own, counted in the database by its clock. A worker asks for what its next batch needs;
`used` grows by everything that was asked for, so whoever comes when the slice is spent sees it and waits for a later
one. A slice is never overdrawn; what was granted and not used within its second is lost, so the pace stays a little
below the limit rather than above it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from varsel.runtime.clock import Machine
from varsel.runtime.errors import SettingsError
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.delivery")

#: Seconds a message is put off at most; then it asks again, so that a limit that was raised is soon felt.
LONGEST: Final = 120.0
_ANY_DOMAIN: Final = "@*"
_MOST_SCOPES: Final = 10_000  # remembered; domains are the callers' to name


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages a second by scope: a provider's name, `@domain` of the recipient, `@*` for each domain not named."""

    rates: Mapping[str, int]

    @classmethod
    def read(cls, words: Sequence[str], providers: Sequence[str]) -> Limits:
        """From VARSEL_PACE; SettingsError in one sentence when a word is not NAME=NUMBER or names no provider."""
        rates: dict[str, int] = {}
        for word in words:
            name, equals, number = word.rpartition("=")
            if not equals or not name or not number.isascii() or not number.isdigit() or not int(number):
                raise SettingsError(
                    f"VARSEL_PACE must be words like @example.org=20, a whole number from 1; {word} is not."
                )
            if name.startswith("@"):
                name = name.lower()
            elif name not in providers:
                known = ", ".join(providers) or "none"
                raise SettingsError(f"VARSEL_PACE names {name}, which is no provider here (known: {known}).")
            if name in rates:
                raise SettingsError(f"VARSEL_PACE names {name} twice.")
            rates[name] = int(number)
        return cls(rates)

    def scopes(self, provider: str, domain: str | None) -> tuple[tuple[str, int], ...]:
        """The scopes that a message counts in, with their rates."""
        found = []
        if provider in self.rates:
            found.append((provider, self.rates[provider]))
        if domain:
            rate = self.rates.get(f"@{domain}", self.rates.get(_ANY_DOMAIN))
            if rate is not None:
                found.append((f"@{domain}", rate))
        return tuple(found)


class Ledger(Protocol):
    """Where all workers count."""

    async def ask(self, wanted: Mapping[str, int]) -> tuple[Mapping[str, int], float]:
        """Ask for so many of each scope in this second; how many have been asked for now, and the seconds left of it."""


class StoredLedger:
    """The ledger in the database (table pacing)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, wanted: Mapping[str, int]) -> tuple[Mapping[str, int], float]:
        """See `Ledger.ask`."""
        scopes = sorted(wanted)
        rows = await self._database.fetch(_sql.ask_pace, scopes, [wanted[scope] for scope in scopes])
        return {row["scope"]: row["used"] for row in rows}, min(float(row["left_over"]) for row in rows)


@dataclass(slots=True)
class _Slice:
    """What this worker was granted of one second. `until` is monotonic; `spent`: nobody gets more of it."""

    until: float = 0.0
    tokens: int = 0
    spent: bool = False


class Pace:
    """The budgets of one worker; all of its dispatchers share it."""

    def __init__(self, limits: Limits, ledger: Ledger, machine: Machine) -> None:
        self._limits = limits
        self._ledger = ledger
        self._machine = machine
        self._slices: dict[str, _Slice] = {}
        self._turns: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def admit(self, provider: str, domains: Sequence[str | None]) -> list[float]:
        """For each message, by its domain, seconds to wait: 0 may leave now. Unavailable when the database is away.

        Those that must wait are given turns one after another at the pace of their scope, so that a long queue is not
        looked at every second from its beginning.
        """
        wanted = [self._limits.scopes(provider, domain) for domain in domains]
        async with self._lock:
            await self._fill(Counter(scope for scopes in wanted for scope in scopes))
            now = self._machine.monotonic()
            waits = [self._take(scopes, now) for scopes in wanted]
            if len(self._slices) > _MOST_SCOPES:
                self._slices = {scope: part for scope, part in self._slices.items() if part.until > now}
                self._turns = {scope: turn for scope, turn in self._turns.items() if turn > now}
            return waits

    async def _fill(self, demand: Counter[tuple[str, int]]) -> None:
        now = self._machine.monotonic()
        missing: dict[str, int] = {}
        rates = dict(demand.keys())
        for (scope, _), number in demand.items():
            part = self._slices.get(scope)
            if part is None or part.until <= now:
                part = self._slices[scope] = _Slice()
            if not part.spent and part.tokens < number:
                missing[scope] = number - part.tokens
        if not missing:
            return
        used, left = await self._ledger.ask(missing)
        until = self._machine.monotonic() + left
        for scope, asked in missing.items():
            part = self._slices[scope]
            over = max(0, used[scope] - rates[scope])
            granted = max(0, asked - over)
            # What was left of an earlier second does not count in this one.
            part.tokens = granted if until > part.until + 0.5 else part.tokens + granted
            part.until, part.spent = until, over > 0

    def _take(self, scopes: tuple[tuple[str, int], ...], now: float) -> float:
        wait = 0.0
        for scope, rate in scopes:
            part = self._slices[scope]
            if part.tokens < 1:
                turn = max(self._turns.get(scope, 0.0), part.until, now)
                self._turns[scope] = min(turn + 1 / rate, now + LONGEST)
                wait = max(wait, turn - now, 0.001)
        if not wait:
            for scope, _ in scopes:
                self._slices[scope].tokens -= 1
        return min(wait, LONGEST)
