"""Delegeringer: an organisation lets a supplier use a scope on its behalf (docs/reference/identity.md 3.7).

With the real Maskinporten this is done in Altinn; here it is a table and this page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from varsel.console.forms import Form
from varsel.console.portal_places import Place, Places, done, said
from varsel.identity import registry
from varsel.runtime.clock import Machine
from varsel.store.database import Database

_LIST: Final = "/selfservice/{organisation}/delegations"


class DelegationPages:
    """Handlers of /console/selfservice/{organisation}/delegations."""

    def __init__(self, places: Places, database: Database, machine: Machine) -> None:
        self._places = places
        self._database = database
        self._machine = machine
        self.routes = [
            Route(_LIST, places.at(self.all), methods=["GET"]),
            Route(_LIST, places.posted(self.delegate), methods=["POST"]),
            Route(_LIST + "/end", places.posted(self.end), methods=["POST"]),
        ]

    async def all(self, request: Request, place: Place) -> Response:
        return await self._all(request, place)

    async def _all(
        self,
        request: Request,
        place: Place,
        faults: Sequence[str] = (),
        *,
        supplier: str = "",
        scope: str = registry.CREATE_SCOPE,
    ) -> Response:
        rows = await registry.delegations_of(self._database, self._machine, place.number)
        return self._places.door.page(
            request,
            "portal_delegations.html",
            400 if faults else 200,
            room="selfservice",
            place=place,
            made=[row for row in rows if row["consumer"] == place.number],
            received=[row for row in rows if row["supplier"] == place.number],
            scopes=await self._delegable(place),
            faults=dict.fromkeys(faults, ""),
            supplier=supplier,
            scope=scope,
            done=said(request),
        )

    async def _delegable(self, place: Place) -> list[str]:
        """Delegable scopes that the organisation may use itself: nobody gives away what it does not have."""
        delegable = set(await registry.delegable_scopes(self._database))
        own: list[Any] = list(await self._places.clients.usable_scopes(place.actor))
        return [name for name in own if name in delegable]

    async def delegate(self, request: Request, place: Place, form: Form) -> Response:
        written, scope = form.one("supplier"), form.one("scope")
        supplier = "".join(written.split())
        faults = []
        if supplier == place.number or not await registry.knows_organisation(self._database, supplier):
            faults.append("supplier")
        if scope not in await self._delegable(place):
            faults.append("delegable")
        if faults:
            return await self._all(request, place, faults, supplier=written, scope=scope)
        await registry.delegate(
            self._database, self._machine, place.number, supplier, scope, actor=place.visitor.actor
        )
        return done(f"{place.home_url}/delegations", "delegated")

    async def end(self, request: Request, place: Place, form: Form) -> Response:
        await registry.end_delegation(
            self._database,
            self._machine,
            place.number,
            form.one("supplier"),
            form.one("scope"),
            actor=place.visitor.actor,
        )
        return done(f"{place.home_url}/delegations", "delegation_ended")
