"""An order with its processing status, as the v1 endpoints show it (docs/reference/notifications-api.md 2.6).

It lives in the store because two rooms answer with it: review reads it, and orders shows it after a cancel (2.7).
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from varsel.runtime.times import wire_time
from varsel.store import content as contents
from varsel.store import queries
from varsel.store.database import Connection, Database
from varsel.store.long_texts import LARGE, as_written
from varsel.store.states import ORDER_V1

_sql = queries.load("varsel.store")

ORDERS_PATH: Final = "/notifications/api/v1/orders"

Identifier = Annotated[
    str,
    Meta(
        description="UUID, lower case with hyphens.",
        examples=["0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"],
        extra_json_schema={"format": "uuid"},
    ),
]
Reference = Annotated[str, Meta(description="The caller's own reference.", examples=["case-2031-0042"])]
Condition = Annotated[
    str,
    Meta(
        description="Asked before sending, as ordered.", examples=["https://sender.example.org/conditions/17"]
    ),
]
ResourceId = Annotated[
    str,
    Meta(
        description="Resource whose access decides which users of an organization are reached, as ordered.",
        examples=["urn:altinn:resource:example-resource"],
    ),
]
ResourceAction = Annotated[str, Meta(description="Action on the resource, as ordered.", examples=["read"])]
IgnoreReservation = Annotated[bool, Meta(description="Whether reserved persons are reached too, as ordered.")]
Moment = Annotated[
    str,
    Meta(
        description="UTC, ISO 8601 with `Z`.",
        examples=["2031-03-14T08:00:41.5Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Link = Annotated[
    str,
    Meta(
        description="Absolute address.", examples=["https://varsel.example.org/notifications/api/v1/orders/…"]
    ),
]
ChannelName = Annotated[
    Literal["Email", "Sms", "EmailPreferred", "SmsPreferred", "EmailAndSms"],
    Meta(description="Channel as ordered."),
]

DESCRIPTIONS: Final[dict[str, str]] = {
    "Registered": "The order is registered and waits for its send time.",
    "Processing": "The order is being processed: recipients are looked up and notifications are generated.",
    "Processed": "All notifications have been generated.",
    "Attempting": "The message is being handed over.",
    "Completed": "All notifications have been generated and have reached their final status.",
    "SendConditionNotMet": "The send condition was not met, so no notification was generated.",
    "Cancelled": "The order was cancelled before anything was sent.",
}


class ProcessingStatus(msgspec.Struct, rename="camel"):
    """How far an order has come."""

    status: Annotated[
        Literal["Registered", "Processing", "Completed", "SendConditionNotMet", "Cancelled"],
        Meta(
            description="`Completed` as soon as the notifications exist; shipments tell `Order_Processed` and `Order_Completed` apart."
        ),
    ]
    description: Annotated[
        str, Meta(description="A sentence for people.", examples=["All notifications have been generated."])
    ]
    last_update: Moment


class SelfLink(msgspec.Struct):
    """Where the details are."""

    self: Link


class ChannelSummary(msgspec.Struct):
    """The notifications of one channel in numbers."""

    links: SelfLink
    generated: Annotated[
        int, Meta(ge=0, description="Notifications created, also those that failed at once.", examples=[2])
    ]
    succeeded: Annotated[
        int,
        Meta(
            ge=0,
            description="E-mail: `Succeeded` and `Delivered`. SMS: `Accepted` only, so it drops when a message is delivered.",
            examples=[1],
        ),
    ]


class StatusSummary(msgspec.Struct, omit_defaults=True):
    """The channels that have notifications."""

    email: ChannelSummary | None = None
    sms: ChannelSummary | None = None


class OrderWithStatus(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """An order and how far it has come."""

    id: Identifier
    senders_reference: Reference | None = None
    requested_send_time: Moment
    creator: Annotated[str, Meta(description="Short name of the ordering organisation.", examples=["ttd"])]
    created: Moment
    notification_channel: ChannelName
    ignore_reservation: IgnoreReservation | None = None
    resource_id: ResourceId | None = None
    resource_action: ResourceAction | None = None
    condition_endpoint: Condition | None = None
    processing_status: ProcessingStatus
    notifications_status_summary: Annotated[
        StatusSummary | None, Meta(description="Absent until a notification has been generated.")
    ] = None


def order_url(base_url: str, order_id: UUID | str) -> str:
    """`links.self` of an order (docs/reference/notifications-api.md 3.9). `base_url` has no trailing slash."""
    return f"{base_url}{ORDERS_PATH}/{order_id}"


def shown(row: Any, base_url: str) -> OrderWithStatus:
    """The wire shape of a row of `order_status`. After retention has erased the settings they are left out."""
    settings = contents.decode(row["content"], written=True) if row["content"] is not None else None
    url = order_url(base_url, row["id"])

    def summary(path: str, generated: int, succeeded: int) -> ChannelSummary | None:
        if not generated:
            return None
        return ChannelSummary(SelfLink(f"{url}/notifications/{path}"), generated, succeeded)

    email = summary("email", row["emails"], row["emails_succeeded"])
    sms = summary("sms", row["sms"], row["sms_accepted"])
    return OrderWithStatus(
        id=str(row["id"]),
        senders_reference=as_written(row["senders_reference"]),
        requested_send_time=wire_time(row["requested_at"]),
        creator=row["creator"],
        created=wire_time(row["created_at"]),
        notification_channel=row["channel"],
        ignore_reservation=settings.ignore_reservation if settings else None,
        resource_id=as_written(row["resource_id"]),
        resource_action=as_written(row["resource_action"]),
        condition_endpoint=settings.condition_endpoint if settings else None,
        processing_status=ProcessingStatus(
            ORDER_V1[row["state"]],  # type: ignore[arg-type]  # the table holds the words of the Literal
            DESCRIPTIONS[row["state"]],
            wire_time(row["updated_at"]),
        ),
        notifications_status_summary=StatusSummary(email, sms) if email or sms else None,
    )


async def order_status(
    database: Database | Connection, order_id: UUID, creator: str, base_url: str
) -> OrderWithStatus | None:
    """The order of that creator with its status, for `laid_out`; None when it has no such order. Takes a connection inside a transaction too."""
    row = await database.fetchrow(_sql.order_status, order_id, creator, LARGE)
    if row is None or len(row["content"] or b"") <= LARGE:
        return None if row is None else shown(row, base_url)
    return await asyncio.to_thread(shown, row, base_url)
