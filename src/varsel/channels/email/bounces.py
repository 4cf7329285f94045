"""Return addresses that find their notification, and what a delivery status notification (RFC 3464) or a bounce in prose says.

A bounce comes back to the envelope sender, often without anything else that can be trusted. So the envelope sender
carries the notification id with a signature: a bounce to a forged address changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message as ParsedMessage
from typing import Literal, TypeAlias
from uuid import UUID

Action: TypeAlias = Literal["failed", "delayed", "delivered", "relayed", "expanded", "unclear"]
"""Those of RFC 3464, and `unclear` for a bounce in prose that does not say why."""

_PREFIX = "b-"
_SIGNATURE_OCTETS = 10  # 80 bits: no oracle tells an attacker which guess was right
_PURPOSE = b"varsel bounce address v1\0"
_ADDRESSES = re.compile(r"<?[^\s<>;,]+@[^\s<>;,]+>?")
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})")
# Bounces of servers that write no report (qmail and many gateways): told by who writes and by the subject.
_DAEMON = re.compile(r"mailer-daemon|postmaster|mail delivery (?:sub)?system", re.IGNORECASE)
_RETURNED = re.compile(
    r"undeliver|returned mail|failure notice|delivery (?:status|fail|has failed|report)|mail (?:delivery )?fail|could not be delivered"
    r"|kunne ikke levere|ikke levert",
    re.IGNORECASE,
)
_COPY = re.compile(
    r"(?im)^[\s>-]*(?:-{3,}|below this line|original (?:message|mail)|the (?:header|first).*of the)"
)
_REFUSED = re.compile(r"(?<![\d.])(?:5(?:\.\d{1,3}){2}(?![\d.])|5[0-5]\d(?=[ -]))")
_DELAYED = re.compile(
    r"(?<![\d.])4(?:\.\d{1,3}){2}(?![\d.])|delayed|will (?:be retried|keep trying|try again)", re.IGNORECASE
)
_PROSE = 8192  # characters of a bounce in prose that are read


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """Where bounces come back: a domain whose mail reaches Varsel, and the key that signs local parts."""

    domain: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One delivery status notification about one notification.

    `result` is the stored result (docs/reference/delivery.md 2.2), or None while nothing is decided (`delayed`,
    `relayed`, `unclear`). `diagnostic` is the far end's sentence with addresses removed.
    """

    notification_id: UUID
    action: Action
    status: str
    result: str | None
    diagnostic: str


def bounce_address(notification_id: UUID, domain: str, key: bytes) -> str:
    """An envelope sender of 44 octets before the `@`; letters may change case on the way back."""
    signed = notification_id.bytes + _signature(notification_id, key)
    return f"{_PREFIX}{base64.b32encode(signed).decode().rstrip('=').lower()}@{domain}"


def read_bounce_address(address: str, domain: str, key: bytes) -> UUID | None:
    """The notification of a return address, or None when it is not one of ours."""
    local, _, at_domain = address.strip().strip("<>").lower().rpartition("@")
    if at_domain != domain.lower() or not local.startswith(_PREFIX):
        return None
    text = local[len(_PREFIX) :].upper()
    try:
        octets = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return None
    if len(octets) != 16 + _SIGNATURE_OCTETS:
        return None
    notification_id = UUID(bytes=octets[:16])
    if not hmac.compare_digest(octets[16:], _signature(notification_id, key)):
        return None
    return notification_id


def _signature(notification_id: UUID, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + notification_id.bytes, hashlib.sha256)[:_SIGNATURE_OCTETS]


def without_addresses(text: str) -> str:
    """A provider's sentence fit for logs and review: no addresses, one line, at most 300 characters."""
    return " ".join(_ADDRESSES.sub("[address]", text).split())[:300]


def result_of_status(action: Action, status: str) -> str | None:
    """The result of an RFC 3464 action with its RFC 3463 status.

    `delivered` and `expanded` are final good ends: an expanded list was passed on in full (docs/reference/delivery.md
    11.2 no. 14 calls counting it as failure a defect). `relayed` went on to a host that reports nothing, so no further
    proof can come and the settling time decides.
    """
    if action in ("delivered", "expanded"):
        return "Delivered"
    if action != "failed":
        return None
    return "Failed_InvalidEmailFormat" if status == "5.1.3" else "Failed_Bounced"


def read_delivery_status(
    message: bytes, recipient: str, returning: ReturnAddress, *, from_nobody: bool = False
) -> DeliveryStatus | None:
    """What a message to a return address says, or None when the address is not ours or it says nothing.

    Only the signed recipient address decides which notification it is about. `from_nobody` says that it came with the null
    sender of a bounce (RFC 5321 4.5.5); only then prose counts, since people and their holiday notices write prose too.
    """
    notification_id = read_bounce_address(recipient, returning.domain, returning.key)
    if notification_id is None:
        return None
    try:
        fields = status_fields(message) or (prose_fields(message) if from_nobody else None)
    except RecursionError:
        return None  # parts within parts without end: nobody's bounce, and whoever knows the address can write it
    if fields is None:
        return None
    action, status, diagnostic = fields
    return DeliveryStatus(
        notification_id, action, status, result_of_status(action, status), without_addresses(diagnostic)
    )


def status_fields(message: bytes) -> tuple[Action, str, str] | None:
    """Action, status and diagnostic of the first recipient in a multipart/report, or None when it is none."""
    parsed = _parse(message)
    if parsed is None:
        return None
    for part in parsed.walk():
        if part.get_content_type() != "message/delivery-status":
            continue
        groups = part.get_payload()
        if not isinstance(groups, list):
            return None
        for group in groups:
            if isinstance(group, ParsedMessage) and group["Action"]:
                return _recipient_fields(group)
    return None


def prose_fields(message: bytes) -> tuple[Action, str, str] | None:
    """The same of a bounce in prose, or None when it is no bounce. Without a permanent refusal in its words it is `unclear`."""
    parsed = _parse(message)
    if parsed is None:
        return None
    subject = str(parsed["Subject"] or "")
    if not (_DAEMON.search(str(parsed["From"] or "")) or _RETURNED.search(subject)):
        return None
    text = _first_text(parsed)[:_PROSE]
    copy = _COPY.search(text, 1)
    said = text[: copy.start()] if copy else text
    for line in said.splitlines():
        found = _REFUSED.findall(line)
        if found:
            return "failed", next((one for one in found if "." in one), "5.0.0"), line.strip()
    return ("delayed" if _DELAYED.search(said) else "unclear"), "", subject


def _parse(message: bytes) -> ParsedMessage[str, str] | None:
    try:
        return message_from_bytes(message, policy=policy.compat32)
    except (ValueError, LookupError):
        return None


def _first_text(parsed: ParsedMessage[str, str]) -> str:
    """The first text of a mail; nothing of the mail that it may carry."""
    for part in parsed.walk():
        if part.get_content_maintype() == "text":
            octets = part.get_payload(decode=True)
            return octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""
    return ""


def _recipient_fields(group: ParsedMessage[str, str]) -> tuple[Action, str, str] | None:
    word = str(group["Action"]).split("(")[0].strip().lower()
    actions: dict[str, Action] = {
        "failed": "failed",
        "delayed": "delayed",
        "delivered": "delivered",
        "relayed": "relayed",
        "expanded": "expanded",
    }
    if word not in actions:
        return None
    found = _STATUS.match(str(group["Status"] or ""))
    status = ".".join(found.groups()) if found else ""
    diagnostic = str(group["Diagnostic-Code"] or "").partition(";")[2]
    return actions[word], status, diagnostic.strip()
