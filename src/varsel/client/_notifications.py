"""The Notifications API (docs/reference/notifications-api.md 1.9): every endpoint that callers use, and what is built on them."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from . import _answers as answers
from . import _rules as rules
from ._additions import Additions, place_of, uuid_of
from ._answers import decoded
from ._classic import ClassicEmailOrder, ClassicOrder, ClassicSmsOrder
from ._drive import Awaiting, Blocking, operation, stream
from ._environments import Environment
from ._environments import environment as environment_named
from ._errors import ApiError, ConfigurationError, NotFinal, ServerError, TooManyRequests, TransportError
from ._exchange import AltinnTokens
from ._feed import Cursor, cursor_store
from ._flow import Answer, Flow, Item, Request, call, pause
from ._forwarded import ForwardedToken
from ._http import Http
from ._idporten import IdPorten
from ._maskinporten import Maskinporten
from ._orders import ComposedEmail, InstantEmail, InstantSms, Order
from ._refusals import refusal
from ._retry import LONGEST_PAUSE, backoff, persist
from ._rules import wire_time
from ._tokens import Credentials

log = logging.getLogger("varsel.client")

T = TypeVar("T")

#: Without an idempotency id a repeated order is a second order: only an answer that says nothing was done is repeated.
_UNTOUCHED: Final = frozenset({429})
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
LARGEST_PAGE = 500
#: Seconds that the server may hold back an empty page of the feed (Varsel only; others ignore the wish).
LONG_POLL = 20
FIRST_LOOK = 0.25  # seconds
LAST_LOOK = 10.0  # seconds


class _Notifications(Additions):
    """Every method, written once."""

    _http: Http
    _environment: Environment
    _credentials: Credentials

    # ---- orders ----

    @operation
    def order(self, order: Order) -> Flow[answers.Receipt]:
        """Order a notification with its reminders. Repeated by itself when the network or the server fails: the idempotency id
        makes sure that there is one order. RecipientUnreachable when a recipient has no address for the channel.
        """
        rules.kind(order, Order, "order")
        answer = yield from self._post("/future/orders", order.wire(), (201, 200))
        return answers.receipt(answer)

    @operation
    def order_composed_email(self, order: ComposedEmail) -> Flow[answers.Receipt]:
        """Order an e-mail with attachments."""
        rules.kind(order, ComposedEmail, "order")
        answer = yield from self._post("/future/orders/composed-email", order.wire(), (201, 200))
        return answers.receipt(answer)

    @operation
    def send_sms(self, order: InstantSms) -> Flow[answers.Receipt]:
        """Send an SMS now. TemporarilyDown when it could not be handed over; the same order may be sent again."""
        rules.kind(order, InstantSms, "order")
        answer = yield from self._post("/future/orders/instant/sms", order.wire(), (201, 200))
        return answers.receipt(answer)

    @operation
    def send_email(self, order: InstantEmail) -> Flow[answers.Receipt]:
        """Send an e-mail now, as `send_sms`."""
        rules.kind(order, InstantEmail, "order")
        answer = yield from self._post("/future/orders/instant/email", order.wire(), (201, 200))
        return answers.receipt(answer)

    @operation
    def send_sms_deprecated(self, order: InstantSms) -> Flow[answers.Receipt]:
        """`send_sms` at its old address, for servers that know no other."""
        rules.kind(order, InstantSms, "order")
        wire = order.wire()
        wire["recipient"] = {"recipientSms": wire.pop("recipientSms")}
        answer = yield from self._post("/future/orders/instant", wire, (201, 200))
        return answers.receipt(answer)

    @operation
    def order_classic(
        self, order: ClassicOrder | ClassicEmailOrder | ClassicSmsOrder
    ) -> Flow[answers.ClassicReceipt]:
        """Order by the first version of the API. It has no idempotency id, so it is repeated only while nothing was sent."""
        rules.kind(order, ClassicOrder | ClassicEmailOrder | ClassicSmsOrder, "order")
        answer = yield from self._post(place_of(order), order.wire(), (202,), repeatable=False)
        return decoded(answer, answers.ClassicReceipt)

    # ---- what became of them ----

    @operation
    def shipment(self, shipment_id: UUID | str) -> Flow[answers.Shipment]:
        """Where a shipment and each of its messages stand."""
        return (yield from self._shipment(shipment_id))

    @operation
    def wait_until_final(
        self, shipment_id: UUID | str, *, timeout: float | timedelta = 60.0
    ) -> Flow[answers.Shipment]:
        """The shipment once it has come to its end; NotFinal after `timeout` (seconds)."""
        clock = self._http.clock
        deadline = clock.steady() + (
            timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
        )
        look = FIRST_LOOK
        while True:
            found = yield from self._shipment(shipment_id)
            if found.is_final:
                return found
            left = deadline - clock.steady()
            if left <= 0:
                raise NotFinal(
                    f"Shipment {found.shipment_id} has not come to its end in time; it is {found.status}.",
                    found,
                )
            yield from pause(min(look, left))
            look = min(look * 1.5, LAST_LOOK)

    @operation
    def feed_page(
        self, after: int = 0, *, page_size: int = LARGEST_PAGE, newest_first: bool = False
    ) -> Flow[tuple[answers.FeedEntry, ...]]:
        """Finished orders after this sequence number, oldest first; or before it, newest first (0: from the newest)."""
        page, _ = yield from self._page(after, page_size, newest_first=newest_first)
        return page

    def _feed(
        self,
        cursor: Cursor = 0,
        *,
        follow: bool = True,
        page_size: int = LARGEST_PAGE,
        idle: float = 5.0,
    ) -> Flow[None]:
        """Finished orders, oldest first, for ever; or with `follow=False` until there are no more.

        cursor: where to begin and what to remember: a sequence number, a path to a file, or a CursorStore. An entry counts as
        dealt with when the next one is asked for, so after a crash at most the entry in hand comes again, and none is lost.
        An outage of the API is waited out. idle: seconds between looks at a server that cannot wait itself.
        """
        store = cursor_store(cursor)
        seen: int = yield from call(store.load)
        failures = 0
        while True:
            try:
                page, waited = yield from self._page(seen, page_size, wait=follow)
            except (TransportError, ServerError, TooManyRequests) as error:
                if not follow:
                    raise
                failures += 1
                log.warning("The feed does not answer (%s); trying again", type(error).__name__)
                asked = error.retry_after if isinstance(error, ApiError) else None
                yield from pause(max(min(asked or 0.0, 60.0), backoff(min(failures, 10)), LONGEST_PAUSE / 4))
                continue
            failures = 0
            for entry in page:
                yield Item(entry)
                seen = entry.sequence_number
                yield from call(functools.partial(store.save, seen))
            if not page:
                if not follow:
                    return
                if not waited:
                    yield from pause(idle)

    feed = stream(_feed, answers.FeedEntry)

    @operation
    def cancel(self, shipment_id: UUID | str) -> Flow[answers.OrderStatus]:
        """Cancel one shipment; its reminders are shipments of their own. Conflict when it is too late."""
        answer = yield from self._ask("PUT", f"/orders/{_id(shipment_id)}/cancel", (200,))
        return decoded(answer, answers.OrderStatus)

    @operation
    def cancel_chain(self, order_id: UUID | str) -> Flow[None]:
        """Cancel all that is unsent of an order and its reminders, together (Varsel only)."""
        yield from self._ask("PUT", f"/orders/chain/{_id(order_id)}/cancel", (200,))

    @operation
    def receipt(self, order_id: UUID | str) -> Flow[answers.Receipt]:
        """The receipt of an order again (Varsel only)."""
        answer = yield from self._ask("GET", f"/orders/chain/{_id(order_id)}", (200,))
        return answers.receipt(answer)

    @operation
    def stored_order(self, order_id: UUID | str) -> Flow[answers.StoredOrder]:
        """The order as it was stored; any order or shipment id."""
        answer = yield from self._ask("GET", f"/orders/{_id(order_id)}", (200,))
        return decoded(answer, answers.StoredOrder)

    @operation
    def stored_orders(self, senders_reference: str) -> Flow[tuple[answers.StoredOrder, ...]]:
        """Your orders with exactly this reference."""
        query = urlencode({"sendersReference": senders_reference}, quote_via=quote)
        answer = yield from self._ask("GET", f"/orders?{query}", (200,))
        return decoded(answer, answers._StoredOrders).orders

    @operation
    def order_status(self, order_id: UUID | str) -> Flow[answers.OrderStatus]:
        """How far an order has come, with counts."""
        answer = yield from self._ask("GET", f"/orders/{_id(order_id)}/status", (200,))
        return decoded(answer, answers.OrderStatus)

    @operation
    def email_results(self, order_id: UUID | str) -> Flow[answers.Results]:
        """The e-mails of an order, one by one."""
        answer = yield from self._ask("GET", f"/orders/{_id(order_id)}/notifications/email", (200,))
        return decoded(answer, answers.Results)

    @operation
    def sms_results(self, order_id: UUID | str) -> Flow[answers.Results]:
        """The SMS of an order, one by one."""
        answer = yield from self._ask("GET", f"/orders/{_id(order_id)}/notifications/sms", (200,))
        return decoded(answer, answers.Results)

    # ---- support and metrics ----

    @operation
    def messages_to_person(
        self, national_identity_number: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Flow[tuple[answers.SupportEntry, ...]]:
        """For support staff: every notification to a person, the last seven days unless said. Needs the scope
        `altinn:notifications.support.admin`.
        """
        headers = {"NationalIdentityNumber": national_identity_number}
        return (yield from self._search("nin", headers, since, until))

    @operation
    def messages_to_organization(
        self, organization_number: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Flow[tuple[answers.SupportEntry, ...]]:
        """For support staff: every notification to an organisation."""
        headers = {"OrganizationNumber": organization_number}
        return (yield from self._search("orgnumber", headers, since, until))

    @operation
    def daily_sms_file(self, api_key: str) -> Flow[answers.DailyFile]:
        """Yesterday's finished SMS. `api_key` is the server's metrics key."""
        return (yield from self._daily("sms", api_key))

    @operation
    def daily_email_file(self, api_key: str) -> Flow[answers.DailyFile]:
        """Yesterday's finished e-mails."""
        return (yield from self._daily("email", api_key))

    # ---- underneath ----

    def _shipment(self, shipment_id: UUID | str) -> Flow[answers.Shipment]:
        answer = yield from self._ask("GET", f"/future/shipment/{_id(shipment_id)}", (200,))
        return decoded(answer, answers.Shipment)

    def _page(
        self, seq: int, page_size: int, *, newest_first: bool = False, wait: bool = False
    ) -> Flow[tuple[tuple[answers.FeedEntry, ...], bool]]:
        """A page, and whether the server had waited for it."""
        query: dict[str, Any] = {"seq": seq, "pageSize": page_size}
        if newest_first:
            query["orderBy"] = "Desc"
        headers = {"prefer": f"wait={LONG_POLL}"} if wait else {}
        answer = yield from self._ask(
            "GET",
            f"/future/shipment/feed?{urlencode(query)}",
            (200,),
            headers=headers,
            patience=LONG_POLL if wait else 0.0,
        )
        return decoded(answer, tuple[answers.FeedEntry, ...]), "preference-applied" in answer.headers

    def _search(
        self, kind: str, headers: Mapping[str, str], since: datetime | None, until: datetime | None
    ) -> Flow[tuple[answers.SupportEntry, ...]]:
        query = {}
        for name, moment in (("from", since), ("to", until)):
            if moment is not None:
                if moment.utcoffset() is None:
                    raise ConfigurationError("since and until need a time zone, such as datetime.UTC.")
                query[name] = wire_time(moment)
        path = f"/future/dashboard/recipients/notifications/{kind}" + (
            f"?{urlencode(query)}" if query else ""
        )
        answer = yield from self._ask("GET", path, (200,), headers=headers)
        return decoded(answer, tuple[answers.SupportEntry, ...])

    def _daily(self, channel: str, api_key: str) -> Flow[answers.DailyFile]:
        headers = {"X-API-Key": api_key}
        answer = yield from self._ask(
            "POST", f"/metrics/{channel}", (200,), headers=headers, authorized=False
        )
        disposition = answer.headers.get("content-disposition", "")
        rows = answer.headers.get("x-total-filetransfer-count", "0")
        return answers.DailyFile(
            name=disposition.partition("filename=")[2].split(";")[0].strip('" '),
            content=answer.content,
            rows=int(rows) if rows.isdecimal() else 0,
            environment=answer.headers.get("x-environment", ""),
        )

    def _post(
        self, path: str, body: Mapping[str, Any], expected: tuple[int, ...], *, repeatable: bool = True
    ) -> Flow[Answer]:
        # Made once: every repetition sends the same bytes, with the same idempotency id.
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return (yield from self._ask("POST", path, expected, content=content, repeatable=repeatable))

    def _ask(
        self,
        method: str,
        path: str,
        expected: tuple[int, ...],
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        authorized: bool = True,
        patience: float = 0.0,
    ) -> Flow[Answer]:
        url = self._environment.notifications + path
        fixed = {"accept": "application/json", **(headers or {})}
        if content is not None:
            fixed["content-type"] = "application/json"
        proof: Mapping[str, str] = {}

        def made() -> Flow[Request]:
            nonlocal proof
            proof = (yield from self._credentials.authorize()) if authorized else {}
            return Request(method, url, {**fixed, **proof}, content, self._http.timeout + patience)

        def sent() -> Flow[Answer]:
            return persist(
                made,
                tries=self._http.tries,
                wall=self._http.clock.wall,
                passing=_AGAIN if repeatable else _UNTOUCHED,
                unsent_only=not repeatable,
            )

        answer = yield from sent()
        if answer.status == 401 and authorized and self._credentials.refused(proof):
            # The token may have been withdrawn, or its key; once, and nothing was done by the refused request.
            answer = yield from sent()
        if answer.status not in expected:
            raise refusal(answer, proof, self._http.clock.wall(), path)
        return answer


def _id(value: UUID | str) -> str:
    return uuid_of(value, "An order or shipment id, as on its receipt,")


def _checked(environment: str | Environment | None, credentials: Any) -> tuple[Environment, Credentials]:
    if isinstance(credentials, Maskinporten | IdPorten):
        credentials = AltinnTokens(credentials)
    if isinstance(credentials, str):
        credentials = ForwardedToken(credentials)
    if not isinstance(credentials, Credentials):
        raise ConfigurationError(
            "credentials must be Maskinporten, AltinnTokens, IdPorten, PlatformToken, ForwardedToken or a token."
        )
    theirs = credentials.environment
    if environment is None:
        if theirs is None:
            raise ConfigurationError(
                "Say which environment: a name such as 'tt02', or the address of a Varsel."
            )
        return theirs, credentials
    found = environment_named(environment)
    if theirs is not None and theirs.platform != found.platform:
        raise ConfigurationError(
            f"The credentials are for {theirs.name} and are not sent to {found.name}; make them for {found.name}."
        )
    return found, credentials


def _arguments(variables: Mapping[str, str] | None, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "credentials": AltinnTokens.from_environment(
            os.environ if variables is None else variables, http=more.get("http")
        ),
        **more,
    }


class Notifications(_Notifications, Blocking):
    """The API for blocking code; safe to share between threads.

    credentials: Maskinporten (exchanged by itself), AltinnTokens, IdPorten, PlatformToken, ForwardedToken, or an Altinn token.
    environment: a name (`tt02`, `production`, `local` …) or the address of a Varsel; that of the credentials when left out.
    """

    def __init__(
        self,
        credentials: Credentials | Maskinporten | IdPorten | str,
        *,
        environment: str | Environment | None = None,
        http: Http | None = None,
    ) -> None:
        self._http = http or getattr(credentials, "http", None) or Http()
        Blocking.__init__(self, self._http)
        self._environment, self._credentials = _checked(environment, credentials)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None, **more: Any) -> Notifications:
        """With Maskinporten settings from environment variables (`VARSEL_SDK_…` or another known family)."""
        return cls(**_arguments(variables, more))

    def __repr__(self) -> str:
        return f"Notifications({self._environment.name!r}, {self._credentials!r})"


class AsyncNotifications(_Notifications, Awaiting):
    """The API for asyncio; as Notifications, with every method awaited."""

    def __init__(
        self,
        credentials: Credentials | Maskinporten | IdPorten | str,
        *,
        environment: str | Environment | None = None,
        http: Http | None = None,
    ) -> None:
        self._http = http or getattr(credentials, "http", None) or Http()
        Awaiting.__init__(self, self._http)
        self._environment, self._credentials = _checked(environment, credentials)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None, **more: Any) -> AsyncNotifications:
        """With Maskinporten settings from environment variables (`VARSEL_SDK_…` or another known family)."""
        return cls(**_arguments(variables, more))

    def __repr__(self) -> str:
        return f"AsyncNotifications({self._environment.name!r}, {self._credentials!r})"
