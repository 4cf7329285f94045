"""Tokens of persons that `varsel login` keeps, one file of mode 0600 per environment; and the login client of a sandbox."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from varsel.cli.calling import Refused
from varsel.cli.profiles import config_directory

if TYPE_CHECKING:
    from varsel.client import Environment
    from varsel.client.testing import Sandbox

#: What a login asks for when nothing else is said.
SCOPE: Final = "altinn:instances.read"
#: Name of the client that a sandbox gets for logins from here.
CLIENT: Final = "Login from the terminal"


def token_file(environment: Environment) -> Path:
    """Where the token of the person is. A Varsel goes by its host, as several may share a name."""
    from varsel.client import ENVIRONMENTS

    known = ENVIRONMENTS.get(environment.name)
    name = environment.name if known == environment else urlsplit(environment.platform).netloc
    return config_directory() / "tokens" / f"{re.sub(r'[^A-Za-z0-9.-]', '_', name)}.token"


def kept_token(environment: Environment) -> str:
    """The token of the last login there; Refused when there is none that lives."""
    from varsel.client._tokens import claims_of

    try:
        value = token_file(environment).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        value = ""
    ends = claims_of(value).get("exp", 0)
    if not isinstance(ends, int | float) or ends <= time.time():
        raise Refused(f"Nobody is logged in at {environment.name}, or the login has ended; run varsel login.")
    return value


def login_client(sandbox: Sandbox) -> str:
    """The identifier of a client at the sandbox's ID-porten that may come back to this machine; made at the first login.

    In a public environment somebody has one registered; in a sandbox everybody may.
    """
    from varsel.client import SelfService

    with SelfService(sandbox.administrator()) as service:
        for one in service.integrations():
            if one.client_name == CLIENT:
                return one.client_id
        made = service.create(
            CLIENT,
            scopes=[SCOPE],
            integration_type="idporten",
            application_type="native",
            redirect_uris=["http://127.0.0.1/callback"],
            token_endpoint_auth_method="none",  # noqa: S106 - a public client: PKCE proves it
            grant_types=["authorization_code", "refresh_token"],
        )
    return made.client_id
