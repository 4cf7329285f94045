"""The sandbox's mail server: takes every mail over SMTP, keeps it through a callback, sends delivery notices.

It has no database of its own. Addresses in `varsel.sandbox.magic` fail on purpose.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMail
from functools import cached_property
from typing import Literal

import aiosmtplib

from varsel.channels.email.receiver import OK, Answer, Envelope, Recipient, SmtpReceiver
from varsel.sandbox.long_fields import short_head
from varsel.sandbox.magic import MailFate, mail_fate

Sleep = Callable[[float], Awaitable[None]]
_RETRIES = (1.0, 2.0, 5.0, 10.0, 30.0)
_REMEMBERED = 10_000


@dataclass(frozen=True)
class ReceivedEmail:
    """A mail as it came: envelope and content. The parsed parts are read when asked for."""

    sender: str
    recipients: tuple[str, ...] = field(repr=False)
    envelope_id: str
    content: bytes = field(repr=False)

    @cached_property
    def parsed(self) -> ParsedMail:
        """The message as the standard library reads it, an independent judge of what was composed."""
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def subject(self) -> str:
        """The decoded subject."""
        return str(self.parsed["Subject"] or "")

    @property
    def message_id(self) -> str:
        """Without angle brackets."""
        return str(self.parsed["Message-ID"] or "").strip().strip("<>")

    def body(self, kind: Literal["plain", "html"] = "plain") -> str:
        """The decoded text of a kind with LF line ends, or an empty string when there is none."""
        part = self.parsed.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


@dataclass(frozen=True, slots=True)
class DeliveryNotice:
    """A delivery status notification (RFC 3464): to the envelope sender, about one recipient.

    `envelope_id` is the ENVID of the mail, in which Varsel sends the notification id.
    """

    to: str
    envelope_id: str
    action: Literal["delivered", "failed"]
    status: str
    message: bytes = field(repr=False)


OnMessage = Callable[[ReceivedEmail], Awaitable[None]]
OnNotice = Callable[[DeliveryNotice], Awaitable[None]]


class SmtpInbox:
    """Listens on a loopback port (0 takes a free one).

    `on_message` keeps a mail and is awaited before the mail is acknowledged; None only counts, for benchmarks.
    Notices go over SMTP to `bounces` ("host:port") when it is given, else to `on_dsn`. A success notice is sent at
    once for NOTIFY=SUCCESS. `sleep` stands for time, so that tests need not wait.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_message: OnMessage | None,
        on_dsn: OnNotice | None = None,
        *,
        bounces: str | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._receiver = SmtpReceiver(
            host, port, self._take, judge=self._judge, hostname="inbox.varsel.localhost"
        )
        self._on_message = on_message
        self._on_dsn = on_dsn
        self._bounces = bounces
        self._sleep = sleep
        self._tries: Counter[tuple[str, str]] = Counter()
        self._notices: set[asyncio.Task[None]] = set()
        self.taken = 0

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._receiver.port

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        await self._receiver.start()

    async def close(self) -> None:
        """Close the port; notices that were not sent yet are dropped."""
        await self._receiver.close()
        for task in tuple(self._notices):
            task.cancel()
        await asyncio.gather(*self._notices, return_exceptions=True)

    def _judge(self, envelope: Envelope, address: str) -> bytes:
        fate = mail_fate(address)
        if fate.stage == "rcpt" and self._refuses(fate, address, envelope):
            return fate.reply.encode() + b"\r\n"
        return OK

    def _refuses(self, fate: MailFate, address: str, envelope: Envelope) -> bool:
        if fate.refusals is None:
            return True
        # One notification is one mail however often it comes; the sender's id tells it apart from the next.
        key = (address.lower(), envelope.envelope_id)
        if len(self._tries) > _REMEMBERED:
            self._tries.clear()
        self._tries[key] += 1
        return self._tries[key] <= fate.refusals

    def _take(self, envelope: Envelope) -> Answer | Awaitable[Answer]:
        if self._on_message is None:
            self.taken += 1
            return OK
        return self._keep(envelope, self._on_message)

    async def _keep(self, envelope: Envelope, on_message: OnMessage) -> Answer:
        fates = [(recipient, mail_fate(recipient.address)) for recipient in envelope.recipients]
        for _, fate in fates:
            if fate.stage == "content" and not fate.reply.startswith("2"):
                return fate.reply.encode() + b"\r\n"
        if any(fate.keeps for _, fate in fates):
            addresses = tuple(recipient.address for recipient in envelope.recipients)
            await on_message(
                ReceivedEmail(envelope.sender, addresses, envelope.envelope_id, envelope.content)
            )
            self.taken += 1
        for recipient, fate in fates:
            notice = self._notice(envelope, recipient, fate)
            if notice is None:
                continue
            if fate.notice_first:
                await self._deliver(notice)
            else:
                task = asyncio.create_task(self._deliver(notice))
                self._notices.add(task)
                task.add_done_callback(self._notices.discard)
        if wait := max(fate.wait for _, fate in fates):
            await self._sleep(wait)
        return None if any(fate.drop for _, fate in fates) else OK

    def _notice(self, envelope: Envelope, recipient: Recipient, fate: MailFate) -> DeliveryNotice | None:
        if not envelope.sender or fate.notice == "none" or (self._bounces is None and self._on_dsn is None):
            return None
        # RFC 3461 4.1: without NOTIFY a sender hears of failures only.
        asked = recipient.notify or frozenset({"FAILURE"})
        if ("SUCCESS" if fate.notice == "delivered" else "FAILURE") not in asked:
            return None
        status = "2.1.5" if fate.notice == "delivered" else "5.1.1"
        message = compose_notice(envelope, recipient, fate.notice, status)
        return DeliveryNotice(envelope.sender, envelope.envelope_id, fate.notice, status, message)

    async def _deliver(self, notice: DeliveryNotice) -> None:
        for wait in (*_RETRIES, None):
            with suppress(Exception):  # whoever takes notices may be starting, or its database away
                if self._bounces is not None:
                    await _send_notice(notice, self._bounces)
                elif self._on_dsn is not None:
                    await self._on_dsn(notice)
                return
            if wait is not None:
                await self._sleep(wait)


async def _send_notice(notice: DeliveryNotice, bounces: str) -> None:
    """Over SMTP with the null sender (RFC 3464 2), so that a notice never causes a notice."""
    host, _, port = bounces.rpartition(":")
    async with aiosmtplib.SMTP(
        hostname=host.strip("[]"), port=int(port), start_tls=False, local_hostname="inbox.varsel.localhost"
    ) as client:
        await client.sendmail("", [notice.to], notice.message)


def compose_notice(
    envelope: Envelope, recipient: Recipient, action: Literal["delivered", "failed"], status: str
) -> bytes:
    """A delivery status notification with the header of the mail it is about (RFC 3464, RFC 6522)."""
    boundary = "=_notice_" + (envelope.envelope_id or "0")
    original = recipient.original or recipient.address
    said = "250 2.1.5 Delivered" if action == "delivered" else "550 5.1.1 No such mailbox"
    told = "was delivered" if action == "delivered" else "could not be delivered"
    head = short_head(envelope.content) + b"\r\n"
    text = (
        "From: Mail Delivery <postmaster@inbox.varsel.localhost>\r\n"
        f"To: <{envelope.sender}>\r\n"
        f"Subject: Delivery status: {action}\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"\r\n\r\n'
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nYour message {told}.\r\n"
        f"--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"
        + (f"Original-Envelope-Id: {envelope.envelope_id}\r\n" if envelope.envelope_id else "")
        + "Reporting-MTA: dns; inbox.varsel.localhost\r\n\r\n"
        f"Original-Recipient: rfc822;{original}\r\n"
        f"Final-Recipient: rfc822;{recipient.address}\r\n"
        f"Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {said}\r\n\r\n"
        f"--{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n"
    )
    return text.encode() + head + f"--{boundary}--\r\n".encode()
