"""What an operator sees: log lines, metrics and traces. One door to `logs`, `masking`, `metrics` and `trace`."""

from varsel.runtime.logs import configure_logging, describe, mask_event
from varsel.runtime.masking import (
    Address,
    Masked,
    Nin,
    Number,
    Secret,
    mask_address,
    mask_number,
    mask_text,
)
from varsel.runtime.metrics import (
    CONTENT_TYPE,
    METRICS,
    REGISTRY,
    Metric,
    RequestMeter,
    counter,
    gauge,
    histogram,
    merge,
    render,
)
from varsel.runtime.trace import CURRENT, Trace

__all__ = [
    "CONTENT_TYPE",
    "CURRENT",
    "METRICS",
    "REGISTRY",
    "Address",
    "Masked",
    "Metric",
    "Nin",
    "Number",
    "RequestMeter",
    "Secret",
    "Trace",
    "configure_logging",
    "counter",
    "describe",
    "gauge",
    "histogram",
    "mask_address",
    "mask_event",
    "mask_number",
    "mask_text",
    "merge",
    "render",
    "traced",
]


def traced(headers: dict[str, str] | None = None) -> dict[str, str]:
    """Headers of an outgoing call with the `traceparent` of the request or unit of work in hand."""
    headers = dict(headers or {})
    trace = CURRENT.get()
    if trace is not None:
        headers.setdefault("traceparent", trace.traceparent)
    return headers
