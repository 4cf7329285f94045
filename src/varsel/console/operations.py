"""Drift: what an operator of the platform looks after: service owners, who may act for whom, and the audit trail.

Whoever is no operator finds nothing here. Every rule is identity's; this is its face.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from varsel.console.forms import Form, read_form
from varsel.console.login import Door
from varsel.console.login_sessions import Visitor
from varsel.console.pages import HEADERS
from varsel.identity import registry
from varsel.identity.audit import trail
from varsel.identity.numbers import is_national, is_nine_digits
from varsel.identity.registry import CREATE_SCOPE, OPERATOR, Names
from varsel.runtime.clock import Machine
from varsel.runtime.errors import OperatorError
from varsel.store.database import Database

ROOM: Final = "operations"
HOME: Final = "/console/operations"
MEMBERS: Final = HOME + "/members"
DELEGATIONS: Final = HOME + "/delegations"
AUDIT: Final = HOME + "/audit"
PAGE: Final = 50
_OWNER: Final = "service-owner"
_DONE: Final = frozenset(
    {"owner", "prefix", "member_added", "member_removed", "delegated", "delegation_ended"}
)
_LONGEST_NAME: Final = 255
#: What the forms of a page hold before anybody has written anything; a refused form comes back as it was written.
_OWNERS: Final = dict.fromkeys(("code", "number", "name_nb", "name_en", "prefix", "holder"), "")
_MEMBERS: Final = dict.fromkeys(("name", "place"), "")
_DELEGATIONS: Final = {"consumer": "", "supplier": "", "scope": CREATE_SCOPE}

Act = Callable[[Request, Visitor], Awaitable[Response]]
Sent = Callable[[Request, Visitor, Form], Awaitable[Response]]


class OperationsPages:
    """Handlers of the pages under /console/operations. `mark` is what stands for a person in the audit trail."""

    def __init__(self, door: Door, database: Database, machine: Machine, mark: Callable[[str], str]) -> None:
        self._door = door
        self._database = database
        self._machine = machine
        self._mark = mark
        self.routes = [
            Route("/operations", self._at(self.owners), methods=["GET"]),
            Route("/operations", self._sent(self.register), methods=["POST"]),
            Route("/operations/prefixes", self._sent(self.hand_out), methods=["POST"]),
            Route("/operations/members", self._at(self.members), methods=["GET"]),
            Route("/operations/members", self._sent(self.invite), methods=["POST"]),
            Route("/operations/members/remove", self._sent(self.remove), methods=["POST"]),
            Route("/operations/delegations", self._at(self.delegations), methods=["GET"]),
            Route("/operations/delegations", self._sent(self.delegate), methods=["POST"]),
            Route("/operations/delegations/end", self._sent(self.end_delegation), methods=["POST"]),
            Route("/operations/audit", self._at(self.audit), methods=["GET"]),
        ]

    def _at(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            visitor = self._door.visitor(request)
            if visitor is None:
                return self._door.to_login(request)
            if not visitor.operator:
                return self._door.page(request, "missing.html", 404, room="")
            return await act(request, visitor)

        return handle

    def _sent(self, act: Sent) -> Callable[[Request], Awaitable[Response]]:
        """For forms; nothing is done without the session's token."""

        async def found(request: Request, visitor: Visitor) -> Response:
            form = await read_form(request)
            if form is None or not visitor.sent(form.one("csrf")):
                return self._door.page(request, "portal_expired.html", 403, room=ROOM)
            return await act(request, visitor, form)

        return self._at(found)

    def _page(
        self, request: Request, part: str, status: int = 200, *, fault: str = "", **values: Any
    ) -> Response:
        done = request.query_params.get("done", "")
        return self._door.page(
            request,
            f"operations_{part}.html",
            status,
            room=ROOM,
            part=part,
            fault=fault,
            done=f"ops_done_{done}" if done in _DONE and not fault else "",
            **values,
        )

    # Service owners

    async def owners(self, request: Request, visitor: Visitor) -> Response:
        return await self._owners(request, _OWNERS)

    async def _owners(
        self, request: Request, written: Mapping[str, str], fault: str = "", status: int = 200
    ) -> Response:
        rows = await registry.organisations(self._database)
        return self._page(
            request,
            "owners",
            status,
            fault=fault,
            rows=rows,
            written=written,
            prefixes=await registry.prefixes(self._database),
        )

    async def register(self, request: Request, visitor: Visitor, form: Form) -> Response:
        written = _written(_OWNERS, form)
        if not is_nine_digits(written["number"]):
            return await self._owners(request, written, "ops_fault_number", 400)
        if not 1 <= len(written["name_nb"]) <= _LONGEST_NAME or len(written["name_en"]) > _LONGEST_NAME:
            return await self._owners(request, written, "ops_fault_name", 400)
        try:
            await registry.register_service_owner(
                self._database,
                self._machine,
                written["code"],
                written["number"],
                Names(written["name_nb"], en=written["name_en"]),
                actor=visitor.actor,
            )
        except OperatorError:
            # The code is none, or the number is another's.
            return await self._owners(request, written, "ops_fault_code", 400)
        return _back(HOME, "owner")

    async def hand_out(self, request: Request, visitor: Visitor, form: Form) -> Response:
        written = _written(_OWNERS, form)
        try:
            await registry.hand_out_prefix(
                self._database, written["prefix"], written["holder"], actor=visitor.actor
            )
        except OperatorError:
            # It is none, or taken, or the organisation is not there.
            return await self._owners(request, written, "ops_fault_prefix", 400)
        return _back(HOME, "prefix")

    # Members

    async def members(self, request: Request, visitor: Visitor) -> Response:
        return await self._members(request, _MEMBERS)

    async def _members(
        self, request: Request, written: Mapping[str, str], fault: str = "", status: int = 200
    ) -> Response:
        found = await registry.members(self._database)
        rows = [row | {"mark": self._mark(row["pid"])} for row in found]
        places = await registry.organisations(self._database)
        return self._page(request, "members", status, fault=fault, rows=rows, written=written, places=places)

    async def invite(self, request: Request, visitor: Visitor, form: Form) -> Response:
        # The page promises that the national number is not shown again: not here either.
        pid, written = form.one("pid").strip(), _written(_MEMBERS, form)
        name, place = written["name"], written["place"]
        if not is_national(pid):
            return await self._members(request, written, "ops_fault_pid", 400)
        if len(name) > _LONGEST_NAME:
            return await self._members(request, written, "ops_fault_name", 400)
        organisation = None if place == OPERATOR else place
        if organisation is not None and not await registry.knows_organisation(self._database, organisation):
            return await self._members(request, written, "ops_fault_place", 400)
        await registry.add_person(self._database, pid, name)
        await registry.add_member(
            self._database,
            pid,
            organisation,
            OPERATOR if organisation is None else _OWNER,
            actor=visitor.actor,
            subject=self._mark(pid),
        )
        return _back(MEMBERS, "member_added")

    async def remove(self, request: Request, visitor: Visitor, form: Form) -> Response:
        # The form names the person as the audit trail does: a national number is no part of a page that others may look at.
        for row in await registry.members(self._database):
            place = row["organisation"] or OPERATOR
            if self._mark(row["pid"]) == form.one("who") and place == form.one("place"):
                try:
                    await registry.remove_member(
                        self._database,
                        row["pid"],
                        row["organisation"],
                        row["role"],
                        actor=visitor.actor,
                        subject=self._mark(row["pid"]),
                    )
                except OperatorError:
                    return await self._members(request, _MEMBERS, "ops_fault_last", 409)
                return _back(MEMBERS, "member_removed")
        return _back(MEMBERS, "member_removed")

    # Delegations

    async def delegations(self, request: Request, visitor: Visitor) -> Response:
        return await self._delegations(request, _DELEGATIONS)

    async def _delegations(
        self, request: Request, written: Mapping[str, str], fault: str = "", status: int = 200
    ) -> Response:
        return self._page(
            request,
            "delegations",
            status,
            fault=fault,
            written=written,
            rows=await registry.living_delegations(self._database, self._machine),
            places=await registry.organisations(self._database),
            scopes=await registry.delegable_scopes(self._database),
        )

    async def delegate(self, request: Request, visitor: Visitor, form: Form) -> Response:
        written = _written(_DELEGATIONS, form)
        consumer, supplier, scope = written["consumer"], written["supplier"], written["scope"]
        known = {row["number"] for row in await registry.organisations(self._database)}
        if not {consumer, supplier} <= known or consumer == supplier:
            return await self._delegations(request, written, "ops_fault_sides", 400)
        if scope not in await registry.delegable_scopes(self._database):
            return await self._delegations(request, written, "ops_fault_scope", 400)
        await registry.delegate(self._database, self._machine, consumer, supplier, scope, actor=visitor.actor)
        return _back(DELEGATIONS, "delegated")

    async def end_delegation(self, request: Request, visitor: Visitor, form: Form) -> Response:
        await registry.end_delegation(
            self._database,
            self._machine,
            form.one("consumer"),
            form.one("supplier"),
            form.one("scope"),
            actor=visitor.actor,
        )
        return _back(DELEGATIONS, "delegation_ended")

    # Audit

    async def audit(self, request: Request, visitor: Visitor) -> Response:
        number = request.query_params.get("organisation", "")
        organisation = number if is_nine_digits(number) else None
        try:
            before = UUID(request.query_params.get("before", ""))
        except ValueError:
            before = None
        events = await trail(self._database, organisation, PAGE + 1, before)
        older = ""
        if len(events) > PAGE:
            events = events[:PAGE]
            query = {"before": str(events[-1]["id"])} | ({"organisation": number} if organisation else {})
            older = f"{AUDIT}?{urlencode(query)}"
        people = {self._mark(row["pid"]): row["name"] for row in await registry.members(self._database)}
        return self._page(
            request,
            "audit",
            events=events,
            people=people,
            older=older,
            organisation=organisation or "",
            places=await registry.organisations(self._database),
        )


def _written(fields: Iterable[str], form: Form) -> dict[str, str]:
    return {name: form.one(name).strip() for name in fields}


def _back(url: str, what: str) -> Response:
    return RedirectResponse(f"{url}?done={what}", 303, HEADERS)
