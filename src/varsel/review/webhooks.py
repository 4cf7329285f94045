"""A creator's endpoints: registered, listed, tested, rotated, removed, and what was tried (docs/design.md, decisions)."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from varsel.review.webhooks_wire import (
    USUAL,
    EventName,
    NewWebhook,
    Webhook,
    WebhookAttempt,
    WebhookTest,
    WebhookWithSecret,
)
from varsel.runtime.asgi import with_etag
from varsel.runtime.calls import creator_of
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import BASE, Call, Endpoint, Policy, Reply
from varsel.runtime.errors import PlainProblem, ValidationProblem
from varsel.runtime.outbound_rules import ForbiddenAddress, literal_private, target_of
from varsel.runtime.problems import pretty
from varsel.runtime.times import wire_time
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import uuid7

_sql = queries.load("varsel.review")

MOST: Final = 10
"""Endpoints of one creator."""
BOTH_SIGN: Final = timedelta(hours=24)
"""How long the old secret signs beside the new one."""
_SECRET_OCTETS: Final = 32
_SHOWN_ATTEMPTS: Final = 100
_LONGEST_URL: Final = 2000
#: Octets of a registration: many times what a URL and every event need.
_LARGEST: Final = 100_000
#: Levels of nesting of a body (docs/reference/notifications-api.md 1.4).
DEPTH: Final = 32
# A string may have no end: it is passed over to the end of the body at once, and not looked for again from each quote in it.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*\\?(?:"|\Z)|([\[{])|([\]}])', re.DOTALL)
_PREFIX: Final = "whsec_"

PATH: Final = f"{BASE}/future/webhooks"
_TAG: Final = "webhooks"
_ID: Final[Mapping[str, str]] = {"id": "uuid"}

ENDPOINTS: Final = (
    Endpoint(
        "POST",
        PATH,
        "add_webhook",
        Policy.CREATE,
        "Register a webhook",
        consumes=("application/json",),
        request=NewWebhook,
        examples={
            "request": {"url": "https://hooks.example.org/varsel", "events": ["order.completed"]},
        },
        responses={201: WebhookWithSecret},
        problems=(400, 401, 403, 409, 415),
        description=(
            "Events are posted as Standard Webhooks: `webhook-id` (the feed number for entries of the feed), `webhook-timestamp`, "
            "`webhook-signature`. They come at least once; what is not answered with 2xx is tried again for 24 hours, and an endpoint "
            f"that failed for as long is turned off. At most {MOST} for one creator: 409 beyond."
        ),
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        PATH,
        "get_webhooks",
        Policy.CREATE,
        "List webhooks",
        responses={200: list[Webhook], 304: None},
        problems=(401, 403),
        description="The caller's endpoints, oldest first, without their secrets.",
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        f"{PATH}/{{id}}",
        "get_webhook",
        Policy.CREATE,
        "One webhook",
        responses={200: Webhook, 304: None},
        problems=(401, 403, 404),
        missing_is_told=True,
        typed=_ID,
        description="An endpoint, and whether it is failing.",
        tag=_TAG,
    ),
    Endpoint(
        "DELETE",
        f"{PATH}/{{id}}",
        "delete_webhook",
        Policy.CREATE,
        "Remove a webhook",
        responses={204: None},
        problems=(401, 403, 404),
        missing_is_told=True,
        typed=_ID,
        description="Nothing more is sent to it; what waited is dropped.",
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        f"{PATH}/{{id}}/test",
        "test_webhook",
        Policy.CREATE,
        "Test a webhook",
        responses={202: WebhookTest},
        problems=(401, 403, 404),
        missing_is_told=True,
        typed=_ID,
        description="Sends `webhook.test` once, also to an endpoint that was turned off; a 2xx answer turns it on again.",
        tag=_TAG,
    ),
    Endpoint(
        "POST",
        f"{PATH}/{{id}}/rotate",
        "rotate_webhook",
        Policy.CREATE,
        "Change a webhook's secret",
        responses={200: WebhookWithSecret},
        problems=(401, 403, 404),
        missing_is_told=True,
        typed=_ID,
        description="Answers with a new secret. For 24 hours every event carries two signatures, one with each secret.",
        tag=_TAG,
    ),
    Endpoint(
        "GET",
        f"{PATH}/{{id}}/attempts",
        "get_webhook_attempts",
        Policy.CREATE,
        "What was tried",
        responses={200: list[WebhookAttempt], 304: None},
        problems=(401, 403, 404),
        missing_is_told=True,
        typed=_ID,
        description=f"The latest {_SHOWN_ATTEMPTS} tries of the last 30 days, newest first.",
        tag=_TAG,
    ),
)


class Sealer(Protocol):
    """Keeps secrets; `varsel.store.secrets.MasterKey`."""

    def seal(self, plain: bytes) -> bytes: ...


def read_webhook(body: bytes, *, sandbox: bool) -> tuple[str, list[EventName]]:
    """URL and events of a registration; ValidationProblem with the keys of what is wrong."""
    if len(body) > _LARGEST:
        raise PlainProblem(413)
    if _nested_deeper(body, DEPTH):
        raise ValidationProblem({"$": [f"The body is nested deeper than {DEPTH} levels."]})
    try:
        body.decode()  # the decoder does not look at members that it ignores
        found = msgspec.json.decode(body, type=NewWebhook)
    except msgspec.ValidationError as error:
        raise ValidationProblem({_key(str(error)): ["The value is missing or not of this form."]}) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValidationProblem({"$": ["The body is not JSON."]}) from None
    fault = _fault(found.url, sandbox=sandbox)
    if fault is not None:
        raise ValidationProblem({"Url": [fault]})
    return found.url, list(dict.fromkeys(found.events or USUAL))


def _nested_deeper(body: bytes, most: int) -> bool:
    level = 0
    for found in _BRACKETS.finditer(body):
        if found[1]:
            level += 1
            if level > most:
                return True
        elif found[2]:
            level -= 1
    return False


def _key(message: str) -> str:
    """Msgspec names the place as a JSON path at the end of its sentence; a missing member is named before it."""
    if "`url`" in message or "$.url" in message:
        return "Url"
    return "Events" if "$.events" in message else "$"


def _fault(url: str, *, sandbox: bool) -> str | None:
    if len(url) > _LONGEST_URL:
        return f"The URL is longer than {_LONGEST_URL} characters."
    if not sandbox and literal_private(url):
        return "The URL names an address that is not called."
    try:
        target_of(url, sandbox=sandbox)
    except ForbiddenAddress as error:
        return str(error)
    return None


def new_secret() -> tuple[bytes, str]:
    """A key, and the text in which it is shown."""
    key = secrets.token_bytes(_SECRET_OCTETS)
    return key, _PREFIX + base64.b64encode(key).decode()


class WebhookRoutes:
    """Answers of the endpoints above."""

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        sealer: Sealer,
        *,
        base_url: str,
        sandbox: bool = False,
    ) -> None:
        self._database = database
        self._place = base_url + PATH
        self._calendar = calendar
        self._sealer = sealer
        self._sandbox = sandbox

    async def add_webhook(self, call: Call) -> Reply:
        url, events = read_webhook(call.body, sandbox=self._sandbox)
        creator = creator_of(call)
        key, shown = new_secret()
        webhook_id, now = uuid7(), self._calendar.now()
        async with self._database.transaction() as connection:
            await connection.execute(_sql.lock_webhooks, creator)
            added = await connection.fetchval(
                _sql.add_webhook, webhook_id, creator, url, events, self._sealer.seal(key), now, MOST
            )
        if added is None:
            raise PlainProblem(409)
        answer = WebhookWithSecret(
            id=str(webhook_id), url=url, events=events, created_at=wire_time(now), secret=shown
        )
        return Reply(201, pretty(answer), ((b"location", f"{self._place}/{webhook_id}".encode()),))

    async def get_webhooks(self, call: Call) -> Reply:
        rows = await self._database.fetch(_sql.webhooks, creator_of(call), None)
        return with_etag(call, Reply(200, pretty([Webhook(**_members(row)) for row in rows])))

    async def get_webhook(self, call: Call) -> Reply:
        row = await self._database.fetchrow(_sql.webhooks, creator_of(call), _id(call))
        return with_etag(call, Reply(200, pretty(Webhook(**_members(_found(row))))))

    async def delete_webhook(self, call: Call) -> Reply:
        _found(await self._database.fetchval(_sql.delete_webhook, _id(call), creator_of(call)))
        return Reply(204, content_type=None)

    async def test_webhook(self, call: Call) -> Reply:
        event_id = await self._database.fetchval(
            _sql.test_webhook, _id(call), creator_of(call), self._calendar.now()
        )
        _found(event_id)
        self._database.wake("webhook")
        return Reply(202, pretty(WebhookTest(f"message-{event_id}")))

    async def rotate_webhook(self, call: Call) -> Reply:
        key, shown = new_secret()
        row = await self._database.fetchrow(
            _sql.rotate_webhook, _id(call), creator_of(call), self._sealer.seal(key), BOTH_SIGN
        )
        return Reply(200, pretty(WebhookWithSecret(**_members(_found(row)), secret=shown)))

    async def get_webhook_attempts(self, call: Call) -> Reply:
        webhook_id = _id(call)
        _found(await self._database.fetchrow(_sql.webhooks, creator_of(call), webhook_id))
        rows = await self._database.fetch(_sql.webhook_attempts, webhook_id, _SHOWN_ATTEMPTS)
        attempts = [
            WebhookAttempt(
                message_id=row["message_id"],
                type=row["type"],
                at=wire_time(row["at"]),
                status=row["status"],
                detail=row["detail"],
                duration_ms=row["took_ms"],
            )
            for row in rows
        ]
        return with_etag(call, Reply(200, pretty(attempts)))


def _id(call: Call) -> UUID:
    return UUID(call.params["id"])


def _found(row: Any) -> Any:
    if row is None:
        raise PlainProblem(404)
    return row


def _members(row: Any) -> dict[str, Any]:
    def shown(name: str) -> str | None:
        return None if row[name] is None else wire_time(row[name])

    return {
        "id": str(row["id"]),
        "url": row["url"],
        "events": row["events"],
        "created_at": wire_time(row["created_at"]),
        "previous_secret_until": shown("previous_until"),
        "failing_since": shown("failing_since"),
        "disabled_at": shown("disabled_at"),
        "disabled_reason": row["disabled_why"],
    }
