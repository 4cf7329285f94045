"""The files of composed e-mail, fetched when the mail is sent (docs/reference/delivery.md 7.8).

An address carries its own credential: it is opened only here, goes out through the guarded client, and stands in no
log, error or outcome.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Final

import structlog

from varsel.channels.model import Attachment, Permanent, Temporary
from varsel.delivery.attachments import damaged, mistaken
from varsel.delivery.conditions import Getter
from varsel.runtime.outbound_rules import ForbiddenAddress, OutboundError, ResponseTooLarge
from varsel.store import content as stored
from varsel.store.secrets import MasterKey, SealError

log = structlog.get_logger("varsel.delivery")

AT_ONCE: Final = 5  # files of one mail
TIMEOUT: Final = 30.0  # seconds a file
MOST_OCTETS: Final = 25 * 1024 * 1024
"""All files of one mail; a provider that takes less says so itself."""

_AGAIN: Final = frozenset({408, 429})
_INVALID: Final = "Failed_InvalidSasUrl"
_TOO_LARGE: Final = Permanent("Failed_PayloadTooLarge", "", f"the files have more than {MOST_OCTETS} octets")


class _Stop(Exception):
    def __init__(self, outcome: Permanent | Temporary) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class Files:
    """Fetches the files of one mail at a time."""

    def __init__(self, client: Getter, master_key: MasterKey) -> None:
        self._client = client
        self._master_key = master_key

    async def fetch(
        self, attachments: Sequence[stored.Attachment]
    ) -> tuple[Attachment, ...] | Permanent | Temporary:
        """All files in their order, or what the first failure makes of the mail; the others are broken off then."""
        turns = asyncio.Semaphore(AT_ONCE)
        left = MOST_OCTETS

        async def one(attachment: stored.Attachment) -> Attachment:
            nonlocal left
            async with turns:
                file = await self._one(attachment, left)
            left -= len(file.content)
            if left < 0:
                raise _Stop(_TOO_LARGE)
            return file

        tasks = [asyncio.create_task(one(attachment)) for attachment in attachments]
        try:
            files = await asyncio.gather(*tasks)
        except _Stop as stop:
            return stop.outcome
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return tuple(files)

    async def _one(self, attachment: stored.Attachment, most: int) -> Attachment:
        if attachment.sealed_url is None:
            raise _Stop(Permanent(_INVALID, "", "the address of a file is erased"))
        try:
            url = self._master_key.open(base64.b64decode(attachment.sealed_url)).decode()
        except (SealError, ValueError):
            raise _Stop(Permanent(_INVALID, "", "the address of a file cannot be opened")) from None
        try:
            answer = await self._client.get(url, timeout=TIMEOUT, max_bytes=most)
        except ResponseTooLarge:
            raise _Stop(_TOO_LARGE) from None
        except ForbiddenAddress:
            raise _Stop(Permanent(_INVALID, "", "a file lies at a forbidden address")) from None
        except (OutboundError, OSError):
            raise _Stop(Temporary(None, "", "a file could not be fetched")) from None
        status: int = answer.status
        if status == 200:
            body: bytes = answer.body
            # A store tells the MD5 of what it keeps: where it keeps a file packed, what comes out here is something else.
            packed = answer.headers.get("content-encoding", "").strip().lower() not in ("", "identity")
            fault = (None if packed else damaged(answer.headers, body)) or mistaken(
                attachment.mime_type, body
            )
            if fault is not None:
                raise _Stop(fault)
            return Attachment(attachment.filename, attachment.mime_type, body)
        # Another 2xx is no file, or a part of one.
        if 400 <= status < 500 and status not in _AGAIN:
            raise _Stop(Permanent(_INVALID, str(status), "the place of a file refused it"))
        raise _Stop(Temporary(None, str(status), "the place of a file did not give it"))
