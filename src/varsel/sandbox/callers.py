"""What callers run themselves, to test against: condition endpoints and a receiver of webhooks (docs/reference/delivery.md 5).

They stand on the listener of the blob host. A word at the end of the path says what happens.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from varsel.sandbox.magic import SLOW_SECONDS

Sleep = Callable[[float], Awaitable[None]]
#: Webhook calls that are remembered.
REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class CallerFate:
    """What becomes of a call. `failures` is how many tries get `status`; None for all."""

    status: int = 200
    failures: int | None = None
    wait: float = 0.0
    body: str = ""


CONDITIONS: Final[dict[str, tuple[CallerFate, str]]] = {
    "true": (CallerFate(body='{"sendNotification": true}'), "Send it."),
    "false": (CallerFate(body='{"sendNotification": false}'), "Do not send it."),
    "once-503-true": (
        CallerFate(503, 1, body='{"sendNotification": true}'),
        "503 at the first try, then: send it.",
    ),
    "once-503-false": (
        CallerFate(503, 1, body='{"sendNotification": false}'),
        "503 at the first try, then: do not send it.",
    ),
    "500": (CallerFate(500), "500 at every try, so it is sent after the second."),
    "slow": (
        CallerFate(wait=2 * SLOW_SECONDS, body='{"sendNotification": true}'),
        "An answer after twenty seconds, too late by default.",
    ),
    "garbage": (CallerFate(body="<html>"), "Something that is no JSON."),
    "missing": (CallerFate(body="{}"), "JSON without the answer."),
    "redirect": (CallerFate(302), "A redirect, which is not followed."),
}
HOOKS: Final[dict[str, tuple[CallerFate, str]]] = {
    "once-503": (CallerFate(503, 1), "503 at the first try of each event, then it is taken."),
    "500": (CallerFate(500), "500 at every try."),
    "410": (CallerFate(410), "410 at every try."),
    "slow": (CallerFate(204, wait=2 * SLOW_SECONDS), "Taken after twenty seconds, too late."),
}
_TAKEN: Final = CallerFate(204)


class Callers:
    """Answers of a caller's own servers. `hooks` are the last calls of webhooks, oldest first."""

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._tries: Counter[str] = Counter()
        self.hooks: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/conditions/{word}", self._condition),
            web.get("/hooks", self._received),
            web.post("/hooks/{word}", self._hook),
        ]

    async def _condition(self, request: web.Request) -> web.Response:
        found = CONDITIONS.get(request.match_info["word"].lower())
        if found is None:
            raise web.HTTPNotFound
        # The whole address counts tries: a query keeps tests apart.
        return await self._answer(found[0], request.path_qs, 200)

    async def _hook(self, request: web.Request) -> web.Response:
        fate = HOOKS.get(request.match_info["word"].lower(), (_TAKEN, ""))[0]
        message_id = request.headers.get("webhook-id", "")
        self.hooks.append(
            {
                "path": request.path,
                "headers": {
                    name.lower(): value
                    for name, value in request.headers.items()
                    if name.lower().startswith("webhook-")
                },
                "body": await request.text(),
            }
        )
        return await self._answer(fate, f"{request.path} {message_id}", 204)

    async def _received(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.hooks))

    async def _answer(self, fate: CallerFate, key: str, good: int) -> web.Response:
        if len(self._tries) > 10 * REMEMBERED:
            self._tries.clear()
        self._tries[key] += 1
        if fate.wait:
            await self._sleep(fate.wait)
        over = fate.failures is not None and self._tries[key] > fate.failures
        status = good if over else fate.status
        if status == 302:
            return web.Response(status=302, headers={"Location": "/conditions/true"})
        body = fate.body if status == 200 else ""
        return web.Response(status=status, text=body or None, content_type="application/json")
