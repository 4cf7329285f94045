"""The sandbox's SMS gateway: PSWin XML over HTTP, and delivery reports back (docs/reference/delivery.md 7.9, 8.2).

It has no database of its own. Numbers in `varsel.sandbox.magic` fail on purpose.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from varsel.runtime.times import OSLO
from varsel.sandbox.magic import SmsFate, sms_fate

Sleep = Callable[[float], Awaitable[None]]
_REMEMBERED = 10_000
_REPORTED_TOGETHER = 100
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class ReceivedSms:
    """An SMS as the gateway took it. `text` is decoded, `minutes` the validity that was asked for."""

    reference: str
    sender: str
    to: str = field(repr=False)
    text: str = field(repr=False)
    minutes: int
    ucs2: bool


@dataclass(frozen=True, slots=True)
class _Report:
    reference: str
    receiver: str
    state: str


OnMessage = Callable[[ReceivedSms], Awaitable[None]]


class SmsGateway:
    """Listens on a loopback port (0 takes a free one); accepts one user.

    `on_message` keeps an SMS and is awaited before the call is answered; None only counts, for benchmarks. Reports
    go to `report_url` with Basic auth, several in a list, again and again until they are acknowledged with 200;
    `now` is the moment written into reports.
    """

    def __init__(  # noqa: PLR0917
        self,
        host: str,
        port: int,
        on_message: OnMessage | None,
        report_url: str | None,
        report_user: str = "",
        report_password: str = "",
        *,
        user: str = "sandbox",
        password: str = "sandbox",  # noqa: S107 - guards nothing: it listens on loopback only
        now: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
        references: str = "",
    ) -> None:
        self.host = host
        self.port = port
        self.report_url = report_url
        self._on_message = on_message
        self._authorization = aiohttp.encode_basic_auth(report_user, report_password, encoding="utf-8")
        self._user, self._password = user, password
        self._now, self._sleep = now, sleep
        # References must not come twice, also not over restarts: they are kept for ever (design 4.1).
        self._prefix = references or secrets.token_hex(5)
        self._numbers = itertools.count(1)
        self._tries: Counter[str] = Counter()
        self._pending: list[_Report] = []
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self.taken = 0
        self.calls = 0

    @property
    def url(self) -> str:
        """The provider URL with which Varsel sends here."""
        return f"link+http://{self._user}:{self._password}@{self.host}:{self.port}/"

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self._spawn(self._report())

    async def close(self) -> None:
        """Close the port; reports that were not acknowledged yet are dropped."""
        if self._runner is not None:
            await self._runner.cleanup()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        try:
            root: Any = fromstring(
                await request.read(), forbid_dtd=False, forbid_entities=True, forbid_external=True
            )
        except (ParseError, DefusedXmlException, ValueError):
            return web.Response(status=400, text="not XML")
        entries = list(root.iterfind("MSGLST/MSG"))
        if root.findtext("CLIENT") != self._user or root.findtext("PW") != self._password:
            return _answer("<LOGON>FAIL</LOGON><REASON>Authentication failed</REASON>")
        fates = [sms_fate(entry.findtext("RCV") or "") for entry in entries]
        for entry, fate in zip(entries, fates, strict=True):
            if fate.http != 200 and self._refuses(fate, entry.findtext("RCV") or ""):
                headers = {"Retry-After": str(fate.retry_after)} if fate.retry_after is not None else {}
                return web.Response(status=fate.http, headers=headers)
            if not fate.logon:
                return _answer("<LOGON>FAIL</LOGON><REASON>Authentication failed</REASON>")
        answers = [await self._take(entry, fate) for entry, fate in zip(entries, fates, strict=True)]
        if wait := max((fate.wait for fate in fates), default=0.0):
            await self._sleep(wait)
        if any(fate.drop for fate in fates) and request.transport is not None:
            request.transport.abort()
        return _answer(f"<LOGON>OK</LOGON><REASON></REASON><MSGLST>{''.join(answers)}</MSGLST>")

    def _refuses(self, fate: SmsFate, number: str) -> bool:
        if fate.refusals is None:
            return True
        if len(self._tries) > _REMEMBERED:
            self._tries.clear()
        self._tries[number] += 1
        if self._tries[number] > fate.refusals:
            del self._tries[number]  # the next message to this number is refused again
            return False
        return True

    async def _take(self, entry: Any, fate: SmsFate) -> str:
        number = escape(entry.findtext("ID") or "")
        if not fate.accepted:
            return f"<MSG><ID>{number}</ID><STATUS>FAIL</STATUS><INFO>{escape(fate.info)}</INFO></MSG>"
        reference = f"{self._prefix}{next(self._numbers):06d}"
        receiver = entry.findtext("RCV") or ""
        if fate.keeps:
            self.taken += 1
            if self._on_message is not None:
                await self._on_message(_received(entry, reference, receiver))
        reports = [_Report(reference, receiver, state) for state in fate.states]
        if fate.report_first and self.report_url is not None and await self._post(self.report_url, reports):
            pass
        elif fate.report_after:
            self._spawn(self._later(fate.report_after, reports))
        else:
            self._queue(reports)
        return f"<MSG><ID>{number}</ID><REF>{reference}</REF><STATUS>OK</STATUS><INFO></INFO></MSG>"

    def _queue(self, reports: Sequence[_Report]) -> None:
        if self.report_url is not None:
            self._pending.extend(reports)
            self._wake.set()

    async def _later(self, seconds: float, reports: Sequence[_Report]) -> None:
        await self._sleep(seconds)
        self._queue(reports)

    async def _report(self) -> None:
        """Post what is pending until it is acknowledged, oldest first, with growing pauses while nobody listens."""
        pause = 0.5
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending and self.report_url is not None:
                group = self._pending[:_REPORTED_TOGETHER]
                if await self._post(self.report_url, group):
                    del self._pending[: len(group)]
                    pause = 0.5
                else:
                    await self._sleep(pause)
                    pause = min(_LONGEST_PAUSE, pause * 2)

    async def _post(self, url: str, reports: Sequence[_Report]) -> bool:
        assert self._client is not None
        time = self._now().astimezone(OSLO).strftime("%Y.%m.%d %H:%M:%S")
        messages = "".join(
            f"<MSG><ID>{number}</ID><REF>{report.reference}</REF><RCV>{escape(report.receiver)}</RCV>"
            f"<STATE>{report.state}</STATE><DELIVERYTIME>{time}</DELIVERYTIME></MSG>"
            for number, report in enumerate(reports, 1)
        )
        body = (
            '<?xml version="1.0"?>\n<!DOCTYPE MSGLST SYSTEM "pswincom_report_request.dtd">\n'
            f"<MSGLST>{messages}</MSGLST>\n"
        )
        headers = {
            "Content-Type": "application/xml; charset=iso-8859-1",
            "Authorization": self._authorization,
        }
        try:
            async with self._client.post(
                url, data=body.encode("iso-8859-1", "replace"), headers=headers
            ) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


def _received(entry: Any, reference: str, receiver: str) -> ReceivedSms:
    text = entry.findtext("TEXT") or ""
    ucs2 = entry.findtext("OP") == "9"
    if ucs2:
        text = bytes.fromhex(text).decode("utf-16-be", "replace")
    minutes = entry.findtext("TTL") or ""
    return ReceivedSms(
        reference,
        entry.findtext("SND") or "",
        receiver,
        text,
        int(minutes) if minutes.isdecimal() else 0,
        ucs2,
    )


def _answer(inside: str) -> web.Response:
    body = f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<SESSION>{inside}</SESSION>\n'
    return web.Response(body=body.encode("ascii", "xmlcharrefreplace"), content_type="text/xml")
