"""Delivery reports as the gateway posts them (docs/reference/delivery.md 8.2, notifications-api.md 2.26.1)."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from varsel.runtime.times import OSLO

MOST_OCTETS: Final = 1 << 20
"""Largest body that is read; a list of several thousand reports is smaller."""
MOST_REPORTS: Final = 5_000
"""Of one list: each becomes a row, and a body of this size holds many times as many that say nothing."""


#: word of the gateway -> stored result; every other word is Failed (docs/reference/delivery.md 8.2).
RESULTS: Final[dict[str, str]] = {
    "DELIVRD": "Delivered",
    "EXPIRED": "Failed_Expired",
    "DELETED": "Failed_Deleted",
    "UNDELIV": "Failed_Undelivered",
    "REJECTD": "Failed_Rejected",
    "BARRED": "Failed_BarredReceiver",
    "BARREDA": "Failed",
    "ZEROBAL": "Failed",
    "FAILED": "Failed",
    "UNKNOWN": "Failed",
    "NULL": "Failed",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `reference` is empty where the gateway gave none; `raw` is the JSON that is stored as evidence."""

    reference: str
    receiver: str = field(repr=False)
    state: str
    delivered_at: datetime | None
    raw: str = field(repr=False)

    @property
    def result(self) -> str:
        """The stored result name."""
        return result_of(self.state)

    @property
    def known(self) -> bool:
        """False for a word that no table has; it counts as Failed and is shown to the operator."""
        return self.state.upper() in RESULTS


class ReportError(ValueError):
    """The body cannot be read as delivery reports. The docstring is the text of the answer.

    `reports` are those of the list that could be read: they are applied although the answer is 400.
    """

    status: ClassVar[int] = 400

    def __init__(self, reports: Iterable[Report] = ()) -> None:
        super().__init__((type(self).__doc__ or "").strip())
        self.reports = tuple(reports)


class EmptyReport(ReportError):
    """The delivery report is empty."""


class MalformedReport(ReportError):
    """The delivery report is not well-formed XML."""


class NoReport(ReportError):
    """The delivery report has no MSGLST/MSG element."""


class IncompleteReport(ReportError):
    """The delivery report lacks RCV or STATE."""


class CrowdedReport(ReportError):
    """The delivery report has more than 5000 MSG elements."""


class OversizeReport(ReportError):
    """The delivery report is too large."""

    status = 413


ACKNOWLEDGED: Final = b'<?xml version="1.0"?><MSGLST><MSG><ID>1</ID><STATUS>OK</STATUS></MSG></MSGLST>'
"""The whole body that tells the gateway not to send it again."""


def result_of(state: str) -> str:
    """The stored result of a gateway word; an unknown one is Failed."""
    return RESULTS.get(state.strip().upper(), "Failed")


def read_reports(body: bytes, charset: str | None = None) -> list[Report]:
    """Every report of a body. Raises a ReportError.

    `charset` is the parameter of the content type; without one, or with one nobody knows, ISO-8859-1. What the XML
    declaration says does not count. A DOCTYPE is passed over and never fetched; a body that declares an entity is
    refused before anything of it is expanded.
    """
    if len(body) > MOST_OCTETS:
        raise OversizeReport
    text = _decode(body, charset)
    if not text.strip():
        raise EmptyReport
    try:
        root: Any = fromstring(text.lstrip(), forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise MalformedReport from error
    entries = list(root.iterfind("MSG")) if root.tag == "MSGLST" else list(root.iterfind("MSGLST/MSG"))
    if not entries:
        raise NoReport
    if len(entries) > MOST_REPORTS:
        raise CrowdedReport
    read = [_report(entry) for entry in entries]
    reports = [report for report in read if report is not None]
    if len(reports) < len(read):
        raise IncompleteReport(reports)
    return reports


def _decode(body: bytes, charset: str | None) -> str:
    if body.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :].decode("utf-8", "replace")
    try:
        codec = codecs.lookup((charset or "iso-8859-1").strip(" \"'"))
        return codec.decode(body, "replace")[0] if codec._is_text_encoding else body.decode("iso-8859-1")
    except (LookupError, ValueError):
        return body.decode("iso-8859-1")


def _report(entry: Any) -> Report | None:
    receiver, state = _text(entry, "RCV"), _text(entry, "STATE")
    if not receiver or not state:
        return None
    reference, time = _text(entry, "REF") or "", _text(entry, "DELIVERYTIME")
    raw = {"reference": reference or None, "receiver": receiver, "state": state, "deliveryTime": time}
    return Report(
        reference, receiver, state, _moment(time), json.dumps(raw, ensure_ascii=False, separators=(",", ":"))
    )


def _text(entry: Any, name: str) -> str | None:
    found = entry.findtext(name)
    return found.strip() or None if found is not None else None


def _moment(text: str | None) -> datetime | None:
    """`2031.03.14 09:00:21`, the gateway's local time; None when it cannot be read, which spoils nothing."""
    if text is None:
        return None
    for form in ("%Y.%m.%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y.%m.%d %H:%M"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=OSLO)
        except ValueError:
            continue
    return None
