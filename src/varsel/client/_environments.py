"""Where the services are (docs/reference/identity.md 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ._errors import ConfigurationError

_ORG = re.compile(r"[a-z0-9-]{2,40}")
_LOOPBACK = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|::1)")


def is_loopback(host: str) -> bool:
    """Whether plain http to this host stays on this machine."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


@dataclass(frozen=True, slots=True)
class Environment:
    """One set of services that trust each other. Addresses without a trailing slash; issuers exactly as they sign.

    `portal`, `delegation_source` and `apps` are None where the public tables name none. `organisations` is the list of service owners.
    """

    name: str
    platform: str
    maskinporten: str
    idporten: str
    self_service: str
    portal: str | None = None
    delegation_source: str | None = None
    apps: str | None = None
    organisations: str = "https://altinncdn.no/orgs/altinn-orgs.json"
    production: bool = False

    @property
    def notifications(self) -> str:
        return f"{self.platform}/notifications/api/v1"

    def apps_of(self, org: str) -> str:
        """Where the apps of a service owner are, by its code; ConfigurationError where there are none."""
        if self.apps is None:
            raise ConfigurationError(f"{self.name} has no Altinn apps.")
        if not _ORG.fullmatch(org):
            raise ConfigurationError("A service owner code is 2 to 40 of a–z, 0–9 and '-'.")
        return self.apps.replace("{org}", org)

    @property
    def exchange(self) -> str:
        """The token provider is added to it."""
        return f"{self.platform}/authentication/api/v1/exchange"

    @property
    def issuer(self) -> str:
        """Issuer of Altinn tokens."""
        return f"{self.platform}/authentication/api/v1/openid/"


def _test(name: str, platform: str, delegation_source: str | None = None) -> Environment:
    return Environment(
        name,
        platform,
        maskinporten="https://test.maskinporten.no/",
        idporten="https://test.idporten.no",
        self_service="https://api.test.samarbeid.digdir.no/api/v1",
        portal="https://sjolvbetjening.test.samarbeid.digdir.no",
        delegation_source=delegation_source,
        apps=platform.replace("https://platform.", "https://{org}.apps."),
    )


def at(base_url: str, *, name: str = "varsel") -> Environment:
    """A Varsel that serves everything under one address, such as `http://127.0.0.1:5090`."""
    base = base_url.rstrip("/")
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise ConfigurationError(
            "The address of an environment must be like https://varsel.example.org, without query or user name."
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"{parts.hostname} must be reached over https; plain http is for this machine alone."
        )
    return Environment(
        name,
        base,
        maskinporten=f"{base}/maskinporten/",
        idporten=f"{base}/idporten",
        self_service=f"{base}/selfservice/api/v1",
        portal=f"{base}/console",
        organisations=f"{base}/orgs/altinn-orgs.json",
    )


LOCAL = at("http://127.0.0.1:5090", name="local")

#: Every named environment, by its name in lower case.
ENVIRONMENTS: dict[str, Environment] = {
    "local": LOCAL,
    **{
        name: _test(name, f"https://platform.{name}.altinn.cloud")
        for name in ("at21", "at22", "at23", "at24")
    },
    "yt01": _test("yt01", "https://platform.yt01.altinn.cloud"),
    "tt02": _test("tt02", "https://platform.tt02.altinn.no", "https://tt02.altinn.no/"),
    "production": Environment(
        "production",
        "https://platform.altinn.no",
        maskinporten="https://maskinporten.no/",
        idporten="https://idporten.no",
        self_service="https://api.samarbeid.digdir.no/api/v1",
        portal="https://sjolvbetjening.samarbeid.digdir.no",
        delegation_source="https://www.altinn.no",
        apps="https://{org}.apps.altinn.no",
        production=True,
    ),
}

#: Names of Altinn's and Digdir's libraries for the same environments. `ver1` and `ver2` are closed and mean test.
_ALIASES = {"prod": "production", "test": "tt02", "ver1": "tt02", "ver2": "tt02"}


def environment(which: str | Environment) -> Environment:
    """By name (`tt02`, `AT22`, `prod`, `local` …) or by the address of a Varsel."""
    if isinstance(which, Environment):
        return which
    if "://" in which:
        return at(which)
    name = which.strip().lower()
    found = ENVIRONMENTS.get(_ALIASES.get(name, name))
    if found is None:
        raise ConfigurationError(
            f"There is no environment called {which[:40]!r}; choose one of {', '.join(ENVIRONMENTS)}, or give an address."
        )
    return found
