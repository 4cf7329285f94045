"""Conversations cut anywhere: whatever the network makes of a stream of requests, each gets its own answer, in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.http_server import on_both_loops, read_answer, request

KINDS = ("plain", "body", "chunks", "upgrade", "upgrade-body", "upgrade-chunks", "absolute", "early")


def drawn(draw: random.Random, number: int) -> tuple[bytes, tuple[int, bytes]]:
    """A request and its answer. Bodies look like requests, so that a byte too many or too few in one shows."""
    kind = draw.choice(KINDS)
    body = bytes(draw.choices(b"GET / HTTP/1.1\r\n\r\n:x{}", k=draw.randrange(200)))
    headers = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"] if kind.startswith("upgrade") else []
    path, method, sent = f"/{number}", "POST", body
    if kind.endswith("chunks"):
        headers.append("Transfer-Encoding: chunked")
        sent, left = b"", body
        while left:
            size = draw.randrange(1, 50)
            sent += b"%x%b\r\n%b\r\n" % (len(left[:size]), draw.choice((b"", b";a=b")), left[:size])
            left = left[size:]
        sent += b"0\r\n" + draw.choice((b"", b"X: y\r\n")) + b"\r\n"
    elif kind.endswith("body") or kind == "early":
        headers.append(f"Content-Length: {len(body)}")
    else:
        method, body, sent = "GET", b"", b""
    answer = (200, f"{path} {len(body)} 0".encode())
    if kind == "early":
        path, answer = "/early", (401, b"")
    elif kind == "absolute":
        path = f"http://x{path}"
    return request(path, *headers, method=method) + sent, answer


@pytest.mark.parametrize("seed", range(8))
@on_both_loops
async def test_a_conversation_cut_anywhere(served, seed):
    draw = random.Random(seed)
    world = await served()
    for _ in range(10):
        asked = [drawn(draw, number) for number in range(draw.randrange(1, 12))]
        stream = b"".join(sent for sent, _ in asked)
        cuts = sorted(draw.randrange(len(stream)) for _ in range(draw.choice((0, 1, 5, 30))))
        reader, writer = await world.open()

        async def say(writer=writer, stream=stream, cuts=cuts):
            for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                writer.write(stream[start:end])
                await writer.drain()
                # The server has its turns in between; how many pieces it reads at once does not matter.
                for _ in range(3):
                    await asyncio.sleep(0)

        saying = asyncio.ensure_future(say())
        assert [await read_answer(reader) for _ in asked] == [answer for _, answer in asked]
        await saying
        writer.close()
