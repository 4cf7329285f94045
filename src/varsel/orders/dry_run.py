"""Dry runs: `Prefer: dry-run` on any order endpoint answers what would happen (docs/design.md, decisions).

Nothing is stored but one audit row. Addresses and names are masked, calls are limited, and reservation shows only where the real
answer would tell it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from varsel.channels.sms.parts import count_sent
from varsel.orders.contact import unavailable
from varsel.orders.model import NewOrder
from varsel.orders.wire import ContentType
from varsel.orders.wire_dry_run import (
    MOST,
    DryRun,
    WouldBeEmail,
    WouldBeMessage,
    WouldBeOrder,
    WouldBeSms,
)
from varsel.orders.wire_v1 import RecipientLookup
from varsel.runtime.clock import Machine
from varsel.runtime.endpoints import Call, Reply
from varsel.runtime.errors import PlainProblem, RegisterUnavailable
from varsel.runtime.masking import mask_address, mask_number
from varsel.runtime.times import wire_time
from varsel.store.content import OrderContent
from varsel.store.database import Database
from varsel.store.ids import uuid7
from varsel.store.long_texts import laid_out
from varsel.store.queries import load
from varsel.store.states import lifecycle

_sql: Final = load("varsel.orders")
_APPLIED: Final = (b"preference-applied", b"dry-run")
_MINUTE: Final = 60


class Message(Protocol):
    """A message that would be planned; as `varsel.delivery.model.Planned`."""

    channel: Any
    recipient_kind: str
    recipient: str | None
    address: str
    custom_subject: str | None
    custom_body: str | None
    sms_parts: int | None
    status: str
    expires_at: datetime
    ready_at: datetime


class Forecast(Protocol):
    """Plans orders without storing them; composition passes `varsel.delivery.forecast.Forecaster`."""

    async def messages(
        self,
        *,
        order_id: UUID,
        creator: str,
        kind: str,
        channel: str,
        sending_policy: str | None,
        requested_at: datetime,
        resource_id: str | None,
        resource_action: str | None,
        content: OrderContent,
        now: datetime,
    ) -> Sequence[Message]:
        """The messages of an order as they would be planned at `now`. Raises RegisterUnavailable."""
        ...


def is_wanted(call: Call) -> bool:
    """Whether the caller prefers a dry run (RFC 7240: tokens in any case, in one header or several)."""
    values = call.headers.get(b"prefer")
    if not values:
        return False
    return any(
        preference.partition(b";")[0].strip().lower() == b"dry-run"
        for value in values
        for preference in value.split(b",")
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """An order as it would be stored, to be shown. `tells_reservation`: the real answer names reserved persons (v1)."""

    orders: Sequence[NewOrder]
    contents: Sequence[OrderContent]
    repeat: bool | None = None
    lookup: RecipientLookup | None = None
    tells_reservation: bool = False
    expires_at: datetime | None = None  # of an instant message, which lives as long as its caller says


class DryRuns:
    """Answers dry runs, so many a minute for each creator."""

    def __init__(
        self, database: Database, machine: Machine, forecast: Forecast | None, a_minute: int
    ) -> None:
        self._database = database
        self._machine = machine
        self._forecast = forecast
        self._a_minute = a_minute

    async def admit(self, call: Call, creator: str) -> None:
        """Count the call and note it; PlainProblem 429 when the minute is used up. Comes before anybody is looked up."""
        now = int(self._machine.time())
        admitted = await self._database.fetchval(
            _sql.take_dry_run, f"dry-run:{creator}", now // _MINUTE, self._a_minute
        )
        if admitted is None:
            problem = PlainProblem(429)
            problem.headers = ((b"retry-after", b"%d" % (_MINUTE - now % _MINUTE)),)
            raise problem
        claims = call.caller.claims
        actor = str(claims.get("client_id") or call.caller.via)
        details = msgspec.json.encode({"bytes": len(call.body), "trace": call.trace.trace_id}).decode()
        await self._database.execute(_sql.audit_dry_run, uuid7(), actor, creator, call.path.lower(), details)

    async def answer(
        self, trial: Trial, now: datetime, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Reply:
        """200 with what would happen. CodedProblem NOT-00004 when a register does not answer."""
        try:
            orders = [
                await self._order(order, content, trial, now)
                for order, content in zip(trial.orders[:MOST], trial.contents[:MOST], strict=True)
            ]
        except RegisterUnavailable as error:
            raise unavailable(error) from error
        shown = DryRun(True, len(trial.orders), orders, trial.repeat, trial.lookup)
        body = await laid_out(shown, sum(order.size for order in trial.orders[:MOST]))
        return Reply(200, body, (_APPLIED, *headers))

    async def _order(
        self, order: NewOrder, content: OrderContent, trial: Trial, now: datetime
    ) -> WouldBeOrder:
        email, sms = content.email, content.sms
        parts = None if sms is None else count_sent(sms.body)
        return WouldBeOrder(
            type=order.kind,  # type: ignore[arg-type]  # the words are those of the Literal
            channel=order.channel,
            requested_send_time=wire_time(order.requested_at),
            recipient_count=len(content.recipients),
            messages=await self._messages(order, content, trial, now),
            senders_reference=order.senders_reference,
            email=None
            if email is None
            else WouldBeEmail(
                email.sender,
                email.subject,
                email.body,
                ContentType.HTML if email.html else ContentType.PLAIN,
            ),
            sms=None
            if sms is None or parts is None
            else WouldBeSms(sms.sender, sms.body, parts.encoding, parts.count, parts.truncated),
        )

    async def _messages(
        self, order: NewOrder, content: OrderContent, trial: Trial, now: datetime
    ) -> list[WouldBeMessage]:
        if self._forecast is None:
            return []
        asked = replace(content, recipients=content.recipients[:MOST])
        if not trial.tells_reservation:
            asked = replace(asked, ignore_reservation=True)
        planned = await self._forecast.messages(
            order_id=order.id,
            creator=order.creator,
            kind=order.kind,
            channel=order.channel,
            sending_policy=order.sending_policy,
            requested_at=order.requested_at,
            resource_id=order.resource_id,
            resource_action=order.resource_action,
            content=asked,
            now=now,
        )
        return [_shown(message, trial.expires_at) for message in planned]


def _shown(message: Message, expires_at: datetime | None) -> WouldBeMessage:
    mask = mask_address if message.channel == "Email" else mask_number
    kind = message.recipient_kind
    return WouldBeMessage(
        channel=message.channel,
        destination=mask(message.address) if message.address else "",
        status=lifecycle(message.channel, message.status),
        sends_at=wire_time(message.ready_at),
        expires_at=wire_time(expires_at or message.expires_at),
        national_identity_number=message.recipient if kind == "person" else None,
        organization_number=message.recipient if kind == "organization" else None,
        external_identity=message.recipient if kind == "identity" else None,
        subject=message.custom_subject,
        body=message.custom_body,
        parts=message.sms_parts,
    )
