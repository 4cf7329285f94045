"""The registers over HTTP: docs/reference/delivery.md 3.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from varsel.recipients.decision import DecisionError, permitted, question
from varsel.recipients.http_registers import HttpRegisters
from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.runtime.clock import ManualClock
from varsel.runtime.errors import RegisterUnavailable
from varsel.runtime.settings import Settings


class Country:
    """The national registers on a free loopback port. `answers` by path: a value, or a function of the question."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.status = 200
        self.asked: list[tuple[str, Any, Any]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.path, body, request.headers))
        found = self.answers.get(request.path.rpartition("/v1/")[2])
        if callable(found):
            found = found(body)
        if isinstance(found, bytes):
            return web.Response(body=found, status=self.status)
        return web.json_response(found, status=self.status)


@pytest.fixture
async def country() -> AsyncIterator[Country]:
    country = Country()
    app = web.Application()
    app.router.add_post("/{path:.*}", country.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    country.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield country
    await runner.cleanup()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2031, 3, 14, tzinfo=UTC))


async def platform_token() -> str:
    return "token"


@pytest.fixture
async def registers(country: Country, clock: ManualClock) -> AsyncIterator[HttpRegisters]:
    settings = Settings(
        profile_url=f"{country.url}/profile/api/v1/",
        register_url=f"{country.url}/register/api/v1",
        authorization_url=f"{country.url}/authorization/api/v1/",
        authorization_key="key",
        authorization_batch=2,
    )
    opened = HttpRegisters(settings, None, clock, platform_token=platform_token)
    yield opened
    await opened.close()


async def test_persons(registers: HttpRegisters, country: Country) -> None:
    country.answers["users/contactpoint/lookup"] = {
        "ContactPointsList": [
            {
                "nationalIdentityNumber": "1",
                "isReserved": True,
                "mobileNumber": None,
                "email": "a@b.no",
                "userId": None,
            },
            {"NationalIdentityNumber": "2", "MobileNumber": "+4799999999"},
            {"nationalIdentityNumber": "1", "email": "second@b.no"},
        ]
    }
    assert await registers.persons(["1", "2", "3"], use_stale=True) == {
        "1": PersonContact("a@b.no", None, True),
        "2": PersonContact(None, "+4799999999"),
    }
    path, body, headers = country.asked[0]
    assert path == "/profile/api/v1/users/contactpoint/lookup"
    assert body == {"nationalIdentityNumbers": ["1", "2", "3"], "useStaleContactInfo": True}
    assert headers["content-type"] == "application/json"


async def test_batches(registers: HttpRegisters, country: Country) -> None:
    country.answers["users/contactpoint/lookup"] = {"contactPointsList": []}
    await registers.persons([str(number) for number in range(1001)], use_stale=False)
    assert [len(body["nationalIdentityNumbers"]) for _, body, _ in country.asked] == [500, 500, 1]


async def test_organizations_and_users(registers: HttpRegisters, country: Country) -> None:
    country.answers["organizations/notificationaddresses/lookup"] = {
        "contactPointsList": [
            {
                "organizationNumber": "9",
                "partyId": 5,
                "emailList": ["a@b.no"],
                "mobileNumberList": ["99999999"],
            }
        ]
    }
    country.answers["units/contactpoint/lookup"] = {
        "contactPointsList": [
            {
                "organizationNumber": "9",
                "partyId": 5,
                "userContactPoints": [
                    {"userId": 7, "nationalIdentityNumber": "1", "email": "u@b.no", "mobileNumber": ""},
                    {"email": "nobody@b.no"},
                ],
            }
        ]
    }
    assert await registers.organizations(["9"]) == {"9": OrganizationContact(("a@b.no",), ("99999999",))}
    assert await registers.organization_users(["9"], "thing") == {"9": [UserContact("7", "5", "u@b.no", "")]}
    assert country.asked[1][1] == {"organizationNumbers": ["9"], "resourceId": "thing"}
    country.answers["organizations/notificationaddresses/lookup"] = None
    assert await registers.organizations(["9"]) == {}


async def test_identities(registers: HttpRegisters, country: Country) -> None:
    country.answers["users/contactpoint/lookupsi"] = {
        "contactPointsList": [{"externalIdentity": "URN:x", "email": "k@b.no", "mobileNumber": None}]
    }
    assert await registers.identities(["urn:X", "urn:y"]) == {"urn:X": IdentityContact("k@b.no", None)}
    assert country.asked[0][1] == {"externalIdentities": ["urn:X", "urn:y"]}


async def test_names(registers: HttpRegisters, country: Country) -> None:
    country.answers["parties/nameslookup"] = {
        "partyNames": [{"orgNo": "9", "name": "Firma"}, {"ssn": "1", "name": None}]
    }
    assert await registers.names(["1"], ["9"]) == {"9": "Firma", "1": ""}
    _, body, headers = country.asked[0]
    assert body == {
        "organizationNumbers": ["9"],
        "socialSecurityNumbers": ["1"],
        "parties": [{"ssn": "1"}, {"orgNo": "9"}],
    }
    assert headers["PlatformAccessToken"] == "token"
    country.asked.clear()
    assert await registers.names([], []) == {}
    assert country.asked == []


def decisions(body: Any) -> Any:
    """Permits what the question asks, except user 2."""
    return {
        "response": [
            {
                "decision": "Permit" if user != "subject2" else "Deny",
                "Category": [
                    {"CategoryId": "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject", "Attribute": [{"AttributeId": "urn:altinn:userid", "Value": user[7:]}]},
                    {"categoryId": "urn:oasis:names:tc:xacml:3.0:attribute-category:resource", "attribute": [{"attributeId": "urn:altinn:partyid", "value": int(party[8:])}]},
                ],
            }
            for user, _, party in (reference["ReferenceId"] for reference in body["Request"]["MultiRequests"]["RequestReference"])
        ]
    }  # fmt: skip


async def test_authorization(registers: HttpRegisters, country: Country) -> None:
    country.answers["decision"] = decisions
    pairs = [("1", "50"), ("2", "50"), ("3", "50"), ("3", "50"), ("4", "51"), ("5", "51")]
    assert await registers.authorize(pairs, "thing", "sign") == {
        ("1", "50"),
        ("3", "50"),
        ("4", "51"),
        ("5", "51"),
    }
    assert sorted(
        len(body["Request"]["MultiRequests"]["RequestReference"]) for _, body, _ in country.asked
    ) == [1, 2, 2]
    assert country.asked[0][2]["Ocp-Apim-Subscription-Key"] == "key"
    country.asked.clear()
    assert await registers.authorize([], "thing", "sign") == set()
    assert country.asked == []


@pytest.mark.parametrize("answer", [None, {}, {"Response": []}, {"Response": None}, []])
async def test_no_decision_is_an_outage_and_no_denial(
    registers: HttpRegisters, country: Country, answer: Any
) -> None:
    country.answers["decision"] = answer
    with pytest.raises(RegisterUnavailable):
        await registers.authorize([("1", "50")], "thing", "read")


@pytest.mark.parametrize(
    ("status", "answer", "times"),
    [
        (500, {}, 2),
        (404, {}, 1),
        (200, b"<html>", 2),
        (200, [], 1),
        (302, {}, 1),
        (200, b"", 2),
        (200, b"null", 1),
        (200, b"[" * 5000, 2),
        (200, b"[" * 2_000_000, 2),
        (
            200,
            '{"contactPointsList":[{"nationalIdentityNumber":"1","email":"kåri@b.no"}]}'.encode("latin-1"),
            2,
        ),
    ],
    ids=str,
)
async def test_outages(
    registers: HttpRegisters, country: Country, status: int, answer: Any, times: int
) -> None:
    country.status = status
    country.answers["users/contactpoint/lookup"] = answer
    with pytest.raises(RegisterUnavailable):
        await registers.persons(["1"], use_stale=False)
    assert len(country.asked) == times


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "down for maintenance"},
        {"contactPointsList": "none"},
        {"contactPointsList": [5]},
        {"contactPointsList": [{"nationalIdentityNumber": 1}]},
        {"contactPointsList": [{"nationalIdentityNumber": "1", "email": ["a@b.no"]}]},
        {"contactPointsList": [{"nationalIdentityNumber": "1", "email": "a@b.no", "isReserved": "true"}]},
        {"contactPointsList": [{"nationalIdentityNumber": "1", "email": "a@b.no", "isReserved": None}]},
        {"contactPointsList": [{"email": "a@b.no"}]},
    ],
)
async def test_an_answer_of_another_form_is_an_outage(
    registers: HttpRegisters, country: Country, answer: Any
) -> None:
    """Nobody is taken for unknown, or for not reserved, because a register talks of something else."""
    country.answers["users/contactpoint/lookup"] = answer
    with pytest.raises(RegisterUnavailable):
        await registers.persons(["1"], use_stale=False)


async def test_every_register_answers_in_its_form_or_not_at_all(
    registers: HttpRegisters, country: Country
) -> None:
    country.answers["organizations/notificationaddresses/lookup"] = {
        "contactPointsList": [{"organizationNumber": "9", "emailList": [5]}]
    }
    with pytest.raises(RegisterUnavailable):
        await registers.organizations(["9"])
    for users in ("none", [5], [{"userId": 1.5}], [{"userId": True}]):
        country.answers["units/contactpoint/lookup"] = {
            "contactPointsList": [{"organizationNumber": "9", "partyId": 5, "userContactPoints": users}]
        }
        with pytest.raises(RegisterUnavailable):
            await registers.organization_users(["9"], "thing")
    country.answers["users/contactpoint/lookupsi"] = {"contactPointsList": {}}
    with pytest.raises(RegisterUnavailable):
        await registers.identities(["urn:x"])
    country.answers["parties/nameslookup"] = {"partyNames": [{"ssn": "1", "name": {}}]}
    with pytest.raises(RegisterUnavailable):
        await registers.names(["1"], [])


async def test_an_answer_without_members_knows_nobody(registers: HttpRegisters, country: Country) -> None:
    country.answers["users/contactpoint/lookup"] = {"contactPointsList": None}
    assert await registers.persons(["1"], use_stale=False) == {}
    country.answers["organizations/notificationaddresses/lookup"] = {
        "contactPointsList": [{"organizationNumber": "9", "emailList": None}]
    }
    assert await registers.organizations(["9"]) == {"9": OrganizationContact()}


async def test_null_knows_nobody_where_the_contract_says_so(
    registers: HttpRegisters, country: Country
) -> None:
    country.answers["organizations/notificationaddresses/lookup"] = b"null"
    assert await registers.organizations(["9"]) == {}
    country.answers["users/contactpoint/lookupsi"] = b"null"
    assert await registers.identities(["urn:x"]) == {}


async def test_a_text_that_cannot_be_stored_is_no_address(registers: HttpRegisters, country: Country) -> None:
    country.answers["users/contactpoint/lookup"] = {
        "contactPointsList": [
            {"nationalIdentityNumber": "1", "email": "k\0@b.no", "mobileNumber": "+4799999999"}
        ]
    }
    assert await registers.persons(["1"], use_stale=False) == {"1": PersonContact(None, "+4799999999", False)}
    country.answers["organizations/notificationaddresses/lookup"] = {
        "contactPointsList": [{"organizationNumber": "9", "emailList": ["a\0", "a@b.no"]}]
    }
    assert await registers.organizations(["9"]) == {"9": OrganizationContact(("a@b.no",), ())}


async def test_a_register_that_is_down_is_left_alone(
    registers: HttpRegisters, country: Country, clock: ManualClock
) -> None:
    country.status = 500
    country.answers["users/contactpoint/lookup"] = {}
    for _ in range(10):
        with pytest.raises(RegisterUnavailable):
            await registers.persons(["1"], use_stale=False)
    assert len(country.asked) < 8
    country.status = 200
    clock.advance(timedelta(seconds=5))
    with pytest.raises(RegisterUnavailable) as spared:
        await registers.persons(["1"], use_stale=False)
    assert spared.value.spared_for == pytest.approx(10)
    clock.advance(timedelta(seconds=16))
    assert await registers.persons(["1"], use_stale=False) == {}


async def test_a_question_that_is_refused_spoils_no_other(registers: HttpRegisters, country: Country) -> None:
    """A register that does not like what one order asks is well."""
    country.answers["users/contactpoint/lookup"] = {}
    country.status = 400
    for _ in range(10):
        with pytest.raises(RegisterUnavailable):
            await registers.persons(["1"], use_stale=False)
    country.status = 200
    assert await registers.persons(["2"], use_stale=False) == {}


async def test_nobody_listens(clock: ManualClock) -> None:
    registers = HttpRegisters(Settings(profile_url="http://127.0.0.1:9/"), None, clock)
    with pytest.raises(RegisterUnavailable):
        await registers.persons(["1"], use_stale=False)
    await registers.close()


def test_an_app_is_asked_about_as_an_app() -> None:
    [resource] = question([("1", "50")], "app_ttd_my_app", "read")["Request"]["Resource"]
    assert [(each["AttributeId"], each["Value"]) for each in resource["Attribute"]] == [
        ("urn:altinn:org", "ttd"),
        ("urn:altinn:app", "my"),
        ("urn:altinn:partyid", "50"),
    ]


def test_answers_without_names_permit_nobody() -> None:
    assert (
        permitted(
            {
                "Response": [
                    {"Decision": "Permit"},
                    {"Decision": "Permit", "Category": [None, {"CategoryId": 1}]},
                ]
            }
        )
        == set()
    )
    with pytest.raises(DecisionError):
        permitted("x")
