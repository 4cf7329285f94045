"""`varsel integration`: integrations and their keys, in the self-service API of Varsel or the public one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.calling import Caller, Json, Where, caller, print_json, sandbox_of, table, told
from varsel.cli.profiles import CREATE
from varsel.cli.terminal import say

if TYPE_CHECKING:
    from varsel.client import ForwardedToken, KeySet, Maskinporten, SelfService

Id = Annotated[str, Parameter(help="Identifier of the integration.")]


@contextlib.contextmanager
def service_of(where: Where | None) -> Iterator[SelfService]:
    """The self-service API with an administrator's credentials; a sandbox hands them out."""
    from varsel.client import SelfService

    with told():
        who = caller(where)
        try:
            with SelfService(_administrator(who)) as service:
                yield service
        finally:
            who.close()


def _administrator(who: Caller) -> Maskinporten | ForwardedToken:
    """The integration of the profile where it has scopes of self-service; in a sandbox, where nobody keeps one for that, its own."""
    from varsel.client import SelfService

    if who.sandbox is not None:
        return who.sandbox.administrator()
    own = [one for one in who.maskinporten().scope.split() if one.startswith("idporten:dcr.")]
    there = None if own else sandbox_of(who)
    return (
        there.administrator() if there is not None else who.maskinporten(" ".join(own) or SelfService.SCOPES)
    )


def listed(
    *,
    inactive: Annotated[bool, Parameter(negative="", help="Show those out of use too.")] = False,
    where: Where | None = None,
    json: Json = False,
) -> None:
    with service_of(where) as service:
        found = service.integrations(inactive=inactive)
    if json:
        print_json(found)
        return
    table(
        ["integration", "name", "scopes", "state"],
        [
            [one.client_id, one.client_name, " ".join(one.scopes), "active" if one.active else "inactive"]
            for one in found
        ],
    )


def create(
    name: Annotated[str, Parameter(help="Name of the integration.")],
    /,
    *,
    description: Annotated[str, Parameter(help="For the other administrators.")] = "",
    scope: Annotated[
        list[str] | None,
        Parameter(
            help="A scope; may be given several times. Ordering notifications when left out.",
            negative="",
            consume_multiple=False,
        ),
    ] = None,
    key: Annotated[Path | None, Parameter(help="Key whose public half is registered at once.")] = None,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import SigningKey

    with service_of(where) as service:
        # A key that cannot be read must not leave an integration without one behind.
        loaded = None if key is None else SigningKey.from_file(key)
        made = service.create(name, scopes=scope or [CREATE], description=description)
        keys = None if loaded is None else service.add_key(made.client_id, loaded)
    if json:
        print_json({"integration": made, "keys": None if keys is None else keys.keys})
        return
    say(
        f"Integration {made.client_id} is there"
        + (f", with the key {loaded.kid}." if loaded else "; register a key next.")
    )


def show(client_id: Id, /, *, where: Where | None = None, json: Json = False) -> None:
    with service_of(where) as service:
        found = service.integration(client_id)
    if json:
        print_json(found)
        return
    for name, value in (
        ("identifier", found.client_id),
        ("name", found.client_name),
        ("description", found.description),
        ("organisation", found.client_orgno or ""),
        ("scopes", " ".join(found.scopes)),
        ("state", "active" if found.active else "inactive"),
        ("created", found.created or ""),
    ):
        say(f"{name}: {value}")


def deactivate(client_id: Id, /, *, where: Where | None = None, json: Json = False) -> None:
    with service_of(where) as service:
        service.deactivate(client_id)
    if json:
        print_json({"client_id": client_id, "active": False})
    else:
        say("It gives no more tokens.")


def keys(client_id: Id, /, *, where: Where | None = None, json: Json = False) -> None:
    with service_of(where) as service:
        found = service.keys(client_id)
    show_keys(found, json=json)


def add_key(
    client_id: Id,
    file: Annotated[Path, Parameter(help="File with the key; only its public half is sent.")],
    /,
    *,
    where: Where | None = None,
    json: Json = False,
) -> None:
    from varsel.client import SigningKey

    with service_of(where) as service:
        found = service.add_key(client_id, SigningKey.from_file(file))
    show_keys(found, json=json)


def remove_key(
    client_id: Id,
    kid: Annotated[str, Parameter(help="Name of the key.")],
    /,
    *,
    where: Where | None = None,
    json: Json = False,
) -> None:
    with service_of(where) as service:
        found = service.remove_key(client_id, kid)
    show_keys(found, json=json)


def show_keys(found: KeySet, *, json: bool) -> None:
    """The keys of an integration with their ends."""
    if json:
        print_json(found.keys)
        return
    rows = []
    for one in found.keys:
        ends = one.get("exp")
        until = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}" if isinstance(ends, int) else ""
        rows.append([str(one.get("kid")), str(one.get("alg", "")), until])
    table(["kid", "alg", "ends"], rows)
