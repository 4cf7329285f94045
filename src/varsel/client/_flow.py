"""Operations as generators: one text that runs blocking and on asyncio alike.

An operation yields effects (send this, pause, call that) and is resumed with what came of them; it does no I/O of its own. The two
drivers in `_drive.py` perform the effects. So nothing is written twice, and rules such as retries are tested without a network.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from ._flights import Flights

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header values and the body may hold secrets and stay out of `repr`. `timeout` covers it all, in seconds."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers with names in lower case, body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """ValueError when it is not JSON."""
        return json.loads(self.content)

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Send:
    """Resumed with an Answer, or a TransportError."""

    request: Request


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Foreign code, blocking or not: signers, vaults, cursor stores. Resumed with what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Join:
    """Run `start()` unless somebody runs it for this key; resumed with its result or error."""

    flights: Flights
    key: Hashable
    start: Callable[[], Flow[Any]]


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a stream, handed to the reader; resumed when the reader asks for the next."""

    value: Any


Effect: TypeAlias = Send | Pause | Call | Join | Item
Flow: TypeAlias = Generator[Effect, Any, T]


def send(request: Request) -> Flow[Answer]:
    answer: Answer = yield Send(request)
    return answer


def pause(seconds: float) -> Flow[None]:
    yield Pause(seconds)


def call(function: Callable[[], T | Awaitable[T]]) -> Flow[T]:
    result: T = yield Call(function)
    return result


def join(flights: Flights, key: Hashable, start: Callable[[], Flow[T]]) -> Flow[T]:
    result: T = yield Join(flights, key, start)
    return result
