"""Simulators of Profile, Register and the authorization decision point over HTTP (docs/reference/delivery.md 3.2).

They answer from the built-in contacts, so `varsel contacts import` fills them too. The last four digits of a national or
organization number in a question, or the last word of a resource, make the whole answer fail, as one bad question does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from varsel.recipients.registers import Registers
from varsel.sandbox.magic import SLOW_SECONDS

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RegisterFate:
    """What becomes of a question. `failures` is how many get `status`; None for all."""

    status: int = 200
    failures: int | None = None
    wait: float = 0.0
    body: bytes | None = None
    drop: bool = False


#: Digits at the end of a number, or `sandbox-` and the word at the end of a resource.
FATES: Final[dict[str, tuple[str, RegisterFate, str]]] = {
    "9101": ("slow", RegisterFate(wait=SLOW_SECONDS * 2), "Answered after twenty seconds, too late."),
    "9102": ("down", RegisterFate(503), "503 every time, so orders with this recipient wait."),
    "9103": ("once", RegisterFate(503, 1), "503 the first time, then the answer."),
    "9104": ("garbage", RegisterFate(body=b"<html>"), "Something that is no JSON."),
    "9105": ("empty", RegisterFate(body=b"{}"), "Nothing is known of anybody asked about."),
    "9106": ("drop", RegisterFate(drop=True), "The connection closes without an answer."),
    "9107": ("refuse", RegisterFate(403), "403, as for a caller without rights."),
}
_BY_WORD: Final = {word: fate for word, fate, _ in FATES.values()}


class RegisterSimulator:
    """Listens on a loopback port; `registers` know the answers. `sleep` stands for time."""

    def __init__(self, host: str, port: int, registers: Registers, *, sleep: Sleep = asyncio.sleep) -> None:
        self.host = host
        self.port = port
        self._registers = registers
        self._sleep = sleep
        self._tries: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    @property
    def profile_url(self) -> str:
        return f"http://{self.host}:{self.port}/profile/api/v1/"

    @property
    def register_url(self) -> str:
        return f"http://{self.host}:{self.port}/register/api/v1/"

    @property
    def authorization_url(self) -> str:
        return f"http://{self.host}:{self.port}/authorization/api/v1/"

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        application = web.Application(client_max_size=16 * 1024 * 1024)
        for path, answer in {
            "/profile/api/v1/users/contactpoint/lookup": self._persons,
            "/profile/api/v1/users/contactpoint/lookupsi": self._identities,
            "/profile/api/v1/organizations/notificationaddresses/lookup": self._organizations,
            "/profile/api/v1/units/contactpoint/lookup": self._users,
            "/register/api/v1/parties/nameslookup": self._names,
            "/authorization/api/v1/decision": self._decide,
        }.items():
            application.router.add_post(path, self._answering(answer))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _answering(
        self, answer: Callable[[Mapping[str, Any]], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            question = msgspec.json.decode(await request.read())
            fate = fate_of(question)
            if fate is not None:
                self._tries[request.path] += 1
                if fate.failures is None or self._tries[request.path] <= fate.failures:
                    if fate.wait:
                        await self._sleep(fate.wait)
                    if fate.drop and request.transport is not None:
                        request.transport.abort()
                    if fate.status != 200:
                        return web.Response(status=fate.status)
                    if fate.body is not None:
                        return web.Response(body=fate.body, content_type="application/json")
            return web.json_response(await answer(question))

        return serve

    async def _persons(self, question: Mapping[str, Any]) -> Any:
        found = await self._registers.persons(
            question["nationalIdentityNumbers"], use_stale=bool(question.get("useStaleContactInfo"))
        )
        return _points(
            {
                "nationalIdentityNumber": number,
                "email": one.email,
                "mobileNumber": one.mobile,
                "isReserved": one.reserved,
            }
            for number, one in found.items()
        )

    async def _identities(self, question: Mapping[str, Any]) -> Any:
        found = await self._registers.identities(question["externalIdentities"])
        return _points(
            {"externalIdentity": urn, "email": one.email, "mobileNumber": one.mobile}
            for urn, one in found.items()
        )

    async def _organizations(self, question: Mapping[str, Any]) -> Any:
        found = await self._registers.organizations(question["organizationNumbers"])
        return _points(
            {
                "organizationNumber": number,
                "emailList": list(one.emails),
                "mobileNumberList": list(one.mobiles),
            }
            for number, one in found.items()
        )

    async def _users(self, question: Mapping[str, Any]) -> Any:
        found = await self._registers.organization_users(
            question["organizationNumbers"], question.get("resourceId") or ""
        )
        return _points(
            {
                "organizationNumber": number,
                "partyId": users[0].party,
                "userContactPoints": [
                    {"userId": user.user, "email": user.email, "mobileNumber": user.mobile} for user in users
                ],
            }
            for number, users in found.items()
            if users
        )

    async def _names(self, question: Mapping[str, Any]) -> Any:
        persons = question.get("socialSecurityNumbers") or []
        organizations = question.get("organizationNumbers") or []
        names = await self._registers.names(persons, organizations)
        return {
            "partyNames": [
                {"ssn" if number in persons else "orgNo": number, "name": name}
                for number, name in names.items()
            ]
        }

    async def _decide(self, question: Mapping[str, Any]) -> Any:
        asked = question["Request"]
        action = asked["Action"][0]["Attribute"][0]["Value"]
        subjects = {each["Id"]: each["Attribute"][0] for each in asked["AccessSubject"]}
        resources = {each["Id"]: each["Attribute"] for each in asked["Resource"]}
        results = []
        for reference in asked["MultiRequests"]["RequestReference"]:
            user_id, _, party_id = reference["ReferenceId"]
            user, *_ = subjects[user_id], None
            attributes = resources[party_id]
            party = attributes[-1]
            permitted = await self._registers.authorize(
                [(user["Value"], party["Value"])], _resource(attributes), action
            )
            results.append(
                {
                    "Decision": "Permit" if permitted else "NotApplicable",
                    "Category": [
                        {
                            "CategoryId": "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject",
                            "Attribute": [user],
                        },
                        {
                            "CategoryId": "urn:oasis:names:tc:xacml:3.0:attribute-category:resource",
                            "Attribute": [party],
                        },
                    ],
                }
            )
        return {"Response": results}


def fate_of(question: Any) -> RegisterFate | None:
    """The fate that a number or a resource anywhere in a question asks for; None for an ordinary one."""
    match question:
        case str():
            known = FATES.get(question[-4:]) if question.isdigit() and len(question) in (9, 11) else None
            if known is not None:
                return known[1]
            return _BY_WORD.get(question.rpartition("sandbox-")[2]) if "sandbox-" in question else None
        case Mapping():
            found = [fate_of(each) for each in question.values()]
        case list():
            found = [fate_of(each) for each in question]
        case _:
            return None
    return next((fate for fate in found if fate is not None), None)


def _points(points: Any) -> dict[str, Any]:
    return {"contactPointsList": list(points)}


def _resource(attributes: list[dict[str, Any]]) -> str:
    """The resource of a question as orders name it."""
    values = {each["AttributeId"]: each["Value"] for each in attributes}
    if "urn:altinn:org" in values:
        return f"app_{values['urn:altinn:org']}_{values['urn:altinn:app']}"
    return str(values["urn:altinn:resource"])
