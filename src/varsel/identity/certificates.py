"""X.509 around signing keys: self-signed certificates that name a key, and reading those of others."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_LIFE: Final = timedelta(days=3 * 365)


def self_signed(key: rsa.RSAPrivateKey, name: str, now: datetime, life: timedelta = _LIFE) -> bytes:
    """A DER certificate of this key by itself; valid from a day before `now`, for clocks that differ."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + life)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def thumbprint(certificate: bytes) -> str:
    """Upper-case hexadecimal SHA-1 of a DER certificate, as Altinn names its keys (docs/reference/identity.md 5.4)."""
    return hashlib.sha1(certificate, usedforsecurity=False).hexdigest().upper()


def x5t(certificate: bytes) -> str:
    """The same 20 bytes in base64url (RFC 7515 4.1.7)."""
    digest = hashlib.sha1(certificate, usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
