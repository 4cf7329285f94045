"""The ordering endpoints as one table (docs/reference/notifications-api.md 1.9)."""

from __future__ import annotations

from typing import Any, Final

from varsel.orders import examples
from varsel.orders.cancel import CancelledChain
from varsel.orders.wire import ChainOrder, ChainReceipt
from varsel.orders.wire_direct import (
    ComposedOrder,
    DirectReceipt,
    InstantEmail,
    InstantSms,
    WrappedInstantSms,
)
from varsel.orders.wire_dry_run import DryRun
from varsel.orders.wire_v1 import ChannelOrder, EmailOrder, OrderReceipt, SmsOrder
from varsel.runtime.endpoints import BASE, Endpoint, Policy
from varsel.store.order_status import OrderWithStatus

_JSON: Final = ("application/json",)
_WRITE: Final[tuple[int | str, ...]] = (400, 401, 403, 413, 415, 429)

_V1 = (
    "Unreachable recipients do not stop the order: the answer tells what the contact registers say of recipients without an address, "
    "and each of those later gets a failed notification. Every accepted request makes a new order."
)
_REPEAT = (
    " A repeat with the same `idempotencyId` answers 200 with the first receipt; when its body was another one the answer carries "
    "`Varsel-Idempotency: body-differs`."
)
_INSTANT = (
    "Sent while the caller waits, at any time of day. When the provider did not take it the answer is 503, nothing is stored, and the "
    "same `idempotencyId` may be used again." + _REPEAT
)

PREFER: Final = (
    {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": (
            "`dry-run` answers 200 with what would happen, and stores nothing: the orders that would be made, their messages with masked "
            "addresses and names, texts after keywords, SMS parts, earliest send time and expiry. So many a minute; beyond, 429."
        ),
        "schema": {"type": "string"},
        "example": "dry-run",
    },
)


def _either(receipt: str) -> dict[str, Any]:
    """The first receipt of a repeat, or a dry run."""
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in (receipt, "DryRun")]}


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        f"{BASE}/orders/email",
        "create_email_order",
        Policy.CREATE,
        "Order an e-mail",
        consumes=_JSON,
        parameters=PREFER,
        body_name="emailNotificationOrderRequest",
        request=EmailOrder,
        examples=examples.EMAIL_ORDER,
        responses={202: OrderReceipt, 200: DryRun},
        problems=(*_WRITE, "NOT-00004"),
        deprecated=True,
        description=_V1,
    ),
    Endpoint(
        "POST",
        f"{BASE}/orders/sms",
        "create_sms_order",
        Policy.CREATE,
        "Order an SMS",
        consumes=_JSON,
        parameters=PREFER,
        body_name="smsNotificationOrderRequest",
        request=SmsOrder,
        examples=examples.SMS_ORDER,
        responses={202: OrderReceipt, 200: DryRun},
        problems=(*_WRITE, "NOT-00004"),
        deprecated=True,
        description=_V1,
    ),
    Endpoint(
        "POST",
        f"{BASE}/orders",
        "create_channel_order",
        Policy.CREATE,
        "Order notifications on a chosen channel",
        consumes=_JSON,
        parameters=PREFER,
        body_name="notificationOrderRequest",
        request=ChannelOrder,
        examples=examples.CHANNEL_ORDER,
        responses={202: OrderReceipt, 200: DryRun},
        problems=(*_WRITE, "NOT-00004"),
        deprecated=True,
        description=_V1,
    ),
    Endpoint(
        "PUT",
        f"{BASE}/orders/{{id}}/cancel",
        "cancel_order",
        Policy.CREATE,
        "Cancel an order",
        examples=examples.CANCELLED,
        responses={200: OrderWithStatus},
        problems=(400, 401, 403, 404, 409),
        missing_is_told=True,
        deprecated=True,
        description=(
            "Works for orders of both generations, one shipment at a time. 200 means that nothing of it leaves afterwards; 409 that "
            "something has left, is leaving, or that the order has ended. Again for a cancelled order: 200."
        ),
    ),
    Endpoint(
        "GET",
        f"{BASE}/orders/chain/{{id}}",
        "get_chain",
        Policy.CREATE,
        "Receipt of an order",
        examples={"200": examples.CHAIN_RECEIPT},
        responses={200: ChainReceipt, 304: None},
        problems=(400, 401, 403, 404),
        description="The receipt that was given when the order was accepted: where the `Location` of an accepted order leads.",
    ),
    Endpoint(
        "PUT",
        f"{BASE}/orders/chain/{{id}}/cancel",
        "cancel_chain",
        Policy.CREATE,
        "Cancel an order with its reminders",
        responses={200: CancelledChain},
        problems=(400, 401, 403, 404, 409),
        missing_is_told=True,
        description=(
            "Cancels every member of the chain that nothing has left of, all at once; 409 when that is none of them. Again for a "
            "cancelled chain: 200."
        ),
    ),
    Endpoint(
        "POST",
        f"{BASE}/future/orders",
        "create_chain",
        Policy.CREATE,
        "Order a notification with optional reminders",
        consumes=_JSON,
        parameters=PREFER,
        body_name="notificationOrderRequest",
        request=ChainOrder,
        examples=examples.CHAIN_ORDER,
        responses={201: ChainReceipt, 200: _either("ChainReceipt")},
        problems=(*_WRITE, "NOT-00001", "NOT-00002", "NOT-00004"),
        description="One notification to one recipient, with any number of reminders, created together or not at all."
        + _REPEAT,
    ),
    Endpoint(
        "POST",
        f"{BASE}/future/orders/composed-email",
        "create_composed",
        Policy.COMPOSED,
        "Order an e-mail with files",
        consumes=_JSON,
        parameters=PREFER,
        body_name="orderRequest",
        request=ComposedOrder,
        examples=examples.COMPOSED_ORDER,
        responses={201: DirectReceipt, 200: _either("DirectReceipt")},
        problems=(*_WRITE, "NOT-00002"),
        description="One e-mail to one address; its files are fetched from their pre-signed addresses when it is sent."
        + _REPEAT,
    ),
    Endpoint(
        "POST",
        f"{BASE}/future/orders/instant/sms",
        "create_instant_sms",
        Policy.CREATE,
        "Send an SMS now",
        consumes=_JSON,
        parameters=PREFER,
        body_name="request",
        request=InstantSms,
        examples=examples.INSTANT_SMS,
        responses={201: DirectReceipt, 200: _either("DirectReceipt")},
        problems=(*_WRITE, "NOT-00002", "NOT-00004"),
        description=_INSTANT,
    ),
    Endpoint(
        "POST",
        f"{BASE}/future/orders/instant/email",
        "create_instant_email",
        Policy.CREATE,
        "Send an e-mail now",
        consumes=_JSON,
        parameters=PREFER,
        body_name="request",
        request=InstantEmail,
        examples=examples.INSTANT_EMAIL,
        responses={201: DirectReceipt, 200: _either("DirectReceipt")},
        problems=(*_WRITE, "NOT-00002", "NOT-00004"),
        description=_INSTANT,
    ),
    Endpoint(
        "POST",
        f"{BASE}/future/orders/instant",
        "create_wrapped_instant_sms",
        Policy.CREATE,
        "Send an SMS now (former shape)",
        consumes=_JSON,
        parameters=PREFER,
        body_name="request",
        request=WrappedInstantSms,
        examples=examples.WRAPPED_SMS,
        responses={201: DirectReceipt, 200: _either("DirectReceipt")},
        problems=(*_WRITE, "NOT-00002", "NOT-00004"),
        deprecated=True,
        description=_INSTANT,
    ),
)
