"""Telephone numbers in one form: as a gateway gets them (docs/reference/delivery.md 3.3).

It also tells whether two texts are one number.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

MARKS: Final = re.compile(r"[\s()./-]+")
"""What people put between digits."""
# Norway has no trunk prefix, so these digits are the number. Of any other the library is asked: `+46 070…` and
# `+7 8 912…` are valid, and some of their digits are not dialled from abroad.
_NORWEGIAN: Final = re.compile(r"(?:\+|00)47([0-9]{8})")
#: The library's own limit; anything longer is not a number.
_LONGEST: Final = 256


class Phone(NamedTuple):
    """What libphonenumber read: whether the number is a valid one of its region, and its digits (E.164 without plus)."""

    valid: bool
    digits: str


def look_up(text: str) -> Phone | None:
    """A number with country prefix, `+` or `00`, as libphonenumber reads it; None when it cannot."""
    if text.startswith("00"):
        text = "+" + text[2:]
    if not text.startswith("+") or text.startswith("++") or len(text) > _LONGEST:
        return None
    return _ask_library(text)


@lru_cache(maxsize=16_384)
def _ask_library(text: str) -> Phone | None:
    import phonenumbers  # not with this module, which the commands import too

    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Phone(phonenumbers.is_valid_number(number), e164.removeprefix("+"))


def full_number(text: str) -> str | None:
    """Country code and number in digits, from `+47…`, `0047…`, `47…` or a national mobile number; else None."""
    norwegian = _NORWEGIAN.fullmatch("".join(text.split()))
    if norwegian is not None:
        return "47" + norwegian[1]
    known = look_up(text.strip())
    if known is not None:
        number = known.digits
    else:
        number = MARKS.sub("", text)
        if number.startswith("+"):
            number = number[1:]
        elif number.startswith("00"):
            number = number[2:]
        elif len(number) == 8 and number[0] in "49":
            number = "47" + number
    return (
        number
        if number.isascii() and number.isdigit() and 7 <= len(number) <= 15 and number[0] != "0"
        else None
    )
