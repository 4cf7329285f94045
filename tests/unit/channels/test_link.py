"""LINK Mobility: the conformance suite against the gateway simulator, and the edges against scripted gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from defusedxml.ElementTree import fromstring

from tests.support.polling import until
from tests.support.watchdog import watchdog
from tests.unit.channels.conformance import NOW, Conformance, Engine, Fate, email, sms, start
from tests.unit.channels.test_smtp import free_port
from varsel.channels.model import Accepted, Channel, Message, Permanent, SmsMessage, Temporary, Unknown
from varsel.channels.sms.link import LinkChannel, LinkEndpoint
from varsel.channels.sms.pswin import receiver_number, whole_minutes
from varsel.recipients.addresses import phone_is_valid
from varsel.runtime import phones
from varsel.sandbox.gateway import ReceivedSms, SmsGateway

DIGITS = {
    "ordinary": "0000",
    "temporary": "9001",
    "permanent": "9002",
    "slow": "9003",
    "drop": "9008",
    "lost": "9009",
}


def link(port: int, password: str = "sandbox", **options: object) -> LinkChannel:
    endpoint = LinkEndpoint(f"http://127.0.0.1:{port}/", f"link:127.0.0.1:{port}", "sandbox", password)
    return LinkChannel(endpoint, **options)


@dataclass
class SmsFar:
    gateway: SmsGateway
    held: asyncio.Event
    messages: list[ReceivedSms]
    channel: Channel = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.channel = link(self.gateway.port)

    def message(self, fate: Fate) -> Message:
        self.number += 1
        return sms(f"+474{self.number:03d}{DIGITS[fate]}")

    def taken(self) -> list[str]:
        return ["+" + message.to for message in self.messages]

    def other_kind(self) -> Message:
        return email()

    def unreachable(self) -> Channel:
        return link(free_port())

    def unknown_user(self) -> Channel:
        return link(self.gateway.port, "hemmelig")


@pytest.fixture
async def far() -> AsyncIterator[SmsFar]:
    held, release = asyncio.Event(), asyncio.Event()
    messages: list[ReceivedSms] = []

    async def keep(message: ReceivedSms) -> None:
        messages.append(message)

    async def sleep(seconds: float) -> None:
        held.set()
        await release.wait()

    gateway = SmsGateway("127.0.0.1", 0, keep, None, now=lambda: NOW, sleep=sleep)
    await gateway.start()
    far = SmsFar(gateway, held, messages)
    yield far
    release.set()
    await far.channel.close()
    await gateway.close()


class TestConformance(Conformance):
    pass


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def gateway(handler: Handler) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_post("/", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def deliver(channel: Channel, *messages: SmsMessage) -> Engine:
    engine = Engine()
    await channel.send(messages, engine.intend, engine.settle)
    return engine


async def answered(
    response: Callable[[], web.StreamResponse], *messages: SmsMessage, **options: object
) -> Engine:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        return response()

    async with gateway(handler) as port:
        channel = link(port, **options)
        try:
            return await deliver(channel, *messages)
        finally:
            await channel.close()


async def test_what_the_gateway_gets(far: SmsFar) -> None:
    message = sms(
        "0047 400 00 000",
        body="Æ <&> €\r\nå",
        sender="+4799999999",
        validity=timedelta(minutes=7, seconds=59),
    )
    await deliver(far.channel, message)
    (taken,) = far.messages
    assert taken.to == "4740000000"
    assert taken.sender == "4799999999"
    assert taken.text == "Æ <&> €\nå"
    assert taken.minutes == 8
    assert not taken.ucs2


async def test_what_gsm_cannot_say_goes_as_ucs2(far: SmsFar) -> None:
    await deliver(far.channel, sms(body="Hei 😀 čšž", validity=timedelta(seconds=3)))
    (taken,) = far.messages
    assert taken.ucs2
    assert taken.text == "Hei 😀 čšž"
    assert taken.minutes == 1


async def test_the_bytes_of_a_call_are_true_to_their_declaration() -> None:
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        assert request.content_type == "text/xml"
        return web.Response(text="<SESSION><LOGON>OK</LOGON><MSGLST/></SESSION>")

    async with gateway(handler) as port:
        channel = link(port, "p&<w>å")
        await deliver(channel, sms(body="Ærlig Δ €"))
        await channel.close()
    (body,) = bodies
    assert body.startswith(b'<?xml version="1.0" encoding="ISO-8859-1"?>')
    assert body.isascii()
    root = fromstring(body)
    assert root.findtext("PW") == "p&<w>å"
    assert root.findtext("MSGLST/MSG/TEXT") == "Ærlig Δ €"
    assert [child.tag for child in root.find("MSGLST/MSG")] == ["ID", "TEXT", "SND", "RCV", "TTL"]


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(599.98, 10), (59.98, 1), (3, 1), (0, 1), (172799.9, 2880), (329, 5), (331, 6)]
)
def test_the_validity_in_minutes(seconds: float, minutes: int) -> None:
    """What a caller asked for, although some of it is over when the call is written."""
    assert whole_minutes(timedelta(seconds=seconds)) == minutes


async def test_several_in_a_call_and_no_more_than_the_batch(far: SmsFar) -> None:
    channel = link(far.gateway.port, batch=8)
    messages = [sms(f"+474{number:07d}") for number in range(50)]
    engine = await deliver(channel, *messages)
    assert all(isinstance(engine.outcome(message), Accepted) for message in messages)
    assert far.gateway.calls == 7
    assert engine.most_open <= 32
    await channel.close()


async def test_a_text_over_sixteen_parts_is_cut_where_the_gateway_would(far: SmsFar) -> None:
    await deliver(far.channel, sms(body="x" * 3000))
    assert far.messages[0].text == "x" * 2144


async def test_a_text_of_any_length_is_made_ready_beside_the_loop(far: SmsFar) -> None:
    """What XML cannot carry is passed over, however much of it there is; CR LF is one line end wherever it stands."""
    async with watchdog() as watched:
        await deliver(
            far.channel, sms(body="\x01" * (1 << 16) + "x" * ((1 << 16) - 1) + "\r\n" + "x" * 30_000_000)
        )
        await deliver(far.channel, sms(body="\x01" * ((1 << 17) - 1) + "\r\nHei\r\n", sender="V" * 5_000_000))
    assert watched.busy < 0.05
    assert [message.text for message in far.messages] == ["x" * 2144, "\nHei\n"]
    assert far.messages[1].sender == "V" * 11


@pytest.mark.parametrize("to", ["12", "hei", "+47abc", "", "+0047400"])
async def test_a_number_that_is_none_is_refused_before_the_intent(far: SmsFar, to: str) -> None:
    message, other = sms(to), sms()
    engine = await deliver(far.channel, message, other)
    outcome = engine.outcome(message)
    assert isinstance(outcome, Permanent)
    assert outcome.result == "Failed_InvalidRecipient"
    assert engine.intended == [other.attempt_id]


@pytest.mark.parametrize(
    ("to", "receiver"),
    [
        ("+46 (0)70 123 45 67", "46701234567"),
        ("+46 070 123 45 67", "46701234567"),
        ("0046 (0)70-123 45 67", "46701234567"),
        ("+44 (0)7400 123456", "447400123456"),
        ("+49 (0) 1512 3456789", "4915123456789"),
        ("+7 8 912 345 67 89", "79123456789"),
        ("+39 06 698 12345", "390669812345"),
        ("+47 400\u201100\u2011000", "4740000000"),
        ("+47 400\u201300\u2013000", "4740000000"),
        ("+47~40000000", "4740000000"),
        ("+47\uff14\uff10\uff10\uff10\uff10\uff10\uff10\uff10", "4740000000"),
        ("+4740000000 ext. 5", "4740000000"),
        ("0047\xa0400.00.000", "4740000000"),
    ],
)
def test_a_valid_number_is_dialled_as_it_is_meant(to: str, receiver: str) -> None:
    """What is accepted by libphonenumber goes as libphonenumber reads it (3.3)."""
    assert phone_is_valid(to)
    assert receiver_number(to) == receiver


@pytest.mark.parametrize(
    "to", ["+47 400 00 000", "0047\t40000000", "4740000000", "400 00 000", "40-00-00-00"]
)
def test_plain_numbers_ask_no_library(to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones, "_ask_library", None)
    assert receiver_number(to) == "4740000000"


def answer(*entries: str, logon: str = "OK") -> Callable[[], web.StreamResponse]:
    text = f"<SESSION><LOGON>{logon}</LOGON><REASON>why</REASON><MSGLST>{''.join(entries)}</MSGLST></SESSION>"
    return lambda: web.Response(text=text, content_type="text/xml")


async def test_answers_are_matched_by_id() -> None:
    messages = [sms() for _ in range(4)]
    engine = await answered(
        answer(
            "<MSG><ID>3</ID><STATUS>FAIL</STATUS></MSG>",
            "<MSG><ID>2</ID><STATUS>FAIL</STATUS><INFO>Invalid RCV 4740000000</INFO></MSG>",
            "<MSG><ID>1</ID><REF>r1</REF><STATUS>OK</STATUS></MSG>",
        ),
        *messages,
    )
    one, two, three, four = (engine.outcome(message) for message in messages)
    assert one == Accepted("r1", "OK")
    assert two == Permanent("Failed_InvalidRecipient", "FAIL", "Invalid RCV [number]")
    assert three == Permanent("Failed", "FAIL", "")  # the reference's handler crashes without INFO
    assert isinstance(four, Unknown)


async def test_a_refused_log_on_burns_no_message() -> None:
    message = sms()
    engine = await answered(answer(logon="FAIL"), message)
    assert engine.outcome(message) == Temporary(None, "LOGON", "the gateway refused the log-on", "provider")


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (429, {"Retry-After": "17"}, Temporary(17.0, "HTTP 429", "the gateway asks to wait", "provider")),
        (503, {}, Temporary(None, "HTTP 503", "the gateway asks to wait", "provider")),
        (503, {"Retry-After": "soon"}, Temporary(None, "HTTP 503", "the gateway asks to wait", "provider")),
        (
            503,
            {"Retry-After": "Fri, 14 Mar 2031 08:01:30 GMT"},
            Temporary(90.0, "HTTP 503", "the gateway asks to wait", "provider"),
        ),
        (500, {}, Unknown("the gateway answered 500")),
        (502, {}, Unknown("the gateway answered 502")),
        (504, {}, Unknown("the gateway answered 504")),
        (401, {}, Temporary(None, "HTTP 401", "the gateway refused the request", "provider")),
        (
            302,
            {"Location": "http://127.0.0.1:1/"},
            Temporary(None, "HTTP 302", "the gateway refused the request", "provider"),
        ),
        (400, {}, Temporary(None, "HTTP 400", "the gateway could not read the request", "message")),
    ],
)
async def test_http_status(status: int, headers: dict[str, str], outcome: object) -> None:
    message = sms()
    engine = await answered(lambda: web.Response(status=status, headers=headers), message, wall=lambda: NOW)
    assert engine.outcome(message) == outcome


@pytest.mark.parametrize("status", [500, 502, 503, 429, 400, 422, 404])
async def test_an_answer_that_can_be_read_counts_whatever_stands_before_it(status: int) -> None:
    """A proxy that turns the gateway's yes into a 500 does not make it unknown."""
    message = sms()
    text = "<SESSION><LOGON>OK</LOGON><MSGLST><MSG><ID>1</ID><REF>R1</REF><STATUS>OK</STATUS></MSG></MSGLST></SESSION>"
    engine = await answered(lambda: web.Response(status=status, text=text), message)
    assert engine.outcome(message) == Accepted("R1", "OK")


async def test_what_was_taken_is_not_sent_again_because_of_another() -> None:
    """A gateway that says of each message what became of it, under a 400 for the one that it refused."""
    calls = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        answers = "".join(
            f"<MSG><ID>{entry.findtext('ID')}</ID><STATUS>FAIL</STATUS><INFO>Invalid RCV</INFO></MSG>"
            if entry.findtext("RCV") == "4740000003"
            else f"<MSG><ID>{entry.findtext('ID')}</ID><REF>{entry.findtext('RCV')}</REF><STATUS>OK</STATUS></MSG>"
            for entry in entries
        )
        text = f"<SESSION><LOGON>OK</LOGON><MSGLST>{answers}</MSGLST></SESSION>"
        return web.Response(status=400, text=text)

    async with gateway(handler) as port:
        channel = link(port)
        messages = [sms(f"+474000000{number}") for number in range(8)]
        engine = await deliver(channel, *messages)
        await channel.close()
    assert calls == 1
    kinds = [type(engine.outcome(message)) for message in messages]
    assert kinds == [Permanent if number == 3 else Accepted for number in range(8)]


@pytest.mark.parametrize(
    "body",
    [
        b'\r\n<?xml version="1.0"?><SESSION><LOGON>OK</LOGON><MSGLST><MSG><ID>1</ID><STATUS>OK</STATUS>'
        b"<REF>R1</REF></MSG></MSGLST></SESSION>\n",
        "<SESSION><LOGON>OK</LOGON><MSGLST><MSG><ID>1</ID><REF>R1</REF><STATUS>OK</STATUS><INFO>På vei</INFO>"
        "</MSG></MSGLST></SESSION>".encode("iso-8859-1"),
    ],
)
async def test_an_answer_is_read_as_gateways_write_it(body: bytes) -> None:
    message = sms()
    engine = await answered(lambda: web.Response(body=body), message)
    assert engine.outcome(message) == Accepted("R1", "OK")


@pytest.mark.parametrize(
    "text",
    ["", "hello", "<SESSION><MSGLST/></SESSION>", '<!DOCTYPE x [<!ENTITY a "b">]><SESSION>&a;</SESSION>'],
)
async def test_an_answer_that_cannot_be_read_is_unknown(text: str) -> None:
    message = sms()
    engine = await answered(lambda: web.Response(text=text), message)
    assert isinstance(engine.outcome(message), Unknown)


async def test_one_message_that_the_gateway_cannot_read_does_not_hold_up_the_others() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        if any(entry.findtext("TEXT") == "poison" for entry in entries):
            return web.Response(status=400)
        answers = "".join(
            f"<MSG><ID>{entry.findtext('ID')}</ID><REF>{entry.findtext('RCV')}</REF><STATUS>OK</STATUS></MSG>"
            for entry in entries
        )
        return web.Response(text=f"<SESSION><LOGON>OK</LOGON><MSGLST>{answers}</MSGLST></SESSION>")

    async with gateway(handler) as port:
        channel = link(port)
        messages = [
            sms(f"+474000000{number}", body="poison" if number == 3 else "fine") for number in range(8)
        ]
        engine = await deliver(channel, *messages)
        await channel.close()
    kinds = [type(engine.outcome(message)) for message in messages]
    assert kinds == [Temporary if number == 3 else Accepted for number in range(8)]
    assert len(engine.intended) == 8


async def test_one_message_that_is_always_answered_503_does_not_hold_up_the_others() -> None:
    sizes = []

    async def handler(request: web.Request) -> web.StreamResponse:
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        sizes.append(len(entries))
        if any(entry.findtext("TEXT") == "poison" for entry in entries):
            return web.Response(status=503)
        answers = "".join(
            f"<MSG><ID>{entry.findtext('ID')}</ID><REF>{entry.findtext('RCV')}</REF><STATUS>OK</STATUS></MSG>"
            for entry in entries
        )
        return web.Response(text=f"<SESSION><LOGON>OK</LOGON><MSGLST>{answers}</MSGLST></SESSION>")

    def texts(poison: int | None) -> list[SmsMessage]:
        return [sms(f"+474000000{one}", body="poison" if one == poison else "fine") for one in range(4)]

    async with gateway(handler) as port:
        channel = link(port)
        first = texts(2)
        engine = await deliver(channel, *first)
        assert {type(engine.outcome(message)) for message in first} == {Temporary}
        again = texts(2)
        engine = await deliver(channel, *again)
        assert [type(engine.outcome(message)) for message in again] == [
            Accepted,
            Accepted,
            Temporary,
            Accepted,
        ]
        await deliver(channel, *texts(None))
        await deliver(channel, *texts(None))
        await channel.close()
    # Each alone until nobody is refused any more.
    assert sizes == [4, *[1] * 8, 4]


def taken_all(entries: list[Any]) -> web.Response:
    answers = "".join(
        f"<MSG><ID>{entry.findtext('ID')}</ID><REF>{entry.findtext('RCV')}</REF><STATUS>OK</STATUS></MSG>"
        for entry in entries
    )
    return web.Response(text=f"<SESSION><LOGON>OK</LOGON><MSGLST>{answers}</MSGLST></SESSION>")


@pytest.fixture
async def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of the loop on by so many seconds."""
    loop, moved = asyncio.get_running_loop(), 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + moved)

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    return move


async def test_each_of_those_that_go_alone_has_an_intent_of_its_own() -> None:
    """The window may close, and lives may end, while the ones before wait for their answers (11.3 rule 9)."""
    steps: list[object] = []
    status = 503
    engine = Engine(before=lambda messages: steps.append([message.attempt_id for message in messages]))
    messages = [sms(f"+474000000{number}") for number in range(8)]

    async def handler(request: web.Request) -> web.StreamResponse:
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        if status == 503:
            return web.Response(status=503)
        steps.append(len(entries))
        if steps.count(1) == 3:  # nothing may leave any more
            engine.refuse = {message.attempt_id for message in messages}
        return taken_all(entries)

    async with gateway(handler) as port:
        channel = link(port)
        await deliver(channel, *[sms() for _ in range(8)])
        status = 200
        await channel.send(messages, engine.intend, engine.settle)
        await channel.close()
    asked = [[message.attempt_id] for message in messages]
    assert steps == [asked[0], 1, asked[1], 1, asked[2], 1, *asked[3:]]
    assert engine.most_open == 1
    assert list(engine.outcomes) == [message.attempt_id for message in messages[:3]]


async def test_after_a_late_refusal_of_a_group_its_messages_ask_again(later: Callable[[float], None]) -> None:
    """Their intent is old when it comes. They are not sent, and go alone for a minute, so that they meet no such group again."""
    sizes = []
    held_up = 3.0

    async def handler(request: web.Request) -> web.StreamResponse:
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        sizes.append(len(entries))
        if len(entries) > 1:
            later(held_up)
            return web.Response(status=413)
        return taken_all(entries)

    messages = [sms(f"+474000000{number}") for number in range(8)]
    async with gateway(handler) as port:
        channel = link(port)
        engine = await deliver(channel, *messages)
        expected = Temporary(0.0, "", "the gateway could not read the call that it shared")
        assert [engine.outcome(message) for message in messages] == [expected] * 8
        later(50)
        engine = await deliver(channel, *messages)
        assert {type(engine.outcome(message)) for message in messages} == {Accepted}
        assert engine.most_open == 1
        assert sizes == [8, *[1] * 8]
        later(11)
        held_up = 0.0
        engine = await deliver(channel, *messages)
        assert {type(engine.outcome(message)) for message in messages} == {Accepted}
        await channel.close()
    assert sizes == [8, *[1] * 8, 8, *[1] * 8]


async def test_a_split_goes_on_while_its_intent_is_fresh(later: Callable[[float], None]) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        if len(entries) > 1:
            return web.Response(status=400)
        later(0.9)
        return taken_all(entries)

    messages = [sms(f"+474000000{number}") for number in range(8)]
    async with gateway(handler) as port:
        channel = link(port)
        engine = await deliver(channel, *messages)
        await channel.close()
    kinds = [type(engine.outcome(message)) for message in messages]
    assert kinds == [Accepted] * 3 + [Temporary] * 5


async def test_an_instant_message_passes_those_that_go_alone(later: Callable[[float], None]) -> None:
    """One call under one intent, as ever."""
    release, waiting = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        entries = fromstring(await request.read()).findall("MSGLST/MSG")
        if len(entries) > 1:
            later(3)
            return web.Response(status=400)
        if entries[0].findtext("TEXT") != "instant":
            waiting.set()
            await release.wait()
        return taken_all(entries)

    async with gateway(handler) as port:
        channel = link(port)
        await deliver(channel, *[sms() for _ in range(8)])
        large = Engine()
        busy = start(channel.send([sms() for _ in range(64)], large.intend, large.settle))
        await asyncio.wait_for(waiting.wait(), 10)
        message = sms(body="instant")
        engine = await deliver(channel, message)
        assert isinstance(engine.outcome(message), Accepted)
        release.set()
        await busy
        await channel.close()


async def test_no_answer_in_time_is_unknown() -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with gateway(handler) as port:
        channel, message = link(port, seconds=0.1), sms()
        engine = await deliver(channel, message)
        assert isinstance(engine.outcome(message), Unknown)
        release.set()
        await channel.close()


async def test_a_gateway_that_is_down_costs_no_more_intents() -> None:
    channel = link(free_port())
    first, second = sms(), sms()
    one, two = await deliver(channel, first), await deliver(channel, second)
    assert isinstance(one.outcome(first), Temporary)
    assert isinstance(two.outcome(second), Temporary)
    assert two.intended == []
    await channel.close()


async def test_the_simulator_is_asked_in_parallel(far: SmsFar) -> None:
    """A slow call holds its own messages only."""
    slow, others = far.message("slow"), [far.message("ordinary") for _ in range(20)]
    first, second = Engine(), Engine()
    task = asyncio.create_task(far.channel.send([slow], first.intend, first.settle))
    await asyncio.wait_for(far.held.wait(), 10)
    await far.channel.send(others, second.intend, second.settle)
    assert all(isinstance(second.outcome(message), Accepted) for message in others)
    assert not first.outcomes
    task.cancel()
    await until(task.done)
