"""The REST API of Azure Communication Services Email, version 2023-03-31: requests signed, answers judged (pure).

`POST /emails:send` takes a message under an `Operation-Id` of ours and answers 202; `GET /emails/operations/{id}` tells
where it stands. Requests carry an HMAC-SHA256 over method, path, date, host and body under the resource's access key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from varsel.channels.email.addresses import Address
from varsel.channels.email.bounces import without_addresses
from varsel.channels.email.plaintext import plain_text
from varsel.channels.model import Accepted, EmailMessage, Outcome, Permanent, Temporary, Unknown
from varsel.channels.polling import Missing, Passed, Standing, Underway

API_VERSION: Final = "2023-03-31"
SEND: Final = f"/emails:send?api-version={API_VERSION}"
PAUSE_SECONDS: Final = 60.0
"""How long the provider rests after a refusal that names no time (docs/reference/delivery.md 7.7)."""

UNREADABLE: Final = (ValueError, RecursionError)
"""What reading an answer fails with: no JSON, of another shape, no UTF-8, or nested without end."""

_MOST_ATTACHMENT_NAME: Final = 255
# An id as it may stand in an address and in the events: not a way through the paths, and no longer than what is kept of a reference.
_OPERATION_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~:=+-]{0,199}")


class AccessKeyError(ValueError):
    """The access key is not base64."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """The access key of a resource, decoded."""

    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, text: str) -> AccessKey:
        """From the base64 text that the portal shows. Raises AccessKeyError."""
        try:
            secret = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not secret:
            raise AccessKeyError("the access key is not base64")
        return cls(secret)

    def sign(self, method: str, target: str, host: str, body: bytes, when: datetime) -> dict[str, str]:
        """The headers of a request to `target` (path and query as they are sent). `when` is machine time."""
        date = format_datetime(when.astimezone(UTC), usegmt=True)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        signed = f"{method}\n{target}\n{date};{host};{digest}"
        signature = base64.b64encode(hmac.digest(self.secret, signed.encode(), "sha256")).decode()
        return {
            "x-ms-date": date,
            "x-ms-content-sha256": digest,
            "Authorization": f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}",
        }


def operation(reference: str) -> str:
    """Where an operation is asked about."""
    return f"/emails/operations/{quote(reference, safe='')}?api-version={API_VERSION}"


class _Recipient(msgspec.Struct):
    address: str


class _Recipients(msgspec.Struct):
    to: list[_Recipient]


class _Content(msgspec.Struct, omit_defaults=True):
    subject: str
    plainText: str = ""  # noqa: N815
    html: str = ""


class _File(msgspec.Struct):
    name: str
    contentType: str  # noqa: N815
    contentInBase64: bytes  # noqa: N815 - msgspec writes bytes as base64


class _Mail(msgspec.Struct, omit_defaults=True):
    senderAddress: str  # noqa: N815
    content: _Content
    recipients: _Recipients
    attachments: list[_File] = []


def submission(message: EmailMessage, sender: Address, recipient: Address) -> bytes:
    """The body of a submission. The provider takes the sender's address only: a display name belongs to its domain's settings."""
    content = _Content(message.subject)
    if message.html:
        content.html = message.body
        content.plainText = plain_text(message.body)
    else:
        content.plainText = message.body
    files = [
        _File(file.filename[:_MOST_ATTACHMENT_NAME], file.mime_type, file.content)
        for file in message.attachments
    ]
    return msgspec.json.encode(_Mail(str(sender), content, _Recipients([_Recipient(str(recipient))]), files))


@dataclass(frozen=True, slots=True)
class _Fault:
    code: str = ""
    message: str = ""


# Answers are read member by member: one that is missing, null or of another type must not take the verdict with it.
def _member(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None


def _text(found: Any, name: str) -> str:
    value = _member(found, name)
    return value if isinstance(value, str) else ""


def _read(body: bytes) -> Any:
    """What an answer holds; None when it cannot be read."""
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        return None


def _fault(found: Any) -> _Fault | None:
    """The reason of an answer, or None when it gives none."""
    error = _member(found, "error")
    if isinstance(error, str) and error:
        return _Fault("", error)
    return _Fault(_text(error, "code")[:100], _text(error, "message")) if isinstance(error, dict) else None


def _operation_id(body: bytes, location: str) -> str | None:
    """The id under which the provider took a message, by its answer or the Operation-Location of it; None when neither is fit."""
    for found in (_text(_read(body), "id"), unquote(location.partition("?")[0].rpartition("/")[2])):
        if _OPERATION_ID.fullmatch(found):
            return found.lower()  # as the ids of its events are compared
    return None


def _refused(fault: _Fault) -> Permanent:
    """An answer that holds for good, by the table of docs/reference/delivery.md 7.7."""
    detail = without_addresses(fault.message)
    if fault.code == "EmailDroppedAllRecipientsSuppressed":
        return Permanent("Failed_SupressedRecipient", fault.code, detail)
    if "Invalid format for email address" in fault.message:
        return Permanent("Failed_InvalidEmailFormat", fault.code, "the address format was refused")
    return Permanent("Failed", fault.code, detail)


def judge_submission(
    status: int, after: float | None, body: bytes, operation_id: str, location: str = ""
) -> Outcome:
    """The outcome of a submission under our `operation_id`. `after` is what Retry-After said, in seconds, `location` the
    Operation-Location. Reports name the provider's id, which is another where it did not take ours.
    """
    if 200 <= status < 300:
        return Accepted(_operation_id(body, location) or operation_id, f"HTTP {status}")
    fault = _fault(_read(body)) or _Fault()
    code = fault.code or f"HTTP {status}"
    if status == 429 or fault.code == "TooManyRequests":
        return Temporary(
            PAUSE_SECONDS if after is None else after, code, "the provider asks to wait", "provider"
        )
    if status == 503:
        return Temporary(PAUSE_SECONDS if after is None else after, code, "the provider is away", "provider")
    if fault.code == "EmailDroppedAllRecipientsSuppressed" or "Invalid format for email" in fault.message:
        return _refused(fault)
    if status == 413:
        return Permanent("Failed_PayloadTooLarge", code, "the message is too large for the provider")
    if status >= 500 or status in (408, 409):
        # It may have been taken: the operation will tell.
        return Unknown(f"the provider answered {status}")
    if status in (401, 403, 404) or 300 <= status < 400:
        # Credentials or address of this installation; nothing is wrong with the message.
        return Temporary(None, code, "the provider refused the request", "provider")
    return _refused(_Fault(code, fault.message))


def judge_operation(status: int, after: float | None, body: bytes) -> Standing:
    """Where an operation stands, by the answer to a question about it."""
    if status == 404:
        return Missing()
    if status != 200:
        return Temporary(after, f"HTTP {status}", "the provider did not say", "provider")
    found = _read(body)
    match _text(found, "status"):
        case "":
            return Temporary(after, "", "the provider's answer could not be read", "provider")
        case "Succeeded":
            return Passed()
        case "Failed" | "Canceled" as word:
            return _refused(_fault(found) or _Fault(word, "the provider gave no reason"))
        case _:
            return Underway(after)
