"""`varsel login`: a person's token through the browser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from varsel.cli.calling import Json, WrongInput, print_json, told
from varsel.cli.terminal import complain, say


def login(
    *,
    client_id: Annotated[
        str | None,
        Parameter(help="Client at ID-porten that may use a loopback redirect; VARSEL_SDK_LOGIN_CLIENT_ID."),
    ] = None,
    env: Annotated[
        str, Parameter(help="Environment: tt02, production, at22 …, or the address of a Varsel.")
    ] = "tt02",
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
    import os
    import webbrowser

    from varsel.cli.profiles import config_directory, write_private
    from varsel.client import AltinnTokens, IdPorten
    from varsel.client._tokens import claims_of

    client = client_id or os.environ.get("VARSEL_SDK_LOGIN_CLIENT_ID")
    if not client:
        raise WrongInput("Say which client logs in: --client-id, or VARSEL_SDK_LOGIN_CLIENT_ID.")

    def show(address: str) -> None:
        complain(f"Log in here: {address}")
        if browser:
            webbrowser.open(address)

    with told():
        person = IdPorten(
            client,
            environment=env,
            scope=scope or ("altinn:instances.read",),
            level=level,
            port=port,
            open_browser=show,
        )
        person.login()
        value = AltinnTokens(person).token().value
        path = config_directory() / "tokens" / f"{person.environment.name}.token"
        write_private(path, value + "\n")
    claims = claims_of(value)
    until = datetime.fromtimestamp(claims.get("exp", 0), UTC)
    if json:
        print_json(
            {"file": str(path), "expires": until.isoformat(), "level": claims.get("urn:altinn:authlevel")}
        )
    else:
        say(f"Logged in until {until.astimezone():%H:%M}; the token is in {path}.")
