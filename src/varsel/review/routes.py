"""The reading side of the Notifications API, for those who order and those who help them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final
from uuid import UUID

from varsel.review import examples, log, orders, query, results, search, shipments
from varsel.review.feed import FeedReader
from varsel.review.log import LogReader
from varsel.review.parameters import DIALOG, FEED, PERSON_DIALOG, REFERENCE, support
from varsel.review.search import Search
from varsel.review.wire import (
    EmailResults,
    FeedEntry,
    FoundOrder,
    LogEntry,
    Order,
    OrderList,
    Shipment,
    SmsResults,
)
from varsel.runtime.asgi import tagged
from varsel.runtime.calls import creator_of, id_of
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import BASE, Call, Endpoint, Policy, Reply
from varsel.runtime.errors import CodedProblem, EmptyProblem, ValidationProblem
from varsel.runtime.problems import pretty
from varsel.runtime.tasks import end
from varsel.store.database import Database
from varsel.store.long_texts import laid_out
from varsel.store.order_status import OrderWithStatus, order_status

_V1: Final = (400, 401, 403, 404)

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        f"{BASE}/orders",
        "get_orders",
        Policy.CREATE,
        "Orders by reference",
        responses={200: OrderList, 304: None},
        problems=(400, 401, 403),
        deprecated=True,
        description="Every order of the caller with that reference, v2 orders and reminders too. No match is an empty list.",
        parameters=REFERENCE,
        examples={"200": examples.ORDERS},
    ),
    Endpoint(
        "GET",
        f"{BASE}/orders/{{id}}",
        "get_order",
        Policy.CREATE,
        "Order by id",
        responses={200: Order, 304: None},
        problems=_V1,
        deprecated=True,
        description="The order as stored, with keywords unreplaced. Takes v1 order ids and v2 shipment ids.",
        examples={"200": examples.ORDER},
    ),
    Endpoint(
        "GET",
        f"{BASE}/orders/{{id}}/status",
        "get_order_status",
        Policy.CREATE,
        "Order with processing status",
        responses={200: OrderWithStatus, 304: None},
        problems=_V1,
        deprecated=True,
        description="How far the order has come, and its notifications in numbers.",
        examples={"200": examples.STATUS},
    ),
    Endpoint(
        "GET",
        f"{BASE}/orders/{{id}}/notifications/email",
        "get_email_results",
        Policy.CREATE,
        "E-mail results of an order",
        responses={200: EmailResults, 304: None},
        problems=_V1,
        deprecated=True,
        description="Each e-mail notification of the order with its result; none is an empty list.",
        examples={"200": examples.EMAIL_RESULTS},
    ),
    Endpoint(
        "GET",
        f"{BASE}/orders/{{id}}/notifications/sms",
        "get_sms_results",
        Policy.CREATE,
        "SMS results of an order",
        responses={200: SmsResults, 304: None},
        problems=_V1,
        deprecated=True,
        description="Each SMS notification of the order with its result; none is an empty list.",
        examples={"200": examples.SMS_RESULTS},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/shipment/feed",
        "get_feed",
        Policy.CREATE,
        "Status feed",
        consumes=("application/json",),
        responses={200: list[FeedEntry], 304: None},
        problems=(400, 401, 403, 415, "NOT-00002"),
        description=(
            "Orders of the caller that have reached a final status, in commit order. Pass the last `sequenceNumber` seen as `seq`. "
            "With `Prefer: wait=N` (at most 30 seconds) an empty page waits for the next entry."
        ),
        parameters=FEED,
        examples={"200": examples.FEED},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/shipment/{{id}}",
        "get_shipment",
        Policy.CREATE,
        "Delivery manifest",
        responses={200: Shipment, 304: None},
        problems=(401, 403, 404, "NOT-00002", "NOT-00003"),
        typed={"id": "uuid"},
        description="Where an order and each of its messages stand. An id that is no UUID is an empty 404.",
        examples={"200": examples.SHIPMENT},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/log",
        "get_log",
        Policy.CREATE,
        "Notification log of a dialog",
        responses={200: list[LogEntry], 304: None},
        problems=(400, 401, 403),
        description="The caller's own messages of a dialog or transmission, in orders that have ended; oldest first.",
        parameters=DIALOG,
        examples={"200": examples.LOG},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/enduser/log",
        "get_person_log",
        Policy.PERSON,
        "Notification log of a dialog, for a person",
        responses={200: list[LogEntry], 304: None},
        problems=(400, 401, 403, 503),
        description=(
            "The messages of a dialog that concern the person: to the person's own number or identity, to an organization for which "
            "the person is authorized on the order's resource, or to a plain address that is the person's and nobody else's."
        ),
        parameters=PERSON_DIALOG,
        examples={"200": examples.LOG},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/dashboard/recipients/notifications/nin",
        "search_person",
        Policy.SUPPORT,
        "Support search by person",
        responses={200: list[FoundOrder], 304: None},
        problems=(400, 401, 403, "NOT-00002"),
        description="Every notification generated for a person, across all creators, newest order first. Each search is audited.",
        parameters=support("NationalIdentityNumber", 11),
        examples={"200": examples.FOUND_PERSON},
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/dashboard/recipients/notifications/orgnumber",
        "search_organization",
        Policy.SUPPORT,
        "Support search by organisation",
        responses={200: list[FoundOrder], 304: None},
        problems=(400, 401, 403, "NOT-00002"),
        description="Every notification generated for an organisation, across all creators, newest order first. Each search is audited.",
        parameters=support("OrganizationNumber", 9),
        examples={"200": examples.FOUND_ORGANIZATION},
    ),
)


def reference(call: Call) -> str:
    given = query.parameters(call.query).get("sendersreference", "")
    if not given.strip():
        raise ValidationProblem({"sendersReference": ["sendersReference is required."]})
    return given


async def answer(call: Call, body: bytes | None) -> Reply:
    """200 with an ETag, or an empty 404."""
    if body is None:
        raise EmptyProblem(404)
    return await tagged(call, Reply(200, body))


class Routes:
    """Answers of the endpoints above."""

    def __init__(
        self,
        database: Database,
        calendar: Calendar,
        feed: FeedReader,
        log_reader: LogReader,
        support_search: Search,
        *,
        base_url: str,
        largest_page: int,
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._feed = feed
        self._log = log_reader
        self._search = support_search
        self._base_url = base_url
        self._largest_page = largest_page

    # -- v1 --------------------------------------------------------------------------------------------------------

    async def get_orders(self, call: Call) -> Reply:
        wanted = reference(call)
        creator = creator_of(call)
        if "\0" in wanted:  # PostgreSQL keeps no NUL: nobody has such a reference
            return await answer(call, pretty(OrderList(0, [])))
        return await answer(call, await orders.orders(self._database, wanted, creator, self._base_url))

    async def get_order(self, call: Call) -> Reply:
        wanted = id_of(call)
        return await answer(
            call, await orders.order(self._database, wanted, creator_of(call), self._base_url)
        )

    async def get_order_status(self, call: Call) -> Reply:
        wanted = id_of(call)
        found = await order_status(self._database, wanted, creator_of(call), self._base_url)
        return await answer(call, None if found is None else await laid_out(found))

    async def get_email_results(self, call: Call) -> Reply:
        wanted = id_of(call)
        return await answer(call, await results.results(self._database, wanted, creator_of(call), "Email"))

    async def get_sms_results(self, call: Call) -> Reply:
        wanted = id_of(call)
        return await answer(call, await results.results(self._database, wanted, creator_of(call), "Sms"))

    # -- v2 --------------------------------------------------------------------------------------------------------

    async def get_shipment(self, call: Call) -> Reply:
        found = await shipments.shipment(self._database, UUID(call.params["id"]), creator_of(call))
        if found is None:
            raise CodedProblem("NOT-00003")
        return await answer(call, found)

    async def get_feed(self, call: Call) -> Reply:
        asked = query.feed_query(call.query, self._largest_page)
        creator = creator_of(call)
        seconds = query.wait_seconds(call.headers.get(b"prefer"))
        if not seconds:
            return await answer(call, await self._feed.page(creator, asked))
        page = asyncio.ensure_future(self._feed.page_within(creator, asked, seconds))
        gone = asyncio.ensure_future(call.disconnected())
        try:
            await asyncio.wait((page, gone), return_when=asyncio.FIRST_COMPLETED)
            if not page.done():
                raise CodedProblem("NOT-00002")
            applied = (b"preference-applied", b"wait=%d" % int(seconds))
            return await tagged(call, Reply(200, page.result(), (applied,)))
        finally:
            await end(page, gone)

    async def get_log(self, call: Call) -> Reply:
        found, written, transmission = log.dialog(call.query, or_transmission=True)
        return await answer(call, await self._log.of_creator(creator_of(call), found, written, transmission))

    async def get_person_log(self, call: Call) -> Reply:
        found, written, transmission = log.dialog(call.query, or_transmission=False)
        pid = call.caller.pid
        if pid is None or found is None:
            raise EmptyProblem(403)
        lines = await self._log.of_person(pid, call.caller.claims, found, written, transmission)
        return await answer(call, lines)

    # -- support ---------------------------------------------------------------------------------------------------

    async def search_person(self, call: Call) -> Reply:
        return await self._found(call, "person")

    async def search_organization(self, call: Call) -> Reply:
        return await self._found(call, "organization")

    async def _found(self, call: Call, kind: search.Kind) -> Reply:
        number, within = search.asked(call.headers, call.query, kind, self._now())
        return await answer(call, await self._search.find(kind, number, within, call.caller))

    def _now(self) -> datetime:
        return self._calendar.now()
