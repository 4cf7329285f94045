"""From recipients to addresses: docs/reference/delivery.md 3.3 to 3.8."""

from __future__ import annotations

from typing import Any

import pytest

from varsel.recipients.lookup import Right, addresses_of, names_of, reachability
from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.recipients.resolve import Known, addresses
from varsel.store.content import Recipient
from varsel.store.states import NOT_IDENTIFIED, RESERVED

BOTH, MAIL, NUMBER, NONE, SHY = (Recipient(person=f"{number:011}") for number in range(1, 6))
ORG, EMPTY, USERS, OFFICIAL, LETTERS = (Recipient(organization=f"{number:09}") for number in range(1, 6))
NAMED = Recipient(identity="urn:altinn:username:Kari")

KNOWN = Known(
    persons={
        "00000000001": PersonContact("both@example.org", "99999999"),
        "00000000002": PersonContact("mail@example.org", "12345"),
        "00000000003": PersonContact("  ", "004740000001"),
        "00000000005": PersonContact("shy@example.org", "99999998", reserved=True),
    },
    organizations={
        "000000001": OrganizationContact(("post@example.org", "POST@example.org", " "), ("99999997", "+47 99 99 99 97", "1")),
        "000000004": OrganizationContact(("official@example.org",), ("99999994",)),
        "000000005": OrganizationContact(("letters@example.org",), ()),
    },
    users={
        "000000001": [
            UserContact("1", "p", "Post@example.org", "99999996"),
            UserContact("2", "p", "two@example.org", "+47 999 99 996"),
            UserContact("3", "p", "POST@EXAMPLE.ORG", "99999997"),
            UserContact("4", "p", None, "not a number"),
        ],
        "000000003": [UserContact("1", "p", "user@example.org", None), UserContact("2", "p", None, "99999995")],
    },
    identities={"urn:altinn:username:Kari": IdentityContact("kari@example.org", None)},
)  # fmt: skip


def made(channel: str, *recipients: Recipient, ignore: bool = False) -> list[tuple[str, str]]:
    found = addresses(channel, recipients, KNOWN, ignore_reservation=ignore)
    return [(each.channel, each.address or str(each.status)) for each in found]


E, S = "Email", "Sms"


@pytest.mark.parametrize(
    ("channel", "recipient", "rows"),
    [
        ("Email", BOTH, [(E, "both@example.org")]),
        ("Sms", BOTH, [(S, "+4799999999")]),
        ("Sms", MAIL, [(S, NOT_IDENTIFIED)]),
        ("Email", NUMBER, [(E, NOT_IDENTIFIED)]),
        ("Email", NONE, [(E, NOT_IDENTIFIED)]),
        ("Email", SHY, [(E, RESERVED)]),
        ("EmailPreferred", BOTH, [(E, "both@example.org")]),
        ("SmsPreferred", BOTH, [(S, "+4799999999")]),
        ("EmailPreferred", NUMBER, [(S, "+4740000001")]),
        ("SmsPreferred", MAIL, [(E, "mail@example.org")]),
        ("EmailPreferred", NONE, [(E, NOT_IDENTIFIED)]),
        ("SmsPreferred", NONE, [(S, NOT_IDENTIFIED)]),
        ("SmsPreferred", SHY, [(S, RESERVED)]),
        ("EmailAndSms", BOTH, [(E, "both@example.org"), (S, "+4799999999")]),
        ("EmailAndSms", MAIL, [(E, "mail@example.org"), (S, NOT_IDENTIFIED)]),
        ("EmailAndSms", NONE, [(E, NOT_IDENTIFIED), (S, NOT_IDENTIFIED)]),
        ("EmailAndSms", SHY, [(E, RESERVED), (S, RESERVED)]),
        ("Email", ORG, [(E, "post@example.org"), (E, "two@example.org")]),
        ("Sms", ORG, [(S, "+4799999997"), (S, "+4799999996")]),
        ("EmailPreferred", ORG, [(E, "post@example.org"), (E, "two@example.org"), (S, "+4799999996")]),
        ("SmsPreferred", ORG, [(S, "+4799999997"), (S, "+4799999996"), (E, "two@example.org")]),
        ("EmailAndSms", ORG, [(E, "post@example.org"), (E, "two@example.org"), (S, "+4799999997"), (S, "+4799999996")]),
        ("Email", EMPTY, [(E, NOT_IDENTIFIED)]),
        ("EmailPreferred", USERS, [(E, "user@example.org"), (S, "+4799999995")]),
        ("SmsPreferred", USERS, [(S, "+4799999995"), (E, "user@example.org")]),
        ("EmailAndSms", USERS, [(E, "user@example.org"), (S, "+4799999995")]),
        ("EmailPreferred", OFFICIAL, [(E, "official@example.org")]),
        ("SmsPreferred", OFFICIAL, [(S, "+4799999994")]),
        ("EmailAndSms", OFFICIAL, [(E, "official@example.org"), (S, "+4799999994")]),
        ("SmsPreferred", LETTERS, [(E, "letters@example.org")]),
        ("EmailAndSms", LETTERS, [(E, "letters@example.org"), (S, NOT_IDENTIFIED)]),
        ("EmailPreferred", EMPTY, [(E, NOT_IDENTIFIED)]),
        ("SmsPreferred", EMPTY, [(S, NOT_IDENTIFIED)]),
        ("EmailAndSms", EMPTY, [(E, NOT_IDENTIFIED), (S, NOT_IDENTIFIED)]),
        ("SmsPreferred", NAMED, [(E, "kari@example.org")]),
        ("Email", Recipient(email=" as@sent.org "), [(E, " as@sent.org ")]),
        ("Sms", Recipient(mobile="0047 99999999"), [(S, "0047 99999999")]),
        ("EmailPreferred", Recipient(email="a@b.no", mobile="+4799999999"), [(E, "a@b.no")]),
    ],
)  # fmt: skip
def test_schemes(channel: str, recipient: Recipient, rows: list[tuple[str, str]]) -> None:
    assert made(channel, recipient) == rows


def test_addresses_of_an_organization_are_told_apart_by_channel_and_by_what_they_mean() -> None:
    """E-mail addresses that begin like numbers are not numbers; a number is one however it is written (3.3, 3.5)."""
    official = OrganizationContact(
        ("+a@x.no", "+b@x.no", "+A@x.no ", "+4799999999@sms.no"),
        ("+4799999999", "+46 (0)70 123 45 67", "+46701234567", "0047 99 99 99 99"),
    )
    users = [
        UserContact("1", "p", "+B@X.no", "004670\u20111234567"),
        UserContact("2", "p", "+c@x.no", "99999998"),
    ]
    known = Known(organizations={"000000001": official}, users={"000000001": users})
    found = addresses("EmailAndSms", (ORG,), known, ignore_reservation=False)
    assert [(each.channel, each.address) for each in found] == [
        (E, "+a@x.no"),
        (E, "+b@x.no"),
        (E, "+4799999999@sms.no"),
        (E, "+c@x.no"),
        (S, "+4799999999"),
        (S, "+46 (0)70 123 45 67"),
        (S, "+4799999998"),
    ]


def test_reservation_gives_way_to_the_order() -> None:
    assert made("EmailPreferred", SHY, ignore=True) == [(E, "shy@example.org")]


def test_a_person_listed_twice() -> None:
    assert len(made("Email", BOTH, BOTH)) == 2
    assert len(made("EmailPreferred", BOTH, MAIL, BOTH)) == 2
    assert len(made("EmailAndSms", BOTH, BOTH)) == 2


class Asked:
    """Answers from KNOWN and notes the questions."""

    def __init__(self, allowed: set[tuple[str, str]] | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.allowed = allowed

    async def persons(self, nins: Any, *, use_stale: bool) -> Any:
        self.calls.append(("persons", tuple(nins), use_stale))
        return {nin: KNOWN.persons[nin] for nin in nins if nin in KNOWN.persons}

    async def organizations(self, numbers: Any) -> Any:
        self.calls.append(("organizations", tuple(numbers)))
        return {number: KNOWN.organizations[number] for number in numbers if number in KNOWN.organizations}

    async def organization_users(self, numbers: Any, resource: str) -> Any:
        self.calls.append(("users", tuple(numbers), resource))
        return {number: KNOWN.users[number] for number in numbers if number in KNOWN.users}

    async def authorize(self, pairs: Any, resource: str, action: str) -> Any:
        self.calls.append(("authorize", set(pairs), resource, action))
        return set(pairs) if self.allowed is None else self.allowed

    async def identities(self, urns: Any) -> Any:
        self.calls.append(("identities", tuple(urns)))
        return {urn: KNOWN.identities[urn] for urn in urns if urn in KNOWN.identities}

    async def names(self, persons: Any, organizations: Any) -> Any:
        self.calls.append(("names", tuple(persons), tuple(organizations)))
        return dict.fromkeys([*persons, *organizations], "Kari")


async def test_registration_never_asks_for_authorization() -> None:
    registers = Asked()
    right = Right.of("urn:altinn:resource:thing", None)
    found = await reachability(
        registers, "Email", [USERS, SHY, NONE, NONE, BOTH], use_stale=True, right=right
    )
    assert (found.asked, found.failed, found.reserved, found.missing) == (
        5,
        3,
        ["00000000005"],
        ["00000000004"],
    )
    assert ("persons", ("00000000005", "00000000004", "00000000001"), True) in registers.calls
    assert not any(call[0] == "authorize" for call in registers.calls)


async def test_direct_addresses_ask_nothing() -> None:
    registers = Asked()
    found = await reachability(registers, "Email", [Recipient(email="a@b.no")], use_stale=False, right=None)
    assert (found.asked, registers.calls) == (0, [])


async def test_processing_reaches_authorized_users_only() -> None:
    registers = Asked(allowed={("1", "p")})
    right = Right.of("urn:altinn:resource:thing", "sign")
    found = await addresses_of(
        registers, "EmailPreferred", [USERS], use_stale=False, right=right, ignore_reservation=False
    )
    assert [each.address for each in found] == ["user@example.org"]
    assert ("authorize", {("1", "p"), ("2", "p")}, "thing", "sign") in registers.calls
    assert ("users", ("000000003",), "thing") in registers.calls


async def test_without_a_resource_nobody_asks_for_users() -> None:
    registers = Asked()
    found = await addresses_of(
        registers, "Email", [USERS], use_stale=False, right=Right.of(" ", None), ignore_reservation=False
    )
    assert [each.status for each in found] == [NOT_IDENTIFIED]
    assert [call[0] for call in registers.calls] == ["organizations"]


async def test_thousands_are_asked_in_pieces() -> None:
    registers = Asked()
    many = [Recipient(person=f"{number:011}") for number in range(2500)]
    found = await addresses_of(
        registers, "Email", many, use_stale=False, right=None, ignore_reservation=False
    )
    assert len(found) == 2500
    assert [len(call[1]) for call in registers.calls] == [1000, 1000, 500]


async def test_names() -> None:
    registers = Asked()
    names = await names_of(registers, [BOTH, BOTH, ORG, NAMED, Recipient(email="a@b.no")])
    assert names == {"00000000001": "Kari", "000000001": "Kari"}
    assert registers.calls == [("names", ("00000000001",), ("000000001",))]


@pytest.mark.parametrize(
    ("sent", "right"),
    [
        (None, None),
        ("", None),
        ("urn:altinn:resource:", None),
        ("urn:altinn:resource:x", Right("x", "read")),
        (" free ", Right("free", "read")),
    ],
)
def test_rights(sent: str | None, right: Right | None) -> None:
    assert Right.of(sent, None) == right
