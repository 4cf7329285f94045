"""Bounces become reports: a delivery status notification to a signed return address is stored by its notification.

What is taken is on disk before it is acknowledged; rank decides what it changes (docs/reference/delivery.md 2.2).
"""

from __future__ import annotations

from typing import Final, Self
from uuid import UUID

import structlog

from varsel.channels.email.bounce_server import BounceServer
from varsel.channels.email.bounces import DeliveryStatus, ReturnAddress
from varsel.delivery.model import DSN
from varsel.delivery.reports import RawReport, ReportStore
from varsel.runtime.errors import OperatorError
from varsel.store.database import Database

log = structlog.get_logger("varsel.delivery")

#: Large enough for every status field and the header of the mail; the rest of a long notice is not kept.
_KEPT_OCTETS: Final = 64 * 1024


class BounceReceiver:
    """An SMTP listener that stores notices as reports of the family `dsn`, by notification id.

    While the database is away the far end is told to come again.
    """

    def __init__(self, host: str, port: int, returning: ReturnAddress, store: ReportStore) -> None:
        self._host = host
        self._store = store
        self._server = BounceServer(host, port, returning, self._keep)

    @classmethod
    async def open(cls, host: str, port: int, returning: ReturnAddress, database: Database) -> Self:
        """Listen; OperatorError when the port cannot be had. Port 0 takes a free one."""
        receiver = cls(host, port, returning, ReportStore(database))
        try:
            await receiver._server.start()
        except OSError as error:
            raise OperatorError(
                f"Port {port} for bounces cannot be opened ({error.strerror}); set VARSEL_BOUNCE_PORT to another one."
            ) from None
        return receiver

    @property
    def address(self) -> str:
        """host:port."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._server.port}"

    async def close(self) -> None:
        await self._server.close()

    async def _keep(self, notification_id: UUID, status: DeliveryStatus | None, mail: bytes) -> None:
        if status is None:
            # A vacation answer: nothing that decides (RFC 3464 2).
            log.info("a mail to a return address was no notice", action="delivery.no_notice")
            return
        word = f"{status.action} {status.status}".strip()
        if status.result is None and status.action != "unclear":
            return  # delayed or relayed: the end comes by itself
        # A bounce that does not say why is the operator's, like every word that nobody understands.
        await self._store.store(
            [RawReport(DSN, notification_id.hex, word, status.result, mail[:_KEPT_OCTETS])]
        )
