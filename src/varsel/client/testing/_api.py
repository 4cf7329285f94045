"""The Notifications API in memory: it stores, remembers idempotency ids, cancels, delivers when told, and feeds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from varsel.client._clock import Clock
from varsel.client._rules import wire_time

_FAMILIES = {
    "/future/orders": "chain",
    "/future/orders/composed-email": "composed",
    "/future/orders/instant": "instant",
    "/future/orders/instant/sms": "instant",
    "/future/orders/instant/email": "instant",
}
_TYPES = {"chain": "Notification", "composed": "Composed", "instant": "Instant"}
CLASSIC = frozenset({"/orders", "/orders/email", "/orders/sms"})


@dataclass(slots=True)
class Kept:
    """One shipment."""

    shipment_id: str
    chain_id: str
    creator: str
    type: str
    body: dict[str, Any] = field(repr=False)
    senders_reference: str | None = None
    status: str = "Order_Registered"
    messages: list[dict[str, Any]] = field(default_factory=list, repr=False)
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Api:
    """All that the fake remembers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.shipments: dict[str, Kept] = {}
        self.feed: list[tuple[str, dict[str, Any]]] = []
        #: Identity numbers, organisation numbers and URNs that no address is known for.
        self.unreachable: set[str] = set()
        self._receipts: dict[tuple[str, str, str], dict[str, Any]] = {}

    def order(self, path: str, body: dict[str, Any], creator: str) -> Reply:
        family = _FAMILIES[path]
        known = (creator, family, str(body.get("idempotencyId")))
        if known in self._receipts:
            return Reply(200, self._receipts[known])
        reminders = body.get("reminders") or []
        if any(self._unreachable(one.get("recipient", {})) for one in (body, *reminders)):
            return coded(422, "NOT-00001", "Missing contact information for recipient(s)")
        chain = str(uuid.uuid4())
        main = self._keep(chain, creator, _TYPES[family], body)
        notification: dict[str, Any] = _named(main)
        if reminders:
            notification["reminders"] = [
                _named(self._keep(chain, creator, "Reminder", one)) for one in reminders
            ]
        self._receipts[known] = {"notificationOrderId": chain, "notification": notification}
        return Reply(201, self._receipts[known])

    def order_classic(self, body: dict[str, Any], creator: str) -> Reply:
        kept = self._keep(str(uuid.uuid4()), creator, "Notification", body)
        return Reply(202, {"orderId": kept.shipment_id})

    def deliver(self, kept: Kept, *, failed: str | None = None) -> None:
        """Every message of it is delivered, or fails with this reason (`Bounced`, `Undelivered` …)."""
        kept.updated = self._now()
        kept.messages = [
            {
                "type": kind,
                "destination": destination,
                "status": f"{kind}_Failed_{failed}" if failed else f"{kind}_Delivered",
                "lastUpdate": wire_time(kept.updated),
            }
            for kind, destination in _destinations(kept.body)
        ]
        self.finish(kept, "Order_Completed")

    def finish(self, kept: Kept, status: str) -> None:
        kept.status = status
        if status == "Order_Cancelled":
            return
        recipients = [{k: v for k, v in one.items() if k != "type"} for one in kept.messages]
        entry = {
            "sequenceNumber": len(self.feed) + 1,
            "shipmentId": kept.shipment_id,
            **({"sendersReference": kept.senders_reference} if kept.senders_reference else {}),
            "recipients": recipients,
            "status": status,
            "lastUpdate": wire_time(kept.updated),
            "shipmentType": kept.type,
        }
        self.feed.append((kept.creator, entry))

    def read(self, path: str, query: dict[str, str], creator: str) -> Reply:
        """GET of anything below the base."""
        parts = path.strip("/").split("/")
        if path == "/future/shipment/feed":
            return self._page(query, creator)
        if path == "/orders":
            found = [
                _stored(one)
                for one in self._mine(creator)
                if one.senders_reference == query.get("sendersReference")
            ]
            return Reply(200, {"count": len(found), "orders": found})
        if parts[:2] == ["future", "shipment"]:
            kept = self._found(parts[2], creator)
            return Reply(200, _manifest(kept)) if kept else coded(404, "NOT-00003", "Shipment not found")
        if parts[:2] == ["orders", "chain"]:
            receipts = [one for one in self._receipts.values() if one["notificationOrderId"] == parts[2]]
            return Reply(200, receipts[0]) if receipts else Reply(404)
        kept = self._found(parts[1], creator) if parts[0] == "orders" and len(parts) > 1 else None
        if kept is None:
            return Reply(404)
        if parts[2:] == ["status"]:
            return Reply(200, _status(kept))
        if parts[2:3] == ["notifications"]:
            return Reply(200, _results(kept, parts[3]))
        return Reply(200, _stored(kept))

    def cancel(self, path: str, creator: str) -> Reply:
        parts = path.strip("/").split("/")
        if parts[1] == "chain":
            members = [one for one in self._mine(creator) if one.chain_id == parts[2]]
            for one in members:
                if one.status == "Order_Registered":
                    self.finish(one, "Order_Cancelled")
            return Reply(200, {}) if members else plain(404, "Not Found")
        kept = self._found(parts[1], creator)
        if kept is None:
            return plain(404, "Not Found")
        if kept.status not in {"Order_Registered", "Order_Cancelled"}:
            return plain(409, "Conflict")
        self.finish(kept, "Order_Cancelled")
        return Reply(200, _status(kept))

    def _page(self, query: dict[str, str], creator: str) -> Reply:
        seq, size = int(query.get("seq", "0")), min(max(int(query.get("pageSize", "500")), 1), 500)
        mine = [entry for owner, entry in self.feed if owner == creator]
        if query.get("orderBy", "").lower() == "desc":
            page = [entry for entry in reversed(mine) if not seq or entry["sequenceNumber"] < seq]
        else:
            page = [entry for entry in mine if entry["sequenceNumber"] > seq]
        return Reply(200, page[:size])

    def _keep(self, chain: str, creator: str, kind: str, body: dict[str, Any]) -> Kept:
        reference = body.get("sendersReference")
        kept = Kept(str(uuid.uuid4()), chain, creator, kind, body, reference, updated=self._now())
        self.shipments[kept.shipment_id] = kept
        return kept

    def _mine(self, creator: str) -> list[Kept]:
        return [one for one in self.shipments.values() if one.creator == creator]

    def _found(self, shipment_id: str, creator: str) -> Kept | None:
        kept = self.shipments.get(shipment_id)
        return kept if kept is not None and kept.creator == creator else None

    def _unreachable(self, recipient: dict[str, Any]) -> bool:
        names = ("nationalIdentityNumber", "orgNumber", "externalIdentity")
        return any(
            one.get(name) in self.unreachable
            for one in recipient.values()
            if isinstance(one, dict)
            for name in names
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


def coded(status: int, code: str, title: str) -> Reply:
    return Reply(
        status,
        {
            "type": f"urn:altinn:error:{code}",
            "title": title,
            "status": status,
            "code": code,
            "traceId": TRACE,
        },
    )


def plain(status: int, title: str) -> Reply:
    return Reply(status, {"title": title, "status": status, "traceId": TRACE})


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _named(kept: Kept) -> dict[str, Any]:
    reference = {"sendersReference": kept.senders_reference} if kept.senders_reference else {}
    return {"shipmentId": kept.shipment_id, **reference}


def _manifest(kept: Kept) -> dict[str, Any]:
    return {
        **_named(kept),
        "type": kept.type,
        "status": kept.status,
        "lastUpdate": wire_time(kept.updated),
        "recipients": kept.messages,
    }


def _stored(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.shipment_id,
        **({"sendersReference": kept.senders_reference} if kept.senders_reference else {}),
        "requestedSendTime": kept.body.get("requestedSendTime", wire_time(kept.updated)),
        "creator": kept.creator,
        "created": wire_time(kept.updated),
        "notificationChannel": kept.body.get("notificationChannel", "Email"),
        "recipients": kept.body.get("recipients", []),
    }


def _status(kept: Kept) -> dict[str, Any]:
    words = {"Order_Processed": "Completed"}.get(kept.status, kept.status.removeprefix("Order_"))
    stored = {name: value for name, value in _stored(kept).items() if name != "recipients"}
    updated = wire_time(kept.updated)
    return {**stored, "processingStatus": {"status": words, "description": words, "lastUpdate": updated}}


def _results(kept: Kept, channel: str) -> dict[str, Any]:
    kind, address = ("Email", "emailAddress") if channel == "email" else ("SMS", "mobileNumber")
    found = [
        {
            "id": str(uuid.uuid5(uuid.UUID(kept.shipment_id), one["destination"])),
            "succeeded": one["status"].endswith("_Delivered"),
            "recipient": {address: one["destination"]},
            "sendStatus": {
                "status": one["status"].partition("_")[2],
                "description": "",
                "lastUpdate": one["lastUpdate"],
            },
        }
        for one in kept.messages
        if one["type"] == kind
    ]
    good = sum(1 for one in found if one["succeeded"])
    return {"orderId": kept.shipment_id, "generated": len(found), "succeeded": good, "notifications": found}


def _destinations(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Type and address of each message. Who must be looked up gets an address of example.org."""
    recipient = body.get("recipient") or {
        name: body[name] for name in ("recipientEmail", "recipientSms") if name in body
    }
    if "emailAddress" in recipient:
        return [("Email", recipient["emailAddress"])]
    if "recipientEmail" in recipient:
        return [("Email", recipient["recipientEmail"]["emailAddress"])]
    if "recipientSms" in recipient:
        return [("SMS", recipient["recipientSms"]["phoneNumber"])]
    found = []
    for one in recipient.values():
        if one["channelSchema"] in {"Email", "EmailPreferred", "EmailAndSms"}:
            found.append(("Email", "someone@example.org"))
        if one["channelSchema"] in {"Sms", "SmsPreferred", "EmailAndSms"}:
            found.append(("SMS", "+4799999999"))
    for one in body.get("recipients", []):
        if "mobileNumber" in one and "emailAddress" not in one:
            found.append(("SMS", one["mobileNumber"]))
        else:
            found.append(("Email", one.get("emailAddress", "someone@example.org")))
    return found
