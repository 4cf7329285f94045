"""The measurement of the client against a bare HTTP client works; `make bench` judges its figures on a quiet machine."""

from __future__ import annotations

from bench import client


def test_both_sides_of_the_measurement_place_their_orders():
    found = client.measure(lambda _: None, count=60, rounds=1)
    assert all(found[name] > 0 for name in ("ratio", "client ms/order", "bare ms/order", "import ms"))
