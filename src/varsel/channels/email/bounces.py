"""Return addresses that find their notification, and what a delivery status notification (RFC 3464) or a bounce in prose says.

A bounce comes back to the envelope sender, often without anything else that can be trusted. So the envelope sender
carries the notification id with a signature: a bounce to a forged address changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message as ParsedMessage
from typing import Final, Literal, TypeAlias
from uuid import UUID

Action: TypeAlias = Literal["failed", "delayed", "delivered", "relayed", "expanded", "unclear"]
"""Those of RFC 3464, and `unclear` for a bounce in prose that does not say why."""

_PREFIX = "b-"
_SIGNATURE_OCTETS = 10  # 80 bits: no oracle tells an attacker which guess was right
_PURPOSE = b"varsel bounce address v1\0"
# Whole words, and only then what they hold: looked for as `word@word` a long word without an `@` is gone through from each letter.
_WORDS = re.compile(r"<?[^\s<>;,]+>?")
_SENTENCE = 8192  # characters of a provider's sentence that are looked at
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})")
# Bounces of servers that write no report (qmail and many gateways): told by who writes and by the subject.
_DAEMON = re.compile(r"mailer-daemon|postmaster|mail delivery (?:sub)?system", re.IGNORECASE)
_RETURNED = re.compile(
    r"undeliver|returned mail|failure notice|delivery (?:status|fail|has failed|report)|mail (?:delivery )?fail|could not be delivered"
    r"|kunne ikke levere|ikke levert",
    re.IGNORECASE,
)
_MARKS = " \t\xa0>-"  # before the words of a line
# Where the mail that is returned begins. Servers put dashes around their own headings too ("permanent fatal errors", "Transcript of
# session follows"), so that behind dashes only words about a copy count.
_COPY = re.compile(
    r"below this line|original (?:message|mail)(?! (?:was|has|is|could)\b)|the (?:header|first).*of the"
    r"|return-path:|received: (?:from|by)|mime-version:|dkim-signature:",
    re.IGNORECASE,
)
_COPY_BEHIND_DASHES = re.compile(
    r"cop(?:y|ies) of|below this line|(?:message|mail) below|body of the (?:message|mail)"
    r"|(?:original|returned|unsent|undelivered|forwarded) (?:message|mail|e-mail|text)(?! (?:was|has|is|could)\b)"
    r"|(?:message|mail) (?:headers?|text|body) follows?|(?:opprinnelig|videresendt)e? (?:melding|e-post)",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"(?<![\d.])(?:5(?:\.\d{1,3}){2}(?![\d.])|5[0-5]\d(?=[ -]))")
_DELAYED = re.compile(
    r"(?<![\d.])4(?:\.\d{1,3}){2}(?![\d.])|delayed|will (?:be retried|keep trying|try again)", re.IGNORECASE
)
# What notices of delay, and of success, say of themselves; the numbers in their text are not about an end.
_TRIED_AGAIN = re.compile(
    r"warning (?:message )?only|not need to resend|transient non-fatal errors|delivery attempts will continue"
    r"|will (?:be retried|keep trying|try again)",
    re.IGNORECASE,
)
_NO_END = re.compile(
    r"\s*(?:delivery status notification ?\((?:delay|relay|success)|successful mail|delayed mail|relayed|warning: could not send)",
    re.IGNORECASE,
)
_FATAL = re.compile(r"permanent fatal errors", re.IGNORECASE)
_PROSE = 8192  # characters of a bounce in prose that are read
_REPORT = 1 << 16  # characters of a report that are read
_REPORT_TYPES = ("message/delivery-status", "message/global-delivery-status")  # RFC 3464, RFC 6533
_UNREAD_REPORT = "application/x-delivery-status"
_FOLD = re.compile(r"\n[ \t]+")
_SAID_NO = re.compile(r"\s*smtp\s*;\s*(?=5[0-5]\d(?![\w.])|5(?:\.\d{1,3}){2}(?![\w.]))", re.IGNORECASE)
_THREADED = 1 << 14  # a mail of more octets is read off the loop
READ_OCTETS: Final = 1 << 18
"""Of one mail: a report stands before the mail that it returns."""


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
    text = text[:_SENTENCE]
    if "@" in text or len(text) == _SENTENCE:
        text = _WORDS.sub(_covered, text)
    return " ".join(text.split())[:300]


def _covered(found: re.Match[str]) -> str:
    # Where the text was cut the word may be the beginning of an address.
    return "[address]" if "@" in found[0].strip("<>")[1:-1] or found.end() == _SENTENCE else found[0]


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
    return _about(notification_id, _said(message, from_nobody=from_nobody))


async def read_delivery_statuses(
    message: bytes, recipients: Iterable[str], returning: ReturnAddress, *, from_nobody: bool
) -> list[tuple[UUID, DeliveryStatus | None]]:
    """The same for every notification among the recipients. The message is read once, and off the loop where it is large."""
    known = (read_bounce_address(one, returning.domain, returning.key) for one in recipients)
    ids = list(dict.fromkeys(one for one in known if one is not None))
    if not ids:
        return []
    if len(message) > _THREADED:
        said = await asyncio.to_thread(_said, message, from_nobody=from_nobody)
    else:
        said = _said(message, from_nobody=from_nobody)
    return [(one, _about(one, said)) for one in ids]


def _said(message: bytes, *, from_nobody: bool) -> tuple[Action, str, str] | None:
    try:
        return status_fields(message) or (prose_fields(message) if from_nobody else None)
    except RecursionError:
        return None  # parts within parts without end: nobody's bounce, and whoever knows the address can write it


def _about(notification_id: UUID, said: tuple[Action, str, str] | None) -> DeliveryStatus | None:
    if said is None:
        return None
    action, status, diagnostic = said
    return DeliveryStatus(
        notification_id, action, status, result_of_status(action, status), without_addresses(diagnostic)
    )


def status_fields(message: bytes) -> tuple[Action, str, str] | None:
    """Action, status and diagnostic of the first recipient in a multipart/report, or None when it is none."""
    parsed = _parse(message)
    if parsed is None:
        return None
    for part in parsed.walk():
        if part.get_content_type() == _UNREAD_REPORT:
            octets = part.get_payload(decode=True)
            decoded = octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""
            # Some call base64 what stands there in plain words.
            return _first_recipient(decoded) or _first_recipient(str(part.get_payload()))
    return None


def prose_fields(message: bytes) -> tuple[Action, str, str] | None:
    """The same of a bounce in prose, or None when it is no bounce. Without a permanent refusal in its words it is `unclear`."""
    parsed = _parse(message)
    if parsed is None:
        return None
    subject = str(parsed["Subject"] or "")
    if not (_DAEMON.search(str(parsed["From"] or "")) or _RETURNED.search(subject)):
        return None
    lines = _own_lines(_first_text(parsed)[:_PROSE])
    said = "\n".join(lines)
    fatal = next((line.strip() for line in lines if _FATAL.search(line)), None)
    if fatal is None and _TRIED_AGAIN.search(said):
        return "delayed", "", subject
    if fatal is None and _NO_END.match(subject):
        return "unclear", "", subject
    for line in lines:
        found = _REFUSED.findall(line)
        if found:
            return "failed", next((one for one in found if "." in one), "5.0.0"), line.strip()
    if fatal is not None:
        return "failed", "5.0.0", fatal
    return ("delayed" if _DELAYED.search(said) else "unclear"), "", subject


def _own_lines(text: str) -> list[str]:
    """What a bounce says itself, before the mail that it returns."""
    lines: list[str] = []
    for line in text.splitlines():
        words = line.lstrip(_MARKS)
        dashes = "---" in line[: len(line) - len(words)]
        if lines and (_COPY.match(words) or (dashes and _COPY_BEHIND_DASHES.search(words))):
            break
        lines.append(line)
    return lines


class _Mail(ParsedMessage):
    """A mail whose reports stay unread text: as its parts the parser would read neither what is encoded nor RFC 6533."""

    def get_content_type(self) -> str:
        found = super().get_content_type()
        return _UNREAD_REPORT if found in _REPORT_TYPES else found


_POLICY = policy.compat32.clone(message_factory=_Mail)


def _parse(message: bytes) -> ParsedMessage[str, str] | None:
    try:
        return message_from_bytes(message, policy=_POLICY)
    except (ValueError, LookupError):
        return None


def _first_text(parsed: ParsedMessage[str, str]) -> str:
    """The first text of a mail; nothing of the mail that it may carry."""
    for part in parsed.walk():
        if part.get_content_maintype() == "text":
            octets = part.get_payload(decode=True)
            return octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""
    return ""


def _first_recipient(text: str) -> tuple[Action, str, str] | None:
    """What a report says of the first recipient with an action; where none has one, of the first that was refused for good."""
    refused: tuple[Action, str, str] | None = None
    for fields in _groups(text[:_REPORT]):
        if fields.get("action"):
            return _recipient_fields(fields)
        refused = refused or _refused_fields(fields)
    return refused


def _groups(text: str) -> Iterator[dict[str, str]]:
    """The fields of each group that blank lines set apart, by their names in small letters; the first of a name counts."""
    text = _FOLD.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    fields: dict[str, str] = {}
    for line in (*text.split("\n"), ""):
        if line:
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip().lower(), value.strip())
        elif fields:
            yield fields
            fields = {}


def _recipient_fields(fields: Mapping[str, str]) -> tuple[Action, str, str] | None:
    word = fields["action"].split("(")[0].strip().lower()
    actions: dict[str, Action] = {
        "failed": "failed",
        "delayed": "delayed",
        "delivered": "delivered",
        "relayed": "relayed",
        "expanded": "expanded",
    }
    if word not in actions:
        return None
    return actions[word], _status(fields), _diagnostic(fields)


def _refused_fields(fields: Mapping[str, str]) -> tuple[Action, str, str] | None:
    """The same where no action is named: a status of class 5, or without any status an SMTP reply of class 5."""
    status, diagnostic = _status(fields), _diagnostic(fields)
    if not status and _SAID_NO.match(fields.get("diagnostic-code", "")):
        status = next((one for one in _REFUSED.findall(diagnostic) if "." in one), "5.0.0")
    return ("failed", status, diagnostic) if status.startswith("5.") else None


def _status(fields: Mapping[str, str]) -> str:
    found = _STATUS.match(fields.get("status", ""))
    return ".".join(found.groups()) if found else ""


def _diagnostic(fields: Mapping[str, str]) -> str:
    return fields.get("diagnostic-code", "").partition(";")[2].strip()
