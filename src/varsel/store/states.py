"""The states of orders and notifications, their ranks and their names on the wire: the one table.

docs/reference/delivery.md 2 draws it. A notification's status may only rise in rank (the database compares and sets in SQL), so the
order and repetition of results and reports do not matter: no two reported results share a rank. The one step back, Sending to New after a temporary refusal, belongs to
the worker that holds the open attempt.
"""

from __future__ import annotations

from typing import Final

NEW: Final = "New"
SENDING: Final = "Sending"
SUCCEEDED: Final = "Succeeded"  # e-mail: accepted by the provider
ACCEPTED: Final = "Accepted"  # SMS: accepted by the gateway
DELIVERED: Final = "Delivered"
FAILED_TTL: Final = "Failed_TTL"
RESERVED: Final = "Failed_RecipientReserved"
NOT_IDENTIFIED: Final = "Failed_RecipientNotIdentified"

#: Rank of the least final status; everything below waits for something.
FINAL: Final = 30

#: result -> rank, e-mail (docs/reference/delivery.md 2.2).
EMAIL: Final[dict[str, int]] = {
    NEW: 0,
    SENDING: 10,
    SUCCEEDED: 20,
    FAILED_TTL: 30,
    DELIVERED: 40,
    "Failed": 50,
    RESERVED: 70,  # decided at creation; nothing is ever reported for it
    NOT_IDENTIFIED: 70,
    "Failed_InvalidEmailFormat": 51,
    "Failed_SupressedRecipient": 56,
    "Failed_FilteredSpam": 54,
    "Failed_Quarantined": 55,
    "Failed_InvalidSasUrl": 52,
    "Failed_PayloadTooLarge": 53,
    "Failed_Bounced": 60,
}

#: result -> rank, SMS (docs/reference/delivery.md 2.3).
SMS: Final[dict[str, int]] = {
    NEW: 0,
    SENDING: 10,
    ACCEPTED: 20,
    FAILED_TTL: 30,
    DELIVERED: 40,
    "Failed": 50,
    "Failed_InvalidRecipient": 56,
    RESERVED: 70,  # decided at creation; nothing is ever reported for it
    NOT_IDENTIFIED: 70,
    "Failed_BarredReceiver": 55,
    "Failed_Deleted": 52,
    "Failed_Expired": 51,
    "Failed_Undelivered": 53,
    "Failed_Rejected": 54,
}

RANKS: Final[dict[str, dict[str, int]]] = {"Email": EMAIL, "Sms": SMS}

#: The two e-mail results whose lifecycle name differs from the stored one.
_LIFECYCLE_EMAIL = {
    "Failed_InvalidEmailFormat": "Email_Failed_InvalidFormat",
    "Failed_SupressedRecipient": "Email_Failed_SuppressedRecipient",
}


def rank(channel: str, status: str) -> int:
    """The rank of a status; KeyError for a word that is not in the table."""
    return RANKS[channel][status]


def is_final(channel: str, status: str) -> bool:
    return RANKS[channel][status] >= FINAL


def lifecycle(channel: str, status: str) -> str:
    """The name in shipments and feed, e.g. `Email_Failed_InvalidFormat`, `SMS_Delivered`."""
    if channel == "Sms":
        return f"SMS_{status}"
    return _LIFECYCLE_EMAIL.get(status) or f"Email_{status}"


def v1(status: str) -> str:
    """The name in v1 summaries, which hide the time-to-live failure."""
    return "Failed" if status == FAILED_TTL else status


#: Order states as the two API generations name them. Attempting and Void never leave the instant endpoints.
ORDER_V1: Final[dict[str, str]] = {
    "Registered": "Registered",
    "Processing": "Processing",
    "Processed": "Completed",
    "Attempting": "Processing",
    "Completed": "Completed",
    "SendConditionNotMet": "SendConditionNotMet",
    "Cancelled": "Cancelled",
}
ORDER_LIFECYCLE: Final[dict[str, str]] = {
    "Registered": "Order_Registered",
    "Processing": "Order_Processing",
    "Processed": "Order_Processed",
    "Attempting": "Order_Processing",
    "Completed": "Order_Completed",
    "SendConditionNotMet": "Order_SendConditionNotMet",
    "Cancelled": "Order_Cancelled",
}
