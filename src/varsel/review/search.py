"""Support search: every notification to one person or organization (docs/reference/notifications-api.md 2.17, 2.18).

It goes by the HMAC that stands beside each recipient, so that the database need not keep the number; each search leaves a line in
the audit trail before its answer leaves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, Literal, Protocol

import msgspec

from varsel.review.query import parameters
from varsel.review.wire import DeliveryAttempt, FoundOrder
from varsel.runtime.endpoints import Caller
from varsel.runtime.errors import ValidationProblem
from varsel.runtime.problems import pretty
from varsel.runtime.times import wire_time
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import floor_of, uuid7
from varsel.store.long_texts import LARGE, as_written, pretty_in_slices

_sql = queries.load("varsel.review")

Kind = Literal["person", "organization"]

DEFAULT_DAYS: Final = timedelta(days=7)
LONGEST_BACK: Final = 10  # years
#: An order may be made this long after the send time it asks for, clocks of several machines included.
LATE: Final = timedelta(hours=1)
#: Octets of a line beside its texts, about.
_LINE: Final = 500

#: kind -> (header, error key, digits).
HEADERS: Final[Mapping[Kind, tuple[bytes, str, int]]] = {
    "person": (b"nationalidentitynumber", "NationalIdentityNumber", 11),
    "organization": (b"organizationnumber", "OrganizationNumber", 9),
}

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


class Digest(Protocol):
    """Makes the HMAC of a recipient (`varsel.store.secrets.MasterKey`)."""

    def mac(self, purpose: str, data: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Range:
    """Send times from `start` on, before `end`; UTC."""

    start: datetime
    end: datetime


def moment(text: str) -> datetime | None:
    """A date and time of ISO 8601 in UTC; naive when it names no zone, None when it is none."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    try:
        parsed = datetime.fromisoformat(text.strip().upper())
        return parsed if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def years_before(now: datetime, years: int) -> datetime:
    try:
        return now.replace(year=now.year - years)
    except ValueError:  # the 29th of February
        return now.replace(year=now.year - years, day=28)


def identifier(headers: Mapping[bytes, Sequence[bytes]], kind: Kind) -> tuple[str, dict[str, list[str]]]:
    """The number in the header and what is wrong with it."""
    name, key, digits = HEADERS[kind]
    values = headers.get(name) or [b""]
    text = values[0].decode("latin-1").strip()
    if len(text) == digits and text.isascii() and text.isdigit():
        return text, {}
    return text, {key: [f"The header {key} must be {digits} digits."]}


def span(query: bytes, now: datetime) -> tuple[Range, dict[str, list[str]]]:
    """Read `from` and `to`: the range, and what is wrong by key (2.17)."""
    given = parameters(query)
    errors: dict[str, list[str]] = {}

    def read(name: str) -> datetime | None:
        text = given.get(name)
        if text is None or not text.strip():
            return None
        found = moment(text)
        if found is None:
            errors[name.capitalize()] = ["Must be a date and time of ISO 8601; in a query + is written %2B."]
        elif found.tzinfo is None:
            errors[name.capitalize()] = ["A time zone is required."]
            return None
        return found

    start, end = read("from"), read("to")
    week_ago = now - DEFAULT_DAYS
    if start is not None:
        if start > now:
            errors["From"] = ["Must not lie in the future."]
        elif start < years_before(now, LONGEST_BACK):
            errors["From"] = [f"Must not lie more than {LONGEST_BACK} years back."]
        elif end is not None and start >= end:
            errors["From"] = ["Must be earlier than to."]
    if end is not None:
        if end > now:
            errors["To"] = ["Must not lie in the future."]
        elif start is None and "From" not in errors and end <= week_ago:
            errors["To"] = ["Must be later than seven days ago when from is not given."]
    return Range(start or week_ago, end or now), errors


class Search:
    """Finds notifications by recipient. `digest` is the master key, which made the HMACs beside the recipients."""

    def __init__(self, database: Database, digest: Digest) -> None:
        self._database = database
        self._digest = digest

    async def find(self, kind: Kind, number: str, within: Range, caller: Caller) -> bytes:
        """The JSON array; written down as `support.search` before it is given."""
        key = self._digest.mac("recipient", number.encode())
        rows = await self._database.fetch(
            _sql.support_search, key, kind, within.start, within.end, floor_of(within.end + LATE)
        )
        details = {
            "kind": kind,
            "from": wire_time(within.start),
            "to": wire_time(within.end),
            "notifications": len(rows),
        }
        actor = caller.claims.get("client_id") or caller.claims.get("sub") or caller.via
        await self._database.execute(
            _sql.audit_search,
            uuid7(),
            str(actor),
            caller.creator,
            f"{kind}:{key.hex()}",
            msgspec.json.encode(details).decode(),
        )
        octets = sum(
            _LINE
            + len(row["address"])
            + len(row["senders_reference"] or b"")
            + len(row["resource_id"] or b"")
            for row in rows
        )
        if octets < LARGE:
            return pretty(found(rows, kind, number))
        return await asyncio.to_thread(lambda: pretty_in_slices(found(rows, kind, number)))


def found(rows: Sequence[Any], kind: Kind, number: str) -> list[FoundOrder]:
    """Rows of `support_search` by order."""
    orders = []
    for _, group in groupby(rows, key=lambda row: row["id"]):
        lines = list(group)
        head = lines[0]
        orders.append(
            FoundOrder(
                shipment_id=str(head["id"]),
                creator_name=head["creator"],
                resource_id=as_written(head["resource_id"]),
                senders_reference=as_written(head["senders_reference"]),
                requested_send_time=wire_time(head["requested_at"]),
                notification_channel=head["order_channel"],
                notification_type=head["kind"],
                delivery_attempts=[_attempt(row, kind, number) for row in lines],
            )
        )
    return orders


def _attempt(row: Any, kind: Kind, number: str) -> DeliveryAttempt:
    email = row["channel"] == "Email"
    address = as_written(row["address"])
    return DeliveryAttempt(
        national_identity_number=number if kind == "person" else None,
        organization_number=number if kind == "organization" else None,
        channel="email" if email else "sms",
        email_address=address if email else None,
        mobile_number=None if email else address,
        result=row["status"],
        result_time=wire_time(row["status_at"]),
    )


def asked(
    headers: Mapping[bytes, Sequence[bytes]], query: bytes, kind: Kind, now: datetime
) -> tuple[str, Range]:
    """The number and the range; ValidationProblem with every key that is wrong."""
    number, errors = identifier(headers, kind)
    within, more = span(query, now)
    if errors or more:
        raise ValidationProblem(errors | more)
    return number, within
