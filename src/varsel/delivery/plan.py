"""From an order with its addresses to messages (docs/reference/delivery.md 3.8, 6; pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from varsel.channels.sms.parts import LINK, PartLimits, count_sent
from varsel.delivery.keywords import fill, fill_html, fill_subject
from varsel.delivery.model import LANE_COMPOSED, LANE_ORDINARY, Addressee, DueOrder, Kind, Planned
from varsel.delivery.window import Window, expiry, is_daytime
from varsel.recipients.addresses import trimmed
from varsel.store import states
from varsel.store.content import OrderContent
from varsel.store.ids import uuid7


class PlanError(ValueError):
    """An order cannot be planned as it is stored."""


def direct_addressees(order: DueOrder, content: OrderContent) -> list[Addressee] | None:
    """The messages of an order whose recipients all carry their own addresses; None when a register must be asked.

    A preferred scheme takes the other channel only where the preferred address is missing, and `EmailAndSms` both
    (3.7); a recipient with two addresses under a preferred scheme gets one message (11.2 no. 24).
    """
    found: list[Addressee] = []
    for recipient in content.recipients:
        if recipient.person or recipient.organization or recipient.identity:
            return None
        match order.channel:
            case "Email":
                found.append(_to("Email", recipient.email))
            case "Sms":
                found.append(_to("Sms", recipient.mobile))
            case "EmailPreferred":
                sms = recipient.mobile and not recipient.email
                found.append(_to("Sms", recipient.mobile) if sms else _to("Email", recipient.email))
            case "SmsPreferred":
                email = recipient.email and not recipient.mobile
                found.append(_to("Email", recipient.email) if email else _to("Sms", recipient.mobile))
            case _:
                found += [_to("Email", recipient.email), _to("Sms", recipient.mobile)]
    return found


def _to(channel: Kind, address: str | None) -> Addressee:
    if address:
        return Addressee(channel, "direct", address=address)
    return Addressee(channel, "direct", status=states.NOT_IDENTIFIED)


def plan(
    order: DueOrder,
    content: OrderContent,
    addressees: Iterable[Addressee],
    *,
    window: Window,
    now: datetime,
    key: Callable[[str], bytes],
    owner: UUID | None = None,
    limits: PartLimits = LINK,
) -> list[Planned]:
    """The rows of an order. `key` makes the search key of an identity; `owner` takes what may leave at once.

    Instant orders, whose rows are made as they are accepted, come here to be shown only: their texts have no keywords.
    """
    rows: list[Planned] = []
    positions = {"Email": 0, "Sms": 0}
    daytime = is_daytime("Sms", order.sending_policy)
    email_expiry = expiry(window, daytime=False, requested_at=order.requested_at)
    sms_expiry = expiry(window, daytime=daytime, requested_at=order.requested_at)
    sms_ready = window.opening(max(order.requested_at, now)) if daytime else order.requested_at
    lane = LANE_COMPOSED if order.kind == "Composed" else LANE_ORDINARY
    plain_parts: tuple[int, int] | None = None
    has_keywords = order.kind != "Instant"
    for addressee in addressees:
        channel = addressee.channel
        position = positions[channel]
        positions[channel] = position + 1
        subject = body = None
        parts = length = None
        status = addressee.status or states.NEW
        bound = daytime and channel == "Sms"
        if addressee.status is None:
            if channel == "Email":
                if content.email is None:
                    raise PlanError("the order has no e-mail text")
                if has_keywords:
                    subject = fill_subject(content.email.subject, addressee.name, addressee.number)
                    replace = fill_html if content.email.html else fill
                    body = replace(content.email.body, addressee.name, addressee.number)
            else:
                if content.sms is None:
                    raise PlanError("the order has no SMS text")
                if has_keywords:
                    body = fill(content.sms.body, addressee.name, addressee.number)
                if body is not None:
                    parts, length = count_sent(body, limits).count, len(body)
                else:
                    if plain_parts is None:
                        text = content.sms.body
                        plain_parts = count_sent(text, limits).count, len(text)
                    parts, length = plain_parts
        ready_at = sms_ready if channel == "Sms" else order.requested_at
        rows.append(
            Planned(
                order.id,
                uuid7(),
                order.creator,
                channel,
                position,
                addressee.recipient_kind,
                addressee.recipient,
                key(addressee.recipient) if addressee.recipient else None,
                addressee.address,
                subject,
                body,
                parts,
                length,
                status,
                states.rank(channel, status),
                sms_expiry if channel == "Sms" else email_expiry,
                lane,
                trimmed(addressee.address.rpartition("@")[2]).lower() or None if channel == "Email" else None,
                ready_at,
                bound,
                owner if ready_at <= now else None,
            )
        )
    return rows
