"""The notifications of an order on one channel (docs/reference/notifications-api.md 2.8, 2.9)."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

from varsel.review.wire import (
    EmailResult,
    EmailResultRecipient,
    EmailResults,
    SendStatus,
    SmsResult,
    SmsResultRecipient,
    SmsResults,
)
from varsel.runtime.problems import pretty
from varsel.runtime.times import wire_time
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.long_texts import LARGE, as_written, pretty_in_slices
from varsel.store.states import v1

_sql = queries.load("varsel.review")

#: Octets of a line beside its address, about.
_LINE: Final = 350

EMAIL_SUCCESS: Final = frozenset({"Succeeded", "Delivered"})
SMS_SUCCESS: Final = frozenset({"Accepted", "Delivered"})

DESCRIPTIONS: Final[dict[str, str]] = {
    "New": "The notification waits to be sent.",
    "Sending": "The notification is being handed over to the provider.",
    "Succeeded": "Accepted by the e-mail provider.",
    "Accepted": "Accepted by the SMS gateway.",
    "Delivered": "Delivered to the recipient.",
    "Failed": "The notification could not be delivered.",
    "Failed_RecipientReserved": "The recipient is reserved against digital contact.",
    "Failed_RecipientNotIdentified": "No contact information was found for the recipient.",
    "Failed_InvalidEmailFormat": "The e-mail address is not valid.",
    "Failed_SupressedRecipient": "The e-mail provider does not send to this address.",
    "Failed_TransientError": "The e-mail provider failed for the time being.",
    "Failed_Bounced": "The e-mail was returned by the recipient's mail server.",
    "Failed_FilteredSpam": "The e-mail was taken for spam.",
    "Failed_Quarantined": "The e-mail was put in quarantine.",
    "Failed_InvalidSasUrl": "An attachment could not be fetched.",
    "Failed_PayloadTooLarge": "The e-mail is larger than the provider takes.",
    "Failed_InvalidRecipient": "The mobile number is not valid.",
    "Failed_BarredReceiver": "The number is barred for this kind of SMS.",
    "Failed_Deleted": "The SMS was deleted before it was delivered.",
    "Failed_Expired": "The SMS was not delivered within its life.",
    "Failed_Undelivered": "The SMS could not be delivered.",
    "Failed_Rejected": "The SMS was rejected.",
}


def _status(row: Any) -> SendStatus:
    word = v1(row["status"])
    return SendStatus(word, DESCRIPTIONS.get(word, DESCRIPTIONS["Failed"]), wire_time(row["status_at"]))


def _identifiers(row: Any) -> dict[str, str | None]:
    kind, identifier = row["recipient_kind"], row["recipient"]
    return {
        "national_identity_number": identifier if kind == "person" else None,
        "organization_number": identifier if kind == "organization" else None,
    }


def emails(order: Any, rows: list[Any]) -> EmailResults:
    shown = [
        EmailResult(
            str(row["id"]),
            row["status"] in EMAIL_SUCCESS,
            EmailResultRecipient(email_address=as_written(row["address"]), **_identifiers(row)),
            _status(row),
        )
        for row in rows
    ]
    return EmailResults(
        order_id=str(order["id"]),
        senders_reference=as_written(order["senders_reference"]),
        generated=len(shown),
        succeeded=sum(one.succeeded for one in shown),
        notifications=shown,
    )


def sms(order: Any, rows: list[Any]) -> SmsResults:
    shown = [
        SmsResult(
            str(row["id"]),
            row["status"] in SMS_SUCCESS,
            SmsResultRecipient(mobile_number=as_written(row["address"]), **_identifiers(row)),
            _status(row),
        )
        for row in rows
    ]
    return SmsResults(
        order_id=str(order["id"]),
        senders_reference=as_written(order["senders_reference"]),
        generated=len(shown),
        succeeded=sum(one.succeeded for one in shown),
        notifications=shown,
    )


async def results(database: Database, order_id: UUID, creator: str, channel: str) -> bytes | None:
    """The answer for channel `Email` or `Sms`; None when the creator has no such order."""
    async with database.connection() as connection:
        order = await connection.fetchrow(_sql.order_line, order_id, creator)
        if order is None:
            return None
        rows = await connection.fetch(_sql.results, order_id, channel)
    shape = emails if channel == "Email" else sms
    octets = len(order["senders_reference"] or b"") + sum(_LINE + len(row["address"]) for row in rows)
    if octets < LARGE:
        return pretty(shape(order, rows))
    return await asyncio.to_thread(lambda: pretty_in_slices(shape(order, rows)))
