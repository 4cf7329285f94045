"""What the sandbox received, and how it is read again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
import structlog

from varsel.runtime.errors import DatabaseUnavailable
from varsel.runtime.phones import MARKS
from varsel.sandbox.long_fields import with_short_head
from varsel.store import queries
from varsel.store.database import Database
from varsel.store.ids import uuid7

_sql = queries.load("varsel.sandbox")
log = structlog.get_logger("varsel.sandbox")

Channel = Literal["email", "sms"]
#: Mails read in one go: about a tenth of a second of a thread.
READ_AT_ONCE: Final = 100
#: Octets of them, beyond which no further mail is taken.
_READ_OCTETS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was received. `body` is the text part, `html` the HTML part where there is one."""

    id: UUID
    channel: Channel
    to: str = field(repr=False)
    sender: str
    subject: str | None = field(repr=False)
    body: str = field(repr=False)
    html: str | None = field(repr=False)
    received_at: datetime
    raw: bytes | None = field(default=None, repr=False)
    details: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that has just come in; `body` None is read from `raw` afterwards."""

    channel: Channel
    to: str = field(repr=False)
    sender: str
    received_at: datetime
    body: str | None = field(default=None, repr=False)
    raw: bytes | None = field(default=None, repr=False)
    details: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What people see of a mail."""

    sender: str | None
    subject: str
    body: str
    html: str | None


def number(text: str) -> str:
    """A phone number in one form, `+4799999999`, from `004799999999`, `4799999999`, `99 99 99 99` or with spaces."""
    digits = MARKS.sub("", text)
    if digits.startswith("+"):
        return digits
    if digits.startswith("00"):
        return "+" + digits[2:]
    if len(digits) == 8 and digits[0] in "49":
        return "+47" + digits
    return "+" + digits if digits.isdigit() else digits


def sought(channel: Channel | None, to: str) -> tuple[Channel | None, str]:
    """Channel and recipient to look for, as they are kept in lower case. A `+` may have come as a space, or be absent."""
    to = to.strip()
    if channel is None and to:
        channel = "email" if "@" in to else "sms"
    return channel, (number(to) if channel == "sms" else to).lower()


def read_mail(raw: bytes) -> Reading:
    """Subject, sender and texts of a mail, by the standard library alone: an independent judge of what was composed."""
    parsed = message_from_bytes(with_short_head(raw), policy=policy.default)
    header = parsed["From"]
    sender = str(header) if header else None
    plain = _text(parsed, "plain")
    html = _text(parsed, "html")
    return Reading(_clean(sender), _clean(str(parsed["Subject"] or "")) or "", plain or "", html)


def _text(parsed: EmailMessage, kind: Literal["plain", "html"]) -> str | None:
    part = parsed.get_body((kind,))
    if part is None:
        return None
    try:
        text = part.get_content()
    except (LookupError, KeyError, ValueError):  # an unknown charset or a damaged encoding
        payload = part.get_payload(decode=True)
        text = payload.decode("latin-1") if isinstance(payload, bytes) else ""
    # CRLF and the line end that closes the part belong to MIME, not to the text.
    return _clean(str(text).replace("\r\n", "\n").removesuffix("\n"))


def _clean(text: str | None) -> str | None:
    # PostgreSQL keeps no NUL and UTF-8 no lone surrogate.
    if text is None:
        return None
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Messages:
    """Keeps messages in table `sandbox_message` and finds them again.

    Arrivals are kept in groups: while one insert is under way the next ones gather. An arrival is on disk when `keep` returns.
    Mails are read in a thread afterwards, and at the latest when somebody asks for them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathered: list[tuple[Sequence[Arrival], asyncio.Future[None]]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None

    async def keep(self, arrivals: Sequence[Arrival]) -> None:
        """Keep what one mail or one gateway message brought, all or nothing. Raises DatabaseUnavailable."""
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        self._gathered.append((arrivals, kept))
        if self._keeper is None or self._keeper.done():
            self._keeper = loop.create_task(self._keep_all(), name="varsel-inbox-keep")
        await kept

    async def _keep_all(self) -> None:
        while self._gathered:
            group, self._gathered = self._gathered, []
            arrivals = [arrival for some, _ in group for arrival in some]
            error: Exception | None = None
            try:
                await self._insert(arrivals)
            except Exception as failed:
                error = failed
            for _, kept in group:
                if kept.done():
                    continue
                if error is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(error)
            if error is None and any(arrival.body is None for arrival in arrivals):
                self.read_soon()

    async def _insert(self, arrivals: Sequence[Arrival]) -> None:
        encode = msgspec.json.encode
        await self._database.execute(
            _sql.keep_messages,
            [uuid7() for _ in arrivals],
            [arrival.channel for arrival in arrivals],
            [_clean(arrival.to) for arrival in arrivals],
            [_clean(arrival.sender) for arrival in arrivals],
            [None for _ in arrivals],
            [_clean(arrival.body) for arrival in arrivals],
            [arrival.raw for arrival in arrivals],
            [encode(arrival.details).decode() for arrival in arrivals],
            [arrival.received_at for arrival in arrivals],
        )

    def read_soon(self) -> None:
        """Read what has not been read yet, also what an earlier run left behind."""
        if self._reader is None or self._reader.done():
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="varsel-inbox-read")

    async def _read(self) -> None:
        with contextlib.suppress(DatabaseUnavailable):  # whoever asks next reads
            while await self._read_some():
                pass

    async def _read_some(self) -> bool:
        rows = await self._database.fetch(_sql.unread_messages, READ_AT_ONCE, _READ_OCTETS)
        if not rows:
            return False
        readings = await asyncio.to_thread(_read_all, [row["raw"] for row in rows])
        await self._database.execute(
            _sql.write_readings,
            [row["id"] for row in rows],
            [reading.sender for reading in readings],
            [reading.subject for reading in readings],
            [reading.body for reading in readings],
            [reading.html for reading in readings],
        )
        return True

    async def settle(self) -> None:
        """Wait until everything kept so far has been read."""
        while await self._read_some():
            pass

    async def find(self, channel: Channel | None = None, to: str = "") -> list[Message]:
        """Messages in order of arrival, oldest first; `to` as `sought` understands it, empty for everybody."""
        await self.settle()
        channel, recipient = sought(channel, to)
        rows = await self._database.fetch(_sql.list_messages, channel, recipient or None)
        return [
            Message(
                row["id"],
                row["channel"],
                row["recipient"],
                row["sender"],
                row["subject"],
                row["body"] or "",
                row["html"],
                row["received_at"],
            )
            for row in rows
        ]

    async def recent(
        self, channel: Channel | None, part: str, limit: int, before: UUID | None = None
    ) -> list[Message]:
        """The newest messages first, whose recipient contains `part`; `body` is only its beginning."""
        await self.settle()
        part = part.strip().lower()
        if part and "@" not in part and any(letter.isdigit() for letter in part):
            spaceless = MARKS.sub("", part)
            part = "+" + spaceless[2:] if spaceless.startswith("00") else spaceless
        escaped = part.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        rows = await self._database.fetch(
            _sql.recent_messages, channel, f"%{escaped}%" if part else None, limit, before
        )
        return [
            Message(
                row["id"],
                row["channel"],
                row["recipient"],
                row["sender"],
                row["subject"],
                row["body"] or "",
                None,
                row["received_at"],
            )
            for row in rows
        ]

    async def one(self, identifier: UUID) -> Message | None:
        """A message with its raw form and what else is known of it."""
        await self.settle()
        row = await self._database.fetchrow(_sql.one_message, identifier)
        if row is None:
            return None
        return Message(
            row["id"],
            row["channel"],
            row["recipient"],
            row["sender"],
            row["subject"],
            row["body"] or "",
            row["html"],
            row["received_at"],
            row["raw"],
            msgspec.json.decode(row["details"]),
        )

    async def empty(self, channel: Channel | None = None, to: str = "") -> None:
        """Forget messages, all of them unless a channel or recipient is named."""
        channel, recipient = sought(channel, to)
        await self._database.execute(_sql.delete_messages, channel, recipient or None)

    async def close(self) -> None:
        """Finish what is being kept and read."""
        for task in (self._keeper, self._reader):
            if task is not None:
                await asyncio.wait((task,), timeout=5)
                task.cancel()


def _read_all(raws: Sequence[bytes]) -> list[Reading]:
    readings = []
    for raw in raws:
        try:
            readings.append(read_mail(raw))
        except Exception as error:  # the parser has no bottom: what it cannot read is shown as it came
            log.warning("a mail could not be read", action="sandbox.unread", error=type(error).__name__)
            readings.append(Reading(None, "", _clean(raw.decode("latin-1")) or "", None))
    return readings
