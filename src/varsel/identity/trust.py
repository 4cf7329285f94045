"""Whose tokens count in which mode (docs/reference/identity.md 11)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from varsel.identity.issuers import Getter, Issuer, RemoteKeys
from varsel.identity.keys import KeyRing
from varsel.identity.login import Poster
from varsel.identity.tokens import OwnKeys, TokenChecker
from varsel.runtime.clock import Machine
from varsel.runtime.errors import SettingsError
from varsel.runtime.outbound import GuardedClient
from varsel.runtime.settings import Settings
from varsel.store.database import Database


class Outbound(Getter, Poster, Protocol):
    """What is needed of the guarded client."""


class Trust:
    """Our own issuers, or those that the settings name in their place."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        machine: Machine,
        keys: KeyRing,
        *,
        sandbox: bool,
        client: Outbound | None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._machine = machine
        self._keys = keys
        self._sandbox = sandbox
        self._given = client
        self._own: GuardedClient | None = None
        self._remote: list[RemoteKeys] = []

    def elsewhere(self, kind: str) -> str | None:
        """The issuer elsewhere that stands in for ours; None when ours counts."""
        mode = self._settings.identity_mode
        named = str(getattr(self._settings, f"{kind}_issuer"))
        if kind == "idporten":
            return named or None
        if mode != {"maskinporten": "external", "altinn": "altinn"}[kind]:
            return None
        if not named:
            raise SettingsError(f"VARSEL_IDENTITY_MODE={mode} needs VARSEL_{kind.upper()}_ISSUER.")
        return named

    async def checker(
        self, kind: str, own_issuer: str, audiences: Collection[str] | None = None
    ) -> TokenChecker:
        """A checker for tokens of this kind."""
        name = self.elsewhere(kind)
        if name is None:
            return TokenChecker(OwnKeys(self._keys, kind), own_issuer, self._machine, audiences=audiences)
        source = await self.remote(kind, name)
        return TokenChecker(source, name, self._machine, audiences=audiences)

    @property
    def client(self) -> Outbound:
        """The client that reaches issuers elsewhere."""
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = GuardedClient(self._machine, sandbox=self._sandbox)
        return self._own

    async def remote(self, kind: str, name: str) -> RemoteKeys:
        """The keys of an issuer elsewhere; one set however many ask for it."""
        for known in self._remote:
            if known.issuer.name == name:
                return known
        issuer = Issuer.named(name, kind, self._settings.client_environment)
        source = await RemoteKeys.open(issuer, self.client, self._database, self._machine)
        self._remote.append(source)
        return source

    async def close(self) -> None:
        for source in self._remote:
            await source.close()
        if self._own is not None:
            await self._own.close()
