"""SMTP with TLS, certificates and log-on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.polling import until
from tests.unit.channels.conformance import NOW, email
from tests.unit.channels.test_smtp import Keep, deliver, free_port, hello, reference_server, scripted
from varsel.channels.email.connect import SmtpEndpoint
from varsel.channels.email.smtp import SmtpChannel
from varsel.channels.model import (
    Accepted,
    Temporary,
)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ssl.SSLContext, Path]]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    pem = folder / "ca.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, private)
    yield context, pem


def _only_varsel(
    server: object, session: object, envelope: object, mechanism: str, data: object
) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"varsel", b"hemmelig"), handled=True)


@pytest.mark.parametrize("tls", ["implicit", "starttls", "offered"])
async def test_tls_and_log_on(certificate: tuple[ssl.SSLContext, Path], tls: str) -> None:
    context, authority = certificate
    handler = Keep()
    implicit = tls == "implicit"
    async with reference_server(
        handler,
        tls=context if implicit else None,
        tls_context=None if implicit else context,
        authenticator=_only_varsel,
        auth_required=not implicit,
        auth_require_tls=not implicit,
    ) as port:
        endpoint = SmtpEndpoint("localhost", port, tls, "varsel", "hemmelig", str(authority))
        channel = SmtpChannel(endpoint, lambda: NOW)
        messages = [email() for _ in range(20)]
        engine = await deliver(channel, *messages)
        assert all(isinstance(engine.outcome(message), Accepted) for message in messages), engine.outcomes
        assert len(handler.kept) == 20
        await channel.close()


async def test_a_certificate_that_does_not_hold(certificate: tuple[ssl.SSLContext, Path]) -> None:
    context, _ = certificate
    async with reference_server(Keep(), tls_context=context) as port:
        for tls, kind in (("starttls", Temporary), ("offered", Accepted)):
            channel, message = SmtpChannel(SmtpEndpoint("localhost", port, tls), lambda: NOW), email()
            engine = await deliver(channel, message)
            assert isinstance(engine.outcome(message), kind)
            await channel.close()


async def test_starttls_is_insisted_on() -> None:
    async with reference_server(Keep()) as port:
        channel, message = SmtpChannel(SmtpEndpoint("localhost", port, "starttls"), lambda: NOW), email()
        engine = await deliver(channel, message)
        assert isinstance(engine.outcome(message), Temporary)
        await channel.close()


async def test_a_certificate_file_that_is_not_there() -> None:
    endpoint = SmtpEndpoint("127.0.0.1", free_port(), "starttls", ca_file="/nowhere/ca.pem")
    channel, message = SmtpChannel(endpoint, lambda: NOW), email()
    engine = await deliver(channel, message)
    outcome = engine.outcome(message)
    assert isinstance(outcome, Temporary)
    assert outcome.scope == "provider"


@pytest.mark.parametrize(("host", "logs_on"), [("127.0.0.1", True), ("127.0.0.2", False)])
async def test_a_password_is_sent_in_clear_on_this_machine_only(host: str, logs_on: bool) -> None:
    said: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader, writer, "AUTH PLAIN")
        said.append(await reader.readline())

    async with scripted(script, host) as port:
        channel, message = (
            SmtpChannel(SmtpEndpoint(host, port, "offered", "varsel", "hemmelig"), lambda: NOW),
            email(),
        )
        engine = await deliver(channel, message)
        outcome = engine.outcome(message)
        assert isinstance(outcome, Temporary)
        assert outcome.scope == "provider"
        assert ("no TLS" in outcome.detail) is not logs_on
        await until(lambda: said)
        assert said[0].startswith(b"AUTH") is logs_on
        await channel.close()
