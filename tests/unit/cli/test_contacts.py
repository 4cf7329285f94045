"""Contacts in JSON lines (varsel.recipients.contacts)."""

from __future__ import annotations

import json

import pytest

from varsel.recipients import contacts
from varsel.recipients.contacts import ContactsError
from varsel.store.database import Database

PERSON = "17849012320"  # month + 80: belongs to nobody


def lines(*entries: object) -> list[bytes]:
    return [json.dumps(entry).encode() for entry in entries]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"person": PERSON, "mail": "x"}, "mail"),
        ({"person": PERSON, "emails": ["x"]}, "emails"),
        ({"identity": "urn:altinn:username:kari", "users": []}, "users"),
        ({"organization": "312718286", "reserved": True}, "reserved"),
        ({"organization": "312718286", "users": [{"person": PERSON, "phone": "1"}]}, "phone"),
        ({"person": PERSON, "organization": "312718286"}, "exactly one"),
        ({"email": "x"}, "exactly one"),
        ({"person": "1784901232"}, "11 digits"),
        ({"organization": "31271828"}, "9 digits"),
        ({"identity": "kari"}, "urn:altinn:"),
        ({"person": PERSON, "reserved": "yes"}, "reserved"),
        ([], "object"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_counts(entry, reason):
    with pytest.raises(ContactsError) as refusal:
        contacts.read([*lines({"person": PERSON}), b"", *lines(entry)])
    assert "line 3" in str(refusal.value)
    assert reason in str(refusal.value)
    assert PERSON not in str(refusal.value)


def test_broken_text_is_named():
    with pytest.raises(ContactsError, match=r"line 1: .*line 2: "):
        contacts.read([b"{", b'{"person": "\xff"}'])


def test_many_wrong_lines_are_counted():
    with pytest.raises(ContactsError, match="and 7 more"):
        contacts.read([b"x"] * 12)


async def test_what_is_stored_replaces_what_was_known(database: Database):
    first = contacts.read(
        lines(
            {"person": PERSON, "name": "Kari", "email": "kari@example.org", "mobile": "+4799999999"},
            {"organization": "312718286", "emails": ["post@example.org"],
             "users": [{"person": PERSON, "email": "a@example.org", "resources": ["r1"]}, {"person": PERSON}]},
            {"identity": "urn:altinn:person:idporten-email:Ola@Example.org", "email": "ola@example.org", "stale": True},
        )
    )  # fmt: skip
    await contacts.store(database, first)
    await contacts.store(
        database,
        contacts.read(
            lines(
                {"person": PERSON, "reserved": True},
                {"organization": "312718286", "mobiles": ["+4799999998"]},
            )
        ),
    )

    person = await database.fetchrow("select * from contact_person")
    assert person is not None
    assert (person["pid"], person["name"], person["email"], person["reserved"]) == (PERSON, None, None, True)
    organization = await database.fetchrow("select * from contact_organization")
    assert organization is not None
    assert (organization["emails"], organization["mobiles"]) == ([], ["+4799999998"])
    assert await database.fetchval("select count(*) from contact_user") == 0
    assert (
        await database.fetchval("select urn from contact_identity")
        == "urn:altinn:person:idporten-email:ola@example.org"
    )
