"""DKIM signatures (RFC 6376, RFC 8463) with the key loaded once.

dkimpy judges them in the tests but does not make them: its RSA is pure Python, 8 ms a message where OpenSSL takes
0.35 ms, and it parses the key each time.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from varsel.channels.slices import line_slices
from varsel.runtime.errors import SettingsError

#: From is named once more than it occurs, so that a second one cannot be put in (RFC 6376 8.15).
_SIGNED = (
    "from",
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "auto-submitted",
    "mime-version",
    "content-type",
)
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_SPACES = re.compile(rb"[ \t]+")
_LEAST_BITS = 1024  # RFC 8301 3.2


class DkimKeyError(SettingsError):
    """The DKIM key is not a private RSA (1024 bits or more) or Ed25519 key in PEM."""


class Signer:
    """Gives the DKIM-Signature header of a message; `now` is the moment of `t=`."""

    def __init__(self, domain: str, selector: str, pem: str, now: Callable[[], datetime]) -> None:
        try:
            key = serialization.load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise DkimKeyError from None  # the cause could quote the key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            algorithm = "ed25519-sha256"
        elif isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_BITS:
            algorithm = "rsa-sha256"
        else:
            raise DkimKeyError
        self._key = key
        self._now = now
        self._start = f"v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector};\r\n\tt="

    def __call__(self, message: bytes) -> bytes:
        """The header line with its CRLF, to stand before the message."""
        head, _, body = message.partition(b"\r\n\r\n")
        headers = _relaxed_headers(head)
        names = [name for name in _SIGNED if name in headers]
        digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
        value = f"{self._start}{int(self._now().timestamp())}; h={':'.join(names)};\r\n\tbh={digest};\r\n\tb="
        unique = dict.fromkeys(names)
        own = b"dkim-signature:" + _SPACES.sub(b" ", _FOLD.sub(b"", value.encode()))
        signature = self._sign(b"".join(headers[name] for name in unique) + own)
        lines = re.findall(r".{1,72}", base64.b64encode(signature).decode())
        return b"DKIM-Signature: " + value.encode() + "\r\n\t".join(lines).encode() + b"\r\n"

    def _sign(self, octets: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        assert isinstance(self._key, ed25519.Ed25519PrivateKey)
        return self._key.sign(hashlib.sha256(octets).digest())  # RFC 8463 3


def _relaxed_headers(head: bytes) -> dict[str, bytes]:
    """RFC 6376 3.4.2. Each name occurs once in what `compose` makes."""
    headers: dict[str, bytes] = {}
    for line in _FOLD.sub(b"", head).split(b"\r\n"):
        name, _, value = line.partition(b":")
        lowered = name.strip().lower()
        headers[lowered.decode("ascii")] = lowered + b":" + _SPACES.sub(b" ", value).strip() + b"\r\n"
    return headers


def _relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4."""
    if b"  " in body or b"\t" in body:
        body = b"".join(_SPACES.sub(b" ", piece) for piece in line_slices(body))
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    body = body.rstrip(b"\r\n")
    return body + b"\r\n" if body else b""
