"""A received mail as the message page shows it: header fields, attachments, and HTML that cannot do anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
#: Links open beside the console, and tell nobody where they were clicked.
_BASE = '<base target="_blank">'


@dataclass(frozen=True, slots=True)
class File:
    """An attachment; `number` counts from 1."""

    number: int
    name: str
    kind: str
    size: int
    content: bytes = field(repr=False)


def parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def headers(raw: bytes) -> list[tuple[str, str]]:
    """Every header field, decoded, in the order of the mail."""
    return [(name, str(value)) for name, value in parsed(raw).items()]


def files(raw: bytes) -> list[File]:
    """The attachments of a mail."""
    found = []
    for number, part in enumerate(parsed(raw).iter_attachments(), 1):
        content = part.get_payload(decode=True)
        octets = content if isinstance(content, bytes) else part.as_bytes()
        found.append(
            File(number, part.get_filename() or f"{number}", part.get_content_type(), len(octets), octets)
        )
    return found


def framed(html: str) -> str:
    """The HTML of a mail, for a sandboxed frame: links open in a tab of their own."""
    place = _HEAD.search(html) or _DOCTYPE.match(html)
    at = place.end() if place else 0
    return html[:at] + _BASE + html[at:]
