"""Where in the portal a request is, and whether its sender may be there: organisation, environment, integration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from varsel.console.forms import Form, read_form
from varsel.console.login import Door
from varsel.console.login_sessions import Organisation, Visitor
from varsel.console.pages import HEADERS
from varsel.identity.selfservice.clients import Actor, Clients
from varsel.identity.selfservice.errors import SelfServiceError
from varsel.runtime.clock import Machine
from varsel.runtime.errors import VarselError

HOME: Final = "/console/selfservice"
ENVIRONMENTS: Final = ("test", "production")
#: The one type that the portal makes and changes; others show, and are changed with the API.
KIND: Final = "maskinporten"
#: What a page may say has just been done.
DONE: Final = frozenset(
    {
        *(
            "created",
            "saved",
            "scopes",
            "key_added",
            "key_removed",
            "deactivated",
            "sub_added",
            "sub_removed",
        ),
        *("scope_created", "scope_saved", "scope_deactivated", "access_given", "access_taken"),
        *("delegated", "delegation_ended"),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """An organisation's part of the portal, in one environment, with the one who looks at it."""

    visitor: Visitor
    organisation: Organisation
    environment: str

    @property
    def number(self) -> str:
        return self.organisation.number

    @property
    def home_url(self) -> str:
        """What is the organisation's in every environment begins here."""
        return f"{HOME}/{self.number}"

    @property
    def scopes_url(self) -> str:
        return f"{self.home_url}/scopes"

    @property
    def url(self) -> str:
        return f"{self.home_url}/{self.environment}"

    @property
    def list_url(self) -> str:
        return f"{self.url}/integrations"

    @property
    def actor(self) -> Actor:
        return Actor(self.visitor.actor, self.organisation.number)

    def one_url(self, client_id: object) -> str:
        return f"{self.list_url}/{client_id}"


class Nowhere(VarselError):
    """There is no such place, or it is somebody else's; the two look alike."""


At = Callable[[Request, Place], Awaitable[Response]]
AtOne = Callable[[Request, Place, Mapping[str, Any]], Awaitable[Response]]
Posted = Callable[[Request, Place, Form], Awaitable[Response]]
Sent = Callable[[Request, Place, Mapping[str, Any], Form], Awaitable[Response]]


class Places:
    """Turns handlers of a place into handlers of a request: login, membership and the form's token are checked here, once."""

    def __init__(self, door: Door, clients: Clients, machine: Machine, served: str) -> None:
        self.door = door
        self.clients = clients
        #: The environment whose integrations this installation gives tokens to.
        self.served = served
        self._machine = machine

    def now(self) -> datetime:
        """Keys go by the machine's clock, also where the calendar has been moved."""
        return datetime.fromtimestamp(self._machine.time(), UTC)

    def at(self, act: At) -> Callable[[Request], Awaitable[Response]]:
        """For members of the organisation in the path."""

        async def handle(request: Request) -> Response:
            visitor = self.door.visitor(request)
            if visitor is None:
                return self.door.to_login(request)
            try:
                return await act(request, self._place(request, visitor))
            except Nowhere:
                return self.door.page(request, "missing.html", 404, room="selfservice")

        return handle

    def at_one(self, act: AtOne) -> Callable[[Request], Awaitable[Response]]:
        """For members, with the integration in the path."""

        async def found(request: Request, place: Place) -> Response:
            return await act(request, place, await self.one(request, place))

        return self.at(found)

    def posted(self, act: Posted) -> Callable[[Request], Awaitable[Response]]:
        """For forms; nothing is done without the session's token."""

        async def found(request: Request, place: Place) -> Response:
            form = await self.form(request, place)
            return self.expired(request) if form is None else await act(request, place, form)

        return self.at(found)

    def sent(self, act: Sent) -> Callable[[Request], Awaitable[Response]]:
        """For forms about an integration."""

        async def found(request: Request, place: Place, form: Form) -> Response:
            return await act(request, place, await self.one(request, place), form)

        return self.posted(found)

    async def form(self, request: Request, place: Place) -> Form | None:
        form = await read_form(request)
        return form if form is not None and place.visitor.sent(form.one("csrf")) else None

    def expired(self, request: Request) -> Response:
        return self.door.page(request, "portal_expired.html", 403, room="selfservice")

    async def one(self, request: Request, place: Place) -> Mapping[str, Any]:
        """The integration's row."""
        try:
            row = await self.clients.get(place.actor, request.path_params["client_id"])
        except SelfServiceError:
            raise Nowhere from None
        if row["environment"] != place.environment:
            raise Nowhere
        return row

    def _place(self, request: Request, visitor: Visitor) -> Place:
        organisation = visitor.organisation(request.path_params["organisation"])
        environment = request.path_params.get("environment", self.served)
        if organisation is None or environment not in ENVIRONMENTS:
            raise Nowhere
        return Place(visitor, organisation, environment)


def done(url: str, what: str) -> Response:
    """Back to a page that says what has been done; asking for it again does nothing."""
    return RedirectResponse(f"{url}{'&' if '?' in url else '?'}done={what}", 303, HEADERS)


def said(request: Request) -> str:
    """The key of the text that says what has just been done."""
    what = request.query_params.get("done", "")
    return f"done_{what}" if what in DONE else ""


def moment_of(seconds: int) -> datetime:
    """The moment of a key's `exp`, seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
