"""The HTTP server on real sockets: heads and bodies that are too long or odd, pipelining, and early answers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.support.http_server import on_both_loops, read_answer, request
from tests.support.polling import until
from varsel.runtime.server import HEAD_LIMIT


@pytest.mark.parametrize("size", [40_000, 100_000, 1_000_000, 8_000_000])
@on_both_loops
async def test_an_overlong_header_gets_a_complete_431(served, size):
    world = await served()
    answer = await world.say(request("/", "Authorization: Bearer " + "x" * size), end=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"content-length: 0" in head
    assert b"connection: close" in head
    assert b"date: " in head
    assert b"server:" not in head.lower()
    assert body == b""


@on_both_loops
async def test_many_short_headers_and_a_long_path_are_too_long_too(served):
    world = await served()
    many = [f"X-{number}: {'y' * 20}" for number in range(2000)]
    assert (await world.say(request("/", *many), end=False)).startswith(b"HTTP/1.1 431 ")
    assert (await world.say(request("/" + "p" * 50_000), end=False)).startswith(b"HTTP/1.1 431 ")


@on_both_loops
async def test_a_head_just_below_the_limit_is_served(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(request("/", "Authorization: Bearer " + "x" * (HEAD_LIMIT - 100)))
    assert (await read_answer(reader))[0] == 200
    # A long body after a short head is no long head.
    writer.write(request("/b", method="POST", body=b"z" * 200_000))
    assert await read_answer(reader) == (200, b"/b 200000 0")
    writer.close()


@on_both_loops
async def test_a_caller_that_only_reads_after_sending_megabytes_gets_its_answer(served):
    """What a blocking client does: send all, then read. An early close would reset the connection."""
    world = await served()
    port = world.port

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(request("/", "Authorization: Bearer " + "x" * 4_000_000))
            answer = b""
            while part := plain.recv(65536):
                answer += part
            return answer

    assert (await asyncio.to_thread(ask)).startswith(b"HTTP/1.1 431 ")


@on_both_loops
async def test_lingering_has_an_end(served):
    world = await served(linger_bytes=1_000_000)
    _, writer = await world.open()
    writer.write(request("/", "Authorization: Bearer " + "x" * 100_000))
    with pytest.raises(ConnectionError):
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()
    world = await served(linger_seconds=0.05)
    reader, writer = await world.open()
    writer.write(b"rubbish\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    connections = world.server._state.connections
    await until(lambda: not connections)
    writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
        b"F@O / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"FOO \r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
@on_both_loops
async def test_what_is_no_http_gets_400_and_the_end(served, raw):
    world = await served()
    answer = await world.say(raw, end=False)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")
    assert world.app.waiting == 0


@on_both_loops
async def test_a_probe_of_http_1_0_needs_no_host(served):
    world = await served()
    assert (await world.say(b"GET / HTTP/1.0\r\n\r\n", end=False)).startswith(b"HTTP/1.1 200 ")


@on_both_loops
async def test_an_upgrade_is_answered_as_plain_http(served):
    world = await served()
    reader, writer = await world.open()
    upgrade = request("/one", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA")
    writer.write(upgrade + request("/two"))
    assert await read_answer(reader) == (200, b"/one 0 0")
    assert await read_answer(reader) == (200, b"/two 0 0")
    writer.close()


@pytest.mark.parametrize("split", [False, True], ids=["at-once", "in-pieces"])
@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
@on_both_loops
async def test_a_body_behind_an_upgrade_belongs_to_its_request(served, framing, split):
    # As java.net.http sends its first request to plain http. What the body says must never count as a request of its own.
    world = await served()
    reader, writer = await world.open()
    hidden = b"GET /evil" if framing.startswith("Content") else b"9\r\nGET /evil\r\n0\r\n\r\n"
    headers = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA", framing)
    head = request("/one", *headers, method="POST")
    for part in (head, hidden) if split else (head + hidden,):
        writer.write(part)
        await writer.drain()
        # Both ends share a loop: this lets the server read the one before the other is there.
        await asyncio.sleep(0)
    writer.write(request("/two"))
    assert await read_answer(reader) == (200, b"/one 9 0")
    assert await read_answer(reader) == (200, b"/two 0 0")
    writer.close()


@on_both_loops
async def test_a_body_behind_an_upgrade_that_waits_its_turn(served):
    world = await served()
    reader, writer = await world.open()
    upgrade = request("/next", "Connection: Upgrade", "Upgrade: h2c", method="POST", body=b"four")
    empty = request(
        "/empty", "Connection: Upgrade, close", "Upgrade: h2c", "Content-Length: 0", method="POST"
    )
    writer.write(request("/hold") + upgrade + empty)
    await until(lambda: world.app.waiting)
    world.app.release.set()
    assert await read_answer(reader) == (200, b"/hold 0 0")
    assert await read_answer(reader) == (200, b"/next 4 0")
    assert await read_answer(reader) == (200, b"/empty 0 0")
    assert await reader.read() == b""
    writer.close()


@on_both_loops
async def test_thousands_of_upgrades_at_once_are_no_recursion(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(request("/", "Connection: Upgrade", "Upgrade: a") * 3000)
    for _ in range(3000):
        assert await read_answer(reader) == (200, b"/ 0 0")
    writer.close()


@pytest.mark.parametrize("method", ["FOO", "get", "GETS", "M-SEARCHING", "SETUP", "DESCRIBE"])
@on_both_loops
async def test_a_method_that_nobody_knows_reaches_the_application(served, method):
    # Which then says 405 or 404, as it does for any other (RFC 9110 15.5.6).
    world = await served()
    seen: list[str] = []
    serve = world.app.__call__

    async def noting(scope, receive, send):
        seen.append(scope["method"])
        await serve(scope, receive, send)

    world.server._config.loaded_app = noting
    reader, writer = await world.open()
    for _ in range(2):
        writer.write(request("/a", method=method, body=b"abc") + request("/b"))
        assert await read_answer(reader) == (200, b"/a 3 0")
        assert await read_answer(reader) == (200, b"/b 0 0")
    assert seen == [method, "GET"] * 2
    # Also behind a body that was of no use to anybody.
    early = request("/early", method="POST", body=b"forgotten")
    writer.write(early[:-4])
    assert (await read_answer(reader))[0] == 401
    writer.write(early[-4:])
    await until(lambda: all(not one._in_message for one in world.server._state.connections))
    writer.write(request("/a", method=method))
    assert await read_answer(reader) == (200, b"/a 0 0")
    writer.close()


@pytest.mark.parametrize("version", [" HTTP/2.0", " HTTP/0.9", ""])
@on_both_loops
async def test_other_versions_get_505(served, version):
    world = await served()
    answer = await world.say(f"GET /{version}\r\nHost: x\r\n\r\n".encode(), end=False)
    assert answer.startswith(b"HTTP/1.1 505 ")


@on_both_loops
async def test_an_absolute_address_without_a_path_is_the_root(served):
    world = await served()
    assert (await world.say(request("http://x"), end=True)).endswith(b"\r\n\r\n/ 0 0")


@on_both_loops
async def test_a_head_behind_a_long_body_is_not_long_for_that(served):
    world = await served()
    reader, writer = await world.open()
    last = request("/two", f"X: {'x' * 1000}")
    writer.write(request("/one", method="POST", body=b"x" * (HEAD_LIMIT * 2)) + last[:50])
    assert await read_answer(reader) == (200, b"/one %d 0" % (HEAD_LIMIT * 2))
    writer.write(last[50:])
    assert await read_answer(reader) == (200, b"/two 0 0")
    # Nor does one that is too long pass for it.
    last = request("/long", f"X: {'x' * HEAD_LIMIT}")
    writer.write(request("/one", method="POST", body=b"x") + last[:-100])
    assert (await read_answer(reader))[0] == 200
    writer.write(last[-100:])
    assert (await read_answer(reader))[0] == 431
    writer.close()


@on_both_loops
async def test_pipelined_requests_are_answered_in_order(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(
        b"".join(request(f"/{number}", method="POST", body=b"x" * number) for number in range(1, 60))
    )
    for number in range(1, 60):
        assert await read_answer(reader) == (200, f"/{number} {number} 0".encode())
    writer.close()


@on_both_loops
async def test_a_refusal_waits_for_the_answers_before_it(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(request("/hold") + request("/next") + b"rubbish\r\n\r\n")
    await until(lambda: world.app.waiting)
    world.app.release.set()
    assert await read_answer(reader) == (200, b"/hold 0 0")
    assert await read_answer(reader) == (200, b"/next 0 0")
    assert (await read_answer(reader))[0] == 400
    writer.close()


@on_both_loops
async def test_a_broken_body_behind_another_request_is_never_served(served):
    world = await served()
    reader, writer = await world.open()
    chunked = b"POST /broken HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    writer.write(request("/hold") + chunked)
    await until(lambda: world.app.waiting)
    world.app.release.set()
    assert await read_answer(reader) == (200, b"/hold 0 0")
    assert (await read_answer(reader))[0] == 400
    assert await reader.read() == b""
    writer.close()


@on_both_loops
async def test_chunked_uploads_arrive_whole(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50):
        writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    assert await read_answer(reader) == (200, b"/c 500000 0")
    writer.close()


@on_both_loops
async def test_head_has_no_body_and_its_length(served):
    server = await served()
    answer = await server.say(request("/abc", "Connection: close", method="HEAD"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: 8" in head.lower()
    assert b"connection: close" in head.lower()
    assert body == b""


@on_both_loops
@pytest.mark.parametrize("end", ["%0D%0A", "%0A", "%0D"])
async def test_a_header_with_a_line_break_never_leaves(served, end):
    server = await served()
    answer = await server.say(request(f"/?x{end}Set-Cookie:%20a=b"))
    assert b"Set-Cookie" not in answer
    assert not answer or answer.startswith(b"HTTP/1.1 500 ")


@on_both_loops
async def test_an_early_answer_leaves_the_connection_usable(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(request("/early", method="POST", body=b"x" * 3_000_000))
    assert (await read_answer(reader))[0] == 401
    writer.write(request("/after"))
    assert await read_answer(reader) == (200, b"/after 0 0")
    writer.close()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@on_both_loops
async def test_an_early_answer_that_ends_the_connection_is_heard(served, version):
    # As nginx asks, unless told otherwise. Closed at once, the rest of the body would meet a reset, and the answer be lost with it.
    world = await served()
    reader, writer = await world.open()
    head = f"POST /early HTTP/{version}\r\nHost: x\r\nConnection: close\r\nContent-Length: 8000000\r\n\r\n"
    writer.write(head.encode())
    for _ in range(80):
        writer.write(b"x" * 100_000)
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"connection: close" in answer
    writer.close()
    connections = world.server._state.connections
    await until(lambda: not connections)


@on_both_loops
async def test_an_answer_in_place_of_100_continue_ends_the_connection(served):
    world = await served()
    reader, writer = await world.open()
    expecting = ("Expect: 100-continue", "Content-Length: 60")
    writer.write(request("/early", *expecting, method="POST"))
    assert (await read_answer(reader))[0] == 401
    # The caller leaves the body out and goes on: nothing of it may count as the body, nor the other way round.
    writer.write(request("/next"))
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()

    reader, writer = await world.open()
    writer.write(
        request("/early", "Expect: 100-continue", method="POST", body=b"sent at once") + request("/next")
    )
    assert (await read_answer(reader))[0] == 401
    assert await read_answer(reader) == (200, b"/next 0 0")
    writer.close()


@on_both_loops
async def test_who_expects_100_continue_gets_it(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(request("/one", "Expect: 100-continue", "Content-Length: 4", method="POST"))
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"four" + request("/two"))
    assert await read_answer(reader) == (200, b"/one 4 0")
    assert await read_answer(reader) == (200, b"/two 0 0")
    writer.close()


@on_both_loops
async def test_an_early_answer_does_not_read_on_for_ever(served):
    world = await served(linger_bytes=1_000_000)
    reader, writer = await world.open()
    writer.write(request("/early", "Content-Length: 100000000", method="POST"))
    assert (await read_answer(reader))[0] == 401
    with pytest.raises(ConnectionError):
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()


@on_both_loops
async def test_several_authorization_headers_are_all_seen(served):
    world = await served()
    answer = await world.say(request("/", "Authorization: a", "Authorization: b", "Connection: close"))
    assert answer.endswith(b"/ 0 2")
