"""Gateway reports (docs/reference/delivery.md 8.2, notifications-api.md 2.26.1)."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varsel.channels.sms.reports import (
    MOST_REPORTS,
    CrowdedReport,
    EmptyReport,
    IncompleteReport,
    MalformedReport,
    NoReport,
    OversizeReport,
    ReportError,
    read_reports,
    result_of,
)


def body(*messages: str) -> bytes:
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE MSGLST SYSTEM "pswincom_report_request.dtd">\n'
        f"<MSGLST>{''.join(f'<MSG>{message}</MSG>' for message in messages)}</MSGLST>"
    ).encode("iso-8859-1")


FULL = "<ID>1</ID><REF>870011223</REF><RCV>4799999999</RCV><STATE>DELIVRD</STATE><DELIVERYTIME>2031.03.14 09:00:21</DELIVERYTIME>"


def test_one_report() -> None:
    (report,) = read_reports(body(FULL))
    assert (report.reference, report.receiver, report.state) == ("870011223", "4799999999", "DELIVRD")
    assert report.delivered_at == datetime(2031, 3, 14, 8, 0, 21, tzinfo=UTC)
    assert (report.result, report.known) == ("Delivered", True)
    assert json.loads(report.raw) == {
        "reference": "870011223",
        "receiver": "4799999999",
        "state": "DELIVRD",
        "deliveryTime": "2031.03.14 09:00:21",
    }
    assert "4799999999" not in repr(report)


def test_every_report_of_a_list() -> None:
    reports = read_reports(body(*(f"<REF>{n}</REF><RCV>47</RCV><STATE>UNDELIV</STATE>" for n in range(50))))
    assert [report.reference for report in reports] == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    ("state", "result"),
    [
        ("DELIVRD", "Delivered"),
        ("EXPIRED", "Failed_Expired"),
        ("DELETED", "Failed_Deleted"),
        ("UNDELIV", "Failed_Undelivered"),
        ("REJECTD", "Failed_Rejected"),
        ("BARRED", "Failed_BarredReceiver"),
        ("BARREDA", "Failed"),
        ("ZEROBAL", "Failed"),
        ("FAILED", "Failed"),
        ("UNKNOWN", "Failed"),
        ("NULL", "Failed"),
        ("SOMETHINGNEW", "Failed"),
        (" delivrd ", "Delivered"),
    ],
)
def test_states(state: str, result: str) -> None:
    assert result_of(state) == result
    (report,) = read_reports(body(f"<RCV>47</RCV><STATE>{state}</STATE>"))
    assert report.result == result
    assert report.known is (state != "SOMETHINGNEW")
    assert report.reference == ""
    assert report.delivered_at is None


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"", EmptyReport),
        (b" \r\n", EmptyReport),
        (b"\xef\xbb\xbf", EmptyReport),
        (b"hello", MalformedReport),
        (b"<MSGLST><MSG>", MalformedReport),
        (b"<MSGLST/>", NoReport),
        (b"<OTHER><MSG><RCV>1</RCV><STATE>DELIVRD</STATE></MSG></OTHER>", NoReport),
        (body("<REF>1</REF><STATE>DELIVRD</STATE>"), IncompleteReport),
        (body("<REF>1</REF><RCV>47</RCV>"), IncompleteReport),
        (body("<RCV> </RCV><STATE>DELIVRD</STATE>"), IncompleteReport),
        (b" " * (1 << 20) + b"x", OversizeReport),
        (body(*["<RCV>47</RCV><STATE>DELIVRD</STATE>"] * (MOST_REPORTS + 1)), CrowdedReport),
        (body(*[""] * (MOST_REPORTS + 1)), CrowdedReport),
    ],
)
def test_what_cannot_be_read(octets: bytes, error: type[ReportError]) -> None:
    with pytest.raises(error) as caught:
        read_reports(octets)
    assert str(caught.value) == error.__doc__
    assert caught.value.status == (413 if error is OversizeReport else 400)


def test_a_full_list_is_read() -> None:
    assert len(read_reports(body(*["<RCV>47</RCV><STATE>DELIVRD</STATE>"] * MOST_REPORTS))) == MOST_REPORTS


def test_the_good_ones_of_a_list_with_a_bad_one_are_kept() -> None:
    with pytest.raises(IncompleteReport) as caught:
        read_reports(body(FULL, "<REF>2</REF>", FULL))
    assert [report.reference for report in caught.value.reports] == ["870011223", "870011223"]


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 9))


@pytest.mark.parametrize(
    "declaration",
    [
        b'<!DOCTYPE MSGLST [<!ENTITY l0 "ha">' + LAUGHS + b"]>",
        b'<!DOCTYPE MSGLST [<!ENTITY l8 SYSTEM "file:///etc/hostname">]>',
        b'<!DOCTYPE MSGLST [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;<!ENTITY l8 "x">]>',
        b'<!DOCTYPE MSGLST SYSTEM "http://127.0.0.1:9/x.dtd" [<!ENTITY l8 "x">]>',
    ],
)
def test_entities_are_never_expanded(declaration: bytes) -> None:
    with pytest.raises(MalformedReport):
        read_reports(declaration + b"<MSGLST><MSG><RCV>&l8;</RCV><STATE>DELIVRD</STATE></MSG></MSGLST>")


def test_a_document_type_is_not_fetched() -> None:
    octets = (
        b'<!DOCTYPE MSGLST SYSTEM "http://127.0.0.1:9/x.dtd"><MSGLST><MSG>'
        + FULL.encode()
        + b"</MSG></MSGLST>"
    )
    assert len(read_reports(octets)) == 1


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        (None, "iso-8859-1"),
        ("utf-8", "utf-8"),
        ('"UTF-8"', "utf-8"),
        ("x-nobody-knows", "iso-8859-1"),
        ("base64", "iso-8859-1"),
        ("utf-16", "utf-16"),
        ("windows-1252", "cp1252"),
    ],
)
def test_the_charset_of_the_content_type_rules(charset: str | None, codec: str) -> None:
    text = '<?xml version="1.0" encoding="utf-7"?><MSGLST><MSG><REF>blåbær</REF><RCV>47</RCV><STATE>DELIVRD</STATE></MSG></MSGLST>'
    (report,) = read_reports(text.encode(codec), charset)
    assert report.reference == "blåbær"


@pytest.mark.parametrize("time", ["", "yesterday", "2031.13.14 09:00:21", "2031.03.14"])
def test_a_time_that_cannot_be_read_spoils_nothing(time: str) -> None:
    (report,) = read_reports(body(f"<RCV>47</RCV><STATE>DELIVRD</STATE><DELIVERYTIME>{time}</DELIVERYTIME>"))
    assert report.delivered_at is None


@given(
    st.binary(max_size=300),
    st.sampled_from([None, "utf-8", "utf-16", "hex", "idna", "punycode", "undefined"]),
)
def test_any_bytes_are_answered(octets: bytes, charset: str | None) -> None:
    with suppress(ReportError):
        read_reports(octets, charset)
