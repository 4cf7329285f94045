"""Reads the mailbox that bounces arrive in, once a minute, and keeps them like those that come over SMTP.

A mail is marked as seen only after what it says is on disk. Several workers may read one mailbox: a report that is stored twice
is applied once.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from varsel.channels.email.bounces import ReturnAddress, read_delivery_statuses
from varsel.channels.email.mailbox import Letter, Mailbox, MailboxEndpoint, MailboxError
from varsel.delivery.bounces import Keep
from varsel.delivery.transact import is_poison
from varsel.runtime.errors import Unavailable

log = structlog.get_logger("varsel.delivery")

EVERY: Final = 60.0
_MOST: Final = 50  # mails of one visit


class MailboxReader:
    """`keep` stores what a bounce says about a notification."""

    def __init__(
        self, endpoint: MailboxEndpoint, returning: ReturnAddress, keep: Keep, *, every: float = EVERY
    ) -> None:
        self._endpoint = endpoint
        self._returning = returning
        self._keep = keep
        self._every = every

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if await self.visit() == _MOST:
                    continue
            except (MailboxError, Unavailable) as error:
                log.warning(
                    "the mailbox of bounces could not be read", action="delivery.mailbox", error=str(error)
                )
            except Exception:
                log.exception("reading the mailbox failed; it goes on", action="delivery.mailbox_failed")
            await asyncio.sleep(self._every)

    async def visit(self) -> int:
        """Read what is unread; how many mails that was."""
        mailbox = Mailbox(self._endpoint)
        try:
            await asyncio.to_thread(mailbox.open)
            letters = await asyncio.to_thread(mailbox.unread, _MOST)
            for letter in letters:
                try:
                    await self._take(letter)
                except Exception as error:
                    if not is_poison(error):
                        raise
                    # It stays in the mailbox for people; read again and again it would hold up all behind it.
                    log.exception("a mail to the mailbox cannot be kept", action="delivery.mailbox_poison")
            await asyncio.to_thread(mailbox.mark, [letter.uid for letter in letters])
            return len(letters)
        finally:
            await asyncio.to_thread(mailbox.close)

    async def _take(self, letter: Letter) -> None:
        said = await read_delivery_statuses(
            letter.content, letter.recipients, self._returning, from_nobody=letter.from_nobody
        )
        for notification_id, status in said:
            await self._keep(notification_id, status, letter.content)
