"""W3C trace context: one id for everything that happens because of one request (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import Final

_TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$")


class Trace:
    """The trace of one request. Ids are made when first asked for: most requests never need them."""

    __slots__ = ("_ids", "_incoming")

    def __init__(self, traceparent: bytes | None = None) -> None:
        self._incoming = traceparent
        self._ids: tuple[str, str] | None = None

    def _make(self) -> tuple[str, str]:
        if self._ids is None:
            match = _TRACEPARENT.match(self._incoming) if self._incoming else None
            trace = match.group(1).decode() if match and match.group(1).strip(b"0") else os.urandom(16).hex()
            self._ids = (trace, os.urandom(8).hex())
        return self._ids

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self._make()[0]

    @property
    def traceparent(self) -> str:
        """`00-<trace id>-<span id>-01`, as problems and outgoing requests carry it."""
        trace, span = self._make()
        return f"00-{trace}-{span}-01"


#: The trace of the request or the unit of work in hand; log lines and outgoing calls carry it.
CURRENT: Final[ContextVar[Trace | None]] = ContextVar("varsel_trace", default=None)
