"""The life of the HTTP server and of its connections: what is too slow, the stop, and applications that fail."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from tests.support.http_server import App, on_both_loops, read_answer, request, serving
from tests.support.polling import until
from varsel.runtime.endpoints import RESPOND
from varsel.runtime.errors import OperatorError
from varsel.runtime.server import HttpServer, bind


@on_both_loops
async def test_a_head_that_drips_gets_408(served):
    world = await served(head_seconds=0.05)
    reader, writer = await world.open()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert (await read_answer(reader))[0] == 408
    writer.close()


@on_both_loops
async def test_a_connection_that_says_nothing_is_closed(served):
    world = await served(head_seconds=0.05)
    reader, writer = await world.open()
    writer.write(b"\r\n")  # an empty line is no request
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


@on_both_loops
async def test_a_body_that_stops_coming_gets_408(served):
    world = await served(body_seconds=0.05)
    reader, writer = await world.open()
    writer.write(request("/", "Content-Length: 100", method="POST") + b"x")
    assert (await read_answer(reader))[0] == 408
    await until(lambda: world.app.left)
    writer.close()


@on_both_loops
async def test_idle_connections_are_closed_in_time(served):
    world = await served(idle_seconds=0)
    reader, writer = await world.open()
    writer.write(request("/"))
    assert (await read_answer(reader))[0] == 200
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


@on_both_loops
async def test_a_bound_socket_refuses_until_the_server_starts(_):
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    server = HttpServer(App(), [listener])
    await server.start()
    with pytest.raises(OperatorError, match=f"127.0.0.1:{port} is taken"):
        bind("127.0.0.1", port)
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    bind("127.0.0.1", port).close()


@on_both_loops
async def test_two_servers_that_bound_the_same_port_do_not_both_start(_):
    first = bind("127.0.0.1", 0)
    try:
        second = bind("127.0.0.1", first.getsockname()[1])
    except OperatorError:
        first.close()
        return  # this kernel tells already at the bind
    one, two = HttpServer(App(), [first]), HttpServer(App(), [second])
    await one.start()
    with pytest.raises(OperatorError, match="is taken"):
        await two.start()
    await one.stop()


@on_both_loops
async def test_the_stop_finishes_what_is_in_hand(served):
    world = await served()
    reader, writer = await world.open()
    writer.write(request("/hold/1"))
    idle_reader, idle_writer = await world.open()
    idle_writer.write(request("/"))
    await read_answer(idle_reader)
    await until(lambda: world.app.waiting)
    stopping = asyncio.create_task(world.server.stop())
    assert await asyncio.wait_for(idle_reader.read(), 10) == b""
    with pytest.raises(ConnectionRefusedError):
        await world.open()
    assert not stopping.done()
    world.app.release.set()
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head
    assert await reader.read() == b"/hold/1 0 0"
    await asyncio.wait_for(stopping, 10)
    writer.close()
    idle_writer.close()


@on_both_loops
async def test_the_stop_ends_in_its_time_whoever_hangs(served):
    world = await served(stop_seconds=0.2)
    _, hanging = await world.open()
    hanging.write(request("/hold"))
    _, half = await world.open()
    half.write(b"GET / HT")
    await until(lambda: world.app.waiting)
    await asyncio.wait_for(world.server.stop(), 5)
    assert not world.server._state.connections
    hanging.close()
    half.close()


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in two parts"])
async def test_a_request_is_gone_with_the_last_that_uses_it(whole):
    """What refers to itself waits for the collector, which costs every tenth request of a busy service a pause."""
    seen = []

    async def app(scope, receive, send):
        respond = scope["extensions"][RESPOND]
        seen.append(weakref.ref(respond.__self__))
        if whole:
            assert respond(200, [(b"content-length", b"0")], b"")
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    gc.collect()
    gc.disable()
    try:
        async with serving(app) as served:
            reader, writer = await served.open()
            for _ in range(2):
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                assert await read_answer(reader) == (200, b"")
            assert seen[0]() is None  # the connection keeps the latest
            writer.close()
            await writer.wait_closed()
    finally:
        gc.enable()


@pytest.mark.parametrize("fails", ["raises", "is silent"])
async def test_an_application_that_gives_no_answer_is_answered_for(fails):
    async def app(scope, receive, send):
        if fails == "raises":
            raise RuntimeError("broken")

    async with serving(app) as served:
        answer = await served.say(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.endswith(b"\r\n\r\nInternal Server Error")


@pytest.mark.parametrize("fails", ["raises", "is silent"])
async def test_half_an_answer_ends_with_the_connection(fails):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if fails == "raises":
            raise RuntimeError("broken")

    async with serving(app) as served:
        answer = await served.say(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", end=False)
        assert answer.endswith(b"\r\n\r\nhalf")


async def test_an_error_after_the_whole_answer_leaves_the_connection_usable():
    """Starlette answers 500 and lets the error through."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"oops"})
        raise RuntimeError("broken")

    async with serving(app) as served:
        reader, writer = await served.open()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert await read_answer(reader) == (500, b"oops")
        writer.close()
        await writer.wait_closed()
