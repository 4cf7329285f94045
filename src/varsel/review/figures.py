"""The monthly metrics page (docs/reference/notifications-api.md 2.19): one HTML page for operators, without any script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from html import escape
from typing import Final
from urllib.parse import parse_qsl

from varsel.review.search import LATE
from varsel.review.sheet import workbook
from varsel.runtime.errors import PlainProblem, ValidationProblem
from varsel.store import queries
from varsel.store.database import Database, unavailable_as_such
from varsel.store.ids import floor_of

_sql = queries.load("varsel.review")

#: Seconds a month may take to be summed.
LIMIT: Final = 300.0
COLUMNS: Final = (
    "Organisation",
    "Orders",
    "E-mail notifications",
    "Successful e-mail notifications",
    "SMS segments",
    "Successful SMS segments",
)
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1e2b3c;background:#fff}"
    "form{display:flex;flex-wrap:wrap;gap:1rem;align-items:end;margin:1.5rem 0}label{display:grid;gap:.25rem}"
    "select,button{font:inherit;padding:.5rem .75rem}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.5rem .75rem;border-bottom:1px solid #ccd3db;text-align:right;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}thead th{vertical-align:bottom}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
#: Octets of a form: many times what two numbers need.
_LARGEST: Final = 10_000
_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class Month:
    year: int
    month: int

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        year, month = (self.year + 1, 1) if self.month == 12 else (self.year, self.month + 1)
        return datetime(year, month, 1, tzinfo=UTC)


Line = tuple[str, int, int, int, int, int]


async def lines(database: Database, month: Month) -> list[Line]:
    """One line per creator, in the order of COLUMNS; orders count by their send time in UTC."""
    with unavailable_as_such():
        rows = await database.pool.fetch(
            _sql.monthly_figures, month.start, month.end, floor_of(month.end + LATE), timeout=LIMIT
        )
    return [
        (
            row["creator"],
            row["orders"],
            row["emails"],
            row["emails_succeeded"],
            row["sms"],
            row["sms_succeeded"],
        )
        for row in rows
    ]


def form(body: bytes, content_type: bytes | None) -> Month:
    """The month of a sent form, urlencoded or multipart; ValidationProblem with `month` and `year`."""
    if len(body) > _LARGEST:
        raise PlainProblem(413)
    kind = (content_type or b"").decode("latin-1")
    given: dict[str, str] = {}
    if kind.partition(";")[0].strip().lower() == "multipart/form-data":
        parsed = message_from_bytes(b"Content-Type: " + (content_type or b"") + b"\r\n\r\n" + body)
        for part in parsed.walk():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(part, Message) and isinstance(name, str) and isinstance(content, bytes):
                given.setdefault(name.lower(), content.decode("latin-1"))
    else:
        for name, value in parse_qsl(body.decode("latin-1"), keep_blank_values=True):
            given.setdefault(name.lower(), value)
    errors = {}
    numbers = {}
    for name, least, most in (("month", 1, 12), ("year", 1970, 9998)):
        text = given.get(name, "").strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most):
            errors[name] = [f"Must be a whole number from {least} to {most}."]
        else:
            numbers[name] = int(text)
    if errors:
        raise ValidationProblem(errors)
    return Month(numbers["year"], numbers["month"])


def page(now: datetime, chosen: Month | None = None, found: Sequence[Line] = ()) -> bytes:
    """The page: a form, and the table of the chosen month. The spreadsheet lies in the page itself, as its download link."""
    shown = chosen or Month(now.year, now.month)
    months = "".join(
        f'<option value="{number}"{" selected" if number == shown.month else ""}>{name}</option>'
        for number, name in enumerate(MONTHS, 1)
    )
    years = "".join(
        f"<option{' selected' if year == shown.year else ''}>{year}</option>"
        for year in range(now.year, now.year - 6, -1)
    )
    table = "" if chosen is None else _table(chosen, found)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Notification metrics</title>'
        f"<style>{_STYLE}</style></head><body><h1>Notification metrics</h1>"
        f'<form method="post"><label>Month<select name="month">{months}</select></label>'
        f'<label>Year<select name="year">{years}</select></label><button type="submit">Show</button></form>'
        f"{table}</body></html>"
    ).encode()


def _table(month: Month, found: Sequence[Line]) -> str:
    title = f"{MONTHS[month.month - 1]} {month.year}"
    if not found:
        return f"<h2>{title}</h2><p>No orders in this month.</p>"
    heads = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{number}</td>" for number in numbers)
        + "</tr>"
        for name, *numbers in found
    )
    file = base64.b64encode(workbook(COLUMNS, found)).decode()
    link = (
        f'<p><a download="notifications_metrics_{month.month}_{month.year}.xlsx" href="data:{_XLSX};base64,{file}">'
        "Download as a spreadsheet</a></p>"
    )
    return f"<h2>{title}</h2><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{link}"
