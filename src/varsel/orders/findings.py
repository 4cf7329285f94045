"""What is wrong with a request, key by key (docs/reference/notifications-api.md 1.6, stages 4 and 5)."""

from __future__ import annotations

from typing import Final

from varsel.runtime.errors import ValidationProblem

#: A body may hold millions of wrong items; the answer names the first ones.
MOST_KEYS: Final = 1000


class Findings:
    """Collects both stages in one pass over a request; errors of different stages are never mixed in one answer."""

    __slots__ = ("_business", "_declared")

    def __init__(self) -> None:
        self._declared: dict[str, list[str]] = {}
        self._business: dict[str, list[str]] = {}

    def declared(self, key: str, message: str) -> None:
        """Stage 4: a required value is null or blank."""
        _add(self._declared, key, message)

    def business(self, key: str, message: str) -> None:
        """Stage 5: a value breaks a limit of docs/reference/notifications-api.md 2."""
        _add(self._business, key, message)

    def raise_any(self) -> None:
        """ValidationProblem with the findings of the first stage that has some."""
        errors = self._declared or self._business
        if errors:
            raise ValidationProblem(errors)


def _add(errors: dict[str, list[str]], key: str, message: str) -> None:
    if key in errors:
        errors[key].append(message)
    elif len(errors) < MOST_KEYS:
        errors[key] = [message]
