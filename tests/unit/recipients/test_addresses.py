"""Address rules: docs/reference/notifications-api.md 3.4, docs/reference/delivery.md 3.3."""

from __future__ import annotations

import itertools
import time

import phonenumbers
import pytest

from varsel.recipients import addresses
from varsel.recipients.addresses import blank, email_is_valid, phone_is_valid, register_number


@pytest.mark.parametrize(
    ("address", "valid"),
    [
        ("kari@example.org", True),
        (" kari@example.org\n", True),
        ("æge_sjøåsen@example.com", True),
        ("ÆØÅ@æøå.no", True),
        ("a+b@sub.example.museum", True),
        ("!#$%&;'*+-=?^_`{|}~@example.org", True),
        ("a@1.2.3.4", True),
        ("a@1.2.3.4.no", True),
        ("a;b@example.org", True),
        ("a@" + "x" * 63 + ".no", True),
        ("a@" + "a." * 9 + "no", True),
        ("a@example.abcdefghijklmn", True),
        ("x" * 300_000 + "@example.org", True),
        ("user@example", False),
        ("a@b.no;c@d.no", False),
        ("a@b.no, c@d.no", False),
        ("a@@b.no", False),
        ("@example.org", False),
        ("a@", False),
        ("", False),
        ("a", False),
        (".a@example.org", False),
        ("a.@example.org", False),
        ("a..b@example.org", False),
        ("a b@example.org", False),
        ("a/b@example.org", False),
        ('"a"@example.org', False),
        ("a@-b.no", False),
        ("a@b-.no", False),
        ("a@b..no", False),
        ("a@" + "x" * 64 + ".no", False),
        ("a@" + "a." * 10 + "no", False),
        ("a@example.n", False),
        ("a@example.abcdefghijklmno", False),
        ("a@example.n0", False),
        ("a@example.nå", False),
        ("a@1.2.3.4444", False),
        ("é@example.org", False),
        ("a\x00@example.org", False),
        ("x" * 300_000 + " @example.org", False),
    ],
)
def test_email(address: str, valid: bool) -> None:
    assert email_is_valid(address) is valid


def test_email_takes_no_time() -> None:
    began = time.process_time()
    for hostile in (
        "a@" + "a-" * 5_000_000,
        "a." * 5_000_000,
        "@" * 10_000_000,
        "a@" + "a." * 5_000_000,
        " " * 10_000_000 + "a",
    ):
        assert not email_is_valid(hostile)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("+4740000001", True), ("004740000000", True), ("+47 99 99 99 99", True), ("+47 99999999 ", True), ("+233242426224", True), ("+4722000000", True),
        ("+46701740605", True), ("+14155552671", True), ("40000001", False), (" +4799999999", False), ("++4740000000", False), ("00+4740000000", False),
        ("+47900000001", False), ("+4750000004", False), ("+479999999", False), ("", False), ("+", False), ("00", False), ("+47", False), ("x", False),
        ("+" + "9" * 1_000_000, False),
    ],
)  # fmt: skip
def test_phone(number: str, valid: bool) -> None:
    assert phone_is_valid(number) is valid


def test_the_short_way_for_norwegian_mobiles_says_what_the_library_says() -> None:
    """Every block of ten thousand numbers of eight digits, and odd lengths: never valid here and invalid there."""
    for block in range(10_000):
        number = f"+47{block:04}1234"
        if addresses._NORWEGIAN_MOBILE.fullmatch(number):
            assert phonenumbers.is_valid_number(phonenumbers.parse(number, None)), number
    for digits in ("9999999", "999999999"):
        assert not addresses._NORWEGIAN_MOBILE.fullmatch("+47" + digits)
    pattern = phonenumbers.PhoneMetadata.metadata_for_region("NO", None).mobile.national_number_pattern
    assert "(?:4[016-8]|9\\d)\\d{6}" in pattern, "the metadata changed: look at _NORWEGIAN_MOBILE"


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("99999999", "+4799999999"), ("40000001", "+4740000001"), ("004799999999", "+4799999999"), ("+4799999999", "+4799999999"),
        ("22000000", None), ("9999999", None), ("", None), (None, None), ("+4750000004", None),
    ],
)  # fmt: skip
def test_numbers_of_registers(sent: str | None, normal: str | None) -> None:
    assert register_number(sent) == normal


def test_blank_is_what_dotnet_calls_white_space() -> None:
    assert all(blank(text) for text in (None, "", " ", "\t\r\n\v\f", "\u00a0\u2003\u3000\u2028\x85"))
    assert not any(blank(text) for text in ("a", " a ", "\x1c", "\x1f \x1d", "\u200b", "\ufeff", "\x00"))
    assert all(character.isspace() for character in itertools.chain(addresses.WHITE))


@pytest.mark.parametrize("inner", ["", "a", "a b", "kari@example.org"])
@pytest.mark.parametrize("before", [0, 3, 8, 30])
@pytest.mark.parametrize("after", [0, 5, 8, 31])
def test_white_space_goes_window_by_window(
    inner: str, before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_WINDOW", 8)
    text = "\u3000" * before + inner + "\n" * after
    assert addresses.trimmed(text) == inner
    assert blank(text) == (inner == "")
    assert email_is_valid(text) == ("@" in inner)
