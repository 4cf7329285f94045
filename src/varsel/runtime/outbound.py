"""The guarded client: every address that a caller can choose is reached through it (condition endpoints, file links, webhooks, keys
and logout addresses of integrations).

A name is resolved once, every address of the answer is judged, and the connection goes to what was judged: a name that points
elsewhere a moment later changes nothing. Redirects are not followed unless asked for, and then each hop starts from the beginning.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from varsel.runtime.clock import Machine
from varsel.runtime.metrics import counter, histogram
from varsel.runtime.outbound_rules import (
    Address,
    ForbiddenAddress,
    OutboundError,
    OutboundTimeout,
    ResponseTooLarge,
    Target,
    TooManyRedirects,
    literal_private,
    permitted,
    target_of,
)
from varsel.runtime.trace import CURRENT

__all__ = [
    "Fetched",
    "ForbiddenAddress",
    "GuardedClient",
    "OutboundError",
    "OutboundTimeout",
    "ResponseTooLarge",
    "TooManyRedirects",
    "literal_private",
]

#: Defaults in seconds and bytes.
TIMEOUT: Final = 10.0
CONNECT_TIMEOUT: Final = 5.0
MAX_BYTES: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: Headers that a caller of the client may not set: they decide where a request goes or who it comes from.
_RESERVED: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "cookie", "accept-encoding"}
)
#: Headers that stay at home when a redirect leads to another origin.
_PERSONAL: Final = frozenset({"authorization", "proxy-authorization", "x-api-key", "platformaccesstoken"})

_REQUESTS: Final = counter("outbound_requests")
_SECONDS: Final = histogram("outbound_seconds")


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. Header names are lower-case; of a repeated one the last value counts. `host` is where it came from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    host: str = ""

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.body)


@dataclass(slots=True)
class _Ask:
    """What one call asks for; redirects change it on the way."""

    method: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float
    max_bytes: int
    redirects: int
    write: Callable[[bytes], object]
    plain: bool = False


class _JudgingResolver(AbstractResolver):
    """Resolves through another resolver and lets only addresses through that every rule permits."""

    def __init__(self, inner: AbstractResolver, judge: Callable[[Address], bool]) -> None:
        self._inner = inner
        self._judge = judge

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            # One bad address among good ones is an attack or a mistake; neither is worth a connection.
            try:
                address = ip_address(entry["host"])
            except ValueError:
                raise ForbiddenAddress from None
            if not self._judge(address):
                raise ForbiddenAddress
        return found

    async def close(self) -> None:
        await self._inner.close()


class GuardedClient:
    """HTTP to addresses that others chose.

    `sandbox` also allows http, loopback and private addresses. `resolver`, `judge` and `tls` are for tests and for installations with
    their own name service or certificate authority. Use it inside one event loop; `close` it at the end.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        sandbox: bool,
        resolver: AbstractResolver | None = None,
        judge: Callable[[Address], bool] | None = None,
        tls: ssl.SSLContext | None = None,
        connections: int = 100,
        per_host: int = 20,
    ) -> None:
        self._machine = machine
        self._sandbox = sandbox
        self._resolver = resolver
        self._judge = judge or (lambda address: permitted(address, sandbox=sandbox))
        self._tls = tls
        self._connections = connections
        self._per_host = per_host
        self._session: aiohttp.ClientSession | None = None

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        max_bytes: int = MAX_BYTES,
        token: str | None = None,
        redirects: int = 0,
        plain: bool = False,
    ) -> Fetched:
        """GET. A redirect is an answer like any other unless `redirects` allows some; `plain` allows http outside the sandbox too.

        `token` goes as bearer to https and to this machine, nowhere else. Raises ForbiddenAddress, OutboundTimeout,
        ResponseTooLarge, TooManyRedirects or plain OutboundError; their messages name scheme, host and port at most.
        """
        return await self._whole(url, "GET", None, headers, timeout, max_bytes, token, redirects, plain)

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        max_bytes: int = MAX_BYTES,
        token: str | None = None,
        redirects: int = 0,
    ) -> Fetched:
        """POST `body`; give its Content-Type in `headers`. As `get` otherwise. 301, 302 and 303 go on as GET without the body."""
        return await self._whole(url, "POST", body, headers, timeout, max_bytes, token, redirects, False)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _whole(  # noqa: PLR0917
        self,
        url: str,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: float,
        max_bytes: int,
        token: str | None,
        redirects: int,
        plain: bool,
    ) -> Fetched:
        parts: list[bytes] = []
        given = self._headers(headers, token)
        ask = _Ask(method, given, body, timeout, max_bytes, redirects, parts.append, plain)
        answer = await self._fetch(url, ask)
        return Fetched(answer.status, answer.headers, b"".join(parts), answer.host)

    async def _fetch(self, url: str, ask: _Ask) -> Fetched:
        began = self._machine.monotonic()
        outcome = "failed"
        try:
            target = target_of(url, sandbox=self._sandbox, plain=ask.plain)
            follow = ask.redirects > 0
            async with asyncio.timeout(ask.timeout):
                while True:
                    answer, location = await self._hop(target, ask, follow=follow)
                    if location is None:
                        outcome = f"{answer.status // 100}xx"
                        return answer
                    target = self._redirected(target, ask, answer.status, location)
        except ForbiddenAddress:
            outcome = "forbidden"
            raise
        except TimeoutError:
            outcome = "timeout"
            raise OutboundTimeout from None
        except ResponseTooLarge:
            outcome = "too_large"
            raise
        finally:
            _REQUESTS.labels(outcome).inc()
            _SECONDS.observe(self._machine.monotonic() - began)

    def _redirected(self, target: Target, ask: _Ask, status: int, location: str) -> Target:
        if ask.redirects == 0:
            raise TooManyRedirects
        ask.redirects -= 1
        following = target_of(urljoin(str(target.url), location), sandbox=self._sandbox, plain=ask.plain)
        dropped: frozenset[str] = frozenset()
        if following.origin != target.origin:
            dropped = _PERSONAL
        if status == 303 or (status in (301, 302) and ask.method == "POST"):
            ask.method, ask.body = "GET", None
            dropped |= {"content-type"}
        ask.headers = {name: value for name, value in ask.headers.items() if name.lower() not in dropped}
        return following

    def _headers(self, headers: Mapping[str, str] | None, token: str | None) -> dict[str, str]:
        given = {name: value for name, value in (headers or {}).items() if name.lower() not in _RESERVED}
        given["Accept-Encoding"] = "identity"
        trace = CURRENT.get()
        if trace is not None:
            given.setdefault("traceparent", trace.traceparent)
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        return given

    async def _hop(self, target: Target, ask: _Ask, *, follow: bool) -> tuple[Fetched, str | None]:
        """One request; the answer, and where it leads when it is a redirect to follow."""
        if target.literal is not None and not self._judge(target.literal):
            raise ForbiddenAddress
        headers: Mapping[str, str] = ask.headers
        if not target.takes_token:
            headers = {name: value for name, value in headers.items() if name.lower() not in _PERSONAL}
        try:
            async with self._open().request(
                ask.method, target.url, headers=headers, data=ask.body, allow_redirects=False
            ) as response:
                got = {name.lower(): value for name, value in response.headers.items()}
                answer = Fetched(response.status, got, b"", target.host)
                location = got.get("location")
                if follow and response.status in _REDIRECTS and location:
                    return answer, location
                async for piece in _pieces(response, ask.max_bytes):
                    ask.write(piece)
                return answer, None
        except (OutboundError, TimeoutError):
            raise
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            # The library's messages may quote URL, header or body; the type says enough.
            raise OutboundError(f"{target} cannot be reached ({type(error).__name__}).") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                resolver=_JudgingResolver(self._resolver or ThreadedResolver(), self._judge),
                use_dns_cache=False,  # a cached answer would outlive what its owner says
                limit=self._connections,
                limit_per_host=self._per_host,
                ssl=self._tls or True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # no proxies from the environment
                auto_decompress=False,  # unpacked here, within the limit
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_TIMEOUT),
                headers={"User-Agent": "Varsel"},
                raise_for_status=False,
            )
        return self._session


async def _pieces(response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    """The body, unpacked, in pieces; ResponseTooLarge as soon as it is beyond `max_bytes`, packed or unpacked."""
    length = response.content_length
    if length is not None and length > max_bytes:
        raise ResponseTooLarge
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    unpacker = None
    if encoding in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(wbits=47)
    elif encoding not in ("identity", ""):
        raise OutboundError("The response is packed in a way that was not asked for.")
    size = packed = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        packed += len(chunk)
        if packed > max_bytes:
            raise ResponseTooLarge
        if unpacker is None:
            yield chunk
            continue
        rest = chunk
        while not unpacker.eof:
            # Never more than one piece beyond the limit in memory, whatever it unpacks to.
            try:
                piece = unpacker.decompress(rest, _CHUNK)
            except zlib.error:
                raise OutboundError("The response cannot be unpacked.") from None
            rest = unpacker.unconsumed_tail
            size += len(piece)
            if size > max_bytes:
                raise ResponseTooLarge
            yield piece
            if not rest and len(piece) < _CHUNK:
                break
    if unpacker is not None and not unpacker.eof:
        raise OutboundError("The response ends too early.")
