"""The sandbox's inbox: list, message, and the parts of a message."""

from __future__ import annotations

import asyncio
from typing import Final, get_args
from urllib.parse import quote, urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from varsel.console import mail
from varsel.console.model import Channel, Inbox, ReceivedMessage
from varsel.console.pages import HEADERS, Pages

PATH: Final = "/console/inbox"
PAGE: Final = 50

#: The mail's own page: no script, no network, nothing but its text, styles and embedded pictures.
_MAIL_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; frame-ancestors 'self'"
)


def link(channel: str | None, to: str, **more: str) -> str:
    """The address of a list."""
    query = {"channel": channel or "", "to": to, **more}
    text = urlencode({name: value for name, value in query.items() if value})
    return f"{PATH}?{text}" if text else PATH


def asked(request: Request) -> tuple[Channel | None, str, UUID | None]:
    """Channel, part of the recipient, and the message before which the list begins; what makes no sense is ignored."""
    given = request.query_params
    channel = next((known for known in get_args(Channel) if known == given.get("channel")), None)
    return channel, given.get("to", "").replace("\0", "").strip()[:200], _uuid(given.get("before", ""))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


class InboxPages:
    """Handlers of the pages under /console/inbox."""

    def __init__(self, pages: Pages, inbox: Inbox) -> None:
        self._pages = pages
        self._inbox = inbox
        self.routes = [
            Route("/inbox", self.show_list, methods=["GET"]),
            Route("/inbox/list", self.show_changes, methods=["GET"]),
            Route("/inbox/empty", self.ask_empty, methods=["GET"]),
            Route("/inbox/empty", self.empty, methods=["POST"]),
            Route("/inbox/{id:uuid}", self.show_message, methods=["GET"]),
            Route("/inbox/{id:uuid}/html", self.show_html, methods=["GET"]),
            Route("/inbox/{id:uuid}/source", self.give_source, methods=["GET"]),
            Route("/inbox/{id:uuid}/files/{number:int}", self.give_file, methods=["GET"]),
        ]

    async def show_list(self, request: Request) -> Response:
        return await self._list(request, "inbox.html")

    async def show_changes(self, request: Request) -> Response:
        """The list again, or 204 when its reader has seen it all."""
        return await self._list(request, "inbox_list.html", request.query_params.get("seen"))

    async def _list(self, request: Request, template: str, seen: str | None = None) -> Response:
        channel, to, before = asked(request)
        found = await self._inbox.recent(channel, to, PAGE + 1, before)
        more, found = len(found) > PAGE, found[:PAGE]
        mark = f"{found[0].id}.{len(found)}" if found else "none"
        if seen == mark:
            return Response(None, 204, HEADERS)
        # Only the first page moves; older ones stand still under the reader.
        live = f"{PATH}/list?" + urlencode({"channel": channel or "", "to": to, "seen": mark})
        return self._pages.show(
            request,
            template,
            room="inbox",
            messages=found,
            channel=channel,
            to=to,
            link=link,
            live="" if before else live,
            older=link(channel, to, before=str(found[-1].id)) if more else "",
            count_text=self._count(request, len(found), more=more),
        )

    def _count(self, request: Request, number: int, *, more: bool) -> str:
        texts = self._pages.text(request)
        if more:
            return texts["count_more"].format(number)
        return {0: texts["count_none"], 1: texts["count_one"]}.get(number, texts["count_many"].format(number))

    async def _message(self, request: Request) -> ReceivedMessage | None:
        return await self._inbox.one(request.path_params["id"])

    async def show_message(self, request: Request) -> Response:
        message = await self._message(request)
        if message is None:
            return self.missing(request)
        raw = message.raw or b""
        views = ["html"] if message.html is not None else []
        views += ["text", "headers", "source"]
        view = request.query_params.get("view", "")
        if view not in views:
            view = views[0]
        return self._pages.show(
            request,
            "message.html",
            room="inbox",
            message=message,
            views=views,
            view=view,
            headers=await asyncio.to_thread(mail.headers, raw) if view == "headers" else [],
            files=await asyncio.to_thread(mail.files, raw) if message.channel == "email" else [],
            source=raw.decode("utf-8", "replace") if view == "source" else "",
        )

    async def show_html(self, request: Request) -> Response:
        message = await self._message(request)
        if message is None or message.html is None:
            return self.missing(request)
        headers = {
            **HEADERS,
            "content-security-policy": _MAIL_POLICY,
            "x-frame-options": "SAMEORIGIN",
        }
        return Response(mail.framed(message.html), 200, headers, "text/html; charset=utf-8")

    async def give_source(self, request: Request) -> Response:
        message = await self._message(request)
        if message is None or message.raw is None:
            return self.missing(request)
        return _download(message.raw, f"{message.id}.eml", "message/rfc822")

    async def give_file(self, request: Request) -> Response:
        message = await self._message(request)
        found = await asyncio.to_thread(mail.files, message.raw) if message and message.raw else []
        number = request.path_params["number"]
        if not 1 <= number <= len(found):
            return self.missing(request)
        file = found[number - 1]
        return _download(file.content, file.name, "application/octet-stream")

    async def ask_empty(self, request: Request) -> Response:
        return self._pages.show(request, "empty.html", room="inbox")

    async def empty(self, request: Request) -> Response:
        await self._inbox.empty()
        return RedirectResponse(PATH, 303, HEADERS)

    def missing(self, request: Request) -> Response:
        return self._pages.show(request, "missing.html", 404, room="inbox")


def _download(content: bytes, name: str, kind: str) -> Response:
    headers = {
        **HEADERS,
        "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return Response(content, 200, headers, kind)
