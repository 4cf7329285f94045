"""Bounces become reports: a delivery status notification to a signed return address is stored by its notification.

What is taken is on disk before it is acknowledged; rank decides what it changes (docs/reference/delivery.md 2.2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeAlias
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


Keep: TypeAlias = Callable[[UUID, DeliveryStatus | None, bytes], Awaitable[None]]
"""Keeps what a mail to the return address of a notification says; returns when it is on disk."""


def keeper(database: Database) -> Keep:
    """Keeps bounces as reports of the family `dsn`, by notification id; DatabaseUnavailable when it cannot."""
    store = ReportStore(database)

    async def keep(notification_id: UUID, status: DeliveryStatus | None, mail: bytes) -> None:
        if status is None:
            # A vacation answer: nothing that decides (RFC 3464 2).
            log.info("a mail to a return address was no notice", action="delivery.no_notice")
            return
        word = f"{status.action} {status.status}".strip()
        if status.result is None and status.action != "unclear":
            return  # delayed or relayed: the end comes by itself
        # A bounce that does not say why is the operator's, like every word that nobody understands.
        await store.store([RawReport(DSN, notification_id.hex, word, status.result, mail[:_KEPT_OCTETS])])

    return keep


class BounceReceiver:
    """An SMTP listener for bounces. While the database is away the far end is told to come again."""

    def __init__(self, host: str, port: int, returning: ReturnAddress, keep: Keep) -> None:
        self._host = host
        self._server = BounceServer(host, port, returning, keep)

    @classmethod
    async def open(cls, host: str, port: int, returning: ReturnAddress, database: Database) -> Self:
        """Listen; OperatorError when the port cannot be had. Port 0 takes a free one."""
        receiver = cls(host, port, returning, keeper(database))
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
