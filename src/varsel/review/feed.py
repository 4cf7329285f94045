"""The status feed as it is read: entries were laid out when they were written, a page is their concatenation."""

from __future__ import annotations

import asyncio
import contextlib

from varsel.review.query import FeedQuery
from varsel.store import queries
from varsel.store.database import Database, Listener

_sql = queries.load("varsel.review")
_FIRST = 2**63 - 1


def page_bytes(rows: list[tuple[int, bytes]]) -> bytes:
    """The JSON array of a page, indented as every answer of the API.

    An entry is stored as the bytes that follow its `sequenceNumber` member (varsel.delivery.finish writes them).
    """
    if not rows:
        return b"[]"
    return b"[\n" + b",\n".join(b'  {\n    "sequenceNumber": %d%b' % row for row in rows) + b"\n]"


class FeedReader:
    """Reads pages, and wakes those who wait for the next entry."""

    def __init__(self, database: Database, listener: Listener | None = None) -> None:
        self._database = database
        self._news = asyncio.Event()
        if listener is not None:
            listener.on("feed", self._wake)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def page(self, creator: str, query: FeedQuery) -> bytes:
        return page_bytes(await self._rows(creator, query))

    async def _rows(self, creator: str, query: FeedQuery) -> list[tuple[int, bytes]]:
        if query.descending:
            before = query.seq or _FIRST
            rows = await self._database.fetch(_sql.feed_down, creator, before, query.size)
        else:
            rows = await self._database.fetch(_sql.feed_up, creator, query.seq, query.size)
        return [(row[0], row[1]) for row in rows]

    async def page_within(self, creator: str, query: FeedQuery, seconds: float) -> bytes:
        """As `page`, but an empty page waits up to `seconds` for an entry to be numbered (RFC 7240 `wait`).

        A wake that was lost costs a second: that is how often it looks by itself.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            news = self._news
            rows = await self._rows(creator, query)
            left = deadline - loop.time()
            if rows or left <= 0:
                return page_bytes(rows)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left, 1.0))
