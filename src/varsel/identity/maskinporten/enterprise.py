"""Grants signed with an enterprise certificate (docs/reference/identity.md 2.5): header `x5c`, for clients without own keys.

Trusted issuers are those in the operator's file (setting VARSEL_ENTERPRISE_CA_FILE), nothing else: test certificates count only
where the operator of a test installation put the test issuers in it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

from varsel.identity.maskinporten import errors as rules
from varsel.identity.maskinporten.errors import Refusal
from varsel.runtime.errors import SettingsError

_LONGEST_CHAIN: Final = 5
_NUMBER: Final = re.compile(r"(?:NTRNO-)?([0-9]{9})")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A trusted enterprise certificate: whose it is, and its key."""

    organisation: str
    key: RSAKey


class EnterpriseTrust:
    """The issuers whose enterprise certificates count here."""

    def __init__(self, issuers: Sequence[x509.Certificate] = ()) -> None:
        self._issuers = tuple(issuers)

    @classmethod
    def load(cls, path: str) -> EnterpriseTrust:
        """Issuers from a PEM file; none without a file. SettingsError when the file cannot be used."""
        if not path:
            return cls()
        try:
            return cls(x509.load_pem_x509_certificates(Path(path).read_bytes()))
        except (OSError, ValueError):
            raise SettingsError(
                "VARSEL_ENTERPRISE_CA_FILE names no readable file of PEM certificates."
            ) from None

    def leaf(self, x5c: object, now: float) -> Leaf:
        """The signer's certificate of the header `x5c`; MP-123 when malformed, MP-120 when not trusted at `now`."""
        chain = _read_chain(x5c)
        moment = datetime.fromtimestamp(now, UTC)
        leaf = chain[0]
        key = leaf.public_key()
        number = _organisation(leaf)
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048 or number is None or _is_issuer(leaf):
            raise Refusal(rules.CERTIFICATE)
        if not self._trusted(leaf, chain[1:], moment):
            raise Refusal(rules.CERTIFICATE)
        return Leaf(number, RSAKey.import_key(key))

    def _trusted(self, leaf: x509.Certificate, others: Sequence[x509.Certificate], now: datetime) -> bool:
        """Whether a path of valid certificates leads from the leaf to a trusted issuer; the chain sent may be incomplete."""
        current = leaf
        for _ in range(_LONGEST_CHAIN):
            if not current.not_valid_before_utc <= now < current.not_valid_after_utc:
                return False
            for issuer in self._issuers:
                if (
                    _issued(current, issuer)
                    and issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc
                ):
                    return True
            following = next(
                (other for other in others if _is_issuer(other) and _issued(current, other)), None
            )
            if following is None:
                return False
            current = following
        return False


def _read_chain(x5c: object) -> list[x509.Certificate]:
    """Standard base64 DER, leaf first (RFC 7515 4.1.6)."""
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= _LONGEST_CHAIN:
        raise Refusal(rules.X5C)
    chain = []
    for entry in x5c:
        if not isinstance(entry, str):
            raise Refusal(rules.X5C)
        try:
            chain.append(x509.load_der_x509_certificate(base64.b64decode(entry, validate=True)))
        except (binascii.Error, ValueError):
            raise Refusal(rules.X5C) from None
    return chain


def _organisation(certificate: x509.Certificate) -> str | None:
    """The organisation number of the subject: organizationIdentifier `NTRNO-…`, or serialNumber in older certificates."""
    for oid in (NameOID.ORGANIZATION_IDENTIFIER, NameOID.SERIAL_NUMBER):
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            match = _NUMBER.fullmatch(str(attribute.value))
            if match:
                return match.group(1)
    return None


def _is_issuer(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
