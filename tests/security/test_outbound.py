"""The guarded client against hostile URLs and servers: docs/reference/identity.md 10.5, rows 79 and 80; delivery.md 5."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import tempfile
import zlib
from pathlib import Path
from typing import Self

import pytest
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from varsel.delivery.conditions import HttpConditions
from varsel.runtime import trace as traces
from varsel.runtime.clock import SystemMachine
from varsel.runtime.outbound import (
    ForbiddenAddress,
    GuardedClient,
    OutboundError,
    OutboundTimeout,
    ResponseTooLarge,
    TooManyRedirects,
    literal_private,
)
from varsel.runtime.outbound_rules import permitted, target_of

SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[::]",
    "0.0.0.0",
    "0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "168.63.129.16",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "x.localhost",
    "127.0.0.1.",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_079_no_spelling_of_an_inner_address_is_a_target_in_production(host):
    for port in ("", ":8443"):
        with pytest.raises(ForbiddenAddress):
            target_of(f"https://{host}{port}/", sandbox=False)
        assert literal_private(f"https://{host}{port}/path?query")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "gopher://example.org/",
        "file:///etc/passwd",
        "//example.org/",
        "example.org",
        "",
        "https://",
        "https:///path",
        "https://user@example.org/",
        "https://user:word@example.org/",
        "https://:@example.org/",
        "https://@example.org/",
        "https://example.org@169.254.169.254/",
        "https://example.org\\@127.0.0.1/",
        "https://exa mple.org/",
        "https://example.org/\r\nHost: inner",
        "https://example.org\t.internal/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:x/",
        "https://%31%32%37.0.0.1/",
        "https://intranet/",
        "https://db.internal/",
        "https://printer.local/",
        "https://a..b/",
        "https://-a.example.org/",
        "https://" + "a" * 64 + ".org/",
        "https://[::1/",
        "https://[v1.x]/",
    ],
)
def test_079_urls_that_are_no_target(url):
    with pytest.raises(ForbiddenAddress):
        target_of(url, sandbox=False)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://example.org", "https://example.org/"),
        (
            "https://EXAMPLE.org:8443/a%2Fb/../c?sig=a%2Bb%3D&x=%7E",
            "https://example.org:8443/a%2Fb/../c?sig=a%2Bb%3D&x=%7E",
        ),
        ("https://example.org/#part", "https://example.org/"),
        ("https://93.184.216.34/x", "https://93.184.216.34/x"),
        ("https://[2606:2800:220:1:248:1893:25c8:1946]/", "https://[2606:2800:220:1:248:1893:25c8:1946]/"),
        ("https://blåbær.no/", "https://xn--blbr-roah.no/"),
    ],
)
def test_good_urls_are_sent_as_they_are(given, sent):
    assert str(target_of(given, sandbox=False).url) == sent
    assert not literal_private(given)


def test_a_target_shows_neither_path_nor_query():
    assert (
        str(target_of("https://example.org/01020312345?sig=secret", sandbox=False))
        == "https://example.org:443"
    )


def test_the_sandbox_knows_loopback_and_private_networks_and_no_more():
    for url in (
        "http://127.0.0.1:8080/",
        "http://[::1]/",
        "http://localhost:1/",
        "http://10.0.0.1/",
        "http://db/",
    ):
        assert target_of(url, sandbox=True)
    for url in (
        "http://169.254.169.254/",
        "http://0.0.0.0/",
        "http://[fe80::1]/",
        "ftp://localhost/",
        "http://2130706433/",
    ):
        with pytest.raises(ForbiddenAddress):
            target_of(url, sandbox=True)


def test_no_private_address_of_the_registry_is_permitted():
    for text in SPELLINGS:
        try:
            address = ipaddress.ip_address(text.strip("[]").replace("%25", "%"))
        except ValueError:
            continue
        assert not permitted(address, sandbox=False), text


# Over the wire


class Names(AbstractResolver):
    """A name service under the test's hand: each question takes the next answer, the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append(host)
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class Outside:
    """A server that answers every request with prepared bytes and keeps what it was sent."""

    def __init__(self, answer, tls=None) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self._tls = tls

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            self.requests.append(head + body)
            if callable(self.answer):
                await self.answer(reader, writer)
            else:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def said(status="200 OK", *headers: str, body=b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture(scope="module")
def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client side of TLS for good.example and other.example."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    names = [x509.DNSName("good.example"), x509.DNSName("other.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "pair.pem"
        file.write_bytes(secret + pem)
        server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())


@pytest.fixture
async def client():
    made = []

    def make(**options) -> GuardedClient:
        made.append(GuardedClient(SystemMachine(), **{"sandbox": True, **options}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def outside(address) -> bool:
    return str(address) == "127.0.0.1"


async def test_a_condition_is_asked_over_tls_with_the_token(client, authority):
    server, trusted = authority
    answer = said(body=b'{"sendNotification": true}')
    names = Names(good_example=[["127.0.0.1"]])
    async with Outside(answer, server) as world:
        guarded = client(sandbox=False, resolver=names, judge=outside, tls=trusted)
        token = traces.CURRENT.set(traces.Trace())
        got = await guarded.get(
            f"https://good.example:{world.port}/ask?order=1",
            headers={"Accept": "application/json", "Host": "inner", "Cookie": "a=b"},
            token="eyJtoken",
        )
        traces.CURRENT.reset(token)
    assert (got.status, got.json()) == (200, {"sendNotification": True})
    sent = world.requests[0].decode()
    assert sent.startswith("GET /ask?order=1 HTTP/1.1\r\n")
    assert f"Host: good.example:{world.port}" in sent
    assert "Authorization: Bearer eyJtoken" in sent
    assert "traceparent: 00-" in sent
    assert "inner" not in sent
    assert "Cookie" not in sent


async def test_a_condition_over_http_is_asked_without_the_token(client):
    """A "no" must count however it comes; who else may read the question gets nothing to use."""
    async with Outside(said(body=b'{"sendNotification": false}')) as world:
        guarded = client(sandbox=False, resolver=Names(good_example=[["127.0.0.1"]]), judge=outside)

        async def token(_url: str) -> str:
            return "eyJtoken"

        conditions = HttpConditions(guarded, 5.0, token)
        assert await conditions.ask(f"http://good.example:{world.port}/ask") is False
        with pytest.raises(ForbiddenAddress):
            await guarded.get(f"http://good.example:{world.port}/")
    assert len(world.requests) == 1
    assert b"Authorization" not in world.requests[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://rebind.example/", "ftp://good.example/"])
async def test_a_condition_over_http_goes_nowhere_else(client, url):
    guarded = client(sandbox=False, resolver=Names(rebind_example=[["10.0.0.1"]]))
    with pytest.raises(ForbiddenAddress):
        await guarded.get(url, plain=True)


async def test_the_certificate_must_carry_the_name(client, authority):
    server, trusted = authority
    async with Outside(said(), server) as world:
        guarded = client(
            sandbox=False, resolver=Names(evil_example=[["127.0.0.1"]]), judge=outside, tls=trusted
        )
        with pytest.raises(OutboundError, match="Certificate"):
            await guarded.get(f"https://evil.example:{world.port}/", token="t")
        guarded = client(sandbox=False, resolver=Names(good_example=[["127.0.0.1"]]), judge=outside)
        with pytest.raises(OutboundError, match="Certificate"):
            await guarded.get(f"https://good.example:{world.port}/", token="t")
    assert world.requests == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["fe80::1%eth0"],
        ["not-an-address"],
    ],
)
async def test_079_a_name_that_points_inside_is_never_connected(client, addresses):
    guarded = client(sandbox=False, resolver=Names(rebind_example=[addresses]))
    with pytest.raises(ForbiddenAddress) as caught:
        await guarded.get("https://rebind.example/?sig=secret")
    assert "secret" not in str(caught.value)


async def test_079_rebinding_between_check_and_connection_has_no_gap(client, authority):
    """One question per connection: the second answer, which points inside, is never connected to."""
    server, trusted = authority
    names = Names(good_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with Outside(said(), server) as world:
        guarded = client(sandbox=False, resolver=names, judge=outside, tls=trusted)
        url = f"https://good.example:{world.port}/"
        assert (await guarded.get(url)).status == 200
        assert names.asked == ["good.example"]
        with pytest.raises(ForbiddenAddress):
            await guarded.get(url)
        assert (names.asked, world.connections) == (["good.example"] * 2, 1)


async def test_079_redirects_are_answers_unless_asked_for(client):
    async with Outside(said("302 Found", "Location: http://169.254.169.254/")) as world:
        got = await client().get(f"http://127.0.0.1:{world.port}/")
    assert (got.status, got.headers["location"]) == (302, "http://169.254.169.254/")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest",
        "//0.0.0.0/",
        "http://[fe80::1]/",
        "ftp://localhost/",
        "http://u:p@localhost/",
    ],
)
async def test_079_a_redirect_to_a_forbidden_place_ends_there(client, location):
    async with Outside(said("302 Found", f"Location: {location}")) as world:
        with pytest.raises(ForbiddenAddress):
            await client().get(f"http://127.0.0.1:{world.port}/", redirects=3)
    assert world.connections == 1


async def test_080_the_token_does_not_follow_a_redirect_elsewhere(client):
    async with Outside(said(body=b"there")) as there:
        async with Outside(
            said("307 Temporary Redirect", f"Location: http://localhost:{there.port}/x")
        ) as here:
            got = await client().get(
                f"http://localhost:{here.port}/", token="eyJtoken", headers={"X-API-Key": "k"}, redirects=1
            )
    assert got.body == b"there"
    assert b"Authorization: Bearer eyJtoken" in here.requests[0]
    assert b"eyJtoken" not in there.requests[0]
    assert b"X-API-Key" not in there.requests[0]


async def test_redirects_have_an_end(client):
    async with Outside(said("302 Found", "Location: /again")) as world:
        with pytest.raises(TooManyRedirects):
            await client().get(f"http://127.0.0.1:{world.port}/", redirects=2)
    assert world.connections == 3


async def test_a_post_becomes_a_get_after_303_and_keeps_its_body_after_307(client):
    for status, method, body in (("303 See Other", b"GET", b""), ("307 Temporary Redirect", b"POST", b"{}")):
        async with Outside(said(body=b"ok")) as there:
            async with Outside(said(status, f"Location: http://127.0.0.1:{there.port}/")) as here:
                await client().post(
                    f"http://127.0.0.1:{here.port}/",
                    b"{}",
                    headers={"Content-Type": "application/json"},
                    redirects=1,
                )
        assert here.requests[0].endswith(b"\r\n\r\n{}")
        head, _, sent = there.requests[0].partition(b"\r\n\r\n")
        assert (head.split(b" ")[0], sent) == (method, body)


async def test_080_a_token_goes_to_tls_and_to_this_machine_only(client):
    names = Names(plain_example=[["127.0.0.1"]], localhost=[["127.0.0.1"]])
    async with Outside(said()) as world:
        guarded = client(resolver=names)
        for host in ("plain.example", "localhost", "127.0.0.1"):
            await guarded.get(f"http://{host}:{world.port}/", token="eyJtoken")
    assert [b"eyJtoken" in request for request in world.requests] == [False, True, True]


async def test_079_proxies_of_the_environment_do_not_count(client, monkeypatch):
    async with Outside(said(body=b"direct")) as world, Outside(said(body=b"proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        got = await client().get(f"http://127.0.0.1:{world.port}/")
    assert (got.body, proxy.connections) == (b"direct", 0)


async def test_cookies_are_not_kept(client):
    async with Outside(said("200 OK", "Set-Cookie: session=1")) as world:
        guarded = client()
        for _ in range(2):
            await guarded.get(f"http://127.0.0.1:{world.port}/")
    assert b"ookie" not in world.requests[1]


async def test_a_body_announced_too_large_is_not_read(client):
    async def huge(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        await writer.drain()

    async with Outside(huge) as world:
        with pytest.raises(ResponseTooLarge):
            await client().get(f"http://127.0.0.1:{world.port}/")


async def test_a_body_without_a_length_is_cut_at_the_limit(client):
    sent = 0

    async def endless(reader, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with Outside(endless) as world:
        with pytest.raises(ResponseTooLarge):
            await client().get(f"http://127.0.0.1:{world.port}/", max_bytes=100_000)
    assert sent < 50_000_000


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
async def test_a_packed_answer_is_unpacked_and_a_bomb_is_not(client, packing):
    pack = gzip.compress if packing == "gzip" else zlib.compress
    header = f"Content-Encoding: {packing}"
    async with Outside(said("200 OK", header, body=pack(b"y" * 300_000))) as world:
        got = await client().get(f"http://127.0.0.1:{world.port}/", max_bytes=300_000)
        assert got.body == b"y" * 300_000
        assert b"Accept-Encoding: identity" in world.requests[0]
    async with Outside(said("200 OK", header, body=pack(bytes(200_000_000), 9))) as world:
        with pytest.raises(ResponseTooLarge):
            await client().get(f"http://127.0.0.1:{world.port}/", max_bytes=1_000_000)


@pytest.mark.parametrize(
    "answer",
    [
        said("200 OK", "Content-Encoding: gzip", body=b"not packed"),
        said("200 OK", "Content-Encoding: gzip", body=gzip.compress(b"cut" * 1000)[:-9]),
        said("200 OK", "Content-Encoding: br", body=b"x"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_broken_answers_are_one_kind_of_error_without_the_query(client, answer):
    async with Outside(answer) as world:
        with pytest.raises(OutboundError) as caught:
            await client().get(f"http://127.0.0.1:{world.port}/01020312345?sig=secret")
    assert "secret" not in str(caught.value)
    assert "01020312345" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_nobody_listening_is_an_error_that_names_the_place(client):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(OutboundError, match=rf"^http://127.0.0.1:{port} cannot be reached"):
            await client().get(f"http://127.0.0.1:{port}/path?sig=secret")


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow"]
)
async def test_an_answer_that_does_not_end_is_given_up(client, start):
    async def slow(reader, writer):
        writer.write(start)
        await reader.read()

    async with Outside(slow) as world:
        with pytest.raises(OutboundTimeout):
            await client().get(f"http://127.0.0.1:{world.port}/", timeout=0.1)
