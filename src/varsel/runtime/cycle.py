"""One request and its response: what uvicorn's cycle lacks, and how it ends.

An answer that ends the connection while the caller still sends must not close it: what comes then would meet a reset, and the answer
be lost with it (RFC 9112 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

log = structlog.get_logger("varsel.http")

CLOSE: Final = b"connection: close\r\n"


class Cycle(RequestResponseCycle):
    """One request and its response. `respond` is what ASGI lacks: a whole response at once."""

    #: The task that runs the application, and the server's set of them; set where it is started.
    task: asyncio.Task[None]
    tasks: set[asyncio.Task[None]]
    #: Ends the connection while the caller still sends.
    linger: Callable[[], None]

    async def run_asgi(self, app: Any) -> None:
        # In place of uvicorn's: the task leaves the server's set here, which spares each request a callback of the loop.
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            log.error("request failed", action="http.failed", exc_info=error)
            await self._give_up()
        else:
            if not (self.response_complete or self.disconnected):
                log.error("request not answered", action="http.failed", started=self.response_started)
                await self._give_up()
        finally:
            self.on_response = self.linger = _nothing
            # It holds `respond`, and so this object: without the knot a request is gone with its last reference, body and all.
            self.scope.pop("extensions", None)
            self.tasks.discard(self.task)

    async def _give_up(self) -> None:
        if self.response_complete:
            return  # a framework has answered with its own 500 before it let the error through
        if self.response_started:
            self.transport.close()  # half an answer: that it ends too soon is all that can still be said
        elif not self.disconnected:
            await self.send_500_response()

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a complete response; False when it has to go by `send` instead.

        ASGI has head and body written apart, and each write is a system call: a seventh of what a short answer costs. `headers`
        hold the length of the body, names in lower case.
        """
        if self.disconnected:
            return True
        if self.flow.write_paused or self.response_started:
            return False
        self._settle_end()
        lines = [b"%b: %b\r\n" % header for header in (*self.default_headers, *headers)]
        if not self.keep_alive:
            if CLOSE not in lines:
                lines.append(CLOSE)
        elif CLOSE in lines:
            self.keep_alive = False
        head = b"%b%b\r\n" % (STATUS_LINE[status], b"".join(lines))
        if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2:
            raise RuntimeError("a header of this response holds a line break")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(head + body if body and self.scope["method"] != "HEAD" else head)
        self.response_complete = True
        self.message_event.set()
        if self.keep_alive:
            self.on_response()
        elif self.more_body:
            self.on_response()
            self.linger()
        else:
            self.transport.close()
            self.on_response()
        return True

    async def send(self, message: Any) -> None:
        if not self.response_started:
            self._settle_end()
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not (last and self.more_body and not self.keep_alive):
            await super().send(message)
            return
        self.keep_alive = True  # uvicorn would close at once
        await super().send(message)
        if self.response_complete:
            self.linger()

    def _settle_end(self) -> None:
        # Who waits for "100 Continue" and gets an answer instead sends the body or leaves it out, as it likes: what comes next cannot
        # be told from it (RFC 9110 10.1.1).
        if self.waiting_for_100_continue and self.more_body:
            self.keep_alive = False


def _nothing() -> None:
    """What there is to do after an answer that comes when its connection has gone on."""
