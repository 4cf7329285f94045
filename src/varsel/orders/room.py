"""The orders room as composition sees it."""

from __future__ import annotations

from varsel.orders.accept import Flusher
from varsel.orders.drafts import Defaults
from varsel.orders.dry_run import DryRuns, Forecast
from varsel.orders.instant import Instants, InstantSender
from varsel.orders.internal import ENDPOINTS as INTERNAL
from varsel.orders.internal import InternalRoutes
from varsel.orders.model import Digest
from varsel.orders.routes import ENDPOINTS, Routes
from varsel.orders.rules import RuleBook
from varsel.recipients.registers import Registers
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.outbound_rules import literal_private
from varsel.runtime.settings import Settings
from varsel.store.database import Database


class OrdersRoom:
    """The front door: orders are judged, stored and cancelled here."""

    def __init__(
        self, bound: tuple[Bound, ...], routes: Routes, flusher: Flusher, instants: Instants
    ) -> None:
        self.bound = bound
        self._routes = routes
        self._flusher = flusher
        self._instants = instants

    @classmethod
    async def open(
        cls,
        settings: Settings,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        master_key: Digest,
        *,
        sandbox: bool,
        registers: Registers,
        sender: InstantSender | None = None,
        forecast: Forecast | None = None,
    ) -> OrdersRoom:
        """`sender` None: instant messages are answered NOT-00004. `forecast` None: dry runs show no messages."""
        flusher = Flusher(database, calendar)
        book = RuleBook(
            forbidden_url=_none_forbidden if sandbox else literal_private,
            blob_hosts=settings.blob_hosts,
            refuse_long_sms=settings.sms_too_long == "refuse",
        )
        defaults = Defaults(
            settings.default_email_from,
            settings.default_sms_sender,
            frozenset(creator.casefold() for creator in settings.stale_contact_creators),
        )
        instants = Instants(database, sender)
        routes = Routes(
            database=database,
            calendar=calendar,
            registers=registers,
            flusher=flusher,
            instants=instants,
            dry_runs=DryRuns(database, machine, forecast, settings.dry_run_rate),
            digest=master_key,
            book=book,
            defaults=defaults,
            base_url=settings.base_url,
        )
        internal = InternalRoutes(instants, calendar, master_key, book)
        return cls((*bind(ENDPOINTS, routes), *bind(INTERNAL, internal)), routes, flusher, instants)

    async def close(self) -> None:
        """Wait for orders that are being stored or sent."""
        await self._flusher.close()
        await self._instants.close()
        self._routes.close()


def _none_forbidden(url: str) -> bool:
    del url
    return False
