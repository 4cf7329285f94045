"""Requests of the two internal send endpoints (docs/reference/notifications-api.md 2.26.2 and 2.27.1)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from varsel.orders.wire import ContentType, Wire

LEAST_LIFE: Final = 1
MOST_LIFE: Final = 172_800

_NOT_BLANK: Final = {"pattern": r"\S"}
NotificationId = Annotated[
    str,
    Meta(
        max_length=36,
        pattern="^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
        description="UUID with hyphens. A message is sent once, however often its id comes.",
        examples=["9c0f6ef2-3f69-4b34-b5a1-57e2c7a7d3b4"],
    ),
]


class InternalSms(Wire):
    """One SMS for the gateway."""

    notification_id: NotificationId
    sender: Annotated[
        str,
        Meta(
            min_length=1,
            description="Name or number, not blank.",
            examples=["Varsel"],
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    recipient: Annotated[
        str,
        Meta(
            min_length=1,
            description="Number, not blank; the gateway judges it.",
            examples=["+4799999999"],
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    message: Annotated[
        str,
        Meta(
            min_length=1,
            description="Text, not blank.",
            examples=["Engangskode: 482913"],
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    time_to_live: Annotated[
        int,
        Meta(
            ge=LEAST_LIFE,
            le=MOST_LIFE,
            description="Seconds that the message may be delivered in.",
            examples=[360],
        ),
    ]


class InternalEmail(Wire):
    """One e-mail for the provider."""

    notification_id: NotificationId
    sender: Annotated[
        str,
        Meta(
            min_length=1,
            description="Sender address, not blank.",
            examples=["noreply@varsel.example.org"],
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    recipient: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address with one `@`, neither first nor last; the provider judges the rest.",
            examples=["kari@example.org"],
            extra_json_schema={"pattern": "^[^@]+@[^@]+$"},
        ),
    ]
    subject: Annotated[
        str,
        Meta(
            min_length=1,
            description="Not blank; kept as it is.",
            examples=["Kvittering"],
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    body: Annotated[
        str,
        Meta(
            min_length=1,
            description="Text, not blank.",
            examples=["<b>Takk</b>"],
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    content_type: ContentType
