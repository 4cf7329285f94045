"""What is stored of an order beside its columns: recipients, texts and settings, as one JSON document.

Written once at acceptance (`order_content.content`), read by the worker and by reviews, erased by retention.
"""

from __future__ import annotations

import msgspec

from varsel.store.long_texts import LONG, in_slices


class Recipient(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One recipient as ordered. Either direct addresses, or exactly one identity."""

    email: str | None = None
    mobile: str | None = None
    person: str | None = None  # national identity number, 11 digits
    organization: str | None = None  # organization number, 9 digits
    identity: str | None = None  # URN of an external identity, as sent


class EmailText(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An e-mail as ordered; `sender` is resolved to the default where the caller gave none."""

    sender: str
    subject: str
    body: str
    html: bool = False


class SmsText(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An SMS as ordered; `sender` is resolved to the default where the caller gave none."""

    sender: str
    body: str


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A file of a composed e-mail. `sealed_url` is encrypted under the master key, base64: the URL carries its own credential."""

    filename: str
    mime_type: str
    sealed_url: str | None


class OrderContent(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
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


_decoder = msgspec.json.Decoder(OrderContent)
_encoder = msgspec.json.Encoder()


def encode(content: OrderContent) -> bytes:
    return _encoder.encode(in_slices(content) if _is_long(content) else content)


def _is_long(content: OrderContent) -> bool:
    email, sms, first = content.email, content.sms, content.recipients[0] if content.recipients else None
    return (
        (email is not None and len(email.body) + len(email.subject) + len(email.sender) > LONG)
        or (sms is not None and len(sms.body) + len(sms.sender) > LONG)
        or (first is not None and len(first.email or first.identity or "") > LONG)
    )


def decode(data: bytes) -> OrderContent:
    return _decoder.decode(data)
