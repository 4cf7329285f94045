"""Registering whose platform access tokens count (docs/reference/identity.md 6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from varsel.identity import audit
from varsel.identity.audit import Event
from varsel.identity.certificates import thumbprint
from varsel.identity.platform.tokens import ISSUER
from varsel.identity.registry import OPERATOR
from varsel.runtime.clock import Machine
from varsel.runtime.errors import OperatorError
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.identity")


def certificate_of(content: bytes, now: datetime) -> bytes:
    """DER of a certificate given as PEM or DER; OperatorError unless it holds an RSA key of 2048 bits or more and has not expired."""
    try:
        if content.lstrip().startswith(b"-----BEGIN"):
            certificate = x509.load_pem_x509_certificate(content)
        else:
            certificate = x509.load_der_x509_certificate(content)
        key = certificate.public_key()
    except ValueError:
        raise OperatorError("This is not a certificate in PEM or DER.") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise OperatorError("The certificate must hold an RSA key of at least 2048 bits.")
    if now >= certificate.not_valid_after_utc:
        raise OperatorError(f"The certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
    return certificate.public_bytes(Encoding.DER)


async def register_issuer(
    database: Database,
    machine: Machine,
    issuer: str,
    certificate: bytes,
    *,
    trusted: bool = False,
    actor: str = OPERATOR,
) -> str:
    """Let an issuer (a service owner's code, or `platform`) sign with this certificate, beside those it has; its thumbprint.

    `trusted`: a platform component that may act for the code in a bearer token.
    """
    if ISSUER.fullmatch(issuer) is None:
        raise OperatorError("A platform issuer is 2 to 40 small letters, digits or hyphens.")
    der = certificate_of(certificate, datetime.fromtimestamp(machine.time(), UTC))
    mark = thumbprint(der)
    async with database.transaction() as connection:
        await connection.execute(sql.upsert_platform_issuer, issuer, mark, der, None, trusted)
        event = Event(
            actor, "platform_issuer.registered", issuer, None, {"thumbprint": mark, "trusted": trusted}
        )
        await audit.write(connection, [event])
    database.wake("keys")
    return mark


async def withdraw_issuer(
    database: Database, issuer: str, mark: str | None = None, *, actor: str = OPERATOR
) -> None:
    """The issuer's certificates, or only the one with this thumbprint, count no more; OperatorError when none of them did."""
    if mark is not None:
        # OpenSSL prints thumbprints with colons, and some tools in small letters.
        mark = mark.replace(":", "").upper()
    async with database.transaction() as connection:
        if not await connection.fetch(sql.withdraw_platform_issuer, issuer, mark):
            # Whoever mistypes the thumbprint of a leaked key must not believe that it is gone.
            raise OperatorError("No such certificate counts; see varsel issuer list.")
        await audit.write(
            connection, [Event(actor, "platform_issuer.withdrawn", issuer, None, {"thumbprint": mark})]
        )
    database.wake("keys")


async def issuers(database: Database, machine: Machine) -> list[Mapping[str, Any]]:
    """Every registered certificate with its standing: `issuer`, `thumbprint`, `trusted`, `withdrawn`, `created_at`, `expires`, `state`.

    `state` is one of `counts`, `withdrawn`, `expired` and `not yet valid`.
    """
    now = datetime.fromtimestamp(machine.time(), UTC)
    return [_standing(dict(row), now) for row in await database.fetch(sql.platform_issuer_list)]


def _standing(row: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    certificate = x509.load_der_x509_certificate(row["certificate"])
    expires = certificate.not_valid_after_utc
    if row["withdrawn"]:
        state = "withdrawn"
    elif now >= expires:
        state = "expired"
    else:
        state = "counts" if now >= certificate.not_valid_before_utc else "not yet valid"
    return {**row, "expires": expires, "state": state}
