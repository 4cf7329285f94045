"""What an endpoint is told, and how it can know who told it (Standard Webhooks 1.0.0; pure).

The signature is an HMAC-SHA256 over `id.timestamp.body` under the endpoint's secret; while a secret is being changed there
is one signature for each of the two.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from varsel.runtime.times import wire_time
from varsel.store.long_texts import length_of
from varsel.store.states import lifecycle

TEST: Final = "webhook.test"

_text = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it waits. `entry` is the feed's (see `varsel.delivery.entry`); None where the feed has forgotten it."""

    id: UUID
    type: str
    at: datetime
    seq: int | None = None
    entry: bytes | None = field(default=None, repr=False)
    order_id: UUID | None = None
    notification_id: UUID | None = None
    channel: str | None = None
    status: str | None = None
    address: str | None = field(default=None, repr=False)
    senders_reference: str | None = field(default=None, repr=False)

    @property
    def message_id(self) -> str:
        """The `webhook-id`: the same on every try, and for an event of the feed the same at every endpoint."""
        return f"message-{self.id}" if self.seq is None else f"feed-{self.seq}"


def octets_of(event: Event) -> int:
    """How long the body is, about."""
    return len(event.entry or b"") + sum(map(length_of, (event.address, event.senders_reference)))


def written(event: Event, timestamp: int, secrets: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an event."""
    body = body_of(event)
    return body, headers_of(event.message_id, timestamp, body, secrets)


def body_of(event: Event) -> bytes:
    """The JSON body: `type`, `timestamp` and `data`."""
    if event.seq is not None and event.entry is not None:
        data = b'{\n    "sequenceNumber": %d%b' % (event.seq, event.entry)
    else:
        data = _text(_data(event))
    return b'{\n  "type": %b,\n  "timestamp": %b,\n  "data": %b\n}' % (
        _text(event.type),
        _text(wire_time(event.at)),
        data,
    )


def _data(event: Event) -> dict[str, object]:
    if event.seq is not None:
        return {"sequenceNumber": event.seq, "shipmentId": str(event.order_id)}
    if event.order_id is None or event.channel is None or event.status is None:
        return {}
    recipient = {
        "type": "SMS" if event.channel == "Sms" else "Email",
        "destination": event.address or "",
        "status": lifecycle(event.channel, event.status),
        "lastUpdate": wire_time(event.at),
    }
    found: dict[str, object] = {"shipmentId": str(event.order_id)}
    if event.senders_reference is not None:
        found["sendersReference"] = event.senders_reference
    return found | {"notificationId": str(event.notification_id), "recipient": recipient}


def headers_of(message_id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The three headers of the standard, and the content type. `timestamp` is machine time; `secrets` the raw keys, newest first."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets
        ),
    }
