"""What of a text is sent, and how many messages that becomes (3GPP TS 23.038 and 23.040; docs/reference/delivery.md 7.10).

A text that fits the GSM 7-bit alphabet is counted in septets, where a character of the extension table takes two and
is not split between parts; any other text is counted in UTF-16 units, where a surrogate pair is not split.

What lies beyond anything that could be sent is not looked at: a text of 30 MB is counted as fast as one of 16 parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from varsel.channels.slices import slices

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = GSM_BASIC | GSM_EXTENSION
_LINE_ENDS = re.compile(r"\r\n?|\f")  # form feed is GSM but no XML character
# In runs: a text of nothing else is passed over thirty times as fast.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Units in a single message and in each part of a longer one, and the most parts a provider takes."""

    gsm_single: int = 160
    gsm_part: int = 153
    ucs2_single: int = 70
    ucs2_part: int = 67
    most: int = 255

    @property
    def enough(self) -> int:
        """One character more than can be sent at all: it tells that a text is cut."""
        return max(self.most * self.gsm_part, self.gsm_single) + 1


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
    """Count the parts of a text that is clean already. An empty text is one message."""
    head = text[: limits.enough]
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


def clean_text(text: str, enough: int | None = None) -> str:
    """The text as it is sent: line ends as LF, and without characters that XML cannot carry.

    Of a text that is longer when it is clean, the first `enough` characters at least.
    """
    cleaned: list[str] = []
    size = 0
    for piece in slices(text):
        if "\r" in piece or "\f" in piece:
            piece = _LINE_ENDS.sub("\n", piece)
        cleaned.append(_NOT_XML.sub("", piece))
        size += len(cleaned[-1])
        if enough is not None and size >= enough:
            break
    return "".join(cleaned)


def as_sent(body: str, limits: PartLimits = LINK) -> tuple[str, Parts]:
    """What the gateway gets of an ordered text, and what that becomes: clean, and cut where the gateway would cut it.

    What is left of a cut text is counted: without the character that asked for UCS-2 it may go as GSM, in half as many parts.
    """
    text = clean_text(body, limits.enough)
    parts = count_parts(text, limits)
    if not parts.truncated:
        return text, parts
    left = text[: parts.kept]
    return left, replace(count_parts(left, limits), truncated=True)


def count_sent(body: str, limits: PartLimits = LINK) -> Parts:
    """The parts of an ordered text as it is sent; at most `limits.most`."""
    return as_sent(body, limits)[1]


def will_be_truncated(body: str, limits: PartLimits = LINK) -> bool:
    """True when the provider cannot send all of it; the front door warns about that (`sms-truncated`)."""
    return count_sent(body, limits).truncated
