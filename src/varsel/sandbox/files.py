"""A blob host to test composed e-mail with: files of any name, and names that fail on purpose (docs/reference/delivery.md 7.8).

`GET /files/<name>` answers as a blob store does. A name that begins with a word of `FATES` fails as that word says; any other
gives a small file of the kind that its ending names.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from aiohttp import web

from varsel.runtime.times import wire_time
from varsel.sandbox.magic import SLOW_SECONDS

Sleep = Callable[[float], Awaitable[None]]
HUGE_OCTETS: Final = 30 * 1024 * 1024
_PIECE: Final = bytes(64 * 1024)


@dataclass(frozen=True, slots=True)
class FileFate:
    """What becomes of a download. `failures` is how many tries get `status`; None for all."""

    status: int = 200
    code: str = ""
    failures: int | None = None
    wait: float = 0.0
    huge: bool = False
    broken: bool = False
    wrong_hash: bool = False
    page: bool = False


FATES: Final[dict[str, tuple[FileFate, str]]] = {
    "missing": (FileFate(404, "BlobNotFound"), "404, so the mail fails for good."),
    "forbidden": (FileFate(403, "AuthorizationFailure"), "403, so the mail fails for good."),
    "expired": (
        FileFate(403, "AuthenticationFailed"),
        "403 as for a signature whose time is over: the mail fails for good.",
    ),
    "503-once": (FileFate(503, "ServerBusy", failures=1), "503 at the first try, then the file."),
    "429-once": (FileFate(429, "TooManyRequests", failures=1), "429 at the first try, then the file."),
    "unavailable": (FileFate(503, "ServerBusy"), "503 at every try, so the mail ends by its expiry."),
    "slow": (FileFate(wait=SLOW_SECONDS), "The file after ten seconds."),
    "huge": (FileFate(huge=True), "More octets than a mail may carry: Failed_PayloadTooLarge."),
    "broken": (FileFate(broken=True, failures=1), "Half of it at the first try, then the file."),
    "damaged": (
        FileFate(wrong_hash=True, failures=1),
        "Another MD5 than told at the first try, then the file.",
    ),
    "page": (FileFate(page=True), "An HTML page with 200 instead of the file."),
}
_ORDINARY: Final = FileFate()


def file_fate(name: str) -> FileFate:
    """What the host does with a file of this name."""
    lowered = name.lower()
    for word, (fate, _) in FATES.items():
        if lowered.startswith(word):
            return fate
    return _ORDINARY


def content_of(name: str) -> bytes:
    """A small file of the kind that the ending of its name says; the same every time."""
    match name.lower().rpartition(".")[2]:
        case "pdf":
            return b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
        case "png":
            return base64.b64decode(
                "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
            )
        case "zip" | "docx" | "xlsx" | "pptx":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr(zipfile.ZipInfo("varsel.txt"), name)
            return packed.getvalue()
        case _:
            return f"Innholdet i {name}.\n".encode()


def file_url(origin: str, name: str, until: datetime) -> str:
    """A pre-signed address of a file on the host at `origin`, readable until then."""
    expiry = quote(wire_time(until), safe="")
    return f"{origin}/files/{quote(name)}?sv=2024-11-04&se={expiry}&sr=b&sp=r&sig=c2FuZGJveA%3D%3D"


class FileHost:
    """Listens on a loopback port (0 takes a free one). `sleep` stands for time; `beside` are routes of others on its listener."""

    def __init__(
        self, host: str, port: int, *, sleep: Sleep = asyncio.sleep, beside: Sequence[web.RouteDef] = ()
    ) -> None:
        self.host = host
        self.port = port
        self._beside = beside
        self._sleep = sleep
        self._tries: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self.asked: list[str] = []

    @property
    def origin(self) -> str:
        """Scheme, host and port, as it may stand in VARSEL_BLOB_HOSTS."""
        return f"http://{self.host}:{self.port}"

    def url(self, name: str, until: datetime) -> str:
        """See `file_url`."""
        return file_url(self.origin, name, until)

    async def start(self) -> None:
        """Open the port. Raises OSError when it is taken."""
        application = web.Application()
        application.router.add_get("/files/{name}", self._serve)
        application.router.add_routes(self._beside)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked.append(name)
        if not {"se", "sp", "sr", "sig"} <= set(request.query):
            return _refusal(403, "AuthenticationFailed")
        fate = file_fate(name)
        self._tries[name] += 1
        if fate.failures is not None and self._tries[name] > fate.failures:
            fate = _ORDINARY
        if fate.status != 200:
            return _refusal(fate.status, fate.code)
        if fate.wait:
            await self._sleep(fate.wait)
        if fate.huge:
            return await self._huge(request)
        content = content_of(name)
        if fate.page:
            return web.Response(body=b"<!doctype html><p>Logg inn</p>", content_type="text/html")
        told = hashlib.md5(b"else" if fate.wrong_hash else content, usedforsecurity=False).digest()
        headers = {"Content-MD5": base64.b64encode(told).decode(), "Content-Type": "application/octet-stream"}
        if not fate.broken:
            return web.Response(body=content, headers=headers)
        response = web.StreamResponse(headers={**headers, "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(HUGE_OCTETS // len(_PIECE)):
            await response.write(_PIECE)
        return response


def _refusal(status: int, code: str) -> web.Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return web.Response(
        status=status, body=body.encode(), content_type="application/xml", headers={"x-ms-error-code": code}
    )
