"""`varsel login`: a person's token through the browser."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.calling import Json, Where, WrongInput, caller, place, print_json, sandbox_of, told
from varsel.cli.terminal import complain, say

if TYPE_CHECKING:
    from varsel.client import Environment


def login(
    *,
    client_id: Annotated[
        str | None,
        Parameter(
            help="Client at ID-porten that may use a loopback redirect; VARSEL_SDK_LOGIN_CLIENT_ID. A sandbox has one of its own."
        ),
    ] = None,
    where: Where | None = None,
    scope: Annotated[
        list[str] | None,
        Parameter(help="A scope; may be given several times.", negative="", consume_multiple=False),
    ] = None,
    level: Annotated[str, Parameter(help="Lowest security level to accept.")] = "idporten-loa-substantial",
    port: Annotated[int, Parameter(help="Port of the loopback redirect; 0 takes a free one.")] = 0,
    browser: Annotated[
        bool, Parameter(help="Open the browser; otherwise the address is only printed.")
    ] = True,
    json: Json = False,
) -> None:
    import webbrowser

    from varsel.cli.persons import SCOPE, token_file
    from varsel.cli.profiles import write_private
    from varsel.client import AltinnTokens, IdPorten
    from varsel.client._tokens import claims_of

    def show(address: str) -> None:
        complain(f"Log in here: {address}")
        if browser:
            webbrowser.open(address)

    with told():
        client, environment = _client(client_id or os.environ.get("VARSEL_SDK_LOGIN_CLIENT_ID"), where)
        person = IdPorten(
            client,
            environment=environment,
            scope=scope or (SCOPE,),
            level=level,
            port=port,
            open_browser=show,
        )
        tokens = AltinnTokens(person)
        try:
            person.login()
            value = tokens.token().value
        finally:
            person.close()
            tokens.close()
        path = token_file(environment)
        write_private(path, value + "\n")
    claims = claims_of(value)
    until = datetime.fromtimestamp(claims.get("exp", 0), UTC)
    if json:
        print_json(
            {"file": str(path), "expires": until.isoformat(), "level": claims.get("urn:altinn:authlevel")}
        )
    else:
        say(
            f"Logged in until {until.astimezone():%H:%M}; the token is in {path}, and varsel token --person prints it."
        )


def _client(client_id: str | None, where: Where | None) -> tuple[str, Environment]:
    """Which client logs in, and where: the one that was named, or the own one of a sandbox that runs here."""
    from varsel.cli.persons import login_client

    where = where or Where()
    if client_id is not None:
        return client_id, place(where)
    with contextlib.suppress(WrongInput):
        who = caller(where)
        try:
            found = sandbox_of(who)
            if found is not None:
                return login_client(found), found.environment
        finally:
            who.close()
    raise WrongInput("Say which client logs in: --client-id, or VARSEL_SDK_LOGIN_CLIENT_ID.")
