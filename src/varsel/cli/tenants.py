"""`varsel owner`, `varsel member`, `varsel issuer`: who may order, who may log in, and whose platform tokens count.

They speak to the database beside the running Varsel, as an operator of the machine; the console's pages for operators do the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from varsel.cli.calling import Json, WrongInput, print_json, table
from varsel.cli.opened import opened_database
from varsel.cli.terminal import say
from varsel.runtime.clock import SystemMachine
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings_sources import load

if TYPE_CHECKING:
    from varsel.store.database import Database

T = TypeVar("T")

Data = Annotated[Path | None, Parameter(help="Data directory; found by default.")]
Organisation = Annotated[
    str | None,
    Parameter(help="Number of the organisation that the person acts for; the platform when left out."),
]
Pid = Annotated[str, Parameter(help="National identity number of the person.")]


def owner_add(
    code: Annotated[
        str, Parameter(help="Short code: small letters and digits. It names the creator of orders.")
    ],
    number: Annotated[str, Parameter(help="Organisation number, nine digits.")],
    name: Annotated[str, Parameter(help="Name in Norwegian.")],
    /,
    *,
    english: Annotated[str, Parameter(help="Name in English.")] = "",
    data: Data = None,
) -> None:
    from varsel.identity.registry import Names, register_service_owner

    _with_database(
        data,
        lambda database: register_service_owner(
            database, SystemMachine(), code, number, Names(name, en=english)
        ),
    )
    say(f"{name} is the service owner {code} and may order notifications.")


def owner_list(*, data: Data = None, json: Json = False) -> None:
    from varsel.identity.registry import organisations

    found = [row for row in _with_database(data, organisations) if row["code"] is not None]
    if json:
        print_json(found)
        return
    table(["code", "number", "name"], [[row["code"], row["number"], row["name"]] for row in found])


def owner_prefix(
    prefix: Annotated[str, Parameter(help="Beginning of the scopes: small letters and digits.")],
    number: Annotated[str, Parameter(help="Number of the organisation that makes scopes under it.")],
    /,
    *,
    data: Data = None,
) -> None:
    from varsel.identity.registry import hand_out_prefix

    _with_database(data, lambda database: hand_out_prefix(database, prefix, number))
    say(f"Scopes that begin with {prefix}: belong to {number}.")


def member_add(
    pid: Pid,
    /,
    *,
    organisation: Organisation = None,
    name: Annotated[str, Parameter(help="Name of the person.")] = "",
    data: Data = None,
) -> None:
    from varsel.identity.numbers import is_national
    from varsel.identity.registry import add_member, add_person, knows_organisation

    if not is_national(pid):
        raise WrongInput("A national identity number has eleven digits with right check digits.")

    async def invite(database: Database) -> bool:
        if organisation is not None and not await knows_organisation(database, organisation):
            raise OperatorError("There is no such organisation; register it with varsel owner add.")
        await add_person(database, pid, name)
        return await add_member(database, pid, organisation, _role(organisation))

    added = _with_database(data, invite)
    say("The person may log in." if added else "The person had that role already.")


def member_list(*, data: Data = None, json: Json = False) -> None:
    from varsel.identity.registry import members

    found = _with_database(data, members)
    if json:
        print_json([{name: row[name] for name in ("pid", "name", "organisation", "role")} for row in found])
        return
    table(
        ["person", "name", "role", "organisation"],
        [[row["pid"], row["name"] or "", row["role"], row["organisation"] or ""] for row in found],
    )


def member_remove(pid: Pid, /, *, organisation: Organisation = None, data: Data = None) -> None:
    from varsel.identity.registry import remove_member

    gone = _with_database(
        data, lambda database: remove_member(database, pid, organisation, _role(organisation))
    )
    if not gone:
        raise OperatorError("The person has no such role; see varsel member list.")
    say("The role is gone, from the person's next request on.")


def issuer_add(
    issuer: Annotated[str, Parameter(help="Service owner code of the apps, or platform.")],
    certificate: Annotated[Path, Parameter(help="Certificate in PEM or DER, beside those the issuer has.")],
    /,
    *,
    trusted: Annotated[
        bool,
        Parameter(negative="", help="A component that may act for the service owner of a bearer token."),
    ] = False,
    data: Data = None,
) -> None:
    from varsel.identity.platform.registry import register_issuer

    try:
        content = certificate.read_bytes()
    except OSError:
        raise WrongInput(f"{certificate} cannot be read.") from None
    mark = _with_database(
        data, lambda database: register_issuer(database, SystemMachine(), issuer, content, trusted=trusted)
    )
    say(f"Platform tokens of {issuer} count when signed with {mark}.")


def issuer_list(*, data: Data = None, json: Json = False) -> None:
    from varsel.identity.platform.registry import issuers

    found = _with_database(data, lambda database: issuers(database, SystemMachine()))
    if json:
        names = ("issuer", "thumbprint", "trusted", "withdrawn", "expires", "state")
        print_json([{name: row[name] for name in names} for row in found])
        return
    table(
        ["issuer", "certificate", "may act for others", "expires", "state"],
        [
            [
                row["issuer"],
                row["thumbprint"],
                "yes" if row["trusted"] else "",
                f"{row['expires']:%Y-%m-%d}",
                row["state"],
            ]
            for row in found
        ],
    )


def issuer_withdraw(
    issuer: Annotated[str, Parameter(help="The issuer.")],
    /,
    *,
    certificate: Annotated[
        str | None, Parameter(help="Thumbprint of one certificate; all of them when left out.")
    ] = None,
    data: Data = None,
) -> None:
    from varsel.identity.platform.registry import withdraw_issuer

    _with_database(data, lambda database: withdraw_issuer(database, issuer, certificate))
    say(f"Platform tokens of {issuer} count no more{' with that certificate' if certificate else ''}.")


def _role(organisation: str | None) -> str:
    return "operator" if organisation is None else "service-owner"


def _with_database(data: Path | None, act: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        settings = load(data=None if data is None else str(data))
        async with opened_database(settings, sandbox=False) as database:
            return await act(database)

    return asyncio.run(run())
