"""Signed tokens of our own: grants and platform access tokens (RFC 7515 compact form)."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, runtime_checkable

from ._flow import Flow, call

ALGORITHMS = ("RS256", "RS384", "RS512")


@runtime_checkable
class Signer(Protocol):
    """A private key, wherever it is kept.

    kid: its name at the other side; alg: RS256, RS384 or RS512; certificates: DER of the enterprise certificate, leaf first, when
    that is what the other side knows; sign: RSASSA-PKCS1-v1_5 over the bytes with the hash of alg (RFC 7518 3.3), plain or awaitable.
    """

    @property
    def kid(self) -> str | None: ...
    @property
    def alg(self) -> str: ...
    @property
    def certificates(self) -> tuple[bytes, ...]: ...
    def sign(self, data: bytes) -> bytes | Awaitable[bytes]: ...


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], signer: Signer) -> Flow[str]:
    """The compact form of these claims."""
    head, body = (
        b64url(json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode())
        for part in (header, claims)
    )
    signing_input = f"{head}.{body}"
    signature = yield from call(lambda: signer.sign(signing_input.encode("ascii")))
    return f"{signing_input}.{b64url(signature)}"
