"""Keys of an integration: pasted, registered from the page that makes them, removed (docs/reference/identity.md 3.2, 3.6, 4).

The page that makes keys works in the browser alone. What arrives here is public, or it is refused and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from varsel.console.forms import Form
from varsel.console.pages import HEADERS, Pages
from varsel.console.portal import PortalPages
from varsel.console.portal_keys import NotAKey, PrivateKeyPasted, read_pasted, taken_kids
from varsel.console.portal_places import KIND, Place, Places, done
from varsel.identity.selfservice.errors import SelfServiceError
from varsel.runtime.errors import VarselError
from varsel.runtime.settings import Settings

log = structlog.get_logger("varsel.console")

_PLACE: Final = "/selfservice/{organisation}/{environment}"
_ONE: Final = _PLACE + "/integrations/{client_id:uuid}"
#: Members of a key whose refusal has a text of its own.
_MEMBERS: Final = frozenset({"keys", "kty", "use", "alg", "kid", "n", "e", "x5c", "exp"})
#: Texts that the page's script needs; the rest stands in the page.
_SCRIPT_TEXTS: Final = (
    "copied", "copy_failed", "jwk_working", "jwk_made", "jwk_bad_kid", "jwk_failed", "jwk_first_make", "jwk_registering",
    "jwk_registered", "jwk_register_failed", "own_key_bad", "own_key_good", "try_running", "try_done", "try_failed",
    "try_unreachable", "try_1", "try_2", "try_3", "try_4", "try_5", "try_header", "try_claims", "try_help",
)  # fmt: skip


class KeyRefusal(VarselError):
    """A pasted key is not registered. `text` names the explanation, `detail` what it is about; both are safe to show."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.detail = detail


class KeyPages:
    """Handlers of key registration and of the page that makes keys."""

    def __init__(self, places: Places, pages: Pages, portal: PortalPages, settings: Settings) -> None:
        self._places = places
        self._pages = pages
        self._clients = places.clients
        self._portal = portal
        self._settings = settings
        self.routes = [
            Route(_ONE + "/keys", places.sent(self.add), methods=["POST"]),
            Route(_ONE + "/keys/remove", places.at_one(self.ask_remove), methods=["GET"]),
            Route(_ONE + "/keys/remove", places.sent(self.remove), methods=["POST"]),
            Route(_PLACE + "/jwk", places.at(self.make), methods=["GET"]),
        ]

    async def add(self, request: Request, place: Place, row: Mapping[str, Any], form: Form) -> Response:
        """Register pasted keys; the page answers a person, a small JSON object the key page's script."""
        by_script = request.headers.get("accept", "").startswith("application/json")
        try:
            await self._add(place, row, form.one("keys"), form.one("kid"))
        except KeyRefusal as refusal:
            if by_script:
                texts = self._pages.text(request)
                return _json(400, {"message": texts[refusal.text].format(refusal.detail)})
            # What was pasted comes back for correction, unless it is a secret.
            kept = "[]" if refusal.text == "private_text" else form.one("keys")
            return await self._portal.show(
                request,
                place,
                row,
                400,
                key_fault=refusal.text,
                key_detail=refusal.detail,
                pasted=kept,
                kid=form.one("kid"),
            )
        if by_script:
            return _json(200, {"name": row["name"]})
        return done(place.one_url(row["id"]), "key_added")

    async def _add(self, place: Place, row: Mapping[str, Any], text: str, kid: str) -> None:
        try:
            entries = read_pasted(text, kid)
        except PrivateKeyPasted:
            # Told to the operator without a trace of the key itself: whoever pasted it may need help.
            log.warning("private key pasted and dropped", action="console.private_key_refused")
            raise KeyRefusal("private_text") from None
        except NotAKey as error:
            raise KeyRefusal(error.what) from None
        try:
            held = await self._clients.keys(place.actor, row["id"])
            taken = taken_kids(entries, held.keys)
            if taken:
                raise KeyRefusal("key_taken", ", ".join(taken))
            await self._clients.add_keys(place.actor, row["id"], entries, None)
        except SelfServiceError as error:
            member = error.fields[0].field if error.fields else ""
            if member == "d":
                raise KeyRefusal("private_text") from None
            if error.status == 409:
                raise KeyRefusal("fault_inactive") from None
            raise KeyRefusal(f"key_bad_{member}" if member in _MEMBERS else "key_bad") from None

    async def ask_remove(self, request: Request, place: Place, row: Mapping[str, Any]) -> Response:
        kid = request.query_params.get("kid", "")
        held = await self._clients.keys(place.actor, row["id"])
        if all(key["kid"] != kid for key in held.keys):
            return await self._portal.show(request, place, row, 404)
        return self._portal.page(request, place, "portal_key_remove.html", row=row, kid=kid)

    async def remove(self, request: Request, place: Place, row: Mapping[str, Any], form: Form) -> Response:
        try:
            await self._clients.remove_keys(place.actor, row["id"], form.one("kid"), None)
        except SelfServiceError as error:
            # Somebody else was faster: the key is gone, as it should be.
            if error.status != 404:
                return await self._portal.show(request, place, row, error.status)
        return done(place.one_url(row["id"]), "key_removed")

    async def make(self, request: Request, place: Place) -> Response:
        rows = await self._clients.own(place.actor, environment=place.environment)
        rows = [row for row in rows if row["kind"] == KIND]
        wanted = request.query_params.get("integration", "")
        chosen = next((row for row in rows if str(row["id"]) == wanted), rows[-1] if rows else None)
        texts = self._pages.text(request)
        return self._portal.page(
            request,
            place,
            "portal_jwk.html",
            rows=rows,
            chosen=chosen,
            kid=f"{_slug(chosen['name']) if chosen else 'varsel'}-{self._places.now():%Y-%m-%d}",
            words={name: texts[name] for name in _SCRIPT_TEXTS},
            builtin=self._settings.identity_mode == "builtin"
            and place.environment == self._settings.client_environment,
            base=self._settings.base_url,
        )


def _slug(name: str) -> str:
    """A name as part of a kid: small letters, digits and '-'."""
    plain = name.lower().translate(str.maketrans("æøå", "aoa"))
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in plain).split()
    return "-".join(words)[:60].strip("-") or "varsel"


def _json(status: int, body: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(body), status, HEADERS, "application/json")
