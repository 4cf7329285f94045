"""What the Python client adds to a bare HTTP client: 1,000 orders at concurrency 50, in CPU seconds of the calling process.

Both sides use the same HTTP library, the same connection settings, the same bytes and the same server, which answers a prepared
receipt from a process of its own: `python -m bench.client`.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import uvloop

from bench.measured import Beside
from bench.rows import How, Row, at_most
from varsel.client import AsyncNotifications, Email, ForwardedToken, Http, Order, ToEmail

COUNT = 1000
CONCURRENCY = 50
LIMIT = 1.5
PATH = "/notifications/api/v1/future/orders"
#: As long as the tokens of Altinn are; nobody looks into it here.
TOKEN = f"{'h' * 120}.{'c' * 700}.{'s' * 342}"

RECEIPT = (
    b'{"notificationOrderId":"7a1d2f0c-5b7f-4c44-9a0e-0c5f3a1b2d90",'
    b'"notification":{"shipmentId":"c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91"}}'
)
ANSWER = (
    b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(RECEIPT)
    + RECEIPT
)


def order(number: int) -> Order:
    """One order, as callers write it."""
    return Order(f"case-{number}", ToEmail("kari@example.org", Email("Ny melding", "Logg inn for å lese.")))


async def _many(place: Callable[[int], Awaitable[None]], count: int) -> float:
    """CPU seconds that so many orders cost."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(number: int) -> None:
        async with gate:
            await place(number)

    begun = time.process_time()
    await asyncio.gather(*(one(number) for number in range(count)))
    return time.process_time() - begun


async def with_client(url: str, count: int) -> float:
    async with AsyncNotifications(ForwardedToken(TOKEN), environment=url) as api:

        async def place(number: int) -> None:
            receipt = await api.order(order(number))
            assert receipt.created

        return await _many(place, count)


async def bare(url: str, count: int) -> float:
    """The least that a caller could write: a body, a header, the answer read as JSON."""
    async with httpx2.AsyncClient(**Http()._options()) as client:
        headers = {"authorization": f"Bearer {TOKEN}"}

        async def place(number: int) -> None:
            answer = await client.post(url + PATH, json=order(number).wire(), headers=headers)
            assert answer.status_code == 201
            assert answer.json()["notificationOrderId"]

        return await _many(place, count)


def measure(say: Callable[[str], None], *, count: int = COUNT, rounds: int = 5) -> dict[str, Any]:
    """Interleaved rounds after one that warms both up: ratio (median of the rounds), milliseconds an order of each
    side, and milliseconds of the import (limit 150)."""
    ours: list[float] = []
    theirs: list[float] = []
    with Beside("bench.client") as server:
        url = f"http://127.0.0.1:{server.port}"
        for number in range(rounds + 1):
            say(f"client, round {number} of {rounds}")
            theirs.append(asyncio.run(bare(url, count)))
            ours.append(asyncio.run(with_client(url, count)))
        server.stop()
    ours, theirs = ours[1:], theirs[1:]
    return {
        "ratio": statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True)),
        "client ms/order": round(statistics.median(ours) / count * 1000, 2),
        "bare ms/order": round(statistics.median(theirs) / count * 1000, 2),
        "import ms": import_ms(),
    }


def client(how: How) -> list[Row]:
    """1,000 orders through the asynchronous client, against a bare one; and what importing it takes."""
    found = measure(how.say, rounds=how.of(5, 15))
    figures = {name: found[name] for name in ("client ms/order", "bare ms/order")}
    return [
        at_most("1,000 orders, async client / bare client", found["ratio"], "", LIMIT, **figures),
        at_most("import varsel.client", found["import ms"], "ms", 150),
    ]


def import_ms() -> float:
    """CPU milliseconds of `import varsel.client` in a fresh interpreter, the best of five."""
    code = "import time; a = time.process_time(); import varsel.client; print(time.process_time() - a)"
    done = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    return round(min(float(one.stdout) for one in done) * 1000, 1)


class Receipts(asyncio.Protocol):
    """Answers every request with the same receipt."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = self._buffer.lower().find(b"content-length:", 0, head)
        length = int(self._buffer[start + 15 : self._buffer.find(b"\r", start)])
        if len(self._buffer) >= head + 4 + length:
            self._buffer = b""
            self._transport.write(ANSWER)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receipts, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    closed = asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=watch, daemon=True).start()
    await closed.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
