"""Nothing personal or secret leaves in a log line: docs/reference/identity.md 10.5, row 84."""

from __future__ import annotations

import pickle
import uuid

import pytest

from varsel.runtime.masking import (
    HIDDEN,
    TEXT_LIMIT,
    Address,
    Nin,
    Number,
    Secret,
    mask_address,
    mask_fields,
    mask_number,
    mask_text,
    mask_value,
)

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3gifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (JWT, f"token {JWT} refused"),
        (JWT, f'{{"access_token":"{JWT}"}}'),
        (JWT.split(".", maxsplit=1)[0], f"half {JWT.split('.', maxsplit=1)[0]}"),
        ("c2VjcmV0OnNlY3JldA", "Authorization: Basic c2VjcmV0OnNlY3JldA=="),
        ("opaque-token-1", "authorization: bearer opaque-token-1"),
        ("MIIEvQ", "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nabc\n-----END PRIVATE KEY-----"),
        ("MIIEvQ", "cut: -----BEGIN RSA PRIVATE KEY-----\nMIIEvQ"),
        ("X9kd8", '{"kty":"RSA","d":"X9kd8","e":"AQAB"}'),
        ("01820312345", "person 01820312345 has no address"),
        ("01820312345", "urn:altinn:person:identifier-no:01820312345"),
        ("01820312345", "nin01820312345x"),
        ("018203 12345", "person 018203 12345"),
        ("kari", "kari@example.org is not an address"),
        ("kari", "to <kari.nordmann@example.org>, to be sent"),
        ("kåre", "kåre.blåbær@eksempel.no"),
        ("99912345", "number +4799912345"),
        ("999 12 345", "number +47 999 12 345"),
        ("99912345", "number 004799912345"),
        ("99912345", "call 99912345 now"),
        ("41 23 45 67", "call 41 23 45 67."),
        ("hunter2", "postgresql://varsel:hunter2@db.example.org/varsel"),
        ("abc%2Bdef", "GET https://x.blob.core.windows.net/f?sp=r&sig=abc%2Bdef&se=2031"),
        ("topsecret", "https://x.org/?token=topsecret"),
    ],
)
def test_row_84_what_looks_secret_or_personal_is_masked_in_any_text(secret, text):
    masked = mask_text(text)
    assert secret not in masked
    assert masked != text


@pytest.mark.parametrize(
    "text",
    [
        "order 3f2504e0-4f89-11d3-9a0c-0305e82c3301 ended",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "trace 12345678901234567890123456789012",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "2031-03-14T08:00:41.123456Z",
        "127.0.0.1:5090",
        "250 2.0.0 Ok: queued as 4F2B91",
        "took 0.0123 s for 500 rows",
        "sequence 4711, page 500",
        "varsel/runtime/server.py:123 data_received",
        "organisation 310000001",
        "1700000000",
        "1700000000123",
    ],
)
def test_ids_times_and_counts_stay(text):
    assert mask_text(text) == text


def test_ids_stay_whatever_their_digits():
    for number in range(2000):
        name = str(uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC834) % 2**128))
        assert (
            mask_text(f"order {name} and {name.replace('-', '')}")
            == f"order {name} and {name.replace('-', '')}"
        )


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("kari@example.org", "ka…@example.org"),
        (" kari@example.org ", "ka…@example.org"),
        ("ab@example.org", "…@example.org"),
        ("no address", "…"),
        ("", "…"),
    ],
)
def test_addresses_keep_two_letters_and_the_domain(address, masked):
    assert mask_address(address) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [("+4799912345", "+47…45"), ("99912345", "…45"), ("0047 999 12 345", "…45"), ("123", "…"), ("", "…")],
)
def test_numbers_keep_country_and_two_digits(number, masked):
    assert mask_number(number) == masked


@pytest.mark.parametrize("kind", [Secret, Nin, Address, Number])
def test_masked_types_show_themselves_only_when_asked(kind):
    value = kind("kari@example.org 01820312345 +4799912345 x")
    shown = f"{value} {value!r} {value!s:>80} {[value]} { ({'a': value}) }"
    assert "kari" not in shown
    assert "01820312345" not in shown
    assert "99912345" not in shown
    assert value.plain.startswith("kari")
    assert value == kind(value.plain)
    assert value != value.plain
    assert pickle.loads(pickle.dumps(value)) == value
    assert len({value, kind(value.plain)}) == 1


def test_personal_fields_lose_their_value_whatever_it_looks_like():
    fields = mask_fields(
        {
            "Address": "hjemme",
            "X-API-Key": "short",
            "subject": "Vedtak",
            "recipients": ["a", "b"],
            "nested": {"password": "p", "order": "o-1"},
            "pid": 4711,
            "number": 3,
            "email": Address("kari@example.org"),
            "nin": None,
        }
    )
    assert fields == {
        "Address": HIDDEN,
        "X-API-Key": HIDDEN,
        "subject": HIDDEN,
        "recipients": HIDDEN,
        "nested": {"password": HIDDEN, "order": "o-1"},
        "pid": 4711,
        "number": 3,
        "email": "ka…@example.org",
        "nin": None,
    }


def test_values_of_every_kind_are_masked():
    class Order:
        def __str__(self) -> str:
            return "Order(kari@example.org)"

    assert mask_value(Order()) == "Order(ka…@example.org)"
    assert mask_value(b"kari@example.org \xff") == "ka…@example.org \\xff"
    assert mask_value({"kari@example.org": 1}) == {"ka…@example.org": 1}
    assert mask_value(("01820312345", 1820312345, 11820312345)) == [
        "[national number]",
        1820312345,
        "[national number]",
    ]
    assert len(mask_text("x" * 100_000)) == TEXT_LIMIT + 1


def test_hostile_text_is_masked_in_bounded_time():
    for text in ("a" * 5000, "1 " * 5000, "a@" * 3000, "eyJ" * 3000, "+1" * 3000, "-----BEGIN A-----" * 500):
        mask_text(text)
