"""Requests and receipts that the API description shows; the suite sends each of them."""

from __future__ import annotations

from typing import Any, Final

_CHAIN_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"
_SHIPMENT_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11"
_REMINDER_ID: Final = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c12"
_SEND_TIME: Final = "2031-03-14T08:00:00+01:00"
_CONDITION: Final = "https://sender.example.org/conditions/17"
_DIALOG: Final = {
    "dialogId": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c20",
    "transmissionId": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c21",
}

Example = dict[str, Any]

EMAIL_ORDER: Final[Example] = {
    "request": {
        "sendersReference": "invoice-run-17",
        "requestedSendTime": _SEND_TIME,
        "subject": "Ny melding",
        "body": "<p>Du har en ny melding.</p>",
        "contentType": "Html",
        "recipients": [{"emailAddress": "kari@example.org"}, {"organizationNumber": "312345609"}],
        "resourceId": "urn:altinn:resource:example-resource",
        "resourceAction": "read",
        "conditionEndpoint": _CONDITION,
    },
    "202": {
        "orderId": _SHIPMENT_ID,
        "recipientLookup": {"status": "Success", "isReserved": [], "missingContact": []},
    },
}
SMS_ORDER: Final[Example] = {
    "request": {
        "sendersReference": "invoice-run-17",
        "body": "Du har en ny melding.",
        "senderNumber": "Varsel",
        "recipients": [{"mobileNumber": "+4799999999"}],
    },
    "202": {"orderId": _SHIPMENT_ID},
}
CHANNEL_ORDER: Final[Example] = {
    "request": {
        "notificationChannel": "EmailPreferred",
        "sendersReference": "invoice-run-17",
        "recipients": [{"emailAddress": "kari@example.org"}, {"mobileNumber": "+4799999999"}],
        "emailTemplate": {"subject": "Ny melding", "body": "Du har en ny melding.", "contentType": "Plain"},
        "smsTemplate": {"body": "Du har en ny melding.", "senderNumber": "Varsel"},
    },
    "202": {"orderId": _SHIPMENT_ID},
}
CHAIN_RECEIPT: Final[Example] = {
    "notificationOrderId": _CHAIN_ID,
    "notification": {
        "shipmentId": _SHIPMENT_ID,
        "sendersReference": "case-2031-0042",
        "reminders": [{"shipmentId": _REMINDER_ID, "sendersReference": "case-2031-0042-R1"}],
    },
}
CHAIN_ORDER: Final[Example] = {
    "request": {
        "idempotencyId": "case-2031-0042/varsel-1",
        "sendersReference": "case-2031-0042",
        "requestedSendTime": _SEND_TIME,
        "conditionEndpoint": _CONDITION,
        "dialogportenAssociation": _DIALOG,
        "recipient": {
            "recipientEmail": {
                "emailAddress": "kari@example.org",
                "emailSettings": {
                    "subject": "Ny melding",
                    "body": "Du har en ny melding.",
                    "contentType": "Plain",
                    "sendingTimePolicy": "Anytime",
                },
            }
        },
        "reminders": [
            {
                "delayDays": 7,
                "sendersReference": "case-2031-0042-R1",
                "recipient": {
                    "recipientSms": {
                        "phoneNumber": "+4799999999",
                        "smsSettings": {
                            "body": "Husk meldingen.",
                            "sender": "Varsel",
                            "sendingTimePolicy": "Daytime",
                        },
                    }
                },
            }
        ],
    },
    "201": CHAIN_RECEIPT,
    "200": CHAIN_RECEIPT,
}


def _direct(request: dict[str, Any]) -> Example:
    receipt = {
        "notificationOrderId": _CHAIN_ID,
        "notification": {"shipmentId": _SHIPMENT_ID, "sendersReference": request["sendersReference"]},
    }
    return {"request": request, "201": receipt, "200": receipt}


COMPOSED_ORDER: Final[Example] = _direct(
    {
        "idempotencyId": "contract-77",
        "sendersReference": "contract-77",
        "requestedSendTime": _SEND_TIME,
        "dialogportenAssociation": _DIALOG,
        "recipient": {
            "emailAddress": "kari@example.org",
            "emailSettings": {
                "subject": "Signert avtale",
                "body": "Avtalen ligger vedlagt.",
                "attachments": [
                    {
                        "filename": "avtale.pdf",
                        "mimeType": "application/pdf",
                        "sasUrl": "https://example.blob.core.windows.net/out/avtale.pdf?sv=2024-11-04"
                        "&se=2031-03-15T08%3A00%3A00Z&sr=b&sp=r&sig=c3ludGhldGlj",
                    }
                ],
            },
        },
    }
)
_INSTANT_RECIPIENT: Final = {
    "phoneNumber": "+4799999999",
    "timeToLiveInSeconds": 360,
    "smsSettings": {"body": "Engangskode: 482913", "sender": "Varsel"},
}
INSTANT_SMS: Final[Example] = _direct(
    {"idempotencyId": "otp-1", "sendersReference": "login-7", "recipientSms": _INSTANT_RECIPIENT}
)
WRAPPED_SMS: Final[Example] = _direct(
    {
        "idempotencyId": "otp-2",
        "sendersReference": "login-8",
        "recipient": {"recipientSms": _INSTANT_RECIPIENT},
    }
)
INTERNAL_SMS: Final[Example] = {
    "request": {
        "notificationId": "9c0f6ef2-3f69-4b34-b5a1-57e2c7a7d3b4",
        "sender": "Varsel",
        "recipient": "+4799999999",
        "message": "Engangskode: 482913",
        "timeToLive": 360,
    }
}
INTERNAL_EMAIL: Final[Example] = {
    "request": {
        "notificationId": "5d3b4f9e-7f0b-4d3c-8e39-0e6f3f1f7a01",
        "sender": "noreply@varsel.example.org",
        "recipient": "kari@example.org",
        "subject": "Kvittering",
        "body": "<b>Takk</b>",
        "contentType": "Html",
    }
}
INSTANT_EMAIL: Final[Example] = _direct(
    {
        "idempotencyId": "receipt-1",
        "sendersReference": "order-9",
        "recipientEmail": {
            "emailAddress": "kari@example.org",
            "emailSettings": {
                "subject": "Kvittering",
                "body": "Takk for din bestilling.",
                "contentType": "Plain",
            },
        },
    }
)
CANCELLED: Final[Example] = {
    "200": {
        "id": _SHIPMENT_ID,
        "sendersReference": "invoice-run-17",
        "requestedSendTime": "2031-03-14T07:00:00Z",
        "creator": "ttd",
        "created": "2031-03-13T12:15:02.123456Z",
        "notificationChannel": "Email",
        "processingStatus": {
            "status": "Cancelled",
            "description": "The order was cancelled before anything was sent.",
            "lastUpdate": "2031-03-13T14:00:41.5Z",
        },
    }
}
