"""URLs in requests: docs/reference/notifications-api.md 3.4 and 2.11."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from varsel.orders.urls import dotted_url_is_valid, judge_file_url, url_is_valid


@pytest.mark.parametrize(
    ("url", "v2", "v1"),
    [
        ("https://sender.example.org/conditions/17", True, True),
        ("HTTPS://sender.example.org", True, True),
        ("http://sender.example.org:8080/x?y=1#z", True, True),
        ("http://blåbær.example.org/", True, True),
        ("http://localhost:5090/x", True, False),
        ("http://sender/x", True, False),
        ("http://192.0.2.7/x", True, False),
        ("http://[2001:db8::1]/x", True, False),
        ("http://sender.example.o/x", True, False),
        ("http://sender.example.o1/x", True, False),
        ("ftp://sender.example.org/", False, False),
        ("javascript:alert(1)", False, False),
        ("sender.example.org/x", False, False),
        ("//sender.example.org/x", False, False),
        ("/x", False, False),
        ("", False, False),
        ("http://", False, False),
        ("http:///x", False, False),
        ("http:sender.example.org", False, False),
        ("http://sender.example.org/a b", False, False),
        ("http://sender.example.org/%zz", False, False),
        ("http://sender.example.org:port/", False, False),
        ("http://sender.example.org:99999/", False, False),
        ("http://[::1/", False, False),
        ("http://sender.example.org/\n", False, False),
        ("http://sender.example.org\\x", False, False),
        (" http://sender.example.org/", False, False),
        ("http://sender.example.org/" + "x" * 70_000, False, False),
    ],
)
def test_rules(url: str, v2: bool, v1: bool) -> None:
    assert (url_is_valid(url), dotted_url_is_valid(url)) == (v2, v1)


def test_a_file_url_is_judged_in_order() -> None:
    hosts = (".blob.core.windows.net",)
    base = "https://a.blob.core.windows.net/x?"
    assert judge_file_url("http://elsewhere.example.org/", hosts).faults == (
        "An absolute https address is required.",
    )
    assert len(judge_file_url(base + "se=tomorrow&sp=w&sr=b&sig=x", hosts).faults) == 2
    good = judge_file_url(base + "SE=2031-03-14T08:00:00Z&Sp=r&sr=B&sig=x", hosts)
    assert (good.faults, good.expires_at) == ((), datetime(2031, 3, 14, 8, tzinfo=UTC))
    assert judge_file_url("https://blob.core.windows.net.example.org/?se=x", hosts).faults
    assert good.too_short_for(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
