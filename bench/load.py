"""The load generator of every HTTP row: prepared bytes over kept connections, one process, its own CPU told.

    python -m bench.load '{"host": "127.0.0.1", "port": 5090, "request": "<base64>", "concurrency": 32, "seconds": 5}'

The request may hold the marker `@@@@@@@@@@@@@@@@`: sixteen bytes that become a number no other request carries. `"requests"` instead
names a file with a JSON list of requests in base64, sent in turn; `"bodies"` a file in which the bodies of the answers are left, also
as a JSON list in base64. Prints one JSON object: requests, seconds, per_second, statuses, p50/p95/p99 in milliseconds, cpu (seconds
of this process).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import uvloop

MARKER = b"@" * 16


class Connection(asyncio.Protocol):
    """One request at a time; the next leaves as soon as an answer is complete and `next_request` gives one."""

    def __init__(
        self, next_request: Callable[[], bytes | None], done: Callable[[int, float, bytes], None]
    ) -> None:
        self._next = next_request
        self._done = done
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is not derived from it
        self._send()

    def _send(self) -> None:
        request = self._next()
        assert self._transport is not None
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = self._buffer[:head].lower().find(b"content-length:")
        length = int(self._buffer[start + 15 : self._buffer.find(b"\r", start)]) if start >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        status, body = int(self._buffer[9:12]), self._buffer[head + 4 : head + 4 + length]
        self._buffer = b""
        self._done(status, time.perf_counter() - self._sent, body)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _source(task: dict[str, Any]) -> Callable[[], bytes]:
    """What gives the next request: one, numbered at its marker, or those of a file in turn."""
    if "requests" in task:
        listed = json.loads(Path(task["requests"]).read_text())
        return itertools.cycle([base64.b64decode(one) for one in listed]).__next__
    return _numbered(base64.b64decode(task["request"]))


def _keep(file: Path, bodies: list[bytes]) -> None:
    file.write_text(json.dumps([base64.b64encode(one).decode() for one in bodies]))


def _numbered(request: bytes) -> Callable[[], bytes]:
    if MARKER not in request:
        return lambda: request
    head, _, tail = request.partition(MARKER)
    counter = iter(range(1 << 62))
    salt = os.urandom(4).hex().encode()
    return lambda: head + salt + b"%08x" % next(counter) + tail


async def run(task: dict[str, Any]) -> dict[str, Any]:
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    bodies: list[bytes] = []
    make = _source(task)
    limit = task.get("count")
    sent = 0
    begun = time.perf_counter()
    until = begun + task["seconds"] if "seconds" in task else float("inf")

    def next_request() -> bytes | None:
        nonlocal sent
        if (limit is not None and sent >= limit) or time.perf_counter() >= until:
            return None
        sent += 1
        return make()

    def done(status: int, latency: float, body: bytes) -> None:
        statuses[status] += 1
        latencies.append(latency)
        if "bodies" in task:
            bodies.append(body)

    loop = asyncio.get_running_loop()
    if "rate" in task:  # open loop: one request each 1/rate seconds, whatever the answers do
        await _steady(loop, task, make, done, limit or 0)
    else:
        connections = [
            (
                await loop.create_connection(
                    lambda: Connection(next_request, done), task["host"], task["port"]
                )
            )[1]
            for _ in range(task["concurrency"])
        ]
        await asyncio.gather(*(connection.ended for connection in connections))
    seconds = time.perf_counter() - begun
    if "bodies" in task:
        _keep(Path(task["bodies"]), bodies)
    latencies.sort()
    usage = resource.getrusage(resource.RUSAGE_SELF)

    def percentile(share: float) -> float:
        return (
            round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 2)
            if latencies
            else 0.0
        )

    return {
        "requests": len(latencies),
        "seconds": round(seconds, 3),
        "per_second": round(len(latencies) / seconds, 1),
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "p50": percentile(0.50),
        "p95": percentile(0.95),
        "p99": percentile(0.99),
        "cpu": round(usage.ru_utime + usage.ru_stime, 3),
    }


async def _steady(
    loop: asyncio.AbstractEventLoop,
    task: dict[str, Any],
    make: Callable[[], bytes],
    done: Callable[[int, float, bytes], None],
    count: int,
) -> None:
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def lane() -> None:
        while (request := await queue.get()) is not None:
            answers = iter((request, None))
            _, connection = await loop.create_connection(
                lambda source=answers: Connection(lambda: next(source), done),  # type: ignore[misc]
                task["host"],
                task["port"],
            )
            await connection.ended

    lanes = [asyncio.ensure_future(lane()) for _ in range(task["concurrency"])]
    begun = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / task["rate"] - loop.time()))
        queue.put_nowait(make())
    for _ in lanes:
        queue.put_nowait(None)
    await asyncio.gather(*lanes)


if __name__ == "__main__":
    json.dump(uvloop.run(run(json.loads(sys.argv[1]))), sys.stdout)
