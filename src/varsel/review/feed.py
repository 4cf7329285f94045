"""The status feed as it is read: entries were laid out when they were written, and a page is their concatenation.

The database puts it together (indented as every answer of the API, each entry behind its `sequenceNumber`): 500 rows would cost this
process more than all the rest of the request.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from varsel.review.query import FeedQuery
from varsel.store import queries
from varsel.store.database import Database, Listener

_sql = queries.load("varsel.review")
_FIRST: Final = 2**63 - 1
#: Octets at which a page ends early, whatever was asked for: entries may have megabytes, of long references or many recipients.
MOST: Final = 4_000_000
EMPTY: Final = b"[]"
#: Those who wait look again so many at a time: one entry wakes them all, and the database has other callers.
_LOOKING_AT_ONCE: Final = 2


class FeedReader:
    """Reads pages, and wakes those who wait for the next entry."""

    def __init__(self, database: Database, listener: Listener | None = None) -> None:
        self._database = database
        self._news = asyncio.Event()
        self._looking = asyncio.Semaphore(_LOOKING_AT_ONCE)
        if listener is not None:
            listener.on("feed", self._wake)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def page(self, creator: str, query: FeedQuery) -> bytes:
        return await self._page(creator, query) or EMPTY

    async def _page(self, creator: str, query: FeedQuery) -> bytes | None:
        """The array; None when it would be empty."""
        found: bytes | None
        if query.descending:
            before = query.seq or _FIRST
            found = await self._database.fetchval(_sql.feed_down, creator, before, query.size, MOST)
        else:
            found = await self._database.fetchval(_sql.feed_up, creator, query.seq, query.size, MOST)
        return found

    async def page_within(self, creator: str, query: FeedQuery, seconds: float) -> bytes:
        """As `page`, but an empty page waits up to `seconds` for an entry to be numbered (RFC 7240 `wait`).

        A wake that was lost costs a second: that is how often it looks by itself.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            news = self._news
            async with self._looking:
                page = await self._page(creator, query)
            left = deadline - loop.time()
            if page is not None or left <= 0:
                return page or EMPTY
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left, 1.0))
