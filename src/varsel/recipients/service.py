"""One register behind HTTP: timeouts, one repetition, and a breaker that spares a register that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import msgspec
import structlog

from varsel.runtime.clock import Machine
from varsel.runtime.errors import RegisterUnavailable
from varsel.runtime.metrics import counter
from varsel.runtime.trace import CURRENT

log = structlog.get_logger("varsel.recipients")
_asked: Final = counter("registers_asked")

TIMEOUT: Final = 10.0  # seconds for a whole question
_CONNECT: Final = 3.0
_TRIES: Final = 2
#: Failures in a row after which the register is left alone, and for how many seconds.
_TRIPS_AT: Final = 5
_RESTS_FOR: Final = 15.0
#: Answers that blame what was asked, and say that the register is well.
_OF_THE_QUESTION: Final = frozenset({400, 413, 422})
_LARGEST: Final = 32_000_000

Headers = Callable[[], Awaitable[Mapping[str, str]]]


class Service:
    """Asks one register by POST. `base` ends before the paths; `headers` are made anew for each question."""

    def __init__(
        self,
        name: str,
        base: str,
        machine: Machine,
        *,
        headers: Headers | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._name = name
        self._base = base.rstrip("/") + "/"
        self._machine = machine
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=_CONNECT)
        self._session: aiohttp.ClientSession | None = None
        self._failures = 0
        self._rests_until = 0.0

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, path: str, question: Any) -> Any:
        """The JSON answer, None for `null`. RegisterUnavailable for everything else than a 2xx with JSON."""
        rest = self._rests_until - self._machine.monotonic()
        if rest > 0:
            _asked.labels(self._name, "spared").inc()
            raise RegisterUnavailable(spared_for=rest)
        for attempt in range(_TRIES):
            try:
                answer = await self._post(path, question)
            except (aiohttp.ClientError, OSError, TimeoutError, _Refused) as error:
                log.warning(
                    "a register failed",
                    action="registers.failed",
                    register=self._name,
                    reason=str(error) if isinstance(error, _Refused) else type(error).__name__,
                )
                if getattr(error, "counts", True):
                    self._failed()
                _asked.labels(self._name, "failed").inc()
                if attempt == _TRIES - 1 or not getattr(error, "again", True):
                    raise RegisterUnavailable from error
            else:
                self._failures = 0
                _asked.labels(self._name, "answered").inc()
                return answer
        raise RegisterUnavailable

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= _TRIPS_AT:
            self._rests_until = self._machine.monotonic() + _RESTS_FOR

    async def _post(self, path: str, question: Any) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        headers = {"content-type": "application/json", "accept": "application/json"}
        trace = CURRENT.get(None)
        if trace is not None:
            headers["traceparent"] = trace.traceparent
        if self._headers is not None:
            headers |= await self._headers()
        async with self._session.post(
            self._base + path, data=msgspec.json.encode(question), headers=headers, allow_redirects=False
        ) as reply:
            if not 200 <= reply.status < 300:
                # A refusal of the question will not become an answer by asking again, nor do other questions suffer from it.
                raise _Refused(
                    f"status {reply.status}",
                    again=reply.status >= 500 or reply.status == 429,
                    counts=reply.status not in _OF_THE_QUESTION,
                )
            content = bytearray()
            async for piece in reply.content.iter_chunked(65_536):
                content += piece
                if len(content) > _LARGEST:
                    raise _Refused("answer too large", again=False)
        if len(content) > 1_000_000:
            return await asyncio.to_thread(_decoded, content)
        return _decoded(content)


def _decoded(content: bytearray) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(f"no JSON ({type(error).__name__})", again=True) from None


class _Refused(Exception):
    """`again`: worth asking once more; `counts`: as a failure of the register."""

    def __init__(self, reason: str, *, again: bool, counts: bool = True) -> None:
        super().__init__(reason)
        self.again = again
        self.counts = counts
