"""HTTP as the client does it: options, and the two wires over httpx2, which is imported at the first request."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from varsel import __version__

from ._clock import SYSTEM, Clock
from ._errors import ConfigurationError, TimedOut, TransportError, UnexpectedAnswer
from ._flow import Answer, Request

if TYPE_CHECKING:
    import httpx2

#: No answer of these services is larger; a bigger one is not read to its end. Bytes.
LARGEST = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """How requests are made.

    timeout: seconds for a whole request to the API; token requests take at most 10.
    connect_timeout: seconds to reach the host.
    tries: how often a request is made in all, where repeating it is safe.
    connections: open at the same time; an idle one is kept for `keep_alive` seconds.
    proxy: address; None follows HTTPS_PROXY and friends.
    verify: False trusts any certificate and is refused except for this machine; a path names a file of authorities, an
        `ssl.SSLContext` is used as it is.
    transport: an httpx2 transport in place of the network, for tests.
    clock: where time comes from.
    """

    timeout: float = 30.0
    connect_timeout: float = 5.0
    tries: int = 4
    connections: int = 100
    keep_alive: float = 30.0
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str | ssl.SSLContext = True
    transport: Any = None
    clock: Clock = SYSTEM
    user_agent: str = f"varsel/{__version__}"

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.connect_timeout <= 0 or self.tries < 1 or self.connections < 1:
            raise ConfigurationError("Http: timeouts, tries and connections must be above zero.")
        if self.verify is False:
            raise ConfigurationError(
                "Http: certificates are always checked; name your own authorities with verify='authorities.pem'."
            )

    def _options(self) -> dict[str, Any]:
        import httpx2

        verify = self.verify
        if isinstance(verify, str):
            try:
                verify = ssl.create_default_context(cafile=verify)
            except (OSError, ssl.SSLError):
                raise ConfigurationError(
                    f"Http: {self.verify} holds no certificates of authorities."
                ) from None
        return {
            "timeout": httpx2.Timeout(self.timeout, connect=self.connect_timeout),
            "limits": httpx2.Limits(
                max_connections=self.connections,
                max_keepalive_connections=self.connections,
                keepalive_expiry=self.keep_alive,
            ),
            "verify": verify,
            "proxy": self.proxy,
            "transport": self.transport,
            "headers": {"user-agent": self.user_agent},
            # The Authorization header is ours alone: no .netrc; redirects could carry it elsewhere.
            "follow_redirects": False,
        }


class BlockingWire:
    """Requests one by one, in the calling thread. Safe to share between threads."""

    def __init__(self, http: Http) -> None:
        self._http = http
        # By process: after a fork the connections belong to the parent, and two processes would read from one socket.
        self._clients: dict[int, httpx2.Client] = {}

    def exchange(self, request: Request) -> Answer:
        _check_headers(request)
        deadline = time.monotonic() + request.timeout
        client = self._open()
        content = bytearray()
        with _translated(request):
            made = client.build_request(
                request.method, request.url, headers=dict(request.headers), content=request.content
            )
            response = client.send(made, stream=True, auth=None)
            try:
                for piece in response.iter_bytes():
                    content += piece
                    _check_size(len(content), request)
                    if time.monotonic() > deadline:
                        raise TimedOut(_slow(request))
            finally:
                response.close()
        return Answer(response.status_code, _headers(response), bytes(content))

    def close(self) -> None:
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _open(self) -> httpx2.Client:
        process = os.getpid()
        client = self._clients.get(process)
        if client is None:
            import httpx2

            made = httpx2.Client(**self._http._options())
            # Without a lock, which a fork could leave locked for ever; of two threads here one uses the other's.
            client = self._clients.setdefault(process, made)
            if client is not made:
                made.close()
        return client


class AwaitingWire:
    """Requests on asyncio. Connections belong to the event loop that opened them, so each loop has its own."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    async def exchange(self, request: Request) -> Answer:
        _check_headers(request)
        client = self._open()
        content = bytearray()
        with _translated(request):
            made = client.build_request(
                request.method, request.url, headers=dict(request.headers), content=request.content
            )
            async with asyncio.timeout(request.timeout):
                response = await client.send(made, stream=True, auth=None)
                try:
                    async for piece in response.aiter_bytes():
                        content += piece
                        _check_size(len(content), request)
                finally:
                    await response.aclose()
        return Answer(response.status_code, _headers(response), bytes(content))

    async def close(self) -> None:
        """Those of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _open(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            import httpx2

            client = self._clients[loop] = httpx2.AsyncClient(**self._http._options())
        return client


def _headers(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _check_headers(request: Request) -> None:
    """What no header can hold is refused here: the error of a codec would show the whole value, a key or a national number."""
    for name, value in request.headers.items():
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(
                f"What would be sent in the header {name} is no line of ASCII letters; was something cut off or pasted along?"
            )


def _check_size(size: int, request: Request) -> None:
    if size > LARGEST:
        raise UnexpectedAnswer(f"{_host(request)} answered with more than {LARGEST // 1024 // 1024} MB.")


def _host(request: Request) -> str:
    return urlsplit(request.url).netloc.rpartition("@")[2]


def _slow(request: Request) -> str:
    return f"{_host(request)} gave no complete answer within {request.timeout:g} seconds."


@contextmanager
def _translated(request: Request) -> Iterator[None]:
    """httpx2's errors as ours. Their texts are left out where they could hold an address with secrets."""
    import httpx2

    try:
        yield
    except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
        raise TimedOut(
            f"{_host(request)} could not be reached in time; check network and proxy.", sent=False
        ) from None
    except (httpx2.TimeoutException, TimeoutError):
        raise TimedOut(_slow(request)) from None
    except (httpx2.ConnectError, httpx2.ProxyError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise TransportError(
            f"{_host(request)} could not be reached ({reason}); check the address, the network and the proxy.",
            sent=False,
        ) from None
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL):
        raise ConfigurationError(f"{_host(request) or 'The address'} is not an http address.") from None
    except httpx2.TransportError as error:
        raise TransportError(f"The connection to {_host(request)} broke ({type(error).__name__}).") from None
    except httpx2.DecodingError:
        raise UnexpectedAnswer(f"{_host(request)} answered with a body that could not be unpacked.") from None
