"""`varsel platform-token`: for callers inside the platform (docs/reference/identity.md 6.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from varsel.cli.calling import Json, WrongInput, print_json, told
from varsel.cli.terminal import say


def platform_token(
    issuer: Annotated[str, Parameter(help="Service owner code of the app, or platform.")],
    /,
    *,
    certificate: Annotated[Path, Parameter(help="PEM file with the registered certificate.")],
    key: Annotated[Path, Parameter(help="PEM file with its private key.")],
    app: Annotated[str, Parameter(help="Name of the app or component.")] = "",
    json: Json = False,
) -> None:
    from varsel.client import PlatformToken, SigningKey
    from varsel.client._tokens import claims_of

    with told():
        texts = []
        for path in (certificate, key):
            try:
                texts.append(path.read_text("utf-8"))
            except (OSError, UnicodeDecodeError):
                raise WrongInput(f"{path} cannot be read as PEM.") from None
        value = PlatformToken(issuer, SigningKey.from_certificate(*texts), app=app).token().value
    if json:
        print_json({"token": value, "expires": claims_of(value)["exp"]})
    else:
        say(value)
