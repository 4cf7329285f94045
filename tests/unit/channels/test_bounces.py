"""Return addresses, delivery status notifications, and what replies mean."""

from __future__ import annotations

import base64
import quopri
import threading
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varsel.channels.email import bounces
from varsel.channels.email.bounces import (
    ReturnAddress,
    bounce_address,
    prose_fields,
    read_bounce_address,
    read_delivery_status,
    read_delivery_statuses,
    status_fields,
    without_addresses,
)
from varsel.channels.email.mailbox import _letter
from varsel.channels.email.receiver import Envelope, Recipient
from varsel.channels.email.replies import Reply, Stage, judge
from varsel.channels.model import Permanent, Temporary
from varsel.sandbox.inbox import compose_notice

KEY = b"k" * 32
DOMAIN = "bounce.example.org"


@given(st.uuids())
def test_there_and_back(notification_id: UUID) -> None:
    address = bounce_address(notification_id, DOMAIN, KEY)
    local, _, domain = address.partition("@")
    assert domain == DOMAIN
    assert len(local) <= 64
    assert local.isascii()
    assert local.replace("-", "").isalnum()
    for form in (address, address.upper(), f"<{address}>", f" {address} "):
        assert read_bounce_address(form, DOMAIN, KEY) == notification_id


def test_a_forged_address_is_not_ours() -> None:
    address = bounce_address(uuid4(), DOMAIN, KEY)
    local = address.partition("@")[0]
    other = bounce_address(uuid4(), DOMAIN, KEY)
    assert read_bounce_address(address, DOMAIN, b"x" * 32) is None
    assert read_bounce_address(address, "other.example.org", KEY) is None
    for position in range(2, len(local)):
        forged = local[:position] + ("a" if local[position] != "a" else "b") + local[position + 1 :]
        read = read_bounce_address(f"{forged}@{DOMAIN}", DOMAIN, KEY)
        # The last letter of base32 has bits that say nothing.
        assert read is None or position == len(local) - 1
    mixed = local[:20] + other[20:]
    assert read_bounce_address(mixed, DOMAIN, KEY) is None


@given(st.text(max_size=80))
def test_any_text_is_no_return_address(text: str) -> None:
    assert read_bounce_address(text + "@" + DOMAIN, DOMAIN, KEY) is None
    assert read_bounce_address(text, DOMAIN, KEY) is None


@pytest.mark.parametrize(("action", "result"), [("delivered", "Delivered"), ("failed", "Failed_Bounced")])
def test_a_notice_is_read(action: str, result: str) -> None:
    notification_id = uuid4()
    to = bounce_address(notification_id, DOMAIN, KEY)
    envelope = Envelope("", "", to, envelope_id=notification_id.hex, content=b"Subject: x\r\n\r\nbody\r\n")
    notice = compose_notice(
        envelope, Recipient("kari@example.org"), action, "2.1.5" if action == "delivered" else "5.1.1"
    )
    status = read_delivery_status(notice, to, ReturnAddress(DOMAIN, KEY))
    assert status is not None
    assert (status.notification_id, status.action, status.result) == (notification_id, action, result)
    assert "kari" not in status.diagnostic
    assert read_delivery_status(notice, "someone@" + DOMAIN, ReturnAddress(DOMAIN, KEY)) is None


def report(action: str, status: str) -> bytes:
    return (
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
        f"Final-Recipient: rfc822;kari@example.org\r\nAction: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 <kari@example.org> unknown\r\n\r\n--b--\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("action", "status", "result"),
    [
        ("failed", "5.1.1", "Failed_Bounced"),
        ("Failed", "5.1.3 (bad syntax)", "Failed_InvalidEmailFormat"),
        ("delayed", "4.4.1", None),
        ("relayed", "2.1.9", None),
        ("expanded", "2.1.5", "Delivered"),
        ("delivered (x)", "2.0.0", "Delivered"),
    ],
)
def test_actions(action: str, status: str, result: str | None) -> None:
    to = bounce_address(uuid4(), DOMAIN, KEY)
    read = read_delivery_status(report(action, status), to, ReturnAddress(DOMAIN, KEY))
    assert read is not None
    assert read.result == result
    assert "kari" not in read.diagnostic


@pytest.mark.parametrize(
    "octets", [b"", b"Subject: out of office\r\n\r\nbye\r\n", report("invented", "5.0.0"), b"\xff" * 100]
)
def test_what_says_nothing(octets: bytes) -> None:
    assert status_fields(octets) is None


def dsn(fields: str, kind: str = "message/delivery-status", encoding: str = "") -> bytes:
    """A report with these fields of one recipient."""
    octets = f"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; kari@example.org\r\n{fields}".encode()
    if encoding == "base64":
        octets = base64.encodebytes(octets)
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets)
    head = (
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
        f"--b\r\nContent-Type: {kind}\r\n"
    )
    if encoding:
        head += f"Content-Transfer-Encoding: {encoding.removeprefix('said ')}\r\n"
    return head.encode() + b"\r\n" + octets + b"\r\n\r\n--b--\r\n"


@pytest.mark.parametrize("encoding", ["", "8bit", "base64", "quoted-printable", "said base64"])
@pytest.mark.parametrize("kind", ["message/delivery-status", "Message/Global-Delivery-Status"])
@pytest.mark.parametrize(
    ("action", "status", "result"),
    [
        ("failed", "5.1.1", "Failed_Bounced"),
        ("delivered", "2.0.0", "Delivered"),
        ("delayed", "4.4.1", None),
        ("relayed", "2.1.9", None),
    ],
)
def test_every_form_of_a_report(
    encoding: str, kind: str, action: str, status: str, result: str | None
) -> None:
    """RFC 3464, RFC 6533, and the encodings that neither allows."""
    word = "blueberry" if encoding == "said base64" else "blåbær"
    fields = f"Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; 000 {word},\r\n  and more\r\n"
    to = bounce_address(uuid4(), DOMAIN, KEY)
    read = read_delivery_status(dsn(fields, kind, encoding), to, ReturnAddress(DOMAIN, KEY))
    assert read is not None
    assert (read.action, read.status, read.result) == (action, status, result)
    assert read.diagnostic == f"000 {word}, and more"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 no", ("failed", "5.1.1", "550 no")),
        ("Status: 5.2.2", ("failed", "5.2.2", "")),
        ("Diagnostic-Code: SMTP;550 5.7.1 no", ("failed", "5.7.1", "550 5.7.1 no")),
        ("Diagnostic-Code: smtp; 554", ("failed", "5.0.0", "554")),
        ("Diagnostic-Code: smtp; 5.1.1 no", ("failed", "5.1.1", "5.1.1 no")),
        ("Diagnostic-Code: smtp; 450 busy, 550 tries left", None),
        ("Diagnostic-Code: x-unix; 550 x", None),
        ("Diagnostic-Code: smtp; 5 tries", None),
        ("Status: 4.4.1\r\nDiagnostic-Code: smtp; 550 5.1.1", None),
        ("Status: 2.0.0\r\nDiagnostic-Code: smtp; 550 5.1.1", None),
        ("Remote-MTA: dns; mx.b.no", None),
        (
            "Status: 5.1.1\r\n\r\nFinal-Recipient: x\r\nAction: relayed\r\nStatus: 2.1.9",
            ("relayed", "2.1.9", ""),
        ),
    ],
)
def test_a_recipient_without_an_action(fields: str, found: tuple[str, str, str] | None) -> None:
    assert status_fields(dsn(fields)) == found


@pytest.mark.parametrize("unit", ["X: y\r\n\r\n", "\r\n", "\r\n ", " ", "Status: 5", "a", ":"])
def test_a_long_report_is_gone_through_once(unit: str) -> None:
    short, long = dsn(unit * 1_000), dsn(unit * 16_000)
    least = min(seconds(lambda: status_fields(short)) for _ in range(3))
    assert min(seconds(lambda: status_fields(long)) for _ in range(3)) < 60 * max(least, 0.001)


@given(st.binary(max_size=400))
def test_any_bytes_are_read(octets: bytes) -> None:
    status_fields(octets)
    status_fields(report("failed", "5.1.1")[:200] + octets)


@pytest.mark.parametrize(
    ("code", "text", "stage", "expected"),
    [
        (421, "4.3.2 closing", "mail", "provider"),
        (450, "4.2.0 busy", "rcpt", "message"),
        (451, "4.7.1 greylisted", "rcpt", "message"),
        (451, "4.3.0 trouble", "content", "provider"),
        (452, "4.5.3 too many", "rcpt", "message"),
        (452, "storage", "mail", "provider"),
        (454, "4.7.0 no auth now", "mail", "provider"),
        (530, "5.7.0 authenticate", "mail", "provider"),
        (535, "5.7.8 bad", "mail", "provider"),
        (550, "5.7.8 odd", "rcpt", "provider"),
        (550, "5.1.1 unknown", "rcpt", "Failed_Bounced"),
        (550, "unknown", "rcpt", "Failed_Bounced"),
        (550, "5.2.1 disabled", "rcpt", "Failed_Bounced"),
        (552, "5.2.2 full", "rcpt", "Failed_Bounced"),
        (550, "5.1.3 bad address", "rcpt", "Failed_InvalidEmailFormat"),
        (501, "what", "rcpt", "Failed_InvalidEmailFormat"),
        (553, "bad name", "rcpt", "Failed_InvalidEmailFormat"),
        (550, "5.7.1 relaying denied", "rcpt", "Failed"),
        (550, "5.1.8 sender", "mail", "Failed"),
        (552, "5.3.4 too big", "mail", "Failed_PayloadTooLarge"),
        (552, "too big", "content", "Failed_PayloadTooLarge"),
        (523, "too big", "content", "Failed_PayloadTooLarge"),
        (550, "5.1.1 unknown", "content", "Failed_Bounced"),
        (554, "5.7.1 spam", "content", "Failed"),
        (554, "5.7.1-odd", "content", "Failed"),
        (550, "4.2.2 wrong class", "rcpt", "Failed_Bounced"),
    ],
)
def test_replies(code: int, text: str, stage: Stage, expected: str) -> None:
    outcome = judge(Reply(code, text), stage)
    if code < 500 or expected == "provider":
        assert isinstance(outcome, Temporary)
        assert outcome.scope == expected
    else:
        assert isinstance(outcome, Permanent)
        assert outcome.result == expected


def test_addresses_leave_the_sentences_of_providers() -> None:
    assert (
        without_addresses("<kari@example.org>: unknown,\r\nask åse@x.no")
        == "[address]: unknown, ask [address]"
    )
    assert len(without_addresses("x " * 1000)) <= 300


@pytest.mark.parametrize(
    ("said", "covered"),
    [
        ("(kari@x.no)", "[address]"),
        ("a@b@c; @kari ola@ @", "[address]; @kari ola@ @"),
        ("<postmaster> <kari@x.no", "<postmaster> [address]"),
        ("<kari@x.no>, <ola@x.no>", "[address], [address]"),
    ],
)
def test_words_that_hold_an_address(said: str, covered: str) -> None:
    assert without_addresses(said) == covered


def test_an_address_at_the_end_of_what_is_looked_at() -> None:
    # Most of it are addresses, so that its end comes within what is kept.
    said = (f"{'b' * 900}@x.no " * 100)[:8190] + " kari@example.org"
    assert "ka" not in without_addresses(said)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@pytest.mark.parametrize(
    "read", [without_addresses, lambda said: _letter("1", f"To: {said}\r\n\r\n".encode())]
)
@pytest.mark.parametrize("unit", ["a", "<", "@", "a@", "a.", "-"])
def test_a_long_word_is_gone_through_once(read: Callable[[str], object], unit: str) -> None:
    """Eight times the length is no more than thirty times the work; from each letter anew it would be sixty-four times."""
    short, long = unit * 8_000, unit * 64_000
    least = min(seconds(lambda: read(short)) for _ in range(3))
    assert min(seconds(lambda: read(long)) for _ in range(3)) < 30 * max(least, 0.002)


@pytest.mark.parametrize(
    "unit", ["\n", ">\n", "> ", "- ", "-\n", "-", "--- copy ", "the first ", "original "]
)
def test_a_long_bounce_in_prose_is_gone_through_once(unit: str) -> None:
    mail = letter("Sorry.\n" + unit * 8_000)
    short = letter("Sorry.\n" + unit * 500)
    least = min(seconds(lambda: prose_fields(short)) for _ in range(3))
    assert min(seconds(lambda: prose_fields(mail)) for _ in range(3)) < 50 * max(least, 0.001)


async def test_a_mail_to_several_notifications_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    threads: set[int] = set()

    def fields(message: bytes) -> None:
        read.append(message)
        threads.add(threading.get_ident())

    monkeypatch.setattr(bounces, "status_fields", fields)
    ids = [uuid4(), uuid4()]
    to = [bounce_address(one, DOMAIN, KEY) for one in ids]
    recipients = [to[0], to[0].upper(), "kari@example.org", to[1]]
    for mail in (b"x", bytes(100_000)):
        said = await read_delivery_statuses(mail, recipients, ReturnAddress(DOMAIN, KEY), from_nobody=False)
        assert said == [(ids[0], None), (ids[1], None)]
    assert len(read) == 2
    assert len(threads) == 2, "a large one is read beside the loop"
    assert await read_delivery_statuses(b"x", ["a@b.no"], ReturnAddress(DOMAIN, KEY), from_nobody=True) == []
    assert len(read) == 2


def letter(text: str, sender: str = "MAILER-DAEMON@mx.test", subject: str = "failure notice") -> bytes:
    return f"From: {sender}\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


SENDMAIL = (
    "The original message was received at Mon, 14 Mar 2031 09:00:21 +0100\r\nfrom localhost\r\n\r\n"
    "   ----- The following addresses had {} errors -----\r\n<a@b.no>\r\n    {}\r\n\r\n"
    "   ----- Transcript of session follows -----\r\n... while talking to mx.b.no.:\r\n"
)


@pytest.mark.parametrize(
    ("mail", "fields"),
    [
        (letter("<a@b.no>: 550 5.1.1 User unknown"), ("failed", "5.1.1")),
        (letter("Remote host said: 554 delivery error"), ("failed", "5.0.0")),
        (letter("status 5.2.2: mailbox full", "it@b.no", "Undeliverable: Hei"), ("failed", "5.2.2")),
        (letter("4.4.1 delayed, will keep trying"), ("delayed", "")),
        (letter("Sorry.\r\n--- Below this line is a copy\r\nSak 550 5.1.1"), ("unclear", "")),
        (letter("Sorry.\r\n------ This is a copy of the message ------\r\n550 5.1.1"), ("unclear", "")),
        (letter("Sorry.\r\n  ----- Unsent message follows -----\r\n550 5.1.1"), ("unclear", "")),
        (letter("Sorry.\r\n--------\r\nReturn-Path: <x>\r\nSubject: 550 5.1.1"), ("unclear", "")),
        (letter("Sorry.\r\n--------\r\n550 5.1.1 User unknown"), ("failed", "5.1.1")),
        (
            letter("--- The original message was refused:\r\n--- Original message was refused: 550 no"),
            ("failed", "5.0.0"),
        ),
        (
            letter(SENDMAIL.format("permanent fatal", "(reason: 550 5.1.1 <a@b.no>... no)")),
            ("failed", "5.1.1"),
        ),
        (letter(SENDMAIL.format("permanent fatal", "(reason: no answer)")), ("failed", "5.0.0")),
        (letter(SENDMAIL.format("transient non-fatal", "(reason: 451 limit of 500 mails)")), ("delayed", "")),
        (letter("THIS IS A WARNING ONLY.\r\nmore than 500 mails"), ("delayed", "")),
        (
            letter("Your mail went on to 550 members", subject="Delivery Status Notification (Relay)"),
            ("unclear", ""),
        ),
        (letter("Ring 5.1.1 eller 550 00 000", "kari@b.no", "Ferie"), None),
        (b"\xff\xfe", None),
    ],
)
def test_a_bounce_in_prose(mail: bytes, fields: tuple[str, str] | None) -> None:
    found = prose_fields(mail)
    assert (found and found[:2]) == fields
    assert status_fields(mail) is None


def test_prose_counts_only_from_nobody() -> None:
    """A person who quotes a refusal has not bounced."""
    returning = ReturnAddress(DOMAIN, KEY)
    to = bounce_address(uuid4(), DOMAIN, KEY)
    mail = letter("550 5.1.1 User unknown")
    assert read_delivery_status(mail, to, returning) is None
    read = read_delivery_status(mail, to, returning, from_nobody=True)
    assert read is not None
    assert read.result == "Failed_Bounced"
