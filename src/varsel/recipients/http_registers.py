"""The national registers over HTTP: Profile for addresses, Register for names, the decision point for rights.

docs/reference/delivery.md 3.2. Each register whose address is not configured is stood in for by the built-in contacts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from varsel.recipients.decision import DecisionError, permitted, question
from varsel.recipients.model import IdentityContact, OrganizationContact, PersonContact, UserContact
from varsel.recipients.registers import BuiltinRegisters
from varsel.recipients.service import Service
from varsel.runtime.clock import Machine
from varsel.runtime.errors import RegisterUnavailable
from varsel.runtime.settings import Settings
from varsel.store.database import Database

log = structlog.get_logger("varsel.recipients")

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
            with _read("profile"):
                for point in _points(answer):
                    contact = PersonContact(
                        _text(point, "email"), _text(point, "mobilenumber"), _flag(point, "isreserved")
                    )
                    found.setdefault(_required(point, "nationalidentitynumber"), contact)
        return found

    async def organizations(self, numbers: Sequence[str]) -> dict[str, OrganizationContact]:
        if self._profile is None:
            return await self._builtin.organizations(numbers)
        found: dict[str, OrganizationContact] = {}
        for batch in _batches(numbers, BATCH):
            answer = await self._profile.ask(
                "organizations/notificationaddresses/lookup", {"organizationNumbers": batch}
            )
            with _read("profile"):
                for point in _points(answer, empty=True):
                    contact = OrganizationContact(
                        _texts(point, "emaillist"), _texts(point, "mobilenumberlist")
                    )
                    found.setdefault(_required(point, "organizationnumber"), contact)
        return found

    async def organization_users(self, numbers: Sequence[str], resource: str) -> dict[str, list[UserContact]]:
        if self._profile is None:
            return await self._builtin.organization_users(numbers, resource)
        found: dict[str, list[UserContact]] = {}
        for batch in _batches(numbers, BATCH):
            answer = await self._profile.ask(
                "units/contactpoint/lookup", {"organizationNumbers": batch, "resourceId": resource}
            )
            with _read("profile"):
                for point in _points(answer):
                    number, party = _required(point, "organizationnumber"), _identifier(point, "partyid")
                    for user in _objects(point, "usercontactpoints"):
                        user_id = _identifier(user, "userid")
                        contact_points = _text(user, "email"), _text(user, "mobilenumber")
                        if party is not None and user_id is not None:
                            found.setdefault(number, []).append(UserContact(user_id, party, *contact_points))
        return found

    async def authorize(
        self, pairs: Iterable[tuple[str, str]], resource: str, action: str
    ) -> set[tuple[str, str]]:
        if self._decisions is None:
            return await self._builtin.authorize(pairs, resource, action)
        decisions = self._decisions

        async def decide(batch: list[tuple[str, str]]) -> set[tuple[str, str]]:
            answer = await decisions.ask("decision", question(batch, resource, action))
            with _read("authorization"):
                return permitted(answer) & set(batch)

        batches = list(_batches(sorted(set(pairs)), self._decision_batch))
        return set().union(*await asyncio.gather(*map(decide, batches)))

    async def identities(self, urns: Sequence[str]) -> dict[str, IdentityContact]:
        if self._profile is None:
            return await self._builtin.identities(urns)
        found: dict[str, IdentityContact] = {}
        for batch in _batches(urns, BATCH):
            answer = await self._profile.ask("users/contactpoint/lookupsi", {"externalIdentities": batch})
            with _read("profile"):
                for point in _points(answer, empty=True):
                    contact = IdentityContact(_text(point, "email"), _text(point, "mobilenumber"))
                    found.setdefault(_required(point, "externalidentity").lower(), contact)
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
            with _read("register"):
                for party in _points(answer, "partynames", empty=True):
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


class _WrongForm(ValueError):
    """JSON of another form than the register's contract: no answer, so that nobody counts as unknown or as not reserved."""


@contextlib.contextmanager
def _read(register: str) -> Iterator[None]:
    """Around the reading of an answer: one of another form is an outage of its register."""
    try:
        yield
    except (_WrongForm, DecisionError) as error:
        log.warning("a register failed", action="registers.failed", register=register, reason=str(error))
        raise RegisterUnavailable from error


def _lowered(value: Any) -> dict[str, Any]:
    """An object with its names in lower case: they are read without regard to case."""
    if not isinstance(value, Mapping):
        raise _WrongForm("no object")
    return {str(name).lower(): member for name, member in value.items()}


def _points(answer: Any, name: str = "contactpointslist", *, empty: bool = False) -> Iterator[dict[str, Any]]:
    """The items of an answer's list. An object without members counts as empty, as null members are left out; `null` where `empty`."""
    members = {} if answer is None and empty else _lowered(answer)
    if members and name not in members:
        raise _WrongForm(f"no {name}")
    return _objects(members, name)


def _objects(point: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    return map(_lowered, _member(point, name, list, []))


def _member(point: Mapping[str, Any], name: str, kind: type[T], default: T) -> T:
    """A member of its type, `default` for none or null."""
    value = point.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise _WrongForm(f"{name} is of another type")
    return value


def _flag(point: Mapping[str, Any], name: str) -> bool:
    """False when it is left out, but not when it is null: who may be reached is never a guess."""
    value = point.get(name, False)
    if not isinstance(value, bool):
        raise _WrongForm(f"{name} is of another type")
    return value


def _required(point: Mapping[str, Any], name: str) -> str:
    """What an item is about: without it nobody knows who is meant, and who was asked for must not count as unknown."""
    value = _member(point, name, str, "")
    if not value:
        raise _WrongForm(f"an item without {name}")
    return value


def _text(point: Mapping[str, Any], name: str) -> str | None:
    """A text, None for null and for one that cannot be an address, a number or a name, since it cannot be stored either."""
    value = _member(point, name, str, "") if point.get(name) is not None else None
    return None if value is None or "\0" in value else value


def _texts(point: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values: list[Any] = [value for value in _member(point, name, list, []) if value is not None]
    if not all(isinstance(value, str) for value in values):
        raise _WrongForm(f"{name} holds something else than text")
    return tuple(value for value in values if "\0" not in value)


def _identifier(point: Mapping[str, Any], name: str) -> str | None:
    """A number or text as text; None for null and for zero, which stands for nobody."""
    value = point.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise _WrongForm(f"{name} is of another type")
    return str(value) if value else None
