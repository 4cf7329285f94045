"""What is stored of an order beside its columns: recipients, texts and settings, as one JSON document.

Written once at acceptance (`order_content.content`), read by the worker and by reviews, erased by retention.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import structs

from varsel.store.long_texts import LARGE, LONG, MANY, in_slices, lifted, put_back


class Recipient(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """One recipient as ordered. Either direct addresses, or exactly one identity. There may be a million: no work for the collector."""

    email: str | None = None
    mobile: str | None = None
    person: str | None = None  # national identity number, 11 digits
    organization: str | None = None  # organization number, 9 digits
    identity: str | None = None  # URN of an external identity, as sent


class EmailText(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """An e-mail as ordered; `sender` is resolved to the default where the caller gave none."""

    sender: str
    subject: str
    body: str
    html: bool = False


class SmsText(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """An SMS as ordered; `sender` is resolved to the default where the caller gave none."""

    sender: str
    body: str


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """A file of a composed e-mail. `sealed_url` is encrypted under the master key, base64: the URL carries its own credential."""

    filename: str
    mime_type: str
    sealed_url: str | None


class OrderContent(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Everything of one order that no query looks at."""

    recipients: tuple[Recipient, ...]
    email: EmailText | None = None
    sms: SmsText | None = None
    condition_endpoint: str | None = None
    ignore_reservation: bool | None = None
    use_stale: bool = False
    fallback_on_failure: bool = False
    time_to_live: int | None = None  # seconds, instant SMS
    attachments: tuple[Attachment, ...] = ()

    @property
    def octets(self) -> int:
        """How long its texts are, about."""
        email, sms = self.email, self.sms
        return (len(email.subject) + len(email.body) if email else 0) + (len(sms.body) if sms else 0)


_decoder = msgspec.json.Decoder(OrderContent)
_recipients = msgspec.json.Decoder(tuple[Recipient, ...])
_encoder = msgspec.json.Encoder()
#: How our encoder begins a content, ends its list of recipients, and goes from one to the next. A quote within a text is escaped,
#: so that none of these stands in one; where a text ends with the same characters, no letter of a member's name follows.
_HEAD: Final = b'{"recipients":['
_LIST_END: Final = b'}],"'
_NEXT: Final = b'},{"'


def encode(content: OrderContent) -> bytes:
    return _encoder.encode(in_slices(content) if _is_long(content) else content)


def _is_long(content: OrderContent) -> bool:
    email, sms, recipients = content.email, content.sms, content.recipients
    return (
        (email is not None and len(email.body) + len(email.subject) + len(email.sender) > LONG)
        or (sms is not None and len(sms.body) + len(sms.sender) > LONG)
        or len(recipients) > MANY
        or any(len(one.email or one.mobile or one.identity or "") > LONG for one in recipients)
        or len(content.condition_endpoint or "") > LONG
        or len(content.attachments) > MANY
    )


async def read(data: bytes) -> OrderContent:
    """As `decode`, for the event loop: a large content is decoded in a thread."""
    return decode(data) if len(data) <= LARGE else await asyncio.to_thread(decode, data)


def decode(data: bytes, *, written: bool = False) -> OrderContent:
    """The content; ValueError for what is none. A large one is decoded in steps, because the decoder holds the interpreter.

    `written`: for an answer, where very long texts stay the JSON that they are (see `varsel.store.long_texts.as_written`).
    """
    if len(data) <= LARGE:
        return _decoder.decode(data)
    recipients: tuple[Recipient, ...] = ()
    if data.startswith(_HEAD) and (end := _place(data, _LIST_END, len(_HEAD))) >= 0:
        recipients = tuple(one for chunk in _chunks(data, len(_HEAD), end + 1, written) for one in chunk)
        data = _HEAD + data[end + 1 :]
    short, texts = lifted(data, written=written)
    content = _decoder.decode(short)
    if texts:
        content = put_back(content, texts)
    return structs.replace(content, recipients=recipients) if recipients else content


def _chunks(data: bytes, start: int, end: int, written: bool) -> Iterator[tuple[Recipient, ...]]:
    while start < end:
        stop = _place(data, _NEXT, start + LARGE) + 1 or end
        short, texts = lifted(b"[%b]" % data[start : min(stop, end)], written=written)
        chunk = _recipients.decode(short)
        yield put_back(chunk, texts) if texts else chunk
        start = stop + 1


def _place(data: bytes, mark: bytes, at: int) -> int:
    """Where a mark stands that a member's name follows; -1 for nowhere."""
    while (at := data.find(mark, at)) >= 0 and not data[at + len(mark) : at + len(mark) + 1].isalpha():
        at += 1
    return at
