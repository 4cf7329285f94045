"""From recipients and what registers answered to addresses (docs/reference/delivery.md 3.3 to 3.8). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from varsel.recipients.addresses import blank, register_number
from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.runtime.phones import full_number
from varsel.store.content import Recipient
from varsel.store.states import NOT_IDENTIFIED, RESERVED

Kind: TypeAlias = Literal["Email", "Sms"]
RecipientKind: TypeAlias = Literal["direct", "person", "organization", "identity"]


@dataclass(frozen=True, slots=True)
class Known:
    """What the registers answered about a set of recipients. `users` are those that may be reached (authorized, when asked)."""

    persons: dict[str, PersonContact] = field(default_factory=dict)
    organizations: dict[str, OrganizationContact] = field(default_factory=dict)
    users: dict[str, list[UserContact]] = field(default_factory=dict)
    identities: dict[str, IdentityContact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Address:
    """One message to make. Without an address `status` says why: reserved, or nothing known."""

    channel: Kind
    recipient_kind: RecipientKind
    recipient: str | None = field(default=None, repr=False)
    address: str = field(default="", repr=False)
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds addresses of one recipient: the recipient itself (or its official list), or one user of it."""

    emails: tuple[str, ...] = field(default=(), repr=False)
    mobiles: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """How one recipient can be reached on any channel."""

    kind: RecipientKind
    identifier: str | None = field(repr=False)
    holders: tuple[Holder, ...]
    reserved: bool = False

    @property
    def has_email(self) -> bool:
        return any(holder.emails for holder in self.holders)

    @property
    def has_mobile(self) -> bool:
        return any(holder.mobiles for holder in self.holders)


def identifier_of(recipient: Recipient) -> tuple[RecipientKind, str | None]:
    """What a recipient is looked up by: person, organization, external identity, in that order; None for direct addresses."""
    if recipient.person is not None:
        return "person", recipient.person
    if recipient.organization is not None:
        return "organization", recipient.organization
    if recipient.identity is not None:
        return "identity", recipient.identity
    return "direct", None


def reach_of(recipient: Recipient, known: Known) -> Reach:
    """The addresses of one recipient: normalised, without repeats, invalid numbers dropped. Direct ones are as ordered."""
    kind, identifier = identifier_of(recipient)
    if identifier is None:
        emails = (recipient.email,) if recipient.email else ()
        return Reach(kind, None, (Holder(emails, (recipient.mobile,) if recipient.mobile else ()),))
    if kind == "organization":
        official = known.organizations.get(identifier, OrganizationContact())
        return Reach(kind, identifier, _organization(official, known.users.get(identifier, ())))
    if kind == "person":
        person = known.persons.get(identifier, PersonContact())
        return Reach(kind, identifier, (_own(person.email, person.mobile),), person.reserved)
    somebody = known.identities.get(identifier, IdentityContact())
    return Reach(kind, identifier, (_own(somebody.email, somebody.mobile),))


def _own(email: str | None, mobile: str | None) -> Holder:
    number = register_number(mobile)
    return Holder((email,) if email is not None and not blank(email) else (), (number,) if number else ())


def _organization(official: OrganizationContact, users: Sequence[UserContact]) -> tuple[Holder, ...]:
    # Apart, because an e-mail address may look like a number: `+4799999999@example.org`.
    seen_emails: set[str] = set()
    seen_numbers: set[str] = set()

    def emails(addresses: Iterable[str | None]) -> tuple[str, ...]:
        return _fresh(addresses, _one_email, seen_emails)

    def mobiles(numbers: Iterable[str | None]) -> tuple[str, ...]:
        return _fresh(map(register_number, numbers), _one_number, seen_numbers)

    holders = [Holder(emails(official.emails), mobiles(official.mobiles))]
    for user in users:
        holder = Holder(emails((user.email,)), mobiles((user.mobile,)))
        if holder.emails or holder.mobiles:
            holders.append(holder)
    return tuple(holders)


def _fresh(addresses: Iterable[str | None], form: Callable[[str], str], seen: set[str]) -> tuple[str, ...]:
    """Those whose form was not seen before, as they are written."""
    found = []
    for address in addresses:
        if address is None or blank(address):
            continue
        key = form(address)
        if key not in seen:
            seen.add(key)
            found.append(address)
    return tuple(found)


def _one_email(address: str) -> str:
    return address.strip().casefold()


def _one_number(number: str) -> str:
    """A number is the same however it is written: what the gateway would get tells."""
    return full_number(number) or number


_PREFERRED: Final[dict[str, Kind]] = {"EmailPreferred": "Email", "SmsPreferred": "Sms"}


def addresses(
    channel: str, recipients: Iterable[Recipient], known: Known, *, ignore_reservation: bool
) -> list[Address]:
    """The messages of an order, at least one for each recipient and channel that it would use.

    `Email` and `Sms` send to a person listed twice twice; the other schemes reach each identity once.
    """
    found: list[Address] = []
    done: set[str] = set()
    for recipient in recipients:
        reach = reach_of(recipient, known)
        if channel not in ("Email", "Sms") and reach.identifier is not None:
            if reach.identifier in done:
                continue
            done.add(reach.identifier)
        for kind, chosen in _chosen(channel, reach):
            if reach.reserved and not ignore_reservation:
                found.append(Address(kind, reach.kind, reach.identifier, status=RESERVED))
            elif chosen:
                found += [Address(kind, reach.kind, reach.identifier, address) for address in chosen]
            else:
                found.append(Address(kind, reach.kind, reach.identifier, status=NOT_IDENTIFIED))
    return found


def _chosen(channel: str, reach: Reach) -> list[tuple[Kind, list[str]]]:
    """Which addresses a scheme takes, by channel; an empty list stands for a channel that is used and has no address."""
    emails = [address for holder in reach.holders for address in holder.emails]
    mobiles = [number for holder in reach.holders for number in holder.mobiles]
    if channel == "Email":
        return [("Email", emails)]
    if channel == "Sms":
        return [("Sms", mobiles)]
    if channel == "EmailAndSms":
        return [("Email", emails), ("Sms", mobiles)]
    preferred = _PREFERRED[channel]
    if preferred == "Email":
        fallen = [number for holder in reach.holders if not holder.emails for number in holder.mobiles]
        other: Kind = "Sms"
        wanted = emails
    else:
        fallen = [address for holder in reach.holders if not holder.mobiles for address in holder.emails]
        other = "Email"
        wanted = mobiles
    if not fallen:
        return [(preferred, wanted)]
    return [(preferred, wanted), (other, fallen)] if wanted else [(other, fallen)]


def usable(channel: str, reach: Reach) -> bool:
    """Whether a scheme finds an address; of the schemes over both channels one kind of address is enough."""
    if channel == "Email":
        return reach.has_email
    if channel == "Sms":
        return reach.has_mobile
    return reach.has_email or reach.has_mobile
