"""What a measurement comes to: rows, and the groups in which they are measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

CORES = 2
"""Figures per CPU second are told for this many cores; wall-clock figures stand beside them."""


@dataclass(frozen=True, slots=True)
class How:
    """How to measure: the long form or the short one, and whom to tell what is going on."""

    long: bool
    say: Callable[[str], None]

    def of(self, short: int, long: int) -> int:
        return long if self.long else short


@dataclass
class Row:
    """One line of the result: value, limit, and the figures behind it. `met` is None where nothing is judged."""

    name: str
    value: float
    unit: str
    limit: str
    met: bool | None
    figures: dict[str, Any] = field(default_factory=dict)


Group: TypeAlias = Callable[[How], list[Row]]


def median(values: list[float]) -> float:
    return statistics.median(values)


def at_least(name: str, value: float, unit: str, limit: float, **figures: Any) -> Row:
    shown = f"{limit:g}" if limit < 10 else f"{limit:,.0f}"
    return Row(name, value, unit, f">= {shown}", value >= limit, _named(figures))


def at_most(name: str, value: float, unit: str, limit: float, **figures: Any) -> Row:
    return Row(name, value, unit, f"<= {limit:g}", value <= limit, _named(figures))


def told(name: str, value: float, unit: str, **figures: Any) -> Row:
    return Row(name, value, unit, "", None, _named(figures))


def _named(figures: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", " "): value for name, value in figures.items()}
