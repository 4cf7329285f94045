"""Valid bodies, and ways to spoil them."""

from __future__ import annotations

import copy
from typing import Any


class Absent:
    """Stands for a member that is left out; its text is part of test names."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def email(**changes: Any) -> dict[str, Any]:
    return {
        "recipientEmail": {
            "emailAddress": "kari@example.org",
            "emailSettings": {"subject": "Ny melding", "body": "Hei, du har en ny melding."},
        }
        | changes
    }


def sms(**changes: Any) -> dict[str, Any]:
    return {
        "recipientSms": {"phoneNumber": "+4799999999", "smsSettings": {"body": "Husk meldingen."}} | changes
    }


def person(**changes: Any) -> dict[str, Any]:
    return {
        "recipientPerson": {
            "nationalIdentityNumber": "12839010182",
            "channelSchema": "EmailPreferred",
            "emailSettings": {"subject": "Ny melding", "body": "Hei $recipientName$"},
            "smsSettings": {"body": "Ny melding"},
        }
        | changes
    }


def organization(**changes: Any) -> dict[str, Any]:
    settings = person()["recipientPerson"]
    del settings["nationalIdentityNumber"]
    return {"recipientOrganization": {"orgNumber": "312345609"} | settings | changes}


def identity(**changes: Any) -> dict[str, Any]:
    settings = person()["recipientPerson"]
    del settings["nationalIdentityNumber"]
    return {
        "recipientExternalIdentity": {"externalIdentity": "urn:altinn:person:idporten-email:ola@example.org"}
        | settings
        | changes
    }


def chain(**changes: Any) -> dict[str, Any]:
    return {"idempotencyId": "case-1", "recipient": email()} | changes


def reminder(**changes: Any) -> dict[str, Any]:
    return {"recipient": sms(), "delayDays": 7} | changes


def put(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted path (numbers index lists); ABSENT takes the member out."""
    changed = copy.deepcopy(body)
    *way, last = path.split(".")
    at: Any = changed
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is ABSENT:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return changed


def v1_email(**changes: Any) -> dict[str, Any]:
    return {
        "subject": "Ny melding",
        "body": "Hei",
        "recipients": [{"emailAddress": "kari@example.org"}],
    } | changes


def v1_sms(**changes: Any) -> dict[str, Any]:
    return {"body": "Hei", "recipients": [{"mobileNumber": "+4799999999"}]} | changes


def v1_channel(channel: Any = "EmailPreferred", **changes: Any) -> dict[str, Any]:
    return {
        "notificationChannel": channel,
        "recipients": [{"emailAddress": "kari@example.org", "mobileNumber": "+4799999999"}],
        "emailTemplate": {"subject": "Ny melding", "body": "Hei"},
        "smsTemplate": {"body": "Hei"},
    } | changes


FILE = "https://examplestore.blob.core.windows.net/out/avtale.pdf?sv=2024-11-04&se=2031-03-15T08%3A00%3A00Z&sr=b&sp=r&sig=c3ludGhldGlj"


def composed(**changes: Any) -> dict[str, Any]:
    return {
        "idempotencyId": "contract-77",
        "recipient": {
            "emailAddress": "kari@example.org",
            "emailSettings": {
                "subject": "Signert avtale",
                "body": "Avtalen ligger vedlagt.",
                "attachments": [{"filename": "avtale.pdf", "mimeType": "application/pdf", "sasUrl": FILE}],
            },
        },
    } | changes


def instant_sms(**changes: Any) -> dict[str, Any]:
    return {
        "idempotencyId": "otp-1",
        "recipientSms": {
            "phoneNumber": "+4799999999",
            "timeToLiveInSeconds": 360,
            "smsSettings": {"body": "Kode: 1"},
        },
    } | changes


def wrapped_sms(**changes: Any) -> dict[str, Any]:
    return {"idempotencyId": "otp-1", "recipient": {"recipientSms": instant_sms()["recipientSms"]}} | changes


def instant_email(**changes: Any) -> dict[str, Any]:
    return {
        "idempotencyId": "receipt-1",
        "recipientEmail": {
            "emailAddress": "kari@example.org",
            "emailSettings": {"subject": "Kvittering", "body": "<b>Takk</b>", "contentType": "Html"},
        },
    } | changes
