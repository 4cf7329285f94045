"""The reading side of the Notifications API."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final
from uuid import UUID

from varsel.review import query, shipments
from varsel.review.feed import FeedReader
from varsel.review.wire import FeedEntry, Shipment
from varsel.runtime.endpoints import Call, Endpoint, Policy, Reply
from varsel.runtime.errors import CodedProblem, EmptyProblem
from varsel.runtime.problems import pretty
from varsel.store.database import Database

BASE: Final = "/notifications/api/v1"

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        f"{BASE}/future/shipment/feed",
        "get_feed",
        Policy.CREATE,
        "Status feed",
        consumes=("application/json",),
        responses={200: list[FeedEntry]},
        problems=(400, 401, 403, 415),
        description=(
            "Orders of the caller that have reached a final status, in commit order. Pass the last `sequenceNumber` seen as `seq`. "
            "With `Prefer: wait=N` (at most 30 seconds) an empty page waits for the next entry."
        ),
    ),
    Endpoint(
        "GET",
        f"{BASE}/future/shipment/{{id}}",
        "get_shipment",
        Policy.CREATE,
        "Delivery manifest",
        responses={200: Shipment},
        problems=(401, 403, "NOT-00003"),
        typed={"id": "uuid"},
        description="Where an order and each of its messages stand.",
    ),
)


def creator_of(call: Call) -> str:
    """The caller's organisation, or 403 (docs/reference/notifications-api.md 1.6, stage 6)."""
    creator = call.caller.creator
    if creator is None or not creator.strip():
        raise EmptyProblem(403)
    return creator


class Routes:
    """Answers of the endpoints above."""

    def __init__(self, database: Database, feed: FeedReader, largest_page: int) -> None:
        self._database = database
        self._feed = feed
        self._largest_page = largest_page

    async def get_shipment(self, call: Call) -> Reply:
        found = await shipments.shipment(self._database, UUID(call.params["id"]), creator_of(call))
        if found is None:
            raise CodedProblem("NOT-00003")
        return Reply(200, pretty(found))

    async def get_feed(self, call: Call) -> Reply:
        asked = query.feed_query(call.query, self._largest_page)
        creator = creator_of(call)
        seconds = query.wait_seconds(call.headers.get(b"prefer"))
        if not seconds:
            return Reply(200, await self._feed.page(creator, asked))
        page = asyncio.ensure_future(self._feed.page_within(creator, asked, seconds))
        gone = asyncio.ensure_future(call.disconnected())
        try:
            await asyncio.wait((page, gone), return_when=asyncio.FIRST_COMPLETED)
            if not page.done():
                raise CodedProblem("NOT-00002")
            return Reply(200, page.result(), ((b"preference-applied", b"wait=%d" % int(seconds)),))
        finally:
            for task in (page, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
