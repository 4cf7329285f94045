"""The drivers over real sockets: joining, cancelling, forks, limits of size and time."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import multiprocessing
import pydoc
import socket
import threading
import time
from unittest.mock import create_autospec

import httpx2
import pytest

from varsel.client import (
    AsyncNotifications,
    ConfigurationError,
    Http,
    Notifications,
    TimedOut,
    TransportError,
    UnexpectedAnswer,
)
from varsel.client import _drive as drive
from varsel.client import _flights as flights
from varsel.client import _http as wires
from varsel.client._drive import Awaiting, AwaitingDriver, Blocking, BlockingDriver, operation
from varsel.client._flights import Flights
from varsel.client._flow import Answer, Item, Request, call, join, pause, send
from varsel.client._http import AwaitingWire, BlockingWire


@contextlib.contextmanager
def server(*replies: bytes, hold: bool = False):
    """Answers each connection with the next bytes; with `hold` it keeps silent afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()
    seen: list[bytes] = []

    def serve():
        for reply in replies:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(65536))
                    connection.sendall(reply)
                    if hold:
                        done.wait(20)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        done.set()
        listener.close()
        thread.join(5)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Name: Value\r\nconnection: close\r\n\r\nhi"


async def exchange(how, request, http=None):
    wire = how(http or Http())
    try:
        if isinstance(wire, AwaitingWire):
            return await wire.exchange(request)
        return await asyncio.to_thread(wire.exchange, request)
    finally:
        closed = wire.close()
        if closed is not None:
            await closed


both = pytest.mark.parametrize("how", [BlockingWire, AwaitingWire], ids=["blocking", "awaiting"])


@both
async def test_an_answer(how):
    with server(OK) as (url, seen):
        answer = await exchange(how, Request("POST", f"{url}/x?y=1", {"a": "b"}, b"body"))
    assert (answer.status, answer.content, answer.text, answer.headers["x-name"]) == (
        200,
        b"hi",
        "hi",
        "Value",
    )
    assert seen[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"user-agent: varsel/" in seen[0].lower()


@both
async def test_nobody_there(how):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=rf"127\.0\.0\.1:{port} could not be reached") as caught:
        await exchange(how, Request("GET", f"http://user:secret@127.0.0.1:{port}/?token=secret"))
    assert not caught.value.sent
    assert "secret" not in str(caught.value)


@both
async def test_a_connection_that_breaks(how):
    with (
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi") as (url, _),
        pytest.raises(TransportError, match="broke") as caught,
    ):
        await exchange(how, Request("GET", url))
    assert caught.value.sent


@both
async def test_silence(how):
    with (
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi", hold=True) as (url, _),
        pytest.raises(TimedOut) as caught,
    ):
        await exchange(how, Request("GET", url, timeout=0.2), Http(timeout=0.2))
    assert caught.value.sent


@both
async def test_an_answer_that_trickles_ends_with_the_request_time(how):
    class Trickle(httpx2.SyncByteStream, httpx2.AsyncByteStream):
        def __iter__(self):
            while True:
                time.sleep(0.02)
                yield b"x"

        async def __aiter__(self):
            while True:
                await asyncio.sleep(0.02)
                yield b"x"

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Trickle()))
    with pytest.raises(TimedOut, match=r"within 0\.2 seconds"):
        await exchange(
            how, Request("GET", "https://varsel.example.org", timeout=0.2), Http(transport=transport)
        )


@both
async def test_an_answer_without_end(how, monkeypatch):
    monkeypatch.setattr(wires, "LARGEST", 1024 * 1024)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"x" * 2_000_000))
    with pytest.raises(UnexpectedAnswer, match="more than 1 MB"):
        await exchange(how, Request("GET", "https://varsel.example.org"), Http(transport=transport))


@both
@pytest.mark.parametrize(
    ("error", "expected", "sent"),
    [
        (httpx2.ConnectTimeout("x"), TimedOut, False),
        (httpx2.PoolTimeout("x"), TimedOut, False),
        (httpx2.WriteTimeout("x"), TimedOut, True),
        (httpx2.ProxyError("x"), TransportError, False),
        (httpx2.ConnectError(""), TransportError, False),
        (httpx2.WriteError("x"), TransportError, True),
        (httpx2.DecodingError("x"), UnexpectedAnswer, None),
        (httpx2.UnsupportedProtocol("x"), ConfigurationError, None),
    ],
)
async def test_errors_are_translated(how, error, expected, sent):
    def fail(_request):
        raise error

    with pytest.raises(expected) as caught:
        await exchange(
            how,
            Request("GET", "https://varsel.example.org/?secret"),
            Http(transport=httpx2.MockTransport(fail)),
        )
    assert getattr(caught.value, "sent", None) is sent
    assert "secret" not in str(caught.value)


@both
async def test_compressed_rubbish(how):
    headers = {"content-encoding": "gzip"}
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(b"no"))
    )
    with pytest.raises(UnexpectedAnswer, match="unpacked"):
        await exchange(how, Request("GET", "https://varsel.example.org"), Http(transport=transport))


def test_each_event_loop_has_connections_of_its_own():
    wire = AwaitingWire(Http(transport=httpx2.MockTransport(lambda _: httpx2.Response(204))))

    async def work():
        return (await wire.exchange(Request("GET", "https://varsel.example.org"))).status

    assert asyncio.run(work()) == asyncio.run(work()) == 204
    asyncio.run(wire.close())


def test_threads_share_one_client():
    wire = BlockingWire(Http(transport=httpx2.MockTransport(lambda _: httpx2.Response(204))))
    barrier, clients = threading.Barrier(8), []

    def work():
        barrier.wait()
        clients.append(wire._open())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, clients))) == 1
    wire.close()
    wire.close()


def test_of_two_clients_made_at_once_one_is_closed(monkeypatch):
    wire = BlockingWire(Http())
    first = httpx2.Client()
    real = httpx2.Client

    def made(**options):
        wire._clients[wires.os.getpid()] = first
        return real(**options)

    monkeypatch.setattr(httpx2, "Client", made)
    assert wire._open() is first
    wire.close()
    assert first.is_closed


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


# ---- flows ----


def twice(log):
    log.append("begin")
    try:
        answer = yield from send(Request("GET", "https://varsel.example.org"))
        yield from pause(0)
        value = yield from call(lambda: 7)
        return answer.status, value
    finally:
        log.append("end")


class Text:
    @operation
    def twice(self, log):
        return twice(log)


class Both(Text, Blocking):
    pass


class BothAsync(Text, Awaiting):
    pass


async def test_one_operation_for_both_kinds():
    http = Http(transport=httpx2.MockTransport(lambda _: httpx2.Response(204)))
    with Both(http) as blocking:
        assert blocking.twice([]) == (204, 7)
    async with BothAsync(http) as awaiting:
        assert await awaiting.twice([]) == (204, 7)
    assert Both.twice.__name__ == "twice"


def test_editors_and_help_see_an_ordinary_method():
    assert (
        str(inspect.signature(Notifications.shipment))
        == "(self, shipment_id: 'UUID | str') -> 'answers.Shipment'"
    )
    assert inspect.iscoroutinefunction(AsyncNotifications.shipment)
    assert not inspect.iscoroutinefunction(Notifications.shipment)
    assert str(inspect.signature(AsyncNotifications.feed)).endswith("-> 'AsyncIterator[FeedEntry]'")
    assert Notifications.feed.__name__ == "feed"
    assert "shipment(self, shipment_id: 'UUID | str')" in pydoc.plain(pydoc.render_doc(Notifications))
    api = Notifications("a.b.c", environment="tt02")
    assert str(inspect.signature(api.shipment)) == "(shipment_id: 'UUID | str') -> 'answers.Shipment'"
    assert inspect.ismethod(api.feed)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'shipment_id'"):
        api.shipment()


async def test_a_client_can_be_stood_in_for():
    api = create_autospec(Notifications, instance=True)
    api.shipment("a")
    api.shipment.assert_called_once_with("a")
    with pytest.raises(TypeError):
        api.shipment()
    other = create_autospec(AsyncNotifications, instance=True)
    await other.shipment("a")
    other.shipment.assert_awaited_once_with("a")


@both
@pytest.mark.parametrize("value", ["nøkkel-4711", "nokkel\r\nx: y-4711", "nokkel\0-4711", None])
async def test_what_no_header_can_hold_is_refused_without_showing_it(how, value):
    http = Http(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))
    request = Request("GET", "https://varsel.example.org", {"X-API-Key": value})
    with pytest.raises(ConfigurationError, match="X-API-Key") as caught:
        await exchange(how, request, http)
    assert "4711" not in repr(caught.value)
    assert caught.value.__context__ is None


async def test_an_interrupted_operation_cleans_up():
    def interrupt(_request):
        raise KeyboardInterrupt

    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        BlockingDriver(Http(transport=httpx2.MockTransport(interrupt))).run(twice(log))
    assert log == ["begin", "end"]

    async def forever(_request):
        await asyncio.Event().wait()

    log.clear()
    task = asyncio.create_task(AwaitingDriver(Http(transport=httpx2.MockTransport(forever))).run(twice(log)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["begin", "end"]


def test_an_item_outside_a_stream_is_a_fault_of_ours():
    def flow():
        yield Item(1)

    with pytest.raises(AssertionError):
        BlockingDriver(Http()).run(flow())
    with pytest.raises(AssertionError):
        asyncio.run(AwaitingDriver(Http()).run(flow()))


async def test_a_stream_hands_errors_to_its_flow():
    def flow():
        for _ in range(2):
            try:
                yield from send(Request("GET", "https://varsel.example.org"))
            except TransportError as error:
                yield Item(str(error))

    def fail(_request):
        raise httpx2.ReadError("x")

    http = Http(transport=httpx2.MockTransport(fail))
    assert len(list(BlockingDriver(http).iterate(flow()))) == 2
    assert len([one async for one in AwaitingDriver(http).iterate(flow())]) == 2


# ---- joining (attack 90) ----


def counting(results, gate=None):
    def start():
        yield from ()
        results.append(1)
        if gate is not None:
            yield from call(gate)
        return len(results)

    return start


def test_a_thread_that_waits_gets_the_result():
    table, results = Flights(), []
    inside, go = threading.Event(), threading.Event()

    def gate():
        inside.set()
        assert go.wait(10)

    got = []
    first = threading.Thread(
        target=lambda: got.append(BlockingDriver(Http()).run(join(table, "k", counting(results, gate))))
    )
    first.start()
    assert inside.wait(10)
    assert table.waiting("k")
    second = threading.Thread(
        target=lambda: got.append(BlockingDriver(Http()).run(join(table, "k", counting(results))))
    )
    second.start()
    go.set()
    first.join(10)
    second.join(10)
    assert got[0] == 1
    assert not table.waiting("k")


def test_those_who_wait_get_the_same_error():
    table = Flights()
    inside, go = threading.Event(), threading.Event()
    errors = []

    def fail():
        inside.set()
        go.wait(10)
        raise TransportError("no")

    def work():
        try:
            BlockingDriver(Http()).run(join(table, "k", lambda: call(fail)))
        except TransportError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    threads[0].start()
    inside.wait(10)
    flight, ours = table.enter("k", None)
    assert not ours
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert isinstance(flight.outcome.exception(), TransportError)
    assert len(errors) == 2


def test_who_waits_for_an_interrupted_fetch_tries_itself():
    table, results = Flights(), []
    inside, go = threading.Event(), threading.Event()

    def interrupted():
        inside.set()
        go.wait(10)
        raise SystemExit

    def first():
        with contextlib.suppress(SystemExit):
            BlockingDriver(Http()).run(join(table, "k", lambda: call(interrupted)))

    got = []
    one = threading.Thread(target=first)
    one.start()
    inside.wait(10)
    two = threading.Thread(
        target=lambda: got.append(BlockingDriver(Http()).run(join(table, "k", counting(results))))
    )
    two.start()
    go.set()
    one.join(10)
    two.join(10)
    assert got == [1]


def test_a_fetch_whose_event_loop_stopped_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(drive, "PATIENCE", 0.05)
    table, results = Flights(), []
    loop = asyncio.new_event_loop()
    table.enter("k", loop)
    assert BlockingDriver(Http()).run(join(table, "k", counting(results))) == 1
    table.enter("k", loop)
    assert asyncio.run(AwaitingDriver(Http()).run(join(table, "k", counting(results)))) == 2
    loop.close()


async def test_blocking_code_on_the_very_loop_does_not_wait_for_itself():
    table, results = Flights(), []
    release = asyncio.Event()
    task = asyncio.create_task(AwaitingDriver(Http()).run(join(table, "k", counting(results, release.wait))))
    await until(lambda: bool(results))
    assert BlockingDriver(Http()).run(join(table, "k", counting(results))) == 2
    release.set()
    assert await task == 2


async def test_a_cancelled_fetch_leaves_no_waiter_behind():
    table, results = Flights(), []
    never = asyncio.Event()
    driver = AwaitingDriver(Http())
    first = asyncio.create_task(driver.run(join(table, "k", counting(results, never.wait))))
    await until(lambda: bool(results))
    second = asyncio.create_task(driver.run(join(table, "k", counting(results))))
    await asyncio.sleep(0)
    flight, _ = table.enter("k", None)
    flight.task.cancel()
    never.set()
    assert await second == 2
    assert await first in {2, 3}


async def test_a_failure_that_nobody_waits_for_any_more_is_quiet(recwarn):
    table = Flights()
    gate = asyncio.Event()

    async def fail():
        await gate.wait()
        raise TransportError("no")

    task = asyncio.create_task(AwaitingDriver(Http()).run(join(table, "k", lambda: call(fail))))
    await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    gate.set()
    await asyncio.sleep(0.01)
    assert not table.waiting("k")


def test_landing_twice_is_harmless():
    table = Flights()
    flight, ours = table.enter("k", None)
    assert ours
    table.land("k", flight, value=1)
    table.land("k", flight, error=flights.Abandoned())
    assert flight.outcome.result() == 1


def _child(queue, memory, tokens):
    queue.put((tokens.token().value, len([one for one in memory.requests if "/exchange/" in one.url])))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_attack_90_a_fork_in_the_middle_of_a_fetch(memory):
    from varsel.client.testing._issuer import own_key

    own_key()
    tokens = memory.credentials()
    # As if another thread of the parent had been fetching, and held the lock, when the process was forked.
    table = tokens._cache._flights
    key = (tokens._environment.exchange, "maskinporten", False, tokens._source.key())
    table.enter(key, None)
    table._lock.acquire()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(queue, memory, tokens))
    child.start()
    child.join(20)
    table._lock.release()
    assert child.exitcode == 0
    assert queue.get()[1] == 1


def test_an_answer_is_read_as_json_and_text():
    assert Answer(200, {}, b'{"a": 1}').json() == {"a": 1}
    assert Answer(200, {}, b"\xff").text == "\ufffd"
