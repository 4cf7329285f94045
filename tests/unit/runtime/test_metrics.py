"""The table of metrics and the page that Prometheus reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from varsel.runtime import metrics
from varsel.runtime.metrics import METRICS, RequestMeter, counter, gauge, histogram, merge, render


def sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_every_row_is_well_named_and_on_the_page():
    page = render().decode()
    names = [row.name for row in METRICS]
    assert len(names) == len(set(names))
    for row in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", row.name)
        assert row.help.endswith(".")
        assert f"# TYPE {row.exposed} {row.kind}" in page
        if row.kind == "histogram":
            assert row.name.endswith(("_seconds", "_size"))
    assert "_created" not in page


def test_rooms_get_their_metric_by_name_and_kind():
    assert counter("orders_accepted") is counter("orders_accepted")
    gauge("queue_rows").labels("ready").set(3)
    assert sample("varsel_queue_rows", queue="ready") == 3
    with pytest.raises(TypeError):
        counter("queue_rows")
    with pytest.raises(TypeError):
        gauge("orders_accepted")
    with pytest.raises(TypeError):
        histogram("orders_accepted")
    with pytest.raises(KeyError):
        counter("unknown")


def test_requests_are_counted_by_operation_and_status():
    observe = RequestMeter().of("test_operation")
    observe(200, 0.02, 100, 2000)
    observe(200, 0.02, 0, 0)
    observe(404, 0.0001, 0, 0)
    of = {"operation": "test_operation"}
    assert sample("varsel_http_requests_total", status="200", **of) == 2
    assert sample("varsel_http_requests_total", status="404", **of) == 1
    assert sample("varsel_http_request_seconds_count", **of) == 3
    assert sample("varsel_http_request_seconds_bucket", le="0.001", **of) == 1
    assert sample("varsel_http_received_bytes_total", **of) == 100
    assert sample("varsel_http_sent_bytes_total", **of) == 2000


def test_pages_of_several_processes_make_one():
    page = render()
    one = merge({"api": page, 'work"er': page})
    families = {family.name: family for family in text_string_to_metric_families(one.decode())}
    single = {family.name: family for family in text_string_to_metric_families(page.decode())}
    assert set(families) == set(single)
    for name, family in families.items():
        assert family.type == single[name].type
        assert len(family.samples) == 2 * len(single[name].samples)
        assert {entry.labels["process"] for entry in family.samples} <= {"api", "worker"}
    heads = [line for line in one.decode().splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))


def test_every_metric_is_counted_somewhere():
    """A row that nobody takes shows nothing, or zero for ever, and an alert on it never calls."""
    source = Path(metrics.__file__).parents[1]
    taken = set()
    for module in source.rglob("*.py"):
        taken |= set(re.findall(r'\b(?:counter|gauge|histogram)\(\s*"(\w+)"', module.read_text("utf-8")))
    assert {row.name for row in METRICS} <= taken
