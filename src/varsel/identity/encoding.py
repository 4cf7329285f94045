"""base64url as JOSE writes it (RFC 7515 2, RFC 7518 2)."""

from __future__ import annotations

import base64
import hashlib


def b64url(raw: bytes) -> bytes:
    """Without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def b64url_uint(number: int) -> str:
    """A positive integer, big-endian, without leading zero bytes."""
    return b64url(number.to_bytes((number.bit_length() + 7) // 8)).decode()


def uint(text: str) -> int:
    """The integer of base64url or standard base64 text, padded or not: the public Altinn issuer writes the latter."""
    flat = text.rstrip("=").replace("+", "-").replace("/", "_")
    return int.from_bytes(base64.urlsafe_b64decode(flat + "=" * (-len(flat) % 4)))


def sha256(data: bytes | str) -> bytes:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).digest()
