"""What the console reads from other rooms; composition hands it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

Channel = Literal["email", "sms"]


class ReceivedMessage(Protocol):
    """A message in the sandbox's inbox."""

    @property
    def id(self) -> UUID: ...
    @property
    def channel(self) -> Channel: ...
    @property
    def to(self) -> str: ...
    @property
    def sender(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def body(self) -> str: ...
    @property
    def html(self) -> str | None: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def raw(self) -> bytes | None: ...
    @property
    def details(self) -> Mapping[str, Any]: ...


class Inbox(Protocol):
    """The messages that a sandbox received (`varsel.sandbox.messages.Messages`)."""

    async def recent(
        self, channel: Channel | None, part: str, limit: int, before: UUID | None = None
    ) -> Sequence[ReceivedMessage]:
        """Newest first, of a channel and with `part` in the recipient, older than `before`."""
        ...

    async def one(self, identifier: UUID) -> ReceivedMessage | None: ...

    async def empty(self) -> None: ...
