"""Files that are not what was meant."""

from __future__ import annotations

import base64
import hashlib

import pytest

from varsel.channels.model import Permanent, Temporary
from varsel.delivery.attachments import BEGINNINGS, damaged, is_program, mistaken
from varsel.sandbox.files import content_of

PE = b"MZ" + bytes(0x3A) + (0x80).to_bytes(4, "little") + bytes(0x40) + b"PE\x00\x00"


def md5(content: bytes) -> dict[str, str]:
    return {"content-md5": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()}


def test_damaged_on_its_way() -> None:
    assert damaged(md5(b"file"), b"file") is None
    assert isinstance(damaged(md5(b"file"), b"fil"), Temporary)
    for told in ({}, {"content-md5": ""}, {"content-md5": "no base64!"}, {"content-md5": "AAAA"}):
        assert damaged(told, b"file") is None


@pytest.mark.parametrize("mime_type", [*BEGINNINGS, "application/pdf", "image/webp"])
def test_another_kind_of_file(mime_type: str) -> None:
    for content in (b"", b"<!doctype html><p>Logg inn</p>", b"RIFF\0\0\0\0WAVE"):
        assert isinstance(mistaken(mime_type, content), Permanent)
    beginnings = BEGINNINGS.get(mime_type, ())
    for beginning in beginnings:
        assert mistaken(mime_type.upper(), beginning + b"...") is None


def test_right_ones() -> None:
    assert mistaken("application/pdf", content_of("a.pdf")) is None
    assert mistaken("application/pdf", b"\xef\xbb\xbf\n" + content_of("a.pdf")) is None
    assert mistaken("image/png", content_of("a.png")) is None
    assert mistaken("application/zip", content_of("a.zip")) is None
    assert mistaken("image/webp", b"RIFF\0\0\0\0WEBPVP8 ") is None
    assert mistaken("text/plain", b"MZ er en forkortelse. " * 9) is None
    assert mistaken("application/json", b"") is None


@pytest.mark.parametrize("content", [PE, b"\x7fELF\x02\x01", b"\xcf\xfa\xed\xfe\x07"])
def test_programs(content: bytes) -> None:
    assert is_program(content)
    assert isinstance(mistaken("text/plain", content), Permanent)
