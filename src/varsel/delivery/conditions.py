"""Send conditions: one question to an address that a caller chose (docs/reference/delivery.md 5).

The address is hostile until proven otherwise: the guarded client decides where it may lead (promise 9), nothing is
followed, little is read, and the only token that goes along was made for this address and opens nothing else.
"""

from __future__ import annotations

import codecs
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
import structlog

from varsel.runtime.metrics import counter

log = structlog.get_logger("varsel.delivery")

_conditions = counter("conditions")

_MOST_OCTETS: Final = 1 << 16


class Getter(Protocol):
    """What is needed of `varsel.runtime.outbound.GuardedClient`."""

    async def get(
        self, url: str, *, timeout: float, max_bytes: int, token: str | None = None, plain: bool = False
    ) -> Any:
        """An answer with `status` and `body`."""


class _Answer(msgspec.Struct):
    sendNotification: bool  # noqa: N815 - the name on the wire, case-sensitive


_decoder = msgspec.json.Decoder(_Answer)


class HttpConditions:
    """Asks over HTTP. `token` makes the bearer token of one question, for an audience that is not the platform."""

    def __init__(
        self,
        client: Getter,
        timeout: float,
        token: Callable[[str], Awaitable[str | None]] | None = None,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._token = token

    async def ask(self, url: str) -> bool | None:
        """True or false as answered; None for everything that is no such answer. Unavailable when no token can be made now."""
        met = await self._answer(url)
        _conditions.labels("inconclusive" if met is None else "true" if met else "false").inc()
        return met

    async def _answer(self, url: str) -> bool | None:
        # Outside the guard: a database that is away is not the caller's inconclusive answer.
        token = await self._token(url) if self._token is not None else None
        try:
            # Over http too, as ordered, but without the token: a "no" that nobody heard would let the message go.
            answer = await self._client.get(
                url, timeout=self._timeout, max_bytes=_MOST_OCTETS, token=token, plain=True
            )
            if not 200 <= answer.status < 300:
                log.info(
                    "a send condition is inconclusive", action="delivery.condition", status=answer.status
                )
                return None
            # Some servers begin every text with the mark of UTF-8.
            return _decoder.decode(answer.body.removeprefix(codecs.BOM_UTF8)).sendNotification
        except Exception as error:
            # Whatever goes wrong on a caller's address is that caller's inconclusive answer, never ours to fail on.
            log.info(
                "a send condition is inconclusive", action="delivery.condition", error=type(error).__name__
            )
            return None
