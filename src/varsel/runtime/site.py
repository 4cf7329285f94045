"""What stands around the rooms on the public port: health, metrics and the paths that rooms have to themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from varsel.runtime.asgi import ASGIApp, Receive, Scope, Send
from varsel.runtime.endpoints import Endpoint, Policy
from varsel.runtime.metrics import CONTENT_TYPE

#: Names and states of what must work for this process to be of use; "ready" is the one good word.
States = Mapping[str, str]

READY: Final = "ready"
_TEXT: Final = b"text/plain"
_JSON: Final = b"application/json"
_READ: Final = ("GET", "HEAD")


class Readiness(msgspec.Struct):
    """Whether all that is needed works."""

    status: Annotated[Literal["ready", "not ready"], Meta(description="`ready` when every part is.")]
    parts: Annotated[
        dict[str, str],
        Meta(
            description="State of the database and of each role.",
            examples=[{"database": "ready", "worker": "ready"}],
        ),
    ]


#: What the API description tells of this page; `Site` answers them itself.
ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/health",
        "get_health",
        Policy.OPEN,
        "Liveness",
        responses={200: "text/plain"},
        description="`Healthy` while the process runs.",
        tag="health",
    ),
    Endpoint(
        "GET",
        "/health/ready",
        "get_readiness",
        Policy.OPEN,
        "Readiness",
        responses={200: Readiness, 503: Readiness},
        description="State of the database and of the roles of this installation.",
        tag="health",
    ),
)


class Page(NamedTuple):
    """A document that never changes; `make` is called when it is asked for."""

    kind: bytes
    make: Callable[[], bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Site:
    """Serves `/health`, `/health/ready`, `/metrics` and passes each mounted prefix on; anything else is 404.

    `states` answers the readiness question, `metrics` gives the page of every process, `pages` are documents by path, `home` is
    where `/` leads.
    """

    def __init__(
        self,
        *,
        mounts: Mapping[str, ASGIApp],
        states: Callable[[], Awaitable[States]],
        metrics: Callable[[], Awaitable[bytes]],
        pages: Mapping[str, Page] | None = None,
        home: str | None = None,
    ) -> None:
        # A mount is found by its first segment; the longest of several with the same one wins.
        self._mounts: dict[str, list[tuple[str, ASGIApp]]] = {}
        for prefix, app in sorted(mounts.items(), key=lambda mount: -len(mount[0])):
            self._mounts.setdefault(prefix.split("/")[1], []).append((prefix, app))
        self._states = states
        self._metrics = metrics
        self._pages = dict(pages or {})
        self._home = home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        path: str = scope["path"]
        for prefix, app in self._mounts.get(path.partition("/")[2].partition("/")[0], ()):
            if path == prefix or path.startswith(prefix + "/"):
                await app(scope, receive, send)
                return
        known = path.rstrip("/").lower() or "/"
        if known in self._own() and scope["method"] not in _READ:
            await self._send(scope, send, 405, b"", None, (b"allow", b"GET, HEAD"))
            return
        match known:
            case "/health":
                await self._send(scope, send, 200, b"Healthy", _TEXT)
            case "/health/ready":
                await self._ready(scope, send)
            case "/metrics":
                await self._send(scope, send, 200, await self._metrics(), CONTENT_TYPE)
            case "/" if self._home:
                await self._send(scope, send, 302, b"", None, (b"location", self._home.encode()))
            case _ if known in self._pages:
                page = self._pages[known]
                await self._send(scope, send, 200, page.make(), page.kind, *page.headers)
            case _:
                await self._send(scope, send, 404, b"", None)

    def _own(self) -> set[str]:
        return {"/health", "/health/ready", "/metrics", *self._pages, *(["/"] if self._home else [])}

    async def _ready(self, scope: Scope, send: Send) -> None:
        states = await self._states()
        good = all(state == READY for state in states.values())
        body = msgspec.json.encode(Readiness(READY if good else "not ready", dict(states)))
        await self._send(scope, send, 200 if good else 503, msgspec.json.format(body, indent=2), _JSON)

    async def _send(
        self,
        scope: Scope,
        send: Send,
        status: int,
        body: bytes,
        kind: bytes | None,
        *more: tuple[bytes, bytes],
    ) -> None:
        headers: list[tuple[bytes, bytes]] = [(b"content-length", b"%d" % len(body)), *more]
        if kind is not None:
            headers.append((b"content-type", kind))
        if scope["path"].startswith(("/health", "/metrics")):
            headers.append((b"cache-control", b"no-store"))
        start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
