"""Norwegian organisation numbers and national identity numbers: form and check digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_ORGANISATION: Final = (3, 2, 7, 6, 5, 4, 3, 2)
_FIRST: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2)
_SECOND: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def _check(digits: Sequence[int], weights: Sequence[int]) -> int:
    return -sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11


def _digits(text: object, length: int) -> list[int] | None:
    if not isinstance(text, str) or len(text) != length or not (text.isascii() and text.isdigit()):
        return None
    return [int(letter) for letter in text]


def is_organisation(text: object) -> bool:
    """Nine digits, the last one right (modulus 11)."""
    digits = _digits(text, 9)
    return digits is not None and _check(digits, _ORGANISATION) == digits[8]


def is_nine_digits(text: object) -> bool:
    """The form alone; synthetic numbers need not have a right check digit."""
    return _digits(text, 9) is not None


def is_national(text: object) -> bool:
    """Eleven digits with both check digits right; D-numbers and synthetic numbers included."""
    digits = _digits(text, 11)
    return (
        digits is not None and _check(digits, _FIRST) == digits[9] and _check(digits, _SECOND) == digits[10]
    )


def is_synthetic(text: object) -> bool:
    """A national number that can belong to nobody: month + 80 (docs/reference/identity.md 7.5)."""
    return isinstance(text, str) and is_national(text) and 81 <= int(text[2:4]) <= 92


def national_numbers(count: int) -> list[str]:
    """Different synthetic national numbers with right check digits, always the same ones."""
    found: list[str] = []
    for order in range(count * 4):
        day, month, year, individual = 1 + order % 28, 81 + order // 28 % 12, order // 336 % 100, order % 500
        nine = [int(letter) for letter in f"{day:02}{month}{year:02}{individual:03}"]
        first = _check(nine, _FIRST)
        second = _check([*nine, first], _SECOND)
        if first < 10 and second < 10 and len(found) < count:
            found.append("".join(map(str, [*nine, first, second])))
    return found


def organisation_numbers(count: int) -> list[str]:
    """Different organisation numbers in the series of the synthetic ones, with right check digits, always the same ones."""
    found: list[str] = []
    for order in range(count * 2 + 10):
        eight = [int(letter) for letter in str(31_000_000 + order)]
        last = _check(eight, _ORGANISATION)
        if last < 10 and len(found) < count:
            found.append("".join(map(str, [*eight, last])))
    return found
