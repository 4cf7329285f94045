"""The review room as composition sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from varsel.review import operations, routes, webhooks
from varsel.review.daily import DailyFiles
from varsel.review.feed import FeedReader
from varsel.review.log import Authorizations, LogReader
from varsel.review.operations import Operations
from varsel.review.routes import Routes
from varsel.review.search import Search
from varsel.review.webhooks import WebhookRoutes
from varsel.runtime.clock import Calendar
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.settings import Settings
from varsel.store.database import Database, Listener
from varsel.store.secrets import MasterKey


class ReviewRoom:
    """Everything that tells what happened: orders, results, shipments, feed, logs, support search, metrics, webhooks."""

    def __init__(self, bound: tuple[Bound, ...]) -> None:
        self.bound = bound

    @classmethod
    async def open(
        cls,
        settings: Settings,
        database: Database,
        calendar: Calendar,
        master_key: MasterKey,
        *,
        registers: Authorizations,
        listener: Listener | None = None,
        sandbox: bool = False,
    ) -> Self:
        """`listener` wakes those who wait for the feed; without one they look every second. `sandbox` lets webhooks lie on
        this machine.
        """
        reading = Routes(
            database,
            calendar,
            FeedReader(database, listener),
            LogReader(database, master_key, registers, builtin=not settings.profile_url),
            Search(database, master_key),
            base_url=settings.base_url,
            largest_page=settings.feed_max_page,
        )
        operating = Operations(
            database,
            calendar,
            DailyFiles(database, settings.environment),
            keep_feed=timedelta(days=settings.keep_feed_days),
        )
        telling = WebhookRoutes(database, calendar, master_key, base_url=settings.base_url, sandbox=sandbox)
        return cls(
            (
                *bind(routes.ENDPOINTS, reading),
                *bind(operations.ENDPOINTS, operating),
                *bind(webhooks.ENDPOINTS, telling),
            )
        )

    async def close(self) -> None:
        """Nothing is held."""
