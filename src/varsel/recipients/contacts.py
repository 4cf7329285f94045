"""The built-in contact register, filled from a file of JSON lines.

    {"person": "05887899891", "name": "Kari", "email": "kari@example.org", "mobile": "+4799999999"}
    {"organization": "312000000", "emails": ["post@example.org"], "users": [{"person": "05887899891", "mobile": "+4799999999"}]}
    {"identity": "urn:altinn:person:idporten-email:ola@example.org", "email": "ola@example.org", "stale": true}

A line replaces what was known of its person, organization or identity. A file counts as a whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from varsel.runtime.errors import OperatorError
from varsel.store import queries
from varsel.store.database import Database

_sql = queries.load("varsel.recipients")

_PERSON: Final = re.compile(r"[0-9]{11}")
_ORGANIZATION: Final = re.compile(r"[0-9]{9}")
_URN: Final = re.compile(r"urn:altinn:\S+:\S.*")
#: So many wrong lines are named; a file of another kind is wrong in all of them.
_NAMED: Final = 5


class ContactsError(OperatorError):
    """The file of contacts cannot be read."""


class Person(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A person by national identity number; synthetic ones (month + 80) too."""

    person: str
    name: str | None = None
    email: str | None = None
    mobile: str | None = None
    reserved: bool = False
    stale: bool = False


class User(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Somebody who represents an organization; `resources` None: authorized for every resource."""

    person: str
    email: str | None = None
    mobile: str | None = None
    resources: tuple[str, ...] | None = None


class Organization(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    organization: str
    name: str | None = None
    emails: tuple[str, ...] = ()
    mobiles: tuple[str, ...] = ()
    users: tuple[User, ...] = ()


class Identity(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Somebody known by a URN, as self-registered users are; letter case does not matter."""

    identity: str
    name: str | None = None
    email: str | None = None
    mobile: str | None = None
    reserved: bool = False
    stale: bool = False


@dataclass(slots=True)
class Contacts:
    """What a file holds; of several lines about one the last counts."""

    persons: dict[str, Person] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.persons) + len(self.organizations) + len(self.identities)


def read(lines: Iterable[bytes]) -> Contacts:
    """Contacts of JSON lines; ContactsError names the wrong ones. Empty lines count as nothing."""
    contacts = Contacts()
    wrong: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not text:
            continue
        try:
            _add(contacts, msgspec.json.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            wrong.append(f"line {number}: {_reason(error)}")
    if wrong:
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ContactsError("Nothing was imported: " + "; ".join(wrong[:_NAMED]) + more + ".")
    return contacts


def _reason(error: Exception) -> str:
    # Never the value itself: it may be somebody's.
    return str(error).rstrip(".") if not isinstance(error, UnicodeDecodeError) else "it is not UTF-8"


def _add(contacts: Contacts, line: Any) -> None:
    if not isinstance(line, dict):
        raise msgspec.ValidationError("it is not a JSON object")
    kinds = [key for key in ("person", "organization", "identity") if key in line]
    if len(kinds) != 1:
        raise ValueError("it needs exactly one of person, organization, identity")
    match kinds[0]:
        case "person":
            person = msgspec.convert(line, Person)
            _check(person.person, _PERSON, "person must have 11 digits")
            contacts.persons[person.person] = person
        case "organization":
            organization = msgspec.convert(line, Organization)
            _check(organization.organization, _ORGANIZATION, "organization must have 9 digits")
            for user in organization.users:
                _check(user.person, _PERSON, "person of each of users must have 11 digits")
            contacts.organizations[organization.organization] = organization
        case _:
            identity = msgspec.convert(line, Identity)
            _check(identity.identity, _URN, "identity must be a URN that begins with urn:altinn:")
            contacts.identities[identity.identity.lower()] = identity


def _check(value: str, form: re.Pattern[str], sentence: str) -> None:
    if not form.fullmatch(value):
        raise ValueError(sentence)


async def store(database: Database, contacts: Contacts) -> None:
    """Put the contacts in force, all in one transaction."""
    persons = [
        (each.person, each.name, each.email, each.mobile, each.reserved, each.stale)
        for each in contacts.persons.values()
    ]
    identities = [
        (urn, each.name, each.email, each.mobile, each.reserved, each.stale)
        for urn, each in contacts.identities.items()
    ]
    organizations = [
        (each.organization, each.name, list(each.emails), list(each.mobiles))
        for each in contacts.organizations.values()
    ]
    users = [
        (
            each.organization,
            position,
            user.person,
            user.email,
            user.mobile,
            None if user.resources is None else list(user.resources),
        )
        for each in contacts.organizations.values()
        for position, user in enumerate(each.users)
    ]
    async with database.transaction() as connection:
        await connection.executemany(_sql.store_contact_person, persons)
        await connection.executemany(_sql.store_contact_identity, identities)
        await connection.executemany(_sql.store_contact_organization, organizations)
        await connection.execute(_sql.forget_contact_users, list(contacts.organizations))
        await connection.executemany(_sql.store_contact_user, users)
