"""The notification log of a dialog: for the creator its own lines, for a person what concerns that person.

Who sees what is decided line by line: a message to the person's own national number or identity; a message to an organization for
which the register authorizes the person on the order's resource; a message to a plain address only when that address is the
person's current one and nobody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from varsel.recipients.registers import RESOURCE_PREFIX
from varsel.review.query import parameters
from varsel.review.search import Digest
from varsel.review.wire import LogEntry
from varsel.runtime.errors import ValidationProblem
from varsel.runtime.routing import parse_uuid
from varsel.runtime.times import wire_time
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.long_texts import LARGE, as_written, laid_out
from varsel.store.states import lifecycle

_sql = queries.load("varsel.review")
_NOT_DIGITS = re.compile(r"\D")

#: Octets of a line beside its texts, about.
_LINE: Final = 350

#: Claim of a person's token -> prefix of the URN under which an order may have named the same person.
IDENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "urn:altinn:username": (
        "urn:altinn:username:",
        "urn:altinn:party:username:",
        "urn:altinn:person:legacy-selfidentified:",
    ),
    "email": ("urn:altinn:person:idporten-email:",),
}


class Authorizations(Protocol):
    """Who may act for whom (`varsel.recipients.registers.Registers`)."""

    async def authorize(
        self, pairs: Iterable[tuple[str, str]], resource: str, action: str
    ) -> set[tuple[str, str]]:
        """Those of the pairs of national number and organization number that are authorized; `resource` without URN prefix."""
        ...


def dialog(query: bytes, *, or_transmission: bool) -> tuple[UUID | None, str, str | None]:
    """Read `dialogId` and `transmissionId`: the dialog, as it was written, and the transmission.

    ValidationProblem with key `dialogId` when it is missing or no UUID; a creator may name the transmission alone.
    """
    given = parameters(query)
    written = given.get("dialogid", "").strip()
    # PostgreSQL keeps no NUL: nobody has such a transmission.
    transmission = given.get("transmissionid", "").strip().replace("\0", "\ufffd") or None
    if not written:
        if or_transmission and transmission is not None:
            return None, "", transmission
        what = "dialogId or transmissionId is required." if or_transmission else "dialogId is required."
        raise ValidationProblem({"dialogId": [what]})
    found = parse_uuid(written)
    if found is None:
        raise ValidationProblem({"dialogId": ["Must be a UUID."]})
    return found, written, transmission


def spellings(found: UUID, written: str) -> list[str]:
    """How an order may have written the dialog: ids are kept as they were given."""
    return sorted({written, str(found), str(found).upper(), found.hex})


def entry(row: Any) -> LogEntry:
    return LogEntry(
        notification_id=str(row["notification_id"]),
        dialog_id=as_written(row["dialog_id"]),
        transmission_id=as_written(row["transmission_id"]),
        type=row["kind"],
        channel=row["channel"],
        destination=as_written(row["destination"]),
        status=lifecycle(row["channel"], row["status"]),
        requested_send_time=wire_time(row["requested_at"]),
        last_update_time=wire_time(row["updated_at"]),
    )


async def _shown(rows: Sequence[Any]) -> bytes:
    octets = sum(
        _LINE + len(row["destination"]) + len(row["dialog_id"] or b"") + len(row["transmission_id"] or b"")
        for row in rows
    )
    return await laid_out([entry(row) for row in rows], octets)


def identities_of(claims: Mapping[str, Any]) -> set[str]:
    """The URNs, in lower case, under which the bearer of these claims may have been ordered to."""
    return {
        prefix + str(claims[claim]).lower()
        for claim, prefixes in IDENTITIES.items()
        if isinstance(claims.get(claim), str) and claims[claim].strip()
        for prefix in prefixes
    }


class LogReader:
    """Reads the log. `builtin` says that the built-in register knows the people's addresses; with another one nobody can tell whose
    an address is, and messages to plain addresses stay hidden from persons.
    """

    def __init__(
        self, database: Database, digest: Digest, registers: Authorizations, *, builtin: bool
    ) -> None:
        self._database = database
        self._digest = digest
        self._registers = registers
        self._builtin = builtin

    async def of_creator(
        self, creator: str, found: UUID | None, written: str, transmission: str | None
    ) -> bytes:
        """The creator's own lines, as the array that is served."""
        if found is None:
            rows = await self._database.fetch(_sql.log_of_creator_by_transmission, creator, transmission)
        else:
            rows = await self._database.fetch(
                _sql.log_of_creator, creator, spellings(found, written), transmission
            )
        return await _shown(rows)

    async def of_person(
        self, pid: str, claims: Mapping[str, Any], found: UUID, written: str, transmission: str | None
    ) -> bytes:
        """The lines that concern this person, likewise. RegisterUnavailable when authorization cannot be asked."""
        rows = await self._database.fetch(_sql.log_of_dialog, spellings(found, written), transmission, LARGE)
        own = self._digest.mac("recipient", pid.encode())
        identities = identities_of(claims)
        granted = await self._granted(pid, rows)
        addresses = await self._addresses(pid, rows)

        def concerns(row: Any) -> bool:
            match row["recipient_kind"]:
                case "person":
                    return bool(row["recipient_key"] == own)
                case "identity":
                    return (row["recipient"] or "").lower() in identities
                case "organization":
                    return (row["recipient"], row["resource_id"], row["action"]) in granted
                case _:
                    return plain(row["channel"], row["address"] or "") in addresses

        return await _shown([row for row in rows if concerns(row)])

    async def _granted(self, pid: str, rows: Sequence[Any]) -> set[tuple[str, str, str]]:
        """(organization, resource, action) of those rows for which the person is authorized. No resource: nothing to ask about."""
        asked: dict[tuple[str, str], set[str]] = {}
        for row in rows:
            if row["recipient_kind"] == "organization" and row["recipient"] and row["resource_id"]:
                asked.setdefault((row["resource_id"], row["action"]), set()).add(row["recipient"])
        granted = set()
        for (resource, action), organizations in asked.items():
            allowed = await self._registers.authorize(
                [(pid, number) for number in sorted(organizations)],
                resource.removeprefix(RESOURCE_PREFIX),
                action,
            )
            granted |= {(number, resource, action) for _, number in allowed}
        return granted

    async def _addresses(self, pid: str, rows: Sequence[Any]) -> set[tuple[str, str]]:
        if not self._builtin or all(row["recipient_kind"] != "direct" for row in rows):
            return set()
        row = await self._database.fetchrow(_sql.own_addresses, pid)
        if row is None:
            return set()
        found = {("Email", row["email"]), ("Sms", row["mobile"])}
        return {(channel, address) for channel, address in found if address}


def plain(channel: str, destination: str) -> tuple[str, str]:
    """An address in the form in which `own_addresses` gives them: lower case, or all digits with country code."""
    if channel == "Email":
        return channel, destination.strip().lower()
    digits = _NOT_DIGITS.sub("", destination).removeprefix("00")
    return channel, "47" + digits if len(digits) == 8 and digits[0] in "49" else digits
