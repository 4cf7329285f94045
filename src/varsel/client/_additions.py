"""What Varsel adds to the API (docs/reference/notifications-api.md 7): logs, dry runs and webhooks. Other servers do not know them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from uuid import UUID

from . import _rules as rules
from ._answers import _Wire, decoded
from ._classic import ClassicEmailOrder, ClassicOrder, ClassicSmsOrder
from ._drive import operation
from ._environments import ENVIRONMENTS, Environment
from ._errors import ConfigurationError, UnexpectedAnswer
from ._flow import Answer, Flow
from ._orders import ComposedEmail, InstantEmail, InstantSms, Order

AnyOrder = (
    Order | ComposedEmail | InstantSms | InstantEmail | ClassicOrder | ClassicEmailOrder | ClassicSmsOrder
)
#: Where an order of each kind goes.
PLACES: dict[type, str] = {
    Order: "/future/orders",
    ComposedEmail: "/future/orders/composed-email",
    InstantSms: "/future/orders/instant/sms",
    InstantEmail: "/future/orders/instant/email",
    ClassicOrder: "/orders",
    ClassicEmailOrder: "/orders/email",
    ClassicSmsOrder: "/orders/sms",
}


def place_of(order: AnyOrder) -> str:
    """The path that takes this order."""
    return next(path for one, path in PLACES.items() if isinstance(order, one))


class LogEntry(_Wire, frozen=True, kw_only=True):
    """One message of the notification log."""

    notification_id: UUID
    dialog_id: str | None = None
    transmission_id: str | None = None
    type: str
    channel: str
    destination: str = ""
    status: str
    requested_send_time: datetime
    last_update_time: datetime

    def __repr__(self) -> str:
        return f"LogEntry({self.notification_id}, channel={self.channel!r}, status={self.status!r})"


class DryRun(_Wire, frozen=True, kw_only=True):
    """What would happen; nothing was stored. `orders`: as the API tells them, the main order first. `repeat`: whether the idempotency
    id is taken already.
    """

    order_count: int
    orders: tuple[dict[str, Any], ...]
    repeat: bool | None = None


class Webhook(_Wire, frozen=True, kw_only=True):
    """An address that is told of events. `secret` is there only when it was made or changed; keep it then."""

    id: UUID
    url: str
    events: tuple[str, ...]
    created_at: datetime
    secret: str | None = None
    previous_secret_until: datetime | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None

    def __repr__(self) -> str:
        return f"Webhook({self.id}, {self.url!r}, events={self.events!r})"


class WebhookAttempt(_Wire, frozen=True, kw_only=True):
    """One try to tell a webhook something. `status` is None where there was no answer."""

    message_id: str
    type: str
    at: datetime
    status: int | None = None
    detail: str = ""
    duration_ms: int = 0


class _Tested(_Wire, frozen=True, kw_only=True):
    message_id: str


class Additions:
    """Every method, written once; part of Notifications and AsyncNotifications."""

    _environment: Environment

    if TYPE_CHECKING:

        def _ask(
            self,
            method: str,
            path: str,
            expected: tuple[int, ...],
            *,
            content: bytes | None = None,
            headers: Mapping[str, str] | None = None,
            repeatable: bool = True,
        ) -> Flow[Answer]: ...

    @operation
    def dry_run(self, order: AnyOrder) -> Flow[DryRun]:
        """What an order would do, without doing it: recipients, texts, SMS parts, times; addresses and names are masked (Varsel only).

        Refused for the public environments: they do not know the wish, and would send.
        """
        rules.kind(order, AnyOrder, "order")
        if self._environment.platform in {
            one.platform for name, one in ENVIRONMENTS.items() if name != "local"
        }:
            raise ConfigurationError(
                f"{self._environment.name} knows no dry run and would send; nothing was sent."
            )
        answer = yield from self._ask(
            "POST",
            place_of(order),
            (200, 201, 202),
            content=json.dumps(order.wire(), ensure_ascii=False, separators=(",", ":")).encode(),
            headers={"prefer": "dry-run"},
            repeatable=False,
        )
        if answer.headers.get("preference-applied") != "dry-run":
            raise UnexpectedAnswer("The server knows no dry run: this was an order, which it has taken.")
        return decoded(answer, DryRun)

    @operation
    def log(
        self, *, dialog_id: UUID | str | None = None, transmission_id: UUID | str | None = None
    ) -> Flow[tuple[LogEntry, ...]]:
        """Your messages of a dialog, a transmission, or both (Varsel only)."""
        return (yield from self._log("/future/log", dialog_id, transmission_id))

    @operation
    def person_log(
        self, dialog_id: UUID | str, *, transmission_id: UUID | str | None = None
    ) -> Flow[tuple[LogEntry, ...]]:
        """The messages of a dialog that concern the person whose token this is (Varsel only)."""
        return (yield from self._log("/future/enduser/log", dialog_id, transmission_id))

    @operation
    def webhooks(self) -> Flow[tuple[Webhook, ...]]:
        """Your webhooks (Varsel only)."""
        answer = yield from self._ask("GET", "/future/webhooks", (200,))
        return decoded(answer, tuple[Webhook, ...])

    @operation
    def add_webhook(self, url: str, *, events: Iterable[str] = ()) -> Flow[Webhook]:
        """Have an https address told of events: `order.completed`, `order.condition-not-met`, `order.corrected`, `message.changed`; all but
        the last when left out. The answer has the secret that signs them (Varsel only).
        """
        wanted = list(events)
        body = json.dumps({"url": url, **({"events": wanted} if wanted else {})}).encode()
        answer = yield from self._ask("POST", "/future/webhooks", (201,), content=body, repeatable=False)
        return decoded(answer, Webhook)

    @operation
    def webhook(self, webhook_id: UUID | str) -> Flow[Webhook]:
        """One of them, with what is wrong with it (Varsel only)."""
        answer = yield from self._ask("GET", _webhook(webhook_id), (200,))
        return decoded(answer, Webhook)

    @operation
    def webhook_attempts(self, webhook_id: UUID | str) -> Flow[tuple[WebhookAttempt, ...]]:
        """The last tries to tell it something (Varsel only)."""
        answer = yield from self._ask("GET", f"{_webhook(webhook_id)}/attempts", (200,))
        return decoded(answer, tuple[WebhookAttempt, ...])

    @operation
    def test_webhook(self, webhook_id: UUID | str) -> Flow[str]:
        """Send it a test; the message id under which the attempts tell of it (Varsel only)."""
        answer = yield from self._ask("POST", f"{_webhook(webhook_id)}/test", (202,), repeatable=False)
        return decoded(answer, _Tested).message_id

    @operation
    def rotate_webhook(self, webhook_id: UUID | str) -> Flow[Webhook]:
        """Give it a new secret; the old one signs beside it for a day (Varsel only)."""
        answer = yield from self._ask("POST", f"{_webhook(webhook_id)}/rotate", (200,), repeatable=False)
        return decoded(answer, Webhook)

    @operation
    def delete_webhook(self, webhook_id: UUID | str) -> Flow[None]:
        """Tell it nothing any more (Varsel only)."""
        yield from self._ask("DELETE", _webhook(webhook_id), (204,))

    def _log(
        self, path: str, dialog_id: UUID | str | None, transmission_id: UUID | str | None
    ) -> Flow[tuple[LogEntry, ...]]:
        asked = {"dialogId": dialog_id, "transmissionId": transmission_id}
        query = {
            name: uuid_of(value, "A dialog or transmission id") for name, value in asked.items() if value
        }
        if not query:
            raise ConfigurationError("Say which dialog_id or transmission_id.")
        answer = yield from self._ask("GET", f"{path}?{urlencode(query, quote_via=quote)}", (200,))
        return decoded(answer, tuple[LogEntry, ...])


def _webhook(webhook_id: UUID | str) -> str:
    return f"/future/webhooks/{uuid_of(webhook_id, 'A webhook id')}"


def uuid_of(value: UUID | str, what: str) -> str:
    """A UUID for a path; ConfigurationError for anything else, which could reach another path."""
    try:
        return str(value if isinstance(value, UUID) else UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(f"{what} is a UUID.") from None
