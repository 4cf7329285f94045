"""Message bytes, judged by the standard library's parser; addresses; the plain alternative; DKIM judged by dkimpy."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage as Parsed
from email.utils import parseaddr
from uuid import UUID

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.channels.conformance import NOW, email
from varsel.channels.email.addresses import AddressError, read_address, read_sender
from varsel.channels.email.dkim_signing import DkimKeyError, Signer
from varsel.channels.email.mime import compose, date_header, message_id
from varsel.channels.email.plaintext import plain_text
from varsel.channels.model import Attachment, EmailMessage

PAST = datetime(2024, 3, 14, tzinfo=UTC)  # a verifier refuses signatures from the future
ID = UUID("9c0f6ef2-3f69-4b34-b5a1-57e2c7a7d3b4")


def built(**values: object) -> bytes:
    message: EmailMessage = email(**({"notification_id": ID} | values))
    return compose(
        message, read_sender(message.sender), read_address(message.to), date_header(NOW), "example.org"
    )


def parsed(**values: object) -> Parsed:
    octets = built(**values)
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\n" not in line
        assert b"\r" not in line
    assert octets.endswith(b"\r\n")
    message = message_from_bytes(octets, policy=policy.default)
    assert not message.defects
    return message


def text_of(message: Parsed, kind: str = "plain") -> str:
    return message.get_body((kind,)).get_content().replace("\r\n", "\n")


def test_a_plain_mail() -> None:
    message = parsed(subject="Hello", body="Text")
    assert message["From"] == "noreply@varsel.example.org"
    assert message["To"] == "kari@example.org"
    assert message["Subject"] == "Hello"
    assert message["Date"].datetime == NOW
    assert message["Message-ID"] == f"<{ID}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "text/plain"
    assert message["Content-Transfer-Encoding"] == "7bit"
    assert text_of(message) == "Text\n"


def test_the_same_bytes_on_every_attempt() -> None:
    first, second = email(notification_id=ID), email(notification_id=ID)
    assert first.attempt_id != second.attempt_id
    octets = {
        compose(message, read_sender(message.sender), read_address(message.to), "x", "example.org")
        for message in (first, second)
    }
    assert len(octets) == 1
    assert message_id(ID, "example.org") == f"{ID}@example.org"


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "Ny melding på norsk",
        "a" * 300,
        "ord " * 60 + "slutt",
        "Æ" * 200,
        "😀" * 60,
        "=?utf-8?B?SGVp?=",
        "  to blanke foran og bak  ",
        "x" * 2000,
        "Ren ASCII med  to blanke og " + "lange ord " * 20,
    ],
)
def test_subjects_come_back(subject: str) -> None:
    octets = built(subject=subject)
    assert parsed(subject=subject)["Subject"] == subject
    for line in octets.partition(b"Date:")[0].split(b"\r\n"):
        if b"=?" in line:
            assert len(line) <= 76


@pytest.mark.parametrize("separator", ["\r\n", "\n", "\r", "\0", "\u2028", "\x85", "\x0b"])
def test_no_value_starts_a_header(separator: str) -> None:
    evil = f"Hei{separator}Bcc: victim@example.org{separator}{separator}body"
    for message in (
        parsed(subject=evil),
        parsed(sender=f'"{evil}" <noreply@varsel.example.org>'),
        parsed(attachments=(Attachment(evil + ".pdf", f"text/plain{separator}X-Evil: 1", b"x"),)),
    ):
        assert message["Bcc"] is None
        for part in message.walk():
            assert part["Bcc"] is None
            assert part["X-Evil"] is None


@given(subject=st.text(max_size=400), body=st.text(max_size=2000))
@settings(max_examples=150, deadline=None)
def test_any_text_comes_back(subject: str, body: str) -> None:
    message = parsed(subject=subject, body=body)
    assert message["Bcc"] is None
    assert set(message.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }
    raw = message.get_payload(decode=True).decode("utf-8")
    expected = re.sub("\r\n|\r|\n", "\r\n", body)
    assert raw == (expected if expected.endswith("\r\n") else expected + "\r\n")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("ASCII\nlines", "7bit"),
        ("Blåbær og rømme, og så en lang linje med nesten bare vanlige bokstaver", "quoted-printable"),
        ("Ω" * 400, "base64"),
        ("x" * 999, "quoted-printable"),
        ("x" * 998, "7bit"),
        ("tab\tand\x07bell", "quoted-printable"),
        ("From here\n.\n..dots", "7bit"),
    ],
)
def test_bodies(body: str, encoding: str) -> None:
    message = parsed(body=body)
    assert message["Content-Transfer-Encoding"] == encoding
    assert text_of(message) == body + "\n"


def test_html_has_a_plain_alternative() -> None:
    html = '<html><head><title>T</title><style>p{}</style></head><body><p>Hei&nbsp;<b>Kari</b> &amp; Ola</p><a href="https://example.org/x">Les</a></body></html>'
    message = parsed(body=html, html=True)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    # The last line end belongs to the boundary (RFC 2046 5.1.1).
    assert text_of(message, "html") == html
    assert text_of(message) == "Hei Kari & Ola\n\nLes (https://example.org/x)"


def test_a_body_that_holds_the_boundary_ends_nothing() -> None:
    evil = f"<p>x</p>\n--=_alternative_{ID.hex}--\n--=_mixed_{ID.hex}--\n"
    message = parsed(body=evil, html=True, attachments=(Attachment("a.txt", "text/plain", b"a"),))
    assert text_of(message, "html") == evil
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.txt"]


@pytest.mark.parametrize(
    "name",
    ["a.pdf", "årsrapport.pdf", "x" * 200 + ".pdf", "æøå" * 60 + ".docx", 'we"ird;name\\.pdf', "a b.pdf"],
)
def test_files(name: str) -> None:
    content = bytes(range(256)) * 10
    message = parsed(
        attachments=(Attachment(name, "application/pdf", content), Attachment("b.txt", "nonsense", b""))
    )
    assert message.get_content_type() == "multipart/mixed"
    first, second = message.iter_attachments()
    assert first.get_filename() == name
    assert first.get_content_type() == "application/pdf"
    assert first.get_content() == content
    assert second.get_content_type() == "application/octet-stream"
    assert text_of(message) == "Du har fått post."


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("Varsel <noreply@example.org>", "Varsel"),
        ("Skatteetaten på nett <noreply@example.org>", "Skatteetaten på nett"),
        ('"Etaten, avd. 1" <noreply@example.org>', "Etaten, avd. 1"),
        ("noreply@example.org", ""),
        (
            "Direktoratet for forvaltning og økonomistyring med et langt navn <noreply@example.org>",
            "Direktoratet for forvaltning og økonomistyring med et langt navn",
        ),
    ],
)
def test_senders(sender: str, name: str) -> None:
    value = message_from_bytes(built(sender=sender), policy=policy.compat32)["From"]
    # parseaddr first: the structured parser keeps the white space between encoded words, against RFC 2047 6.2.
    shown, address = parseaddr(value)
    assert (str(make_header(decode_header(shown))), address) == (name, "noreply@example.org")


@pytest.mark.parametrize(
    ("text", "written", "utf8"),
    [
        ("kari@example.org", "kari@example.org", False),
        ("  kari@example.org ", "kari@example.org", False),
        ("kari.o'hara+x@example.org", "kari.o'hara+x@example.org", False),
        ("kari@BLÅBÆR.no", "kari@xn--blbr-roah.no", False),
        ("kari@straße.example", "kari@xn--strae-oqa.example", False),
        ("åse@blåbær.no", "åse@xn--blbr-roah.no", True),
        ('"kari nordmann"@example.org', '"kari nordmann"@example.org', False),
        ("kari@[127.0.0.1]", "kari@[127.0.0.1]", False),
        ("user.@example.org", "user.@example.org", False),
    ],
)
def test_addresses(text: str, written: str, utf8: bool) -> None:
    address = read_address(text)
    assert (str(address), address.utf8) == (written, utf8)
    assert "kari" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kari",
        "@example.org",
        "kari@",
        "a b@example.org",
        "a@b@example.org",
        "a@-x.no",
        "a@x..no",
        "a@exa mple.org",
        "a\n@example.org",
        "a@example.org\n.",
        '"a"b@example.org',
        "é" * 33 + "@example.org",
        "a" * 64 + "@" + "b." * 120 + "no",
        "a;b@example.org",
        "a@b,c",
        "a@xn--a.\x00no",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_address(text)
    assert len(text) < 4 or text.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        ("<p>En</p><p>To</p>", "En\n\nTo"),
        ("En<br>To<br/>Tre", "En\nTo\nTre"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("<script>x()</script>Hei<style>a</style>", "Hei"),
        ('<a href="mailto:a@b.no">a@b.no</a>', "a@b.no"),
        ('<a href="javascript:x()">x</a>', "x"),
        ('<img alt="Logo" src="x">', "Logo"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>a  b\n  c</pre>", "a b\nc"),
        ("1 &lt; 2 &amp; 3", "1 < 2 & 3"),
        ("<p>unclosed <b>x", "unclosed x"),
        ("", ""),
        ("<a>x</a></a></p></style>y", "x\n\ny"),
        ("<a href='https://a.no'>x<a href=https://b.no/?a&amp;b>y", "x (https://a.no)y (https://b.no/?a&b)"),
        ('<a href="mailto:a@b.no" href="x">b<!-- > -->c</A >', "bc (mailto:a@b.no)"),
        ("a < b</ c> & d<e", "a < b</ c> & d<e"),
        ("a<b x='>'>c<b x='>d", "ac<b x='>d"),
        ("<SCRIPT>a</scripts>b</Script\n>c<title><b>d</title>e<!x>f<?y>g<!-- h", "cefg"),
    ],
)
def test_plain_text(html: str, plain: str) -> None:
    assert plain_text(html) == plain


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<a ", '<a b="', "<a href=x>", "</a ", "<", "</", "<?", "<b \n", "x<y", "<div", "<p>", "<p a=b ", "<script>", "&#", " \n"],
)  # fmt: skip
def test_plain_text_goes_through_markup_once(piece: str) -> None:
    """However broken it is: what took time with the square of its length stopped a worker for hours."""
    plain_text(piece * (300_000 // len(piece)))


@pytest.mark.parametrize("shift", range(4))
def test_a_long_text_is_read_as_a_short_one(shift: int) -> None:
    words = ["x" * shift, *(f"ord{number}" for number in range(30_000))]
    assert plain_text(" \n ".join(words)) == " ".join(words).strip()
    assert plain_text("<br> \n".join(words)) == "\n".join(words).strip()


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"body": "mye   luft \t\n\n\n\n"},
        {"body": "mye   luft \t\n" * 20_000},
        {"body": ""},
        {"subject": "Æ" * 200, "html": True, "body": "<p>x</p>"},
        {"attachments": (Attachment("å.pdf", "application/pdf", b"x" * 500),)},
    ],
)
def test_a_signature_holds(key: rsa.RSAPrivateKey, values: dict[str, object]) -> None:
    public = base64.b64encode(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    signer = Signer("example.org", "s1", _pem(key), lambda: PAST)
    octets = built(**values)
    signed = signer(octets) + octets

    def record(name: bytes, timeout: float = 5) -> bytes:
        assert name == b"s1._domainkey.example.org."
        return b"v=DKIM1; k=rsa; p=" + public

    assert dkim.verify(signed, dnsfunc=record)
    assert not dkim.verify(signed.replace(b"To: kari", b"To: ola"), dnsfunc=record)
    assert not dkim.verify(signed.replace(b"From: noreply", b"From: x@y.no\r\nFrom: noreply"), dnsfunc=record)
    for line in signer(octets).split(b"\r\n"):
        assert len(line) <= 150


@pytest.mark.parametrize("pem", ["", "nonsense", _pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_key_that_cannot_sign(pem: str) -> None:
    with pytest.raises(DkimKeyError) as caught:
        Signer("example.org", "s1", pem, lambda: NOW)
    assert "PEM" in str(caught.value)
