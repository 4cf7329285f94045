"""How many messages a text becomes (3GPP TS 23.038 and 23.040; docs/reference/delivery.md 7.10).

A text that fits the GSM 7-bit alphabet is counted in septets, where a character of the extension table takes two and
is not split between parts; any other text is counted in UTF-16 units, where a surrogate pair is not split.

What lies beyond anything that could be sent is not looked at: a text of 30 MB is counted as fast as one of 16 parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = GSM_BASIC | GSM_EXTENSION


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Units in a single message and in each part of a longer one, and the most parts a provider takes."""

    gsm_single: int = 160
    gsm_part: int = 153
    ucs2_single: int = 70
    ucs2_part: int = 67
    most: int = 255


STANDARD = PartLimits()
LINK = PartLimits(gsm_part=134, most=16)
"""LINK Mobility's gateway splits at 134 characters and cuts what is beyond 16 parts (docs/reference/delivery.md 7.10)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`encoding` is that of what will be sent; `kept` is how many characters the provider will send."""

    encoding: Literal["GSM-7", "UCS-2"]
    count: int
    kept: int
    truncated: bool


def is_gsm(text: str) -> bool:
    """True when the GSM 7-bit alphabet with its extension table can say it."""
    return _GSM.issuperset(text)


def count_parts(text: str, limits: PartLimits = STANDARD) -> Parts:
    """Count the parts of a text as it is sent. An empty text is one message."""
    # One character more than can be sent at all tells that the text is cut.
    head = text[: max(limits.most * limits.gsm_part, limits.gsm_single) + 1]
    kind: Literal["GSM-7", "UCS-2"]
    if is_gsm(head):
        kind = "GSM-7"
        units = len(head) + sum(map(head.count, GSM_EXTENSION))
        single, part = limits.gsm_single, limits.gsm_part
    else:
        kind = "UCS-2"
        units = len(head.encode("utf-16-be", "surrogatepass")) // 2
        single, part = limits.ucs2_single, limits.ucs2_part
    if units <= single:
        return Parts(kind, 1, len(text), False)
    if units == len(head):
        count = -(-units // part)
        kept = len(text)
        if count > limits.most:
            count, kept = limits.most, limits.most * part
    else:
        count, kept = _pack(head, part, limits.most, GSM_EXTENSION if kind == "GSM-7" else None)
    return Parts(kind, count, kept, kept < len(text))


def _pack(text: str, part: int, most: int, extension: frozenset[str] | None) -> tuple[int, int]:
    """Fill parts in order where characters of two units may leave the last unit of a part empty."""
    count, used = 1, 0
    for position, character in enumerate(text):
        size = 2 if (character in extension if extension is not None else ord(character) > 0xFFFF) else 1
        if used + size > part:
            if count == most:
                return count, position
            count, used = count + 1, 0
        used += size
    return count, len(text)


def will_be_truncated(text: str, limits: PartLimits = LINK) -> bool:
    """True when the provider cannot send all of it; the front door warns about that (`sms-truncated`)."""
    return count_parts(text, limits).truncated


def truncate(text: str, limits: PartLimits = LINK) -> str:
    """The text cut where the provider would cut it."""
    return text[: count_parts(text, limits).kept]
