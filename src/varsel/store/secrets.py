"""What lies encrypted in the database: signing keys, webhook secrets, attachment URLs.

One master key of 32 random bytes, in a file outside the database, so that a dump alone tells nothing. Every use derives a key of
its own from it (RFC 5869), so a text sealed for one purpose cannot stand in for another.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from varsel.runtime.errors import OperatorError

_HEADING: Final = "varsel-master-key-1"
_VERSION: Final = 1
_NONCE: Final = 12
_MARK: Final = 4


class MasterKeyError(OperatorError):
    """The master key file cannot be used."""


class SealError(OperatorError):
    """A sealed value in the database does not open with this master key file."""


class MasterKey:
    """Seals bytes (AES-256-GCM) and makes keyed digests (HMAC-SHA-256).

    A sealed value is `version (1) | mark of the master key (4) | nonce (12) | ciphertext and tag`; the first five bytes are
    authenticated too. The mark tells "another master key" from "damaged".
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32:
            raise MasterKeyError("The master key must be 32 bytes.")
        self._secret = secret
        self._mark = hashlib.sha256(b"varsel/mark" + secret).digest()[:_MARK]
        self._aead = AESGCM(self._derive("seal"))
        self._mac_key = lru_cache(maxsize=64)(lambda purpose: self._derive("mac/" + purpose))

    def __repr__(self) -> str:
        return "MasterKey(…)"

    @classmethod
    def load(cls, path: Path | str, *, create: bool = True) -> MasterKey:
        """The key in the file; with `create` an absent file is made, mode 0600, so that of several starters one wins.

        Raises MasterKeyError with one sentence for the operator.
        """
        path = Path(path)
        if create and not path.exists():
            _make(path)
        try:
            text = path.read_text("ascii").strip()
        except OSError as error:
            raise MasterKeyError(f"The master key file {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            text = ""
        heading, _, encoded = text.partition(" ")
        try:
            secret = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if heading != _HEADING or len(secret) != 32:
            raise MasterKeyError(f"{path} is not a master key file of Varsel.")
        return cls(secret)

    def _derive(self, purpose: str) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt=None, info=b"varsel/1/" + purpose.encode()).derive(self._secret)

    def seal(self, plain: bytes) -> bytes:
        """Encrypt; two seals of the same bytes differ."""
        head = bytes((_VERSION,)) + self._mark
        nonce = os.urandom(_NONCE)
        return head + nonce + self._aead.encrypt(nonce, plain, head)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt; SealError when the value was altered, cut, or sealed under another master key."""
        head, nonce, rest = (
            sealed[: 1 + _MARK],
            sealed[1 + _MARK : 1 + _MARK + _NONCE],
            sealed[1 + _MARK + _NONCE :],
        )
        if len(head) < 1 + _MARK or head[0] != _VERSION:
            raise SealError("A sealed value has an unknown form.")
        if head[1:] != self._mark:
            raise SealError(
                "What is sealed in this database belongs to another master key; VARSEL_MASTER_KEY_FILE must name the file it was made with."
            )
        try:
            return self._aead.decrypt(nonce, rest, head)
        except (InvalidTag, ValueError):
            raise SealError("A sealed value is damaged.") from None

    def mac(self, purpose: str, data: bytes) -> bytes:
        """A 32-byte digest that only holders of the master key can make; the same data under two purposes differ."""
        return hmac.digest(self._mac_key(purpose), data, "sha256")


def _make(path: Path) -> None:
    """Write a new key beside `path` and link it into place: nobody ever reads half a key, and the first of several wins."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    content = f"{_HEADING} {base64.b64encode(os.urandom(32)).decode()}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise MasterKeyError(f"The master key file {path} cannot be made: {error.strerror}.") from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
