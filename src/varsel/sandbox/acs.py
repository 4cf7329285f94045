"""A simulator of Azure Communication Services Email: its REST API on loopback, and Event Grid reports back
(docs/reference/delivery.md 7.7, 8.1).

It has no database of its own. Tags in an address fail on purpose: those of `varsel.sandbox.magic` as far as they make sense
here, and those of `FATES`. A number as `+429` is the status of the submission, `+poll-500` that of the first question.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import aiohttp
from aiohttp import web

from varsel.runtime.times import wire_time
from varsel.sandbox.magic import LATE_SECONDS, SLOW_SECONDS, tag_of

Sleep = Callable[[float], Awaitable[None]]
_LONGEST_PAUSE: Final = 30.0
_SIGNED: Final = "SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="
_STATUS: Final = re.compile(r"(poll-)?([45]\d\d)\Z")
MOST_OCTETS: Final = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AcsFate:
    """What becomes of a submission.

    `status` other than 202 refuses it with `code` and `message`; `retry_after` is sent as it stands. `running` questions
    are answered `Running` before `end`; `poll_status` answers the first question instead. `report` is the word reported
    `report_after` seconds later, none when empty.
    """

    status: int = 202
    code: str = ""
    message: str = ""
    retry_after: str = ""
    running: int = 1
    poll_status: int = 200
    end: str = "Succeeded"
    report: str = "Delivered"
    report_after: float = 0.0
    report_first: bool = False
    wait: float = 0.0
    drop: bool = False
    keeps: bool = True
    refusals: int | None = None


FATES: Final[dict[str, AcsFate]] = {
    "temporary": AcsFate(429, "TooManyRequests", "Too many requests", "5"),
    "greylist": AcsFate(429, "TooManyRequests", "Too many requests", "1", refusals=1),
    "permanent": AcsFate(400, "BadRequest", "Invalid format for email address {to}"),
    "refused": AcsFate(400, "DomainNotLinked", "The domain of {to} is not linked"),
    "toolarge": AcsFate(413, "RequestEntityTooLarge", "The message is too large"),
    "slow": AcsFate(wait=SLOW_SECONDS),
    "drop": AcsFate(drop=True),
    "lost": AcsFate(drop=True, keeps=False),
    "never": AcsFate(report=""),
    "late": AcsFate(report_after=LATE_SECONDS),
    "early": AcsFate(report_first=True),
    "stuck": AcsFate(running=1_000_000, report=""),
    "canceled": AcsFate(end="Canceled", report=""),
    "dropped": AcsFate(end="Failed", code="EmailDropped", message="Dropped for {to}", report=""),
    "suppressed": AcsFate(
        end="Failed",
        code="EmailDroppedAllRecipientsSuppressed",
        message="Message dropped because all recipients were suppressed",
        report="",
    ),
    "bounce": AcsFate(report="Bounced"),
    "failed": AcsFate(report="Failed"),
    "spam": AcsFate(report="FilteredSpam"),
    "quarantine": AcsFate(report="Quarantined"),
    "blocked": AcsFate(report="Suppressed"),
    "expanded": AcsFate(report="Expanded"),
    "odd": AcsFate(report="SomethingNew"),
}
_ORDINARY: Final = AcsFate()


def acs_fate(address: str) -> AcsFate:
    """What the simulator does with a mail to this address."""
    tag = tag_of(address)
    known = FATES.get(tag)
    if known is not None:
        return known
    found = _STATUS.match(tag)
    if found is None:
        return _ORDINARY
    if found.group(1):
        return AcsFate(poll_status=int(found.group(2)))
    return AcsFate(int(found.group(2)), "Asked", "As the address asks", keeps=False)


@dataclass(frozen=True, slots=True)
class AcsMail:
    """A mail as it was taken."""

    operation_id: str
    sender: str
    to: str = field(repr=False)
    content: dict[str, str] = field(repr=False)
    attachments: tuple[tuple[str, str, bytes], ...] = field(repr=False, default=())


@dataclass(slots=True)
class _Operation:
    mail: AcsMail
    fate: AcsFate
    asked: int = 0


OnMail = Callable[[AcsMail], Awaitable[None]]


class AcsSimulator:
    """Listens on a loopback port (0 takes a free one) for holders of one access key.

    `on_mail` keeps a mail and is awaited before the submission is answered. Events go to `report_url`, again and again
    until they are acknowledged. `sleep` stands for time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        key: bytes,
        on_mail: OnMail | None,
        report_url: str | None = None,
        *,
        now: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.host = host
        self.port = port
        self.report_url = report_url
        self._key = key
        self._on_mail = on_mail
        self._now, self._sleep = now, sleep
        self._operations: dict[str, _Operation] = {}
        self._tries: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self.submissions: list[str] = []
        self.questions: Counter[str] = Counter()

    @property
    def taken(self) -> list[AcsMail]:
        """What was taken, in order."""
        return [operation.mail for operation in self._operations.values()]

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        application = web.Application(client_max_size=MOST_OCTETS * 2)
        application.router.add_post("/emails:send", self._send)
        application.router.add_get("/emails/operations/{id}", self._operation)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))

    async def close(self) -> None:
        """Close the port; events that were not acknowledged yet are dropped."""
        if self._runner is not None:
            await self._runner.cleanup()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not self._signed(request, body):
            return _error(401, "Denied", "The signature does not match")
        operation_id = request.headers.get("Operation-Id") or str(uuid4())
        self.submissions.append(operation_id)
        if operation_id in self._operations:
            return _error(409, "OperationExists", "An operation with this id exists")
        if len(body) > MOST_OCTETS:
            return _error(413, "RequestEntityTooLarge", "The message is too large")
        try:
            mail = _read(operation_id, json.loads(body))
        except (KeyError, TypeError, ValueError):
            return _error(400, "BadRequest", "The message cannot be read")
        fate = acs_fate(mail.to)
        if fate.status != 202 and self._refuses(fate, mail.to):
            headers = {"Retry-After": fate.retry_after} if fate.retry_after else {}
            return _error(fate.status, fate.code, fate.message.format(to=mail.to), headers)
        if fate.keeps:
            if self._on_mail is not None:
                await self._on_mail(mail)
            self._operations[operation_id] = _Operation(mail, fate)
            if fate.report_first:
                await self._post(mail, fate)
            elif fate.report:
                self._spawn(self._report(mail, fate))
        if fate.wait:
            await self._sleep(fate.wait)
        if fate.drop and request.transport is not None:
            request.transport.abort()
        location = f"http://{request.host}/emails/operations/{operation_id}?api-version=2023-03-31"
        return web.json_response(
            {"id": operation_id, "status": "Running", "error": None},
            status=202,
            headers={"Operation-Location": location, "Retry-After": "1"},
        )

    async def _operation(self, request: web.Request) -> web.StreamResponse:
        if not self._signed(request, b""):
            return _error(401, "Denied", "The signature does not match")
        operation_id = request.match_info["id"]
        self.questions[operation_id] += 1
        operation = self._operations.get(operation_id)
        if operation is None:
            return _error(404, "NotFound", "No such operation")
        operation.asked += 1
        fate = operation.fate
        if operation.asked == 1 and fate.poll_status != 200:
            return _error(fate.poll_status, "Asked", "As the address asks")
        if operation.asked <= fate.running:
            answer: dict[str, Any] = {"id": operation_id, "status": "Running"}
            return web.json_response(answer, headers={"Retry-After": "1"})
        answer = {"id": operation_id, "status": fate.end}
        if fate.end != "Succeeded":
            answer["error"] = {"code": fate.code, "message": fate.message.format(to=operation.mail.to)}
        return web.json_response(answer)

    def _signed(self, request: web.Request, body: bytes) -> bool:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = request.headers
        if headers.get("x-ms-content-sha256") != digest:
            return False
        text = f"{request.method}\n{request.raw_path}\n{headers.get('x-ms-date')};{request.host};{digest}"
        signature = base64.b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()
        return hmac.compare_digest(
            headers.get("Authorization", "").encode(), f"HMAC-SHA256 {_SIGNED}{signature}".encode()
        )

    def _refuses(self, fate: AcsFate, to: str) -> bool:
        if fate.refusals is None:
            return True
        self._tries[to] += 1
        return self._tries[to] <= fate.refusals

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, mail: AcsMail, fate: AcsFate) -> None:
        if fate.report_after:
            await self._sleep(fate.report_after)
        pause = 0.5
        while not await self._post(mail, fate):
            await self._sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _post(self, mail: AcsMail, fate: AcsFate) -> bool:
        if self.report_url is None:
            return True
        assert self._client is not None
        event = delivery_event(mail.operation_id, mail.sender, mail.to, fate.report, self._now())
        try:
            async with self._client.post(
                self.report_url, json=[event], headers={"aeg-event-type": "Notification"}
            ) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


def delivery_event(operation_id: str, sender: str, to: str, status: str, at: datetime) -> dict[str, Any]:
    """A delivery report as Event Grid sends it (docs/reference/delivery.md 8.1)."""
    return {
        "id": str(uuid4()),
        "topic": "/subscriptions/sandbox/resourceGroups/sandbox/providers/Microsoft.Communication/sandbox",
        "subject": f"sender/{sender}/message/{operation_id}",
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": wire_time(at),
        "data": {
            "sender": sender,
            "recipient": to,
            "messageId": operation_id,
            "status": status,
            "deliveryStatusDetails": {"statusMessage": "", "recipientMailServerHostName": "mx.example.org"},
            "deliveryAttemptTimeStamp": wire_time(at),
        },
    }


def _read(operation_id: str, message: Any) -> AcsMail:
    [recipient] = message["recipients"]["to"]
    content = message["content"]
    return AcsMail(
        operation_id,
        message["senderAddress"],
        recipient["address"],
        {
            "subject": content["subject"],
            "plainText": content.get("plainText", ""),
            "html": content.get("html", ""),
        },
        tuple(
            (file["name"], file["contentType"], base64.b64decode(file["contentInBase64"], validate=True))
            for file in message.get("attachments", ())
        ),
    )


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers={"x-ms-error-code": code, **(headers or {})})
