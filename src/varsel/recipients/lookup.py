"""Asking the registers about the recipients of orders (docs/reference/delivery.md 3.5, 3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from varsel.recipients.registers import RESOURCE_PREFIX, Registers
from varsel.recipients.resolve import Address, Known, addresses, identifier_of, reach_of, usable
from varsel.store.content import Recipient

#: Recipients worked on in one go; an order may have hundreds of thousands.
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Right:
    """The resource and action that decide which users of an organization may be reached."""

    resource: str  # without the URN prefix
    action: str

    @classmethod
    def of(cls, resource_id: str | None, resource_action: str | None) -> Right | None:
        """From an order; None when it names no resource."""
        resource = (resource_id or "").strip().removeprefix(RESOURCE_PREFIX)
        return cls(resource, resource_action or "read") if resource else None


@dataclass(slots=True)
class Reachability:
    """What the registers say when an order is placed; identifiers in the order of the recipients, each once."""

    asked: int = 0  # recipients that needed a register
    reserved: list[str] = field(default_factory=list, repr=False)
    missing: list[str] = field(default_factory=list, repr=False)
    failed: int = 0  # recipients that are reserved or missing


async def look_up(
    registers: Registers,
    recipients: Sequence[Recipient],
    *,
    use_stale: bool,
    right: Right | None,
    authorized: bool,
) -> Known:
    """What is known of these recipients. Without `authorized` users count before anybody asked whether they may read.

    Raises RegisterUnavailable.
    """
    persons: list[str] = []
    organizations: list[str] = []
    identities: list[str] = []
    lists = {"person": persons, "organization": organizations, "identity": identities}
    for recipient in recipients:
        kind, identifier = identifier_of(recipient)
        if identifier is not None:
            lists[kind].append(identifier)
    known = Known(
        persons=await registers.persons(list(dict.fromkeys(persons)), use_stale=use_stale) if persons else {},
        organizations=await registers.organizations(list(dict.fromkeys(organizations)))
        if organizations
        else {},
        identities=await registers.identities(list(dict.fromkeys(identities))) if identities else {},
    )
    if organizations and right is not None:
        users = await registers.organization_users(list(dict.fromkeys(organizations)), right.resource)
        if authorized and users:
            pairs = {(user.user, user.party) for found in users.values() for user in found}
            allowed = await registers.authorize(pairs, right.resource, right.action)
            users = {
                number: [user for user in found if (user.user, user.party) in allowed]
                for number, found in users.items()
            }
        known.users.update(users)
    return known


async def _pieces(recipients: Sequence[Recipient]) -> AsyncIterator[Sequence[Recipient]]:
    for start in range(0, len(recipients), _AT_ONCE):
        if start:
            # There may be nobody to ask, and nothing else that lets the event loop go on.
            await asyncio.sleep(0)
        yield recipients[start : start + _AT_ONCE]


async def reachability(
    registers: Registers,
    channel: str,
    recipients: Sequence[Recipient],
    *,
    use_stale: bool,
    right: Right | None,
) -> Reachability:
    """Who of the recipients cannot be reached now; asked when an order is placed, thrown away after. Raises RegisterUnavailable.

    Reservation counts whatever the order says about it, and a reserved person is not missing.
    """
    found = Reachability()
    reserved: dict[str, None] = {}
    missing: dict[str, None] = {}
    async for some in _pieces(recipients):
        piece = [recipient for recipient in some if identifier_of(recipient)[1] is not None]
        found.asked += len(piece)
        known = await look_up(registers, piece, use_stale=use_stale, right=right, authorized=False)
        for recipient in piece:
            reach = reach_of(recipient, known)
            assert reach.identifier is not None
            if reach.reserved:
                reserved[reach.identifier] = None
            elif not usable(channel, reach):
                missing[reach.identifier] = None
            else:
                continue
            found.failed += 1
    found.reserved, found.missing = list(reserved), list(missing)
    return found


async def addresses_of(
    registers: Registers,
    channel: str,
    recipients: Sequence[Recipient],
    *,
    use_stale: bool,
    right: Right | None,
    ignore_reservation: bool,
) -> list[Address]:
    """The messages of an order that is being processed. Raises RegisterUnavailable."""
    if channel not in ("Email", "Sms"):
        # The other schemes reach each identity once over the whole order, whatever the pieces are.
        once = {identifier_of(recipient)[1] or index: recipient for index, recipient in enumerate(recipients)}
        recipients = list(once.values())
    found: list[Address] = []
    async for piece in _pieces(recipients):
        known = await look_up(registers, piece, use_stale=use_stale, right=right, authorized=True)
        found += addresses(channel, piece, known, ignore_reservation=ignore_reservation)
    return found


async def names_of(registers: Registers, recipients: Sequence[Recipient]) -> dict[str, str]:
    """Registered names of the persons and organizations among the recipients. Raises RegisterUnavailable."""
    names: dict[str, str] = {}
    async for piece in _pieces(recipients):
        persons = list(dict.fromkeys(recipient.person for recipient in piece if recipient.person is not None))
        organizations = list(
            dict.fromkeys(recipient.organization for recipient in piece if recipient.organization is not None)
        )
        if persons or organizations:
            names |= await registers.names(persons, organizations)
    return names
