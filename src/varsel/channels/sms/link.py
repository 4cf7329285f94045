"""SMS through LINK Mobility's gateway: PSWin XML over HTTP, several messages in a call.

The point of no return is the writing of the request, so the intent is committed before it, for all messages of the
call at once. The engine looks at window and expiry when it grants an intent, and a call may take half a minute: where
messages go in calls of their own, each has an intent of its own, just before. What an end of the call means:

| end | outcome |
|---|---|
| no connection, or it broke before anything was written | Temporary, provider |
| timeout (30 s) or broken connection after that | Unknown |
| any status with an answer that can be read and speaks of messages | as that answer says |
| 429, 503 (refused before anything was taken) | Temporary, provider, with Retry-After; after a 503 the next go each in a call of its own |
| 500, 502, 504 and other 5xx | Unknown: the gateway behind may have taken it |
| 400, 413, 422 with several messages | each alone in a call of its own while the intent is fresh, so one cannot hold up the others; what is left is Temporary, message, and for a minute nobody shares a call |
| 400, 413, 422 with one | Temporary, message: it ends by its expiry, since a proxy may say the same to everybody |
| other 3xx, 4xx | Temporary, provider: address or credentials of this installation |
| LOGON not OK | Temporary, provider (docs/reference/delivery.md 11.2 no. 13) |
| not XML, or no MSG with the ID | Unknown |
| STATUS OK | Accepted with REF |
| not OK, INFO or REASON starts with `Invalid RCV` | Failed_InvalidRecipient |
| not OK otherwise, also without INFO | Failed |
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Literal
from uuid import UUID

import aiohttp

from varsel.channels.intents import intend_together
from varsel.channels.model import (
    MOST_OPEN_HANDOFFS,
    Accepted,
    Intend,
    Message,
    Outcome,
    Permanent,
    Settle,
    SmsMessage,
    Temporary,
    Unknown,
)
from varsel.channels.retry_after import retry_after
from varsel.channels.sms.parts import LINK, PartLimits, as_sent
from varsel.channels.sms.pswin import (
    AnswerError,
    MessageAnswer,
    NumberError,
    Submission,
    build_call,
    read_answer,
    receiver_number,
    sender_name,
    whole_minutes,
)
from varsel.runtime.steps import step

_SPLIT = frozenset({400, 413, 422})
_MOST_ANSWER = 1 << 20
_IDLE_SECONDS = 15.0  # shorter than any gateway's own, so that a kept connection seldom dies under a request
_TEXT_LENGTH = 200
_THREADED = 1 << 17  # characters; longer texts are made ready off the loop
_FRESH_SECONDS = 2.0  # so long what a grant was given for counts as still so
_ALONE_SECONDS = 60.0  # so long after a split nobody shares a call: those that it left over would meet the same company again


@dataclass(frozen=True, slots=True)
class LinkEndpoint:
    """Where the gateway is and how to log on."""

    url: str
    name: str
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(slots=True)
class _Call:
    """Marks whether anything of the request was written."""

    written: bool = False


class LinkChannel:
    """At most `slots` messages in open calls of at most `batch` messages each.

    Batches of one message have room of their own, so that an instant message never waits behind a large send.
    `wall` gives the moment against which an HTTP date in Retry-After is read.
    """

    kind: Literal["Sms"] = "Sms"

    def __init__(
        self,
        endpoint: LinkEndpoint,
        *,
        slots: int = 32,
        batch: int = 8,
        limits: PartLimits = LINK,
        seconds: float = 30.0,
        connect_seconds: float = 10.0,
        wall: Callable[[], datetime] | None = None,
    ) -> None:
        if not 1 <= slots <= MOST_OPEN_HANDOFFS:
            raise ValueError(f"slots must be from 1 to {MOST_OPEN_HANDOFFS}")
        self.name = endpoint.name
        self.slots = slots
        kept = max(1, slots // 10) if slots > 1 else 0
        self._batch = max(1, min(batch, slots - kept))
        self._lanes = max(1, (slots - kept) // self._batch)
        self._bulk = asyncio.Semaphore(self._lanes)
        self._single = self._bulk if kept == 0 else asyncio.Semaphore(slots - self._lanes * self._batch)
        self._endpoint = endpoint
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=connect_seconds)
        self._wall = wall
        self._session: aiohttp.ClientSession | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._busy_answers = 0
        self._careful = False
        self._alone_until = 0.0

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        """See `Channel.send`."""
        ready: dict[UUID, Submission] = {}
        order: list[SmsMessage] = []
        for message in messages:
            if not isinstance(message, SmsMessage):
                raise TypeError("an SMS channel takes SMS")
            if len(message.body) <= _THREADED:
                submission = self._prepare(message)
            else:
                submission = await asyncio.to_thread(self._prepare, message)
            if isinstance(submission, Permanent):
                settle(message, submission)
            else:
                ready[message.attempt_id] = submission
                order.append(message)
        if len(messages) == 1:
            if order:
                async with self._single:
                    await self._deliver(order, ready, intend, settle)
            return
        calls = deque(order[at : at + self._batch] for at in range(0, len(order), self._batch))

        async def lane() -> None:
            async with self._bulk:
                while calls:
                    await self._deliver(calls.popleft(), ready, intend, settle)

        ends = await asyncio.gather(
            *(lane() for _ in range(min(self._lanes, len(calls)))), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def close(self) -> None:
        """See `Channel.close`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _prepare(self, message: SmsMessage) -> Submission | Permanent:
        try:
            receiver = receiver_number(message.to)
        except NumberError as error:
            return Permanent("Failed_InvalidRecipient", "", str(error))
        try:
            sender = sender_name(message.sender)
        except NumberError as error:
            return Permanent("Failed", "", str(error))
        text, _ = as_sent(message.body, self._limits)
        return Submission(text, sender, receiver, whole_minutes(message.validity))

    async def _deliver(
        self, messages: list[SmsMessage], ready: dict[UUID, Submission], intend: Intend, settle: Settle
    ) -> None:
        if not self._careful and asyncio.get_running_loop().time() >= self._alone_until:
            await self._hand_over(messages, ready, intend, settle)
            return
        # One message that is answered 503 whenever it comes would hold up for ever whoever shares its call.
        before, called = self._busy_answers, False
        for message in messages:
            called = await self._hand_over([message], ready, intend, settle) or called
        if called and self._busy_answers == before:
            self._careful = False

    async def _hand_over(
        self, messages: list[SmsMessage], ready: dict[UUID, Submission], intend: Intend, settle: Settle
    ) -> bool:
        """One intent and one call; False when nothing was granted or the gateway is known to be down."""
        loop = asyncio.get_running_loop()
        left = self._retry_at - loop.time()
        if left > 0:  # no intent is spent on it
            for message in messages:
                settle(message, Temporary(left, "", f"no connection to {self.name}", "provider"))
            return False
        granted = await intend_together(intend, settle, messages)
        if granted:
            await self._call(granted, ready, settle, loop.time())
        return bool(granted)

    async def _call(
        self, messages: list[SmsMessage], ready: dict[UUID, Submission], settle: Settle, granted_at: float
    ) -> None:
        """One request for messages whose intent is written; each of them is settled whatever happens."""
        body = build_call(
            self._endpoint.user, self._endpoint.password, [ready[message.attempt_id] for message in messages]
        )
        call = _Call()
        shared: Outcome
        try:
            status, headers, answer = await self._post(body, call)
            step("send.written")  # the gateway has them, and nothing here has read that
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            shared = self._broken(call, error)
        except BaseException:
            for message in messages:
                settle(
                    message,
                    Unknown("stopped while waiting for the answer")
                    if call.written
                    else Temporary(0.0, "", "stopped before it was handed over"),
                )
            raise
        else:
            self._failures = 0
            if 200 <= status < 300 or _speaks_of_messages(answer):
                _settle_answers(messages, answer, settle)
                return
            if status in _SPLIT and len(messages) > 1:
                await self._one_by_one(messages, ready, settle, granted_at)
                return
            if status == 503:
                self._careful = True
                self._busy_answers += 1
            shared = self._refused(status, headers)
        for message in messages:
            settle(message, shared)

    async def _one_by_one(
        self, messages: Sequence[SmsMessage], ready: dict[UUID, Submission], settle: Settle, granted_at: float
    ) -> None:
        """What shared a call that the gateway could not read, under the intent of that call while this is fresh."""
        loop = asyncio.get_running_loop()
        self._alone_until = loop.time() + _ALONE_SECONDS
        for position, message in enumerate(messages):
            if loop.time() - granted_at > _FRESH_SECONDS:
                for later in messages[position:]:
                    settle(later, Temporary(0.0, "", "the gateway could not read the call that it shared"))
                return
            try:
                await self._call([message], ready, settle, granted_at)
            except BaseException:
                for later in messages[position + 1 :]:
                    settle(later, Temporary(0.0, "", "stopped before it was handed over"))
                raise

    async def _post(self, body: bytes, call: _Call) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_mark_written)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.slots, keepalive_timeout=_IDLE_SECONDS),
                timeout=self._timeout,
                trace_configs=[trace],
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with self._session.post(
            self._endpoint.url,
            data=body,
            headers={"Content-Type": "text/xml"},
            allow_redirects=False,
            trace_request_ctx=call,
        ) as response:
            answer = await response.content.read(_MOST_ANSWER)
            while not response.content.at_eof() and len(answer) < _MOST_ANSWER:
                answer += await response.content.read(_MOST_ANSWER - len(answer))
            return response.status, {"retry-after": response.headers.get("Retry-After", "")}, answer

    def _broken(self, call: _Call, error: BaseException) -> Temporary | Unknown:
        reason = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
        if call.written and not isinstance(error, aiohttp.ClientConnectorError):
            return Unknown(f"{reason} ({type(error).__name__})")
        pause = min(30.0, 0.5 * 2 ** min(self._failures, 6))
        self._failures += 1
        self._retry_at = asyncio.get_running_loop().time() + pause
        return Temporary(pause, "", f"no connection to {self.name} ({type(error).__name__})", "provider")

    def _refused(self, status: int, headers: dict[str, str]) -> Temporary | Unknown:
        code = f"HTTP {status}"
        if status in (429, 503):
            return Temporary(
                retry_after(headers["retry-after"], self._wall() if self._wall else None),
                code,
                "the gateway asks to wait",
                "provider",
            )
        if status >= 500:
            return Unknown(f"the gateway answered {status}")
        if status in _SPLIT:
            return Temporary(None, code, "the gateway could not read the request", "message")
        return Temporary(None, code, "the gateway refused the request", "provider")


async def _mark_written(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _sent: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.written = True


def _speaks_of_messages(body: bytes) -> bool:
    """Whether a body is the gateway's answer about messages: its word is worth more than the status of what stands before it."""
    try:
        return bool(read_answer(body).messages)
    except AnswerError:
        return False


def _settle_answers(messages: list[SmsMessage], body: bytes, settle: Settle) -> None:
    try:
        answer = read_answer(body)
    except AnswerError as error:
        for message in messages:
            settle(message, Unknown(str(error)))
        return
    if not answer.logged_on:
        # The gateway's words may quote the user name; they are for people, not for the log.
        for message in messages:
            settle(message, Temporary(None, "LOGON", "the gateway refused the log-on", "provider"))
        return
    for number, message in enumerate(messages, 1):
        entry = answer.messages.get(str(number))
        settle(
            message, Unknown("the answer has no entry for the message") if entry is None else _judge(entry)
        )


def _judge(entry: MessageAnswer) -> Accepted | Permanent:
    if entry.accepted:
        return Accepted(entry.reference, entry.status)
    result = "Failed_InvalidRecipient" if entry.info.startswith("Invalid RCV") else "Failed"
    return Permanent(result, entry.status[:_TEXT_LENGTH], _without_numbers(entry.info))


def _without_numbers(text: str) -> str:
    """Refusals like to quote the receiver; digits in rows of five or more are a number."""
    words = ["[number]" if sum(letter.isdigit() for letter in word) >= 5 else word for word in text.split()]
    return " ".join(words)[:_TEXT_LENGTH]
