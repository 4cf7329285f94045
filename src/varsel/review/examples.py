"""Answers that the API description shows."""

from __future__ import annotations

from typing import Any, Final

_BASE: Final = "https://varsel.example.org/notifications/api/v1/orders"
_ORDER_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11"
_SMS_ORDER_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c12"
_EMAIL_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c13"
_RESERVED_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c14"
_SMS_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c15"
_SENT: Final = "2031-03-14T08:00:00Z"
_DELIVERED: Final = "2031-03-14T08:03:15.75Z"
_RESOURCE: Final = "urn:altinn:resource:example-resource"

ORDER: Final[dict[str, Any]] = {
    "id": _ORDER_ID,
    "sendersReference": "invoice-run-17",
    "requestedSendTime": _SENT,
    "creator": "ttd",
    "created": "2031-03-13T12:15:02.123456Z",
    "notificationChannel": "Email",
    "ignoreReservation": False,
    "resourceId": _RESOURCE,
    "resourceAction": "read",
    "recipients": [{"emailAddress": "kari@example.org"}, {"nationalIdentityNumber": "12839010182"}],
    "conditionEndpoint": "https://sender.example.org/conditions/17",
    "emailTemplate": {
        "fromAddress": "noreply@varsel.example.org",
        "subject": "Ny melding fra $recipientName$",
        "body": "<p>Du har en ny melding.</p>",
        "contentType": "Html",
    },
    "links": {"self": f"{_BASE}/{_ORDER_ID}", "status": f"{_BASE}/{_ORDER_ID}/status"},
}
ORDERS: Final[dict[str, Any]] = {"count": 1, "orders": [ORDER]}
STATUS: Final[dict[str, Any]] = {
    "id": _ORDER_ID,
    "sendersReference": "invoice-run-17",
    "requestedSendTime": _SENT,
    "creator": "ttd",
    "created": "2031-03-13T12:15:02.123456Z",
    "notificationChannel": "Email",
    "processingStatus": {
        "status": "Completed",
        "description": "All notifications have been generated and have reached their final status.",
        "lastUpdate": _DELIVERED,
    },
    "notificationsStatusSummary": {
        "email": {
            "links": {"self": f"{_BASE}/{_ORDER_ID}/notifications/email"},
            "generated": 2,
            "succeeded": 1,
        }
    },
}
EMAIL_RESULTS: Final[dict[str, Any]] = {
    "orderId": _ORDER_ID,
    "sendersReference": "invoice-run-17",
    "generated": 2,
    "succeeded": 1,
    "notifications": [
        {
            "id": _EMAIL_ID,
            "succeeded": True,
            "recipient": {"emailAddress": "kari@example.org"},
            "sendStatus": {
                "status": "Delivered",
                "description": "Delivered to the recipient.",
                "lastUpdate": _DELIVERED,
            },
        },
        {
            "id": _RESERVED_ID,
            "succeeded": False,
            "recipient": {"emailAddress": "", "nationalIdentityNumber": "12839010182"},
            "sendStatus": {
                "status": "Failed_RecipientReserved",
                "description": "The recipient is reserved against digital contact.",
                "lastUpdate": "2031-03-14T08:00:00.9Z",
            },
        },
    ],
}
SMS_RESULTS: Final[dict[str, Any]] = {
    "orderId": _SMS_ORDER_ID,
    "sendersReference": "sms-run-4",
    "generated": 1,
    "succeeded": 1,
    "notifications": [
        {
            "id": _SMS_ID,
            "succeeded": True,
            "recipient": {"mobileNumber": "+4799999999"},
            "sendStatus": {
                "status": "Accepted",
                "description": "Accepted by the gateway.",
                "lastUpdate": "2031-03-14T08:00:31.5Z",
            },
        }
    ],
}
FEED: Final[list[Any]] = [
    {
        "sequenceNumber": 4711,
        "shipmentId": _ORDER_ID,
        "sendersReference": "case-2031-0042",
        "recipients": [
            {"destination": "kari@example.org", "status": "Email_Delivered", "lastUpdate": _DELIVERED}
        ],
        "status": "Order_Completed",
        "lastUpdate": "2031-03-14T08:03:15.8Z",
        "shipmentType": "Notification",
    }
]
SHIPMENT: Final[dict[str, Any]] = {
    "shipmentId": _ORDER_ID,
    "sendersReference": "case-2031-0042",
    "type": "Notification",
    "status": "Order_Processed",
    "lastUpdate": "2031-03-14T08:00:41.5Z",
    "recipients": [
        {
            "type": "Email",
            "destination": "kari@example.org",
            "status": "Email_Succeeded",
            "lastUpdate": "2031-03-14T08:01:02.25Z",
        },
        {
            "type": "SMS",
            "destination": "+4799999999",
            "status": "SMS_Accepted",
            "lastUpdate": "2031-03-14T08:01:02.5Z",
        },
    ],
}
LOG: Final[list[Any]] = [
    {
        "notificationId": _EMAIL_ID,
        "dialogId": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c20",
        "transmissionId": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c21",
        "type": "Notification",
        "channel": "Email",
        "destination": "kari@example.org",
        "status": "Email_Delivered",
        "requestedSendTime": _SENT,
        "lastUpdateTime": _DELIVERED,
    }
]


def _found(attempt: dict[str, Any]) -> list[Any]:
    return [
        {
            "shipmentId": _ORDER_ID,
            "creatorName": "ttd",
            "resourceId": _RESOURCE,
            "sendersReference": "case-2031-0042",
            "requestedSendTime": _SENT,
            "notificationChannel": "EmailPreferred",
            "notificationType": "Notification",
            "deliveryAttempts": [attempt],
        }
    ]


FOUND_PERSON: Final = _found(
    {
        "nationalIdentityNumber": "12839010182",
        "channel": "email",
        "emailAddress": "kari@example.org",
        "result": "Delivered",
        "resultTime": _DELIVERED,
    }
)
FOUND_ORGANIZATION: Final = _found(
    {
        "organizationNumber": "312345609",
        "channel": "sms",
        "mobileNumber": "+4799999999",
        "result": "Accepted",
        "resultTime": "2031-03-14T08:01:30Z",
    }
)
