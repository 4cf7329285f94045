"""Takes bounces over SMTP: a delivery status notification to a signed return address becomes a report.

Only addresses that this installation signed are taken at all (docs/reference/delivery.md 7), so that the port is of no use to anybody
else; what is taken is on disk before it is acknowledged.
"""

from __future__ import annotations

from typing import Final, Self

import structlog

from varsel.channels.email.bounces import ReturnAddress, read_bounce_address, read_delivery_status
from varsel.channels.email.receiver import OK, Answer, Envelope, SmtpReceiver
from varsel.delivery.reports import RawReport, ReportStore
from varsel.runtime.errors import DatabaseUnavailable, OperatorError
from varsel.store.database import Database

log = structlog.get_logger("varsel.delivery")

#: Larger mails are no notices; those return headers, not whole mails with their files.
MOST_OCTETS: Final = 1024 * 1024
NO_SUCH_ADDRESS: Final = b"550 5.1.1 No such address\r\n"
LATER: Final = b"451 4.3.0 Try again later\r\n"


class BounceReceiver:
    """An SMTP listener that stores notices as reports of the family `dsn`, by notification id."""

    def __init__(self, host: str, port: int, returning: ReturnAddress, store: ReportStore) -> None:
        self._returning = returning
        self._store = store
        self._receiver = SmtpReceiver(
            host,
            port,
            self._take,
            judge=self._judge,
            hostname=returning.domain,
            most_octets=MOST_OCTETS,
        )

    @classmethod
    async def open(cls, host: str, port: int, returning: ReturnAddress, database: Database) -> Self:
        """Listen; OperatorError when the port cannot be had. Port 0 takes a free one."""
        receiver = cls(host, port, returning, ReportStore(database))
        try:
            await receiver._receiver.start()
        except OSError as error:
            raise OperatorError(
                f"Port {port} for bounces cannot be opened ({error.strerror}); set VARSEL_BOUNCE_PORT to another one."
            ) from None
        return receiver

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self._receiver.host}:{self._receiver.port}"

    async def close(self) -> None:
        await self._receiver.close()

    def _judge(self, envelope: Envelope, address: str) -> bytes:
        del envelope
        known = read_bounce_address(address, self._returning.domain, self._returning.key)
        return NO_SUCH_ADDRESS if known is None else OK

    async def _take(self, envelope: Envelope) -> Answer:
        reports = [
            report
            for recipient in envelope.recipients
            if (report := self._read(envelope.content, recipient.address)) is not None
        ]
        try:
            await self._store.store(reports)
        except DatabaseUnavailable:
            return LATER
        return OK

    def _read(self, content: bytes, address: str) -> RawReport | None:
        """The report that a mail to one return address makes; None for what decides nothing, as an answer from a holiday."""
        found = read_delivery_status(content, address, self._returning)
        if found is None:
            log.info("a mail to a return address was no notice", action="delivery.no_notice")
            return None
        if found.result is None:
            return None
        word = f"{found.action} {found.status}".strip()
        return RawReport("dsn", found.notification_id.hex, word, found.result, content)
