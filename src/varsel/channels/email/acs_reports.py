"""Delivery reports of Azure Communication Services, as Event Grid sends them (docs/reference/delivery.md 8.1; pure).

A request carries one event or a list, in the Event Grid schema or as CloudEvents. What cannot be understood is kept for
the operator, never refused: the sender would only send it again.
"""

from __future__ import annotations

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
    """Read a request. Raises EventError when it is not JSON, or neither an object nor a list."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EventError("The body is not JSON.") from None
    events: list[Any]
    match found:
        case list():
            events = found
        case dict():
            events = [found]
        case _:
            raise EventError("The body is neither an event nor a list of events.")
    reports: list[Report] = []
    validation: str | None = None
    for event in events:
        code = _validation_code(event)
        if code is not None:
            validation = code
        else:
            reports.append(_report(event))
    return Events(tuple(reports), validation)


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
