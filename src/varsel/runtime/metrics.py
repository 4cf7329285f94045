"""Every metric of Varsel in one table, and the text that Prometheus reads.

Rooms take theirs once, at import: `_ACCEPTED = metrics.counter("orders_accepted")`, then `_ACCEPTED.labels("email").inc()`. Label
values come from closed sets only (a word of a gateway that we do not know counts as `other`), and never from callers or recipients.
Each process counts for itself; `merge` makes one page of the pages of several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

#: Seconds; from a cache hit to a provider that hangs.
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: Seconds; from at once to a daytime window that opens tomorrow.
_SLOW: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. `name` is without the prefix `varsel_`; counters get the suffix `_total` on the page."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _QUICK

    @property
    def exposed(self) -> str:
        """The name on the page."""
        return f"varsel_{self.name}" + ("_total" if self.kind == "counter" else "")


METRICS: Final[tuple[Metric, ...]] = (
    # HTTP
    Metric(
        "http_requests", "counter", "Requests answered, by operation and status.", ("operation", "status")
    ),
    Metric(
        "http_request_seconds",
        "histogram",
        "Time from request line to the answer handed over.",
        ("operation",),
    ),
    Metric("http_received_bytes", "counter", "Bytes of request bodies.", ("operation",)),
    Metric("http_sent_bytes", "counter", "Bytes of response bodies.", ("operation",)),
    # Orders
    Metric(
        "orders_accepted", "counter", "Orders accepted (v1, chain, reminder, composed, instant).", ("kind",)
    ),
    Metric("orders_repeated", "counter", "Requests answered with the receipt of an earlier one.", ("kind",)),
    Metric("orders_cancelled", "counter", "Orders cancelled."),
    Metric("accept_flush_size", "histogram", "Orders that shared one commit.", buckets=_SIZES),
    Metric("accept_flush_seconds", "histogram", "Time of one accepting commit."),
    # Delivery
    Metric(
        "due_lag_seconds", "histogram", "How late orders were taken up after their send time.", buckets=_SLOW
    ),
    Metric("orders_ended", "counter", "Orders ended, by final state.", ("state",)),
    Metric(
        "conditions", "counter", "Send conditions asked, by answer (true, false, inconclusive).", ("answer",)
    ),
    Metric("handoffs", "counter", "Messages handed to a provider, by outcome.", ("provider", "outcome")),
    Metric(
        "dwell_seconds",
        "histogram",
        "Time from send time to handoff, by channel.",
        ("channel",),
        buckets=_SLOW,
    ),
    Metric("leases_recovered", "counter", "Leases taken back from workers that died or hung.", ("queue",)),
    Metric("unknown_settled", "counter", "Handoffs of unknown outcome settled by rule.", ("channel", "rule")),
    Metric(
        "queue_rows",
        "gauge",
        "Rows that wait, by queue (due, ready, handoff, unknown, awaiting, parked, dead, feed, webhook), counted up to 100,000; the "
        "same whichever process tells it.",
        ("queue",),
    ),
    Metric(
        "queue_oldest_seconds", "gauge", "How long the oldest row has been overdue, by queue.", ("queue",)
    ),
    Metric(
        "ready_rows",
        "gauge",
        "Messages that wait to be handed over, by channel and lane (instant, ordinary, composed).",
        ("channel", "lane"),
    ),
    Metric(
        "ready_oldest_seconds",
        "gauge",
        "How long the oldest of them has been overdue.",
        ("channel", "lane"),
    ),
    # Reports and feed
    Metric(
        "reports",
        "counter",
        "Delivery reports, by family (link, acs, dsn), meaning and outcome (stored, dead, applied).",
        ("family", "status", "outcome"),
    ),
    Metric("feed_lag_seconds", "gauge", "Age of the oldest feed entry without a number."),
    Metric("feed_numbered", "counter", "Feed entries numbered."),
    Metric("webhook_calls", "counter", "Webhook calls, by outcome.", ("outcome",)),
    # Outside and identity
    Metric("outbound_requests", "counter", "Guarded outgoing requests, by outcome.", ("outcome",)),
    Metric("outbound_seconds", "histogram", "Time of one guarded outgoing request."),
    Metric("tokens_issued", "counter", "Tokens issued, by issuer.", ("issuer",)),
    Metric(
        "credentials_refused", "counter", "Requests refused for their credentials, by status.", ("status",)
    ),
    Metric(
        "registers_asked",
        "counter",
        "Questions to registers, by register and outcome.",
        ("register", "outcome"),
    ),
)

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry(auto_describe=False)


def _made(row: Metric) -> Counter | Gauge | Histogram:
    name = f"varsel_{row.name}"
    match row.kind:
        case "counter":
            return Counter(name, row.help, row.labels, registry=REGISTRY)
        case "gauge":
            return Gauge(name, row.help, row.labels, registry=REGISTRY)
        case "histogram":
            return Histogram(name, row.help, row.labels, buckets=row.buckets, registry=REGISTRY)


_BY_NAME: Final[Mapping[str, Counter | Gauge | Histogram]] = {row.name: _made(row) for row in METRICS}
ProcessCollector(registry=REGISTRY)


def counter(name: str) -> Counter:
    """The counter of that row; KeyError when the table has none."""
    found = _BY_NAME[name]
    if not isinstance(found, Counter):
        raise TypeError(f"{name} is no counter")
    return found


def gauge(name: str) -> Gauge:
    """The gauge of that row; KeyError when the table has none."""
    found = _BY_NAME[name]
    if not isinstance(found, Gauge):
        raise TypeError(f"{name} is no gauge")
    return found


def histogram(name: str) -> Histogram:
    """The histogram of that row; KeyError when the table has none."""
    found = _BY_NAME[name]
    if not isinstance(found, Histogram):
        raise TypeError(f"{name} is no histogram")
    return found


class RequestMeter:
    """Counts HTTP requests by operation; the router asks for one function per operation."""

    def __init__(self) -> None:
        self._requests = counter("http_requests")
        self._seconds = histogram("http_request_seconds")
        self._received = counter("http_received_bytes")
        self._sent = counter("http_sent_bytes")

    def of(self, operation: str) -> Callable[[int, float, int, int], None]:
        """A function that takes status, seconds, bytes received and bytes sent of one request."""
        # Children are looked up once: labels() with its lock costs more than the rest together.
        by_status: dict[int, Callable[[], None]] = {}
        seconds_observed = self._seconds.labels(operation).observe
        received_more = self._received.labels(operation).inc
        sent_more = self._sent.labels(operation).inc

        def observe(status: int, seconds: float, received: int, sent: int) -> None:
            one_more = by_status.get(status)
            if one_more is None:
                one_more = by_status[status] = self._requests.labels(operation, str(status)).inc
            one_more()
            seconds_observed(seconds)
            if received:
                received_more(received)
            if sent:
                sent_more(sent)

        return observe


def render() -> bytes:
    """The page of one process in the Prometheus text format."""
    return generate_latest(REGISTRY)


def merge(pages: Mapping[str, bytes]) -> bytes:
    """One page of several processes' pages; every sample gets the label `process` with the page's name.

    The text format wants all samples of a family together, under one head.
    """
    families: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    for process, page in pages.items():
        label = b'process="' + process.replace("\\", "").replace('"', "").encode() + b'"'
        first = True
        head: list[bytes] = []
        samples: list[bytes] = []
        for line in page.splitlines():
            if line.startswith(b"# HELP "):
                family = line.split(b" ", 3)[2]
                first = family not in families
                head, samples = families.setdefault(family, ([], []))
            if line.startswith(b"#"):
                if first:
                    head.append(line)
            elif line:
                samples.append(_labelled(line, label))
    return b"".join(line + b"\n" for head, samples in families.values() for line in (*head, *samples))


def _labelled(sample: bytes, label: bytes) -> bytes:
    brace, space = sample.find(b"{"), sample.find(b" ")
    if 0 <= brace < space:
        return sample[: brace + 1] + label + b"," + sample[brace + 1 :]
    return sample[:space] + b"{" + label + b"}" + sample[space:]
