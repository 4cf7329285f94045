"""Selvbetjening: the integrations of an organisation, made and changed click for click as the public guides describe it
(docs/reference/identity.md 3.2, 3.3). Every rule is identity's; this is its face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from varsel.console.forms import Form
from varsel.console.pages import HEADERS
from varsel.console.portal_keys import warning
from varsel.console.portal_places import ENVIRONMENTS, HOME, KIND, Place, Places, done, moment_of, said
from varsel.identity.selfservice import wire
from varsel.identity.selfservice.errors import SelfServiceError
from varsel.identity.selfservice.wire import ClientDraft
from varsel.store.database import Database
from varsel.store.queries import load

sql = load("varsel.console")

_ONE: Final = "/selfservice/{organisation}/{environment}/integrations/{client_id:uuid}"
_LIST: Final = "/selfservice/{organisation}/{environment}/integrations"
#: Fields of the API's refusals that a form here has.
_FIELDS: Final = ("client_name", "description", "scopes")
#: Nothing written in the form about a customer.
_NO_SUB: Final[Mapping[str, str]] = {"name": "", "orgno": ""}
#: Scopes come and go without a version: the change is repeated upon what stands now.
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody has written in a form about an integration."""

    name: str = ""
    description: str = ""
    scopes: Sequence[str] = ()

    def body(self) -> dict[str, str]:
        """As members of the API's body."""
        return {"client_name": self.name, "description": self.description}


class PortalPages:
    """Handlers of the pages under /console/selfservice, keys excepted."""

    def __init__(self, places: Places, database: Database) -> None:
        self._places = places
        self._door = places.door
        self._clients = places.clients
        self._database = database
        at, at_one, sent = places.at, places.at_one, places.sent
        self.routes = [
            Route("/selfservice", self.home, methods=["GET"]),
            Route(_LIST, at(self.integrations), methods=["GET"]),
            Route(_LIST + "/new", at(self.ask_new), methods=["GET"]),
            Route(_LIST + "/new", at(self.create), methods=["POST"]),
            Route(_ONE, at_one(self.one), methods=["GET"]),
            Route(_ONE + "/edit", at_one(self.ask_edit), methods=["GET"]),
            Route(_ONE + "/edit", sent(self.save), methods=["POST"]),
            Route(_ONE + "/scopes", sent(self.change_scopes), methods=["POST"]),
            Route(_ONE + "/onbehalfof", sent(self.add_sub), methods=["POST"]),
            Route(_ONE + "/onbehalfof/remove", sent(self.remove_sub), methods=["POST"]),
            Route(_ONE + "/deactivate", at_one(self.ask_deactivate), methods=["GET"]),
            Route(_ONE + "/deactivate", sent(self.deactivate), methods=["POST"]),
        ]

    def page(
        self, request: Request, place: Place, template: str, status: int = 200, **values: Any
    ) -> Response:
        return self._door.page(
            request,
            template,
            status,
            room="selfservice",
            place=place,
            environments=ENVIRONMENTS,
            served=self._places.served,
            **values,
        )

    async def home(self, request: Request) -> Response:
        visitor = self._door.visitor(request)
        if visitor is None:
            return self._door.to_login(request)
        if not visitor.organisations:
            return self._door.page(request, "portal_nobody.html", room="selfservice")
        return self._door.page(
            request, "portal_home.html", room="selfservice", environments=ENVIRONMENTS, home=HOME
        )

    async def integrations(self, request: Request, place: Place) -> Response:
        inactive = request.query_params.get("inactive") == "true"
        rows = await self._clients.own(place.actor, inactive=inactive, environment=place.environment)
        facts = await self._database.fetch(sql.key_facts, [row["id"] for row in rows])
        now = self._places.now()
        keys = {row["client_id"]: (row["keys"], warning(row["ends"], now)) for row in facts}
        return self.page(
            request,
            place,
            "portal_list.html",
            rows=rows,
            keys=keys,
            inactive=inactive,
            done=said(request),
        )

    # Ny integrasjon

    async def ask_new(self, request: Request, place: Place) -> Response:
        scopes = [row for row in await self._scopes(place) if row["granted"]]
        wanted = [row["name"] for row in scopes if row["name"].endswith("/notifications.create")]
        return await self._new(request, place, Proposal(scopes=wanted))

    async def create(self, request: Request, place: Place) -> Response:
        form = await self._places.form(request, place)
        if form is None:
            return self._places.expired(request)
        wish = Proposal(form.one("client_name"), form.one("description"), form.all("scope"))
        body = {"integration_type": KIND, **wish.body(), "scopes": list(wish.scopes)}
        try:
            row = await self._clients.create(place.actor, self._clients.draft(body), place.environment)
        except SelfServiceError as error:
            return await self._new(request, place, wish, error)
        return done(place.one_url(row["id"]), "created")

    async def _new(
        self, request: Request, place: Place, wish: Proposal, error: SelfServiceError | None = None
    ) -> Response:
        return self.page(
            request,
            place,
            "portal_new.html",
            400 if error else 200,
            scopes=await self._scopes(place),
            wish=wish,
            faults=_faults(error, wish.scopes),
        )

    async def _scopes(self, place: Place) -> Sequence[Mapping[str, Any]]:
        """The scopes that the organisation may put on an integration of this type; `delegated`: a customer must have given its own."""
        found = []
        for row in await self._clients.registrable_scopes(place.actor):
            attributes = msgspec.json.decode(row["attributes"])
            if KIND in attributes.get("allowed_integration_types", [KIND]):
                own = row["granted"] or attributes.get("accessible_for_all", False)
                found.append({**row, "delegated": not own})
        # What notifications need stands first.
        return sorted(found, key=lambda row: (row["delegated"], not row["granted"], row["name"]))

    # One integration

    async def one(self, request: Request, place: Place, row: Mapping[str, Any]) -> Response:
        return await self.show(request, place, row)

    async def show(
        self,
        request: Request,
        place: Place,
        row: Mapping[str, Any],
        status: int = 200,
        *,
        key_fault: str = "",
        key_detail: str = "",
        pasted: str = "[]",
        kid: str = "",
        sub_fault: str = "",
        sub_wish: Mapping[str, str] = _NO_SUB,
    ) -> Response:
        """The integration's page; with `key_fault` it says why a pasted key was refused, with `sub_fault` why a customer was."""
        held = await self._clients.keys(place.actor, row["id"])
        now = self._places.now()
        keys = [
            {**key, "ends": moment_of(key["exp"]), "warning": warning(moment_of(key["exp"]), now)}
            for key in held.keys
        ]
        return self.page(
            request,
            place,
            "portal_one.html",
            status,
            row=row,
            own_kind=row["kind"] == KIND,
            keys=keys,
            today=now,
            addable=[scope for scope in await self._scopes(place) if scope["name"] not in row["scopes"]],
            done=said(request),
            key_fault=key_fault,
            key_detail=key_detail,
            pasted=pasted,
            kid=kid,
            subs=await self._clients.onbehalfof(place.actor, row["id"]),
            sub_faults={sub_fault: ""} if sub_fault else {},
            sub_wish=sub_wish,
        )

    async def ask_edit(self, request: Request, place: Place, row: Mapping[str, Any]) -> Response:
        if not row["active"] or row["kind"] != KIND:
            return RedirectResponse(place.one_url(row["id"]), 303, HEADERS)
        return self._edit(request, place, row, Proposal(row["name"], row["description"]))

    def _edit(
        self,
        request: Request,
        place: Place,
        row: Mapping[str, Any],
        wish: Proposal,
        error: SelfServiceError | None = None,
    ) -> Response:
        conflict = error is not None and error.status == 412
        return self.page(
            request,
            place,
            "portal_edit.html",
            409 if conflict else 400 if error else 200,
            row=row,
            wish=wish,
            faults={} if conflict else _faults(error, row["scopes"]),
            conflict=conflict,
        )

    async def save(self, request: Request, place: Place, row: Mapping[str, Any], form: Form) -> Response:
        """Name and description, if nobody has saved since the form was shown; else both versions stand side by side."""
        wish = Proposal(form.one("client_name"), form.one("description"))
        try:
            draft = self._draft(row, **wish.body())
            await self._clients.replace(place.actor, row["id"], draft, form.number("version"))
        except SelfServiceError as error:
            now = await self._clients.get(place.actor, row["id"])
            return self._edit(request, place, now, wish, error)
        return done(place.one_url(row["id"]), "saved")

    async def change_scopes(
        self, request: Request, place: Place, row: Mapping[str, Any], form: Form
    ) -> Response:
        """Add the ticked scopes, or take one away; what others did meanwhile stays."""
        add, remove = form.all("scope"), form.one("remove")
        for _ in range(_TRIES):
            kept = [scope for scope in row["scopes"] if scope != remove]
            try:
                draft = self._draft(row, scopes=list(dict.fromkeys([*kept, *add])))
                await self._clients.replace(place.actor, row["id"], draft, row["version"])
            except SelfServiceError as error:
                if error.status != 412:
                    return self._refuse(request, place, row, error, add)
                row = await self._clients.get(place.actor, row["id"])
                continue
            return done(place.one_url(row["id"]), "scopes")
        return self.page(request, place, "portal_refused.html", 409, row=row, faults={"other": ""})

    # På vegne av

    async def add_sub(self, request: Request, place: Place, row: Mapping[str, Any], form: Form) -> Response:
        wish = {"name": form.one("name").strip(), "orgno": "".join(form.one("orgno").split())}
        try:
            await self._clients.add_onbehalfof(
                place.actor, row["id"], {"onbehalfof": wish["name"], "orgno": wish["orgno"]}
            )
        except SelfServiceError as error:
            fields = {fault.field for fault in error.fields}
            fault = "sub_name" if "onbehalfof" in fields else "sub_number" if fields else "sub_taken"
            if not row["active"]:
                fault = "inactive"
            return await self.show(request, place, row, error.status, sub_fault=fault, sub_wish=wish)
        return done(place.one_url(row["id"]), "sub_added")

    async def remove_sub(
        self, request: Request, place: Place, row: Mapping[str, Any], form: Form
    ) -> Response:
        try:
            await self._clients.remove_onbehalfof(place.actor, row["id"], form.one("name"))
        except SelfServiceError as error:
            # Somebody else was faster: the entry is gone, as it should be.
            if error.status != 404:
                raise
        return done(place.one_url(row["id"]), "sub_removed")

    async def ask_deactivate(self, request: Request, place: Place, row: Mapping[str, Any]) -> Response:
        return self.page(request, place, "portal_deactivate.html", row=row)

    async def deactivate(
        self, request: Request, place: Place, row: Mapping[str, Any], form: Form
    ) -> Response:
        await self._clients.deactivate(place.actor, row["id"])
        return done(place.list_url, "deactivated")

    def _draft(self, row: Mapping[str, Any], **changes: Any) -> ClientDraft:
        """The integration as it is, with changes, through the API's own reading."""
        return self._clients.draft(wire.client_body(row) | changes)

    def _refuse(
        self,
        request: Request,
        place: Place,
        row: Mapping[str, Any],
        error: SelfServiceError,
        scopes: Sequence[str] = (),
    ) -> Response:
        return self.page(
            request, place, "portal_refused.html", error.status, row=row, faults=_faults(error, scopes)
        )


def _faults(error: SelfServiceError | None, scopes: Sequence[str]) -> dict[str, str]:
    """Field → what its text has to name; `inactive` and `other` belong to no field."""
    if error is None:
        return {}
    found = {fault.field: "" for fault in error.fields if fault.field in _FIELDS}
    if "scopes" in found:
        # The refusal lists the scopes; only names from the form itself are shown.
        text = " ".join(fault.text for fault in error.fields if fault.field == "scopes")
        named = text.replace(",", " ").replace(". ", " ").rstrip(".").split()
        found["scopes"] = ", ".join(scope for scope in scopes if scope in named) or "…"
    if not found:
        found["inactive" if error.status == 409 else "other"] = ""
    return found
