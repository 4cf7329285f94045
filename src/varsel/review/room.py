"""The review room as composition sees it."""

from __future__ import annotations

from varsel.review.feed import FeedReader
from varsel.review.routes import ENDPOINTS, Routes
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.settings import Settings
from varsel.store.database import Database, Listener


class ReviewRoom:
    """Shipments and feed."""

    def __init__(self, bound: tuple[Bound, ...]) -> None:
        self.bound = bound

    @classmethod
    async def open(
        cls, settings: Settings, database: Database, *, listener: Listener | None = None
    ) -> ReviewRoom:
        feed = FeedReader(database, listener)
        return cls(bind(ENDPOINTS, Routes(database, feed, settings.feed_max_page)))

    async def close(self) -> None:
        """Nothing is held."""
