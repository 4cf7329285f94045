"""The measurement of the client against a bare HTTP client works; `make bench` judges its figures on a quiet machine."""

from __future__ import annotations

from bench import client


def test_both_sides_of_the_measurement_place_their_orders():
    found = client.measure(lambda _: None, count=60, rounds=1)
    assert found["ratio"] > 0.2
    assert found["client ms/order"] > 0
    assert found["bare ms/order"] > 0
    assert 0 < found["import ms"] < 150
