"""Whether a fetched file is the one that was meant (docs/reference/delivery.md 7.8; pure).

Blob stores tell an MD5 of the whole file; a file that differs was damaged on its way and is fetched again. A file whose
first octets belong to something else than its declared type is not sent: most often it is an error page that came with 200.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final

from varsel.channels.model import Permanent, Temporary

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an Office file that is encrypted lies in one of these
_OFFICE: Final = (*_ZIP, _OLE)

#: declared type -> how such a file begins; types without a sure beginning are not here.
BEGINNINGS: Final[dict[str, tuple[bytes, ...]]] = {
    "application/epub+zip": _ZIP,
    "application/gzip": (b"\x1f\x8b",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": _OFFICE,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": _OFFICE,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": _OFFICE,
    "application/x-7z-compressed": (b"7z\xbc\xaf\x27\x1c",),
    "application/x-rar-compressed": (b"Rar!\x1a\x07",),
    "application/zip": _ZIP,
    "font/woff": (b"wOFF",),
    "font/woff2": (b"wOF2",),
    "image/bmp": (b"BM",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/tiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}
_PDF_WITHIN: Final = 1024  # ISO 32000-1 annex H.3.4.1: readers look this far for the header
_PE_OFFSET: Final = 0x3C


def damaged(headers: Mapping[str, str], content: bytes) -> Temporary | None:
    """What a file is whose MD5 is not the one its store tells; None when it is right, or the store tells none."""
    told = headers.get("content-md5", "").strip()
    if not told:
        return None
    try:
        expected = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(expected) != 16 or expected == hashlib.md5(content, usedforsecurity=False).digest():
        return None
    return Temporary(None, "", "a file was damaged on its way")


def mistaken(mime_type: str, content: bytes) -> Permanent | None:
    """What a file is that is not of its declared type; None when nothing speaks against it."""
    declared = mime_type.strip().lower()
    if declared == "application/pdf":
        right = b"%PDF-" in content[:_PDF_WITHIN]
    elif declared == "image/webp":
        right = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    else:
        beginnings = BEGINNINGS.get(declared)
        right = beginnings is None or content.startswith(beginnings)
    if not right:
        return Permanent("Failed", "", f"a file is not what {declared} begins like")
    if is_program(content):
        return Permanent("Failed", "", "a file is a program")
    return None


def is_program(content: bytes) -> bool:
    """An executable of Linux, Windows or macOS, whatever it calls itself; no type that may be attached is one."""
    if content.startswith((b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")):
        return True
    if not content.startswith(b"MZ") or len(content) < _PE_OFFSET + 4:
        return False
    at = int.from_bytes(content[_PE_OFFSET : _PE_OFFSET + 4], "little")
    return content[at : at + 4] == b"PE\x00\x00"
