"""Mine API: the scopes that an organisation owns, and who may use them (docs/reference/identity.md 3.3, 3.7).

Every rule is identity's; this is its face.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from varsel.console.forms import Form
from varsel.console.pages import HEADERS
from varsel.console.portal_places import Nowhere, Place, Places, done, said
from varsel.identity.selfservice import wire
from varsel.identity.selfservice.errors import SelfServiceError
from varsel.identity.selfservice.scopes import Scopes, version_of
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.console")

_LIST: Final = "/selfservice/{organisation}/scopes"
_ONE: Final = _LIST + "/one"
#: Members of the API's refusals that a form here has.
_FIELDS: Final = ("prefix", "subscope", "description", "long_description", "at_max_age", "consumer_orgno")
_VISIBILITIES: Final = ("PRIVATE", "PUBLIC", "INTERNAL")
#: What a new scope begins as.
_BLANK: Final[Mapping[str, Any]] = {
    "prefix": "", "subscope": "", "description": "", "long_description": "", "visibility": "PRIVATE",
    "accessible_for_all": False, "delegation_source": None, "at_max_age": 0,
}  # fmt: skip


class ScopePages:
    """Handlers of the pages under /console/selfservice/{organisation}/scopes."""

    def __init__(self, places: Places, scopes: Scopes, database: Database) -> None:
        self._places = places
        self._door = places.door
        self._scopes = scopes
        self._database = database
        #: The register of delegations that belongs to this installation's environment.
        self._source = wire.DELEGATION_SOURCES[
            "altinn-production" if places.served == "production" else "altinn"
        ]
        at, sent = places.at, places.posted
        self.routes = [
            Route(_LIST, at(self.own), methods=["GET"]),
            Route(_LIST + "/new", at(self.ask_new), methods=["GET"]),
            Route(_LIST + "/new", sent(self.create), methods=["POST"]),
            Route(_ONE, at(self.one), methods=["GET"]),
            Route(_ONE + "/edit", at(self.ask_edit), methods=["GET"]),
            Route(_ONE + "/edit", sent(self.save), methods=["POST"]),
            Route(_ONE + "/deactivate", at(self.ask_deactivate), methods=["GET"]),
            Route(_ONE + "/deactivate", sent(self.deactivate), methods=["POST"]),
            Route(_ONE + "/access", sent(self.grant), methods=["POST"]),
            Route(_ONE + "/access/remove", at(self.ask_withdraw), methods=["GET"]),
            Route(_ONE + "/access/remove", sent(self.withdraw), methods=["POST"]),
        ]

    def _page(
        self, request: Request, place: Place, template: str, status: int = 200, **values: Any
    ) -> Response:
        return self._door.page(request, template, status, room="selfservice", place=place, **values)

    async def own(self, request: Request, place: Place) -> Response:
        inactive = request.query_params.get("inactive") == "true"
        rows = await self._scopes.own(place.actor, inactive=inactive)
        facts = await self._database.fetch(sql.scope_facts, [row["name"] for row in rows])
        return self._page(
            request,
            place,
            "portal_scopes.html",
            rows=[_shown(row) for row in rows],
            consumers={row["scope"]: row["consumers"] for row in facts},
            prefixes=await self._scopes.prefixes(place.actor),
            given=[row for row in await self._scopes.given(place.actor) if row["owner"] != place.number],
            inactive=inactive,
            done=said(request),
        )

    # Nytt scope

    async def ask_new(self, request: Request, place: Place) -> Response:
        return await self._form(request, place, _BLANK)

    async def create(self, request: Request, place: Place, form: Form) -> Response:
        wish = self._wish(form) | {name: form.one(name).strip() for name in ("prefix", "subscope")}
        try:
            row = await self._scopes.create(place.actor, wish)
        except SelfServiceError as error:
            return await self._form(request, place, wish, error)
        return done(_url(place, row["name"]), "scope_created")

    async def _form(
        self,
        request: Request,
        place: Place,
        wish: Mapping[str, Any],
        error: SelfServiceError | None = None,
        row: Mapping[str, Any] | None = None,
    ) -> Response:
        """The form of a new scope, or with `row` of one that is."""
        conflict = error is not None and error.status == 412
        status = 200 if error is None else 409 if conflict else 400
        return self._page(
            request,
            place,
            "portal_scope_form.html",
            status,
            prefixes=await self._scopes.prefixes(place.actor) if row is None else [],
            wish=wish,
            faults={} if conflict else _faults(error, "scope_taken" if row is None else "scope_inactive"),
            conflict=conflict,
            now_is=None if row is None else _shown(row),
            version="" if row is None else version_of(row),
            back=place.scopes_url if row is None else _url(place, row["name"]),
        )

    def _wish(self, form: Form) -> dict[str, Any]:
        """The form as members of the API's body."""
        visibility, age = form.one("visibility"), form.one("at_max_age").strip() or "0"
        return {
            "description": form.one("description").strip(),
            "long_description": form.one("long_description").strip(),
            "visibility": visibility if visibility in _VISIBILITIES else _VISIBILITIES[0],
            "accessible_for_all": form.one("accessible_for_all") == "true",
            "delegation_source": self._source if form.one("delegable") == "true" else None,
            # What is no number goes on as it is: the API's own reading refuses it.
            "at_max_age": int(age) if age.isascii() and age.isdecimal() and len(age) < 10 else age,
        }

    # One scope

    async def one(self, request: Request, place: Place) -> Response:
        return await self._one(request, place, await self._row(request, place))

    async def _row(self, request: Request, place: Place) -> Mapping[str, Any]:
        """The scope that the query names, when the organisation owns it."""
        try:
            return await self._scopes.get(place.actor, request.query_params.get("scope", ""))
        except SelfServiceError:
            raise Nowhere from None

    async def _one(
        self,
        request: Request,
        place: Place,
        row: Mapping[str, Any],
        status: int = 200,
        *,
        faults: Mapping[str, str] | None = None,
        number: str = "",
    ) -> Response:
        accesses = await self._scopes.accesses(place.actor, row["name"])
        return self._page(
            request,
            place,
            "portal_scope.html",
            status,
            row=row,
            scope=_shown(row),
            query=urlencode({"scope": row["name"]}),
            accesses=[access for access in accesses if access["state"] == "APPROVED"],
            faults=faults or {},
            number=number,
            done=said(request),
        )

    async def ask_edit(self, request: Request, place: Place) -> Response:
        row = await self._row(request, place)
        if not row["active"]:
            return RedirectResponse(_url(place, row["name"]), 303, HEADERS)
        return await self._form(request, place, _shown(row), row=row)

    async def save(self, request: Request, place: Place, form: Form) -> Response:
        """What may be changed, if nobody has saved since the form was shown; else both versions stand side by side."""
        row = await self._row(request, place)
        wish = _shown(row) | self._wish(form)
        try:
            await self._scopes.replace(place.actor, row["name"], wish, form.number("version"))
        except SelfServiceError as error:
            return await self._form(request, place, wish, error, await self._row(request, place))
        return done(_url(place, row["name"]), "scope_saved")

    async def ask_deactivate(self, request: Request, place: Place) -> Response:
        row = await self._row(request, place)
        return self._page(
            request, place, "portal_scope_deactivate.html", row=row, back=_url(place, row["name"])
        )

    async def deactivate(self, request: Request, place: Place, form: Form) -> Response:
        row = await self._row(request, place)
        await self._scopes.deactivate(place.actor, row["name"])
        return done(place.scopes_url, "scope_deactivated")

    # Tilganger

    async def grant(self, request: Request, place: Place, form: Form) -> Response:
        row = await self._row(request, place)
        number = "".join(form.one("consumer").split())
        try:
            await self._scopes.grant(place.actor, row["name"], number)
        except SelfServiceError as error:
            return await self._one(
                request, place, row, error.status, faults=_faults(error), number=form.one("consumer")
            )
        return done(_url(place, row["name"]), "access_given")

    async def ask_withdraw(self, request: Request, place: Place) -> Response:
        row = await self._row(request, place)
        wanted = request.query_params.get("consumer", "")
        for access in await self._scopes.accesses(place.actor, row["name"]):
            if access["consumer"] == wanted and access["state"] == "APPROVED":
                return self._page(
                    request,
                    place,
                    "portal_access_remove.html",
                    row=row,
                    access=access,
                    query=urlencode({"scope": row["name"]}),
                    back=_url(place, row["name"]),
                )
        # Somebody else was faster: the access is gone, as it should be.
        return RedirectResponse(_url(place, row["name"]), 303, HEADERS)

    async def withdraw(self, request: Request, place: Place, form: Form) -> Response:
        row = await self._row(request, place)
        try:
            await self._scopes.withdraw(place.actor, row["name"], form.one("consumer"))
        except SelfServiceError as error:
            if error.status != 404:
                raise
        return done(_url(place, row["name"]), "access_taken")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The scope as the API shows it, with everything that a form has."""
    return {**_BLANK, **wire.scope_body(row)}


def _url(place: Place, name: str) -> str:
    return f"{place.scopes_url}/one?{urlencode({'scope': name})}"


def _faults(error: SelfServiceError | None, conflict: str = "other") -> dict[str, str]:
    """Field → nothing more to say; what belongs to no field by its status, 409 as `conflict`."""
    if error is None:
        return {}
    found = {f"scope_{fault.field}": "" for fault in error.fields if fault.field in _FIELDS}
    kinds = {403: "scope_prefix", 409: conflict}
    return found or {kinds.get(error.status, "other"): ""}
