"""E-mail through Azure Communication Services over its REST API (docs/reference/delivery.md 7.7).

The point of no return is the writing of the request, so the intent is committed before it. The attempt's id is the
`Operation-Id`: an answer that was lost can be asked for (`stand`), and nothing is submitted twice under it. Where the answer
names another id, questions and reports go by that one.

| end of the call | outcome |
|---|---|
| no connection, or it broke before anything was written | Temporary, provider |
| timeout (30 s) or broken connection after that; 408, 409, 500, 502, 504 | Unknown: the operation is asked about |
| 202 | Accepted, reference = operation id of the answer |
| 429, 503 | Temporary, provider: seconds or HTTP date of Retry-After, 60 s without; the rest of the batch is spared |
| 413 | Failed_PayloadTooLarge |
| suppressed, wrong address format | Failed_SupressedRecipient, Failed_InvalidEmailFormat |
| 401, 403, 404, 3xx | Temporary, provider: credentials or address of this installation |
| other 4xx | Failed |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Literal

import aiohttp
from yarl import URL

from varsel.channels.email.acs_rest import (
    SEND,
    UNREADABLE,
    AccessKey,
    judge_operation,
    judge_submission,
    operation,
    submission,
)
from varsel.channels.email.addresses import Address, AddressError, read_address, read_sender
from varsel.channels.email.lanes import Lanes, emails
from varsel.channels.intents import IntentGroup
from varsel.channels.model import (
    EmailMessage,
    Intend,
    Message,
    Permanent,
    Settle,
    Temporary,
    Unknown,
)
from varsel.channels.polling import Standing
from varsel.channels.retry_after import retry_after
from varsel.runtime.steps import step

_MOST_ANSWER = 1 << 20
_IDLE_SECONDS = 15.0
_THREADED = 1 << 16  # a message that weighs more is put together off the loop


@dataclass(frozen=True, slots=True)
class AcsEndpoint:
    """A resource: its base URL without a path, and its access key."""

    url: str
    name: str
    key: AccessKey = field(repr=False)


@dataclass(slots=True)
class _Call:
    """Marks whether anything of the request was written."""

    written: bool = False


class AcsChannel:
    """At most `slots` submissions at once; a tenth of them is kept for batches of one message.

    `wall` is the machine clock: the provider refuses a request whose date is a quarter of an hour off.
    """

    kind: Literal["Email"] = "Email"

    def __init__(
        self,
        endpoint: AcsEndpoint,
        wall: Callable[[], datetime],
        *,
        slots: int = 16,
        seconds: float = 30.0,
        connect_seconds: float = 10.0,
    ) -> None:
        self.name = endpoint.name
        self.slots = slots
        self._lanes = Lanes(slots)
        self._endpoint = endpoint
        self._base = URL(endpoint.url)
        self._host = self._base.host_port_subcomponent or ""
        self._wall = wall
        self._timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=connect_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._resting = ""

    async def send(self, messages: Sequence[Message], intend: Intend, settle: Settle) -> None:
        """See `Channel.send`."""
        waiting = emails(messages)
        intents: IntentGroup[EmailMessage] = IntentGroup(intend, settle)

        async def lane() -> None:
            while waiting:
                await self._deliver(waiting.popleft(), intents, settle)

        await self._lanes.run(len(waiting), lane)

    async def stand(self, reference: str) -> Standing:
        """See `Polled.stand`."""
        target = operation(reference)
        try:
            status, after, body, _ = await self._request("GET", target, b"", {}, _Call())
        except (aiohttp.ClientError, OSError, TimeoutError, *UNREADABLE) as error:
            return Temporary(None, "", f"no answer ({type(error).__name__})", "provider")
        return judge_operation(status, after, body)

    async def close(self) -> None:
        """See `Channel.close`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _deliver(
        self, message: EmailMessage, intents: IntentGroup[EmailMessage], settle: Settle
    ) -> None:
        prepared = await _prepare(message)
        if isinstance(prepared, Permanent):
            settle(message, prepared)
            return
        left = self._retry_at - asyncio.get_running_loop().time()
        if left > 0:  # known to refuse: no intent is spent on it
            settle(message, Temporary(left, "", self._resting, "provider"))
            return
        if await intents.ask(message):
            await self._submit(message, prepared, settle)

    async def _submit(self, message: EmailMessage, body: bytes, settle: Settle) -> None:
        """One submission whose intent is written; it is settled whatever happens."""
        call = _Call()
        reference = str(message.attempt_id)
        headers = {"Content-Type": "application/json", "Operation-Id": reference}
        try:
            status, after, answer, location = await self._request("POST", SEND, body, headers, call)
            step("send.written")
            outcome = judge_submission(status, after, answer, reference, location)
        except (aiohttp.ClientError, OSError, TimeoutError, *UNREADABLE) as error:
            settle(message, self._broken(call, error))
        except BaseException:
            settle(
                message,
                Unknown("stopped while waiting for the answer")
                if call.written
                else Temporary(0.0, "", "stopped before it was handed over"),
            )
            raise
        else:
            self._failures = 0
            if isinstance(outcome, Temporary) and outcome.after:
                self._rest(outcome.after, outcome.detail)
            settle(message, outcome)

    async def _request(
        self, method: str, target: str, body: bytes, headers: dict[str, str], call: _Call
    ) -> tuple[int, float | None, bytes, str]:
        """Status, seconds of Retry-After, body and Operation-Location."""
        signed = self._endpoint.key.sign(method, target, self._host, body, self._wall())
        async with self._open().request(
            method,
            URL(
                f"{self._base.origin()}{target}", encoded=True
            ),  # signed as it stands: nothing may be rewritten
            data=body or None,
            headers={**headers, **signed},
            allow_redirects=False,
            trace_request_ctx=call,
        ) as response:
            answer = b""
            async for piece in response.content.iter_chunked(1 << 16):
                answer += piece[: _MOST_ANSWER - len(answer)]
            after = retry_after(response.headers.get("Retry-After", ""), self._wall())
            return response.status, after, answer, response.headers.get("Operation-Location", "")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_mark_written)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.slots * 2, keepalive_timeout=_IDLE_SECONDS),
                timeout=self._timeout,
                trace_configs=[trace],
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _broken(self, call: _Call, error: BaseException) -> Temporary | Unknown:
        if call.written and not isinstance(error, aiohttp.ClientConnectorError):
            if isinstance(error, UNREADABLE):
                reason = "the answer could not be read"
            else:
                reason = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
            return Unknown(f"{reason} ({type(error).__name__})")
        pause = min(30.0, 0.5 * 2 ** min(self._failures, 6))
        self._failures += 1
        detail = f"no connection to {self.name} ({type(error).__name__})"
        self._rest(pause, detail)
        return Temporary(pause, "", detail, "provider")

    def _rest(self, seconds: float, reason: str) -> None:
        self._retry_at = asyncio.get_running_loop().time() + seconds
        self._resting = reason


async def _prepare(message: EmailMessage) -> bytes | Permanent:
    try:
        sender: Address = read_sender(message.sender).address
    except AddressError as error:
        return Permanent("Failed", "", f"sender: {error}")
    try:
        recipient = read_address(message.to)
    except AddressError as error:
        return Permanent("Failed_InvalidEmailFormat", "", str(error))
    if message.weight > _THREADED:
        return await asyncio.to_thread(submission, message, sender, recipient)
    return submission(message, sender, recipient)


async def _mark_written(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _sent: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.written = True
