"""The national registers over HTTP: Profile for addresses, Register for names, the decision point for rights.

docs/reference/delivery.md 3.2. Each register whose address is not configured is stood in for by the built-in contacts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from varsel.recipients.decision import DecisionError, permitted, question
from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.recipients.registers import BuiltinRegisters
from varsel.recipients.service import Service
from varsel.runtime.clock import Machine
from varsel.runtime.errors import RegisterUnavailable
from varsel.runtime.settings import Settings
from varsel.store.database import Database

#: Identifiers in one question.
BATCH: Final = 500

T = TypeVar("T")
TokenMaker = Callable[[], Awaitable[str]]


class HttpRegisters:
    """Registers behind HTTP; `platform_token` makes the platform access token that the name register asks for."""

    def __init__(
        self,
        settings: Settings,
        builtin: BuiltinRegisters,
        machine: Machine,
        *,
        platform_token: TokenMaker | None = None,
    ) -> None:
        async def platform_header() -> dict[str, str]:
            assert platform_token is not None
            return {"PlatformAccessToken": await platform_token()}

        async def key_header() -> dict[str, str]:
            return {"Ocp-Apim-Subscription-Key": settings.authorization_key}

        self._builtin = builtin
        self._profile = Service("profile", settings.profile_url, machine) if settings.profile_url else None
        self._names = (
            Service(
                "register",
                settings.register_url,
                machine,
                headers=platform_header if platform_token else None,
            )
            if settings.register_url
            else None
        )
        self._decisions = (
            Service(
                "authorization",
                settings.authorization_url,
                machine,
                headers=key_header,
            )
            if settings.authorization_url
            else None
        )
        self._decision_batch = max(1, settings.authorization_batch)

    async def close(self) -> None:
        for service in (self._profile, self._names, self._decisions):
            if service is not None:
                await service.close()

    async def persons(self, nins: Sequence[str], *, use_stale: bool) -> dict[str, PersonContact]:
        if self._profile is None:
            return await self._builtin.persons(nins, use_stale=use_stale)
        found: dict[str, PersonContact] = {}
        for batch in _batches(nins, BATCH):
            answer = await self._profile.ask(
                "users/contactpoint/lookup",
                {"nationalIdentityNumbers": batch, "useStaleContactInfo": use_stale},
            )
            for point in _points(answer):
                number = _text(point, "nationalidentitynumber")
                if number is not None:
                    found.setdefault(
                        number,
                        PersonContact(
                            _text(point, "email"),
                            _text(point, "mobilenumber"),
                            point.get("isreserved") is True,
                        ),
                    )
        return found

    async def organizations(self, numbers: Sequence[str]) -> dict[str, OrganizationContact]:
        if self._profile is None:
            return await self._builtin.organizations(numbers)
        found: dict[str, OrganizationContact] = {}
        for batch in _batches(numbers, BATCH):
            answer = await self._profile.ask(
                "organizations/notificationaddresses/lookup", {"organizationNumbers": batch}
            )
            for point in _points(answer):
                number = _text(point, "organizationnumber")
                if number is not None:
                    found.setdefault(
                        number,
                        OrganizationContact(_texts(point, "emaillist"), _texts(point, "mobilenumberlist")),
                    )
        return found

    async def organization_users(self, numbers: Sequence[str], resource: str) -> dict[str, list[UserContact]]:
        if self._profile is None:
            return await self._builtin.organization_users(numbers, resource)
        found: dict[str, list[UserContact]] = {}
        for batch in _batches(numbers, BATCH):
            answer = await self._profile.ask(
                "units/contactpoint/lookup", {"organizationNumbers": batch, "resourceId": resource}
            )
            for point in _points(answer):
                number, party = _text(point, "organizationnumber"), _identifier(point, "partyid")
                users = point.get("usercontactpoints")
                if number is None or party is None or not isinstance(users, list):
                    continue
                for user in filter(None, map(_lowered, users)):
                    user_id = _identifier(user, "userid")
                    if user_id is not None:
                        contact = UserContact(
                            user_id, party, _text(user, "email"), _text(user, "mobilenumber")
                        )
                        found.setdefault(number, []).append(contact)
        return found

    async def authorize(
        self, pairs: Iterable[tuple[str, str]], resource: str, action: str
    ) -> set[tuple[str, str]]:
        if self._decisions is None:
            return await self._builtin.authorize(pairs, resource, action)
        decisions = self._decisions

        async def decide(batch: list[tuple[str, str]]) -> set[tuple[str, str]]:
            answer = await decisions.ask("decision", question(batch, resource, action))
            try:
                return permitted(answer) & set(batch)
            except DecisionError as error:
                raise RegisterUnavailable from error

        batches = list(_batches(sorted(set(pairs)), self._decision_batch))
        return set().union(*await asyncio.gather(*map(decide, batches)))

    async def identities(self, urns: Sequence[str]) -> dict[str, IdentityContact]:
        if self._profile is None:
            return await self._builtin.identities(urns)
        found: dict[str, IdentityContact] = {}
        for batch in _batches(urns, BATCH):
            answer = await self._profile.ask("users/contactpoint/lookupsi", {"externalIdentities": batch})
            for point in _points(answer):
                urn = _text(point, "externalidentity")
                if urn is not None:
                    contact = IdentityContact(_text(point, "email"), _text(point, "mobilenumber"))
                    found.setdefault(urn.lower(), contact)
        return {urn: found[urn.lower()] for urn in urns if urn.lower() in found}

    async def names(self, persons: Sequence[str], organizations: Sequence[str]) -> dict[str, str]:
        if self._names is None:
            return await self._builtin.names(persons, organizations)
        found: dict[str, str] = {}
        asked = [("ssn", number) for number in persons] + [("orgNo", number) for number in organizations]
        for batch in _batches(asked, BATCH):
            answer = await self._names.ask(
                "parties/nameslookup",
                {
                    "organizationNumbers": [number for kind, number in batch if kind == "orgNo"],
                    "socialSecurityNumbers": [number for kind, number in batch if kind == "ssn"],
                    "parties": [{kind: number} for kind, number in batch],
                },
            )
            for party in _points(answer, "partynames"):
                number = _text(party, "orgno") or _text(party, "ssn")
                if number is not None:
                    found.setdefault(number, _text(party, "name") or "")
        return found


def open_registers(
    settings: Settings,
    database: Database,
    machine: Machine,
    *,
    sandbox: bool,
    platform_token: TokenMaker | None = None,
) -> BuiltinRegisters | HttpRegisters:
    """The registers of this installation: over HTTP as far as addresses are configured."""
    builtin = BuiltinRegisters(database, sandbox=sandbox)
    if not (settings.profile_url or settings.register_url or settings.authorization_url):
        return builtin
    return HttpRegisters(settings, builtin, machine, platform_token=platform_token)


def _batches(values: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])


def _lowered(value: Any) -> dict[str, Any] | None:
    """An object with its names in lower case: they are read without regard to case."""
    return (
        {str(name).lower(): member for name, member in value.items()} if isinstance(value, Mapping) else None
    )


def _points(answer: Any, name: str = "contactpointslist") -> Iterator[dict[str, Any]]:
    """The items of an answer's list; `null` counts as empty, anything else than an object is no answer."""
    if answer is None:
        return
    members = _lowered(answer)
    if members is None:
        raise RegisterUnavailable
    points = members.get(name)
    for point in points if isinstance(points, list) else ():
        lowered = _lowered(point)
        if lowered is not None:
            yield lowered


def _text(point: Mapping[str, Any], name: str) -> str | None:
    value = point.get(name)
    return value if isinstance(value, str) else None


def _texts(point: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = point.get(name)
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def _identifier(point: Mapping[str, Any], name: str) -> str | None:
    """A number or text as text; None for null and for zero, which stands for nobody."""
    value = point.get(name)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) and value else None
