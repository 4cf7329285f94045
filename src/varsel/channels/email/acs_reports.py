"""Delivery reports of Azure Communication Services, as Event Grid sends them (docs/reference/delivery.md 8.1; pure).

A request carries one event or a list, in the Event Grid schema or as CloudEvents. What cannot be understood is kept for
the operator, never refused: the sender would only send it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec

Reason: TypeAlias = Literal["MALFORMED", "UNRECOGNIZED_SEND_RESULT", "INVALID_NOTIFICATION_IDENTIFIER"]

RESULTS: Final = {
    "Delivered": "Delivered",
    "Bounced": "Failed_Bounced",
    "Failed": "Failed",
    "FilteredSpam": "Failed_FilteredSpam",
    "Quarantined": "Failed_Quarantined",
    "Suppressed": "Failed_SupressedRecipient",
    "Expanded": "Failed",  # a list was resolved: nobody can tell whether anybody got it
}
REPORT: Final = "Microsoft.Communication.EmailDeliveryReportReceived"
VALIDATION: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"
MOST_EVENTS: Final = 5_000
"""Of one request, as many as Event Grid puts into one at most: each becomes a row for the operator where it says nothing."""
MOST_OCTETS: Final = 2 << 20
"""Of one request: Event Grid's have 1 MB at most, and what has more would hold up all others while it is read."""

# A string of any length and state, or a mark between values; never given back, so that no text is gone through twice.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class EventError(ValueError):
    """The body is no event and no list of events."""


@dataclass(frozen=True, slots=True)
class Report:
    """One event. `result` is a stored result, None when the word is not known; `reason` is set for what cannot be applied."""

    operation_id: str | None
    word: str | None
    result: str | None
    raw: bytes = field(repr=False)
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """What a request carried. `validation` is the code that must be given back when a subscription is made."""

    reports: tuple[Report, ...]
    validation: str | None = None


def read_events(body: bytes) -> Events:
    """Read a request. Raises EventError when it is not JSON, neither an object nor a list, or larger than any of Event Grid."""
    if len(body) > MOST_OCTETS:
        raise EventError("The body is larger than one of Event Grid.")
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict):
            found = [found]
        elif not isinstance(found, list):
            raise EventError("The body is neither an event nor a list of events.")
        _count(found)
        return _read(found)
    except (RecursionError, msgspec.ValidationError):
        # One event that is nested without end, or holds a number without end, takes the others with it.
        return _read_apart(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EventError("The body is not JSON.") from None


def _read(events: Iterable[Any]) -> Events:
    reports: list[Report] = []
    validation: str | None = None
    for event in events:
        code = _validation_code(event)
        if code is not None:
            validation = code
        else:
            reports.append(_report(event))
    return Events(tuple(reports), validation)


def _read_apart(body: bytes) -> Events:
    reports: list[Report] = []
    validation: str | None = None
    for piece in _pieces(body):
        try:
            one = _read([msgspec.json.decode(piece)])
        except (RecursionError, msgspec.ValidationError):
            one = Events((Report(None, None, None, piece, "MALFORMED"),))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise EventError("The body is not JSON.") from None
        reports += one.reports
        validation = one.validation or validation
    return Events(tuple(reports), validation)


def _pieces(body: bytes) -> list[bytes]:
    """The events of a list as they stand, by the marks between them alone. Raises EventError where it is no list."""
    pieces: list[bytes] = []
    depth = start = 0
    for token in _TOKENS.finditer(body):
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth == 1:
                if mark == b"{":
                    break
                start = token.end()
        elif mark in (b"]", b"}"):
            depth -= 1
        if (mark == b"," and depth == 1) or depth == 0:
            pieces.append(body[start : token.start()].strip())
            start = token.end()
        if depth == 0:
            break
    if depth or body[start:].strip():
        raise EventError("The body cannot be read as JSON.")
    _count(pieces)
    return pieces


def _count(events: list[Any]) -> None:
    if len(events) > MOST_EVENTS:
        raise EventError(f"The body holds more than {MOST_EVENTS} events.")


def _type(event: Any) -> Any:
    return event.get("eventType") or event.get("type") if isinstance(event, dict) else None


def _validation_code(event: Any) -> str | None:
    if _type(event) != VALIDATION:
        return None
    data = event.get("data")
    code = data.get("validationCode") if isinstance(data, dict) else None
    return code if isinstance(code, str) else None


def _report(event: Any) -> Report:
    data = event.get("data") if isinstance(event, dict) else None
    if _type(event) != REPORT or not isinstance(data, dict):
        return Report(None, None, None, msgspec.json.encode(event), "MALFORMED")
    # The data part alone is kept, as the contract of the reference has it.
    raw = msgspec.json.encode(data)
    operation_id, word = data.get("messageId"), data.get("status")
    word = word if isinstance(word, str) else None
    result = RESULTS.get(word or "")
    if not isinstance(operation_id, str) or not operation_id:
        return Report(None, word, result, raw, "INVALID_NOTIFICATION_IDENTIFIER")
    return Report(operation_id.lower(), word, result, raw)
