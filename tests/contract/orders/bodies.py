"""Valid bodies, and ways to spoil them."""

from __future__ import annotations

import copy
from typing import Any

ABSENT = object()


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
