"""Counting parts at every edge (docs/reference/delivery.md 7.10 and 13 no. 19)."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varsel.channels.sms.parts import (
    GSM_BASIC,
    GSM_EXTENSION,
    LINK,
    STANDARD,
    PartLimits,
    as_sent,
    count_parts,
    count_sent,
    will_be_truncated,
)


@pytest.mark.parametrize(
    ("text", "encoding", "standard", "link"),
    [
        ("", "GSM-7", 1, 1),
        ("a" * 160, "GSM-7", 1, 1),
        ("a" * 161, "GSM-7", 2, 2),
        ("a" * 268, "GSM-7", 2, 2),
        ("a" * 269, "GSM-7", 2, 3),
        ("a" * 306, "GSM-7", 2, 3),
        ("a" * 307, "GSM-7", 3, 3),
        ("æøåÆØÅ" + "a" * 154, "GSM-7", 1, 1),
        ("€" * 80, "GSM-7", 1, 1),
        ("€" * 80 + "a", "GSM-7", 2, 2),
        ("č" * 70, "UCS-2", 1, 1),
        ("č" * 71, "UCS-2", 2, 2),
        ("č" * 134, "UCS-2", 2, 2),
        ("č" * 135, "UCS-2", 3, 3),
        ("č" * 67 + "a", "UCS-2", 1, 1),
        ("😀" * 35, "UCS-2", 1, 1),
        ("😀" * 36, "UCS-2", 2, 2),
        ("a\u00a0b", "UCS-2", 1, 1),
    ],
)
def test_edges(text: str, encoding: str, standard: int, link: int) -> None:
    assert (count_parts(text).encoding, count_parts(text).count) == (encoding, standard)
    assert count_parts(text, LINK).count == link


def test_an_extension_character_is_not_split() -> None:
    # 152 + the first half of € would fill 153; it moves to the next part whole.
    assert count_parts("a" * 152 + "€" + "a" * 151).count == 2
    assert count_parts("a" * 152 + "€" + "a" * 152).count == 3


def test_a_surrogate_pair_is_not_split() -> None:
    assert count_parts("č" * 66 + "😀" + "č" * 65).count == 2
    assert count_parts("č" * 66 + "😀" + "č" * 66).count == 3


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a" * 2144, 2144),
        ("a" * 2145, 2144),
        ("č" * 1072, 1072),
        ("č" * 1073, 1072),
        ("€" * 1072, 1072),
        ("€" * 1073, 1072),
        ("😀" * 528, 528),
        ("😀" * 529, 528),
    ],
)
def test_beyond_sixteen_parts(text: str, kept: int) -> None:
    parts = count_parts(text, LINK)
    assert parts.count == 16
    assert parts.kept == kept
    assert parts.truncated is will_be_truncated(text) is (kept < len(text))
    assert as_sent(text)[0] == text[:kept]
    assert not count_parts(text).truncated


def test_a_cut_text_may_say_less_than_ucs2_needs() -> None:
    assert count_sent("č" * 1073).count == 16
    # Cut as UCS-2, and what is left is GSM: it goes in parts of 134.
    text, parts = as_sent("a" * 1500 + "😀")
    assert text == "a" * 1072
    assert (parts.encoding, parts.count, parts.kept, parts.truncated) == ("GSM-7", 8, 1072, True)


@pytest.mark.parametrize(
    ("body", "text", "encoding", "count"),
    [
        ("a" * 159 + "\r\n", "a" * 159 + "\n", "GSM-7", 1),
        ("a" * 159 + "\f", "a" * 159 + "\n", "GSM-7", 1),
        ("a" * 100 + "\x7f", "a" * 100, "GSM-7", 1),
        ("č" * 69 + "\r\n", "č" * 69 + "\n", "UCS-2", 1),
        ("a" * 2143 + "\r\n", "a" * 2143 + "\n", "GSM-7", 16),
        ("\x01", "", "GSM-7", 1),
    ],
)
def test_what_is_counted_is_what_is_sent(body: str, text: str, encoding: str, count: int) -> None:
    parts = count_sent(body)
    assert as_sent(body) == (text, parts)
    assert (parts.encoding, parts.count, parts.truncated) == (encoding, count, False)
    assert not will_be_truncated(body)


@pytest.mark.parametrize("start", ["x", "\x01", "\x01\ud800"])
def test_a_text_of_any_length_is_counted_at_once(start: str) -> None:
    body = start * (30_000_000 // len(start)) + "x" * 3000
    begun = time.process_time()
    parts = count_sent(body)
    assert time.process_time() - begun < 1
    assert (parts.count, parts.kept, parts.truncated) == (16, 2144, True)


@given(
    st.text(alphabet=st.sampled_from("aå€č😀\n\r\f\x7f"), max_size=600),
    st.sampled_from([PartLimits(20, 15, 10, 7, 3), PartLimits(20, 14, 10, 7, 1), LINK]),
)
def test_what_is_sent_is_clean_and_cut_once(body: str, limits: PartLimits) -> None:
    text, parts = as_sent(body, limits)
    assert as_sent(text, limits) == (text, replace(parts, truncated=False))
    assert parts.count <= limits.most


@pytest.mark.parametrize(
    ("text", "encoding", "kept"),
    [
        (
            "a" * 2144 + "č",
            "UCS-2",
            1072,
        ),  # the character beyond is looked at, and decides as it does in a text that fits
        ("a" * 2145 + "č", "GSM-7", 2144),
        ("€" * 3000, "GSM-7", 1072),
        ("😀" * 3000, "UCS-2", 528),
    ],
)
def test_what_cannot_be_sent_is_not_looked_at(text: str, encoding: str, kept: int) -> None:
    looked_at = []

    class Watched(str):
        __slots__ = ()

        def __getitem__(self, key: Any) -> str:
            looked_at.append(key.stop)
            return str(super().__getitem__(key))

    parts = count_parts(Watched(text), LINK)
    assert (parts.encoding, parts.count, parts.kept, parts.truncated) == (encoding, 16, kept, True)
    assert looked_at == [2145]


def test_the_alphabet() -> None:
    assert len(GSM_BASIC) == 127  # 128 less the escape
    assert len(GSM_EXTENSION) == 10
    assert not GSM_BASIC & GSM_EXTENSION


@given(st.text(alphabet=st.sampled_from("aå€[č😀\n"), max_size=600), st.integers(1, 5))
def test_counting_agrees_with_packing_one_by_one(text: str, most: int) -> None:
    limits = PartLimits(20, 15, 10, 7, most)
    parts = count_parts(text, limits)
    single, part = (20, 15) if parts.encoding == "GSM-7" else (10, 7)

    def size(character: str) -> int:
        if parts.encoding == "GSM-7":
            return 2 if character in GSM_EXTENSION else 1
        return len(character.encode("utf-16-be")) // 2

    count, used, kept = 1, 0, len(text)
    if sum(map(size, text)) > single:
        for position, character in enumerate(text):
            if used + size(character) > part:
                if count == most:
                    kept = position
                    break
                count, used = count + 1, 0
            used += size(character)
    assert (parts.count, parts.kept) == (count, kept)
    assert STANDARD.most == 255
