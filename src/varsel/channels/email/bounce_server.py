"""Listens for bounces: mail to a signed return address, and to nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from varsel.channels.email.bounces import (
    READ_OCTETS,
    DeliveryStatus,
    ReturnAddress,
    read_bounce_address,
    read_delivery_statuses,
)
from varsel.channels.email.receiver import OK, Answer, Envelope, SmtpReceiver

OnBounce = Callable[[UUID, DeliveryStatus | None, bytes], Awaitable[None]]
"""Notification, what the mail says about it (None when it is no bounce), and the beginning of the mail."""

# A bounce may carry all of the mail that it returns, with its files in base64; refused it would be lost, since nobody repeats it.
_MOST_OCTETS: Final = 40_000_000
_UNKNOWN = b"550 5.1.1 No such return address\r\n"


class BounceServer:
    """Takes mail for the return addresses of one installation; a forged address is refused at RCPT.

    `on_bounce` keeps what came and is awaited before the mail is acknowledged; when it fails the far end tries again.
    """

    def __init__(self, host: str, port: int, returning: ReturnAddress, on_bounce: OnBounce) -> None:
        self._returning = returning
        self._on_bounce = on_bounce
        self._receiver = SmtpReceiver(
            host,
            port,
            self._take,
            judge=self._judge,
            hostname=returning.domain,
            most_octets=_MOST_OCTETS,
            kept_octets=READ_OCTETS,
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._receiver.port

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        await self._receiver.start()

    async def close(self) -> None:
        """Close the port; what is not acknowledged comes again."""
        await self._receiver.close()

    def _find(self, address: str) -> UUID | None:
        return read_bounce_address(address, self._returning.domain, self._returning.key)

    def _judge(self, envelope: Envelope, address: str) -> bytes:
        return OK if self._find(address) is not None else _UNKNOWN

    async def _take(self, envelope: Envelope) -> Answer:
        said = await read_delivery_statuses(
            envelope.content,
            (recipient.address for recipient in envelope.recipients),
            self._returning,
            from_nobody=not envelope.sender,
        )
        for notification_id, status in said:
            await self._on_bounce(notification_id, status, envelope.content)
        return OK
