"""Webhooks as they look from outside: endpoints of a creator, and what they are told."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from varsel.review.wire import FeedEntry, ShipmentRecipient, WireTime
from varsel.store.order_status import Identifier

EventName = Literal["order.completed", "order.condition-not-met", "order.corrected", "message.changed"]
EVENTS: tuple[EventName, ...] = (
    "order.completed",
    "order.condition-not-met",
    "order.corrected",
    "message.changed",
)
USUAL: tuple[EventName, ...] = EVENTS[:3]

Events = Annotated[
    list[EventName],
    Meta(
        description=(
            "What the endpoint is told. `order.completed` and `order.condition-not-met` are entries of the status feed, "
            "`order.corrected` is a message that changed after its order was fed, `message.changed` is every change of every "
            "message. All but the last when left out."
        ),
        min_length=1,
        examples=[["order.completed"]],
    ),
]
Url = Annotated[
    str,
    Meta(
        description="Where events are posted: https, a public host, no user name or password.",
        examples=["https://hooks.example.org/varsel"],
        max_length=2000,
    ),
]
Secret = Annotated[
    str,
    Meta(
        description="Key of the signatures, shown this once: `whsec_` and base64, as Standard Webhooks has it.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    ),
]


class NewWebhook(msgspec.Struct, rename="camel"):
    """An endpoint to be told."""

    url: Url
    events: Events | None = None


class Webhook(msgspec.Struct, rename="camel", omit_defaults=True):
    """An endpoint. `failingSince` and `disabledAt` are absent while all is well."""

    id: Identifier
    url: Url
    events: Events
    created_at: WireTime
    previous_secret_until: Annotated[
        WireTime | None, Meta(description="Until when the secret before the last rotation signs too.")
    ] = None
    failing_since: Annotated[WireTime | None, Meta(description="Since when no delivery has succeeded.")] = (
        None
    )
    disabled_at: Annotated[
        WireTime | None,
        Meta(description="Since when nothing is sent any more; a test that succeeds turns it on again."),
    ] = None
    disabled_reason: Annotated[
        str | None,
        Meta(description="Why nothing is sent any more.", examples=["Failing for 24 hours: HTTP 500"]),
    ] = None


class WebhookWithSecret(Webhook, kw_only=True, rename="camel", omit_defaults=True):
    """An endpoint with its new secret."""

    secret: Secret


class WebhookTest(msgspec.Struct, rename="camel"):
    """A test on its way."""

    message_id: Annotated[
        str,
        Meta(
            description="`webhook-id` of the test; look it up among the attempts.",
            examples=["message-0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"],
        ),
    ]


class WebhookAttempt(msgspec.Struct, rename="camel"):
    """One try to tell an endpoint something."""

    message_id: Annotated[
        str,
        Meta(description="`webhook-id`, the same on every try.", examples=["feed-1742"]),
    ]
    type: Annotated[str, Meta(description="What was told.", examples=["order.completed"])]
    at: WireTime
    status: Annotated[
        int | None, Meta(description="HTTP status of the answer; null without one.", examples=[500])
    ]
    detail: Annotated[str, Meta(description="What came of it.", examples=["HTTP 500"])]
    duration_ms: Annotated[int, Meta(description="How long it took, in milliseconds.", ge=0, examples=[41])]


class ChangedMessage(msgspec.Struct, rename="camel", omit_defaults=True):
    """`data` of `order.corrected` and `message.changed`: where one message stands now."""

    shipment_id: Identifier
    notification_id: Identifier
    recipient: ShipmentRecipient
    senders_reference: str | None = None


class OrderEvent(msgspec.Struct, rename="camel"):
    """What is posted when an order has ended; `data` is its entry in the feed."""

    type: Literal["order.completed", "order.condition-not-met"]
    timestamp: WireTime
    data: FeedEntry


class MessageEvent(msgspec.Struct, rename="camel"):
    """What is posted when a message has changed."""

    type: Literal["order.corrected", "message.changed"]
    timestamp: WireTime
    data: ChangedMessage
