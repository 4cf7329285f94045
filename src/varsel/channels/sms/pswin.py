"""PSWin XML on the wire (docs/reference/delivery.md 7.9): building calls, reading answers. No I/O.

Calls are pure ASCII: every other character is a character reference, so the declared ISO-8859-1 is true and a
gateway that reads the bytes in another encoding still reads the same text. What GSM 7-bit cannot say goes as UCS-2
in hexadecimal with OP=9; the reference never does that and leaves such texts at the gateway's mercy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from varsel.channels.sms.parts import GSM_BASIC, is_gsm
from varsel.runtime.phones import MARKS, full_number

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_LONGEST_SENDER = 1000  # what is looked at of a sender
_SENDER_LETTERS = frozenset(
    character for character in GSM_BASIC if character.isalnum() or character in " .,-_+&/!?'*:()#@"
)


class NumberError(ValueError):
    """The number or sender cannot be given to the gateway."""


class AnswerError(ValueError):
    """The gateway's answer cannot be read."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One MSG of a call: everything as the gateway wants it."""

    text: str = field(repr=False)
    sender: str
    receiver: str = field(repr=False)
    minutes: int


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """What the gateway said about one MSG."""

    accepted: bool
    status: str
    reference: str
    info: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: whether the log-on was good, why not, and one entry for each ID."""

    logged_on: bool
    reason: str
    messages: dict[str, MessageAnswer]


def receiver_number(text: str) -> str:
    """A full number without prefix (docs/reference/delivery.md 3.3): from `+46 (0)70…` it is `4670…`."""
    number = full_number(text)
    if number is None:
        raise NumberError("the number is not a full international number")
    return number


def sender_name(text: str) -> str:
    """A short code, a full number without prefix, or up to 11 letters, digits, spaces and common punctuation.

    A longer name is cut, as phones would not show the rest; a number is never cut, that would be another's number.
    """
    text = text.strip()[:_LONGEST_SENDER]
    number = MARKS.sub("", text)
    for prefix in ("+", "00"):
        if number.startswith(prefix) and number[len(prefix) :].isdigit():
            number = number[len(prefix) :]
            break
    if number.isascii() and number.isdigit():
        if not 3 <= len(number) <= 15:
            raise NumberError("the sender number has no length a gateway takes")
        return number
    name = "".join(character for character in text if character in _SENDER_LETTERS)[:11].strip()
    if not name:
        raise NumberError("the sender name has no character a gateway takes")
    return name


def whole_minutes(validity: timedelta) -> int:
    """What is left of the life in whole minutes, rounded (docs/reference/delivery.md 7.9), at least 1.

    A life of ten minutes is 9:59.9 at handoff and goes as 10; the half minute that may be added lies well within the grace for
    late reports.
    """
    return max(1, round(validity.total_seconds() / 60))


def build_call(user: str, password: str, submissions: Sequence[Submission]) -> bytes:
    """One SESSION with IDs 1, 2, … in order."""
    parts = [
        f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<SESSION><CLIENT>{_escape(user)}</CLIENT>'
        f"<PW>{_escape(password)}</PW><MSGLST>"
    ]
    for number, submission in enumerate(submissions, 1):
        if is_gsm(submission.text):
            text, operation = _escape(submission.text), ""
        else:
            text, operation = submission.text.encode("utf-16-be").hex().upper(), "<OP>9</OP>"
        parts.append(
            f"<MSG><ID>{number}</ID><TEXT>{text}</TEXT><SND>{_escape(submission.sender)}</SND>"
            f"<RCV>{submission.receiver}</RCV>{operation}<TTL>{submission.minutes}</TTL></MSG>"
        )
    parts.append("</MSGLST></SESSION>\n")
    return "".join(parts).encode("ascii", "xmlcharrefreplace")


def read_answer(body: bytes) -> Answer:
    """Read an answer. Raises AnswerError when it is not XML or has no LOGON."""
    body = body.strip()  # nothing may stand before an XML declaration, and gateways put line ends there
    try:
        root = _root(body)
    except AnswerError:
        if body.isascii():
            raise
        root = _root(body.decode("iso-8859-1"))  # the gateway's usual encoding, also where it does not say so
    logon = root if root.tag == "LOGON" else root.find("LOGON")
    if logon is None:
        raise AnswerError("the answer has no LOGON")
    messages: dict[str, MessageAnswer] = {}
    for entry in root.iter("MSG"):
        status = _text(entry, "STATUS")
        answer = MessageAnswer(
            status.upper() == "OK",
            status,
            _text(entry, "REF"),
            _text(entry, "INFO") or _text(entry, "REASON"),
        )
        messages.setdefault(_text(entry, "ID"), answer)
    return Answer((logon.text or "").strip().upper() == "OK", _text(root, "REASON"), messages)


def _root(xml: bytes | str) -> Any:
    try:
        return fromstring(xml, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise AnswerError("the answer is not XML") from error


def _text(element: Any, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
