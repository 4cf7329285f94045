"""Tokens and what hands them out."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ._drive import AwaitingDriver, BlockingDriver
from ._environments import Environment
from ._flow import Flow
from ._http import Http

#: Three base64url parts; what else is called a token is none.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: As the servers have it: a longer one is refused. Characters.
LONGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its life. The value is shown only when asked for by name: `token.value`.

    `expires` is on the clock of the client (`Http.clock.steady`), `scope` what the issuer said it gave.
    """

    value: str = field(repr=False)
    expires: float
    scope: str = ""

    def __str__(self) -> str:
        return repr(self)


def is_compact(text: str) -> bool:
    """Whether it looks like a signed token."""
    return len(text) <= LONGEST and _COMPACT.fullmatch(text) is not None


def claims_of(token: str) -> dict[str, Any]:
    """Claims without verification, for timing and diagnosis only, never for trust; empty when unreadable."""
    return _part(token, 1)


def header_of(token: str) -> dict[str, Any]:
    """Header without verification; empty when unreadable."""
    return _part(token, 0)


def _part(token: str, index: int) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[index] + "=" * (-len(parts[index]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@runtime_checkable
class Credentials(Protocol):
    """What `Notifications` can authenticate with. The methods are for the client itself.

    `environment` is None when it fits any.
    """

    @property
    def environment(self) -> Environment | None: ...

    def authorize(self) -> Flow[Mapping[str, str]]:
        """Headers of a request."""
        ...

    def refused(self, headers: Mapping[str, str]) -> bool:
        """The API answered 401 to these headers: forget that very token. Whether it is worth trying again."""
        ...


class TokenSource:
    """Something that fetches tokens by itself: `token()` blocks, `token_async()` is awaited; both share one cache.

    One object may serve threads, event loops, clients of either kind and forked processes at once.
    """

    def __init__(self, http: Http) -> None:
        self._blocking = BlockingDriver(http)
        self._awaiting = AwaitingDriver(http)

    def _token(self) -> Flow[Token]:
        raise NotImplementedError

    def token(self) -> Token:
        """A token that lives; fetched only when none does."""
        return self._blocking.run(self._token())

    async def token_async(self) -> Token:
        """As `token`, awaited."""
        return await self._awaiting.run(self._token())

    def close(self) -> None:
        """Close connections opened by `token`."""
        self._blocking.close()

    async def close_async(self) -> None:
        """Close connections opened by `token_async` on this event loop."""
        await self._awaiting.close()
