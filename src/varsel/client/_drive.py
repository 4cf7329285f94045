"""The two drivers that perform what operations ask for, and the descriptors that give a class both kinds of methods."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload

from ._errors import ConfigurationError
from ._flights import PATIENCE, Abandoned, Flight
from ._flow import Call, Effect, Flow, Item, Join, Pause, Send
from ._http import AwaitingWire, BlockingWire, Http

P = ParamSpec("P")
T = TypeVar("T")


class BlockingDriver:
    """Runs operations in the calling thread."""

    def __init__(self, http: Http) -> None:
        self._wire = BlockingWire(http)
        self._clock = http.clock

    def run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    result = self._perform(effect)
                except BaseException as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def iterate(self, flow: Flow[None]) -> Iterator[Any]:
        """The items of a stream."""
        try:
            effect = next(flow)
            while True:
                try:
                    if isinstance(effect, Item):
                        yield effect.value
                        result = None
                    else:
                        result = self._perform(effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration:
            return
        finally:
            flow.close()

    def close(self) -> None:
        self._wire.close()

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                return self._wire.exchange(request)
            case Pause(seconds):
                return self._clock.sleep(seconds)
            case Join():
                return self._join(effect)
            case Call(function):
                result = function()
                if inspect.isawaitable(result):
                    if inspect.iscoroutine(result):
                        result.close()
                    raise ConfigurationError(
                        "An asynchronous callback needs the asynchronous client; give a plain function here."
                    )
                return result
        raise AssertionError(effect)  # an Item outside a stream

    def _join(self, effect: Join) -> Any:
        while True:
            flight, ours = effect.flights.enter(effect.key, None)
            if ours:
                try:
                    value = self.run(effect.start())
                except BaseException as error:
                    effect.flights.land(effect.key, flight, error=_for_others(error))
                    raise
                effect.flights.land(effect.key, flight, value=value)
                return value
            if flight.loop is not None and flight.loop is _running_loop():
                # Waiting here would stop the very loop that the other fetch needs.
                return self.run(effect.start())
            wait((flight.outcome,), PATIENCE)
            if not flight.outcome.done():
                # Its event loop stopped, or its thread hangs: nobody owes us a result any more.
                effect.flights.land(effect.key, flight, error=Abandoned())
            try:
                return flight.outcome.result()
            except Abandoned:
                continue


class AwaitingDriver:
    """Runs operations on the running event loop."""

    def __init__(self, http: Http) -> None:
        self._wire = AwaitingWire(http)
        self._clock = http.clock

    async def run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    result = await self._perform(effect)
                except BaseException as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        """The items of a stream."""
        try:
            effect = next(flow)
            while True:
                try:
                    if isinstance(effect, Item):
                        yield effect.value
                        result = None
                    else:
                        result = await self._perform(effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration:
            return
        finally:
            flow.close()

    async def close(self) -> None:
        await self._wire.close()

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                return await self._wire.exchange(request)
            case Pause(seconds):
                return await self._clock.sleep_async(seconds)
            case Join():
                return await self._join(effect)
            case Call(function):
                result = function()
                return await result if inspect.isawaitable(result) else result
        raise AssertionError(effect)  # an Item outside a stream

    async def _join(self, effect: Join) -> Any:
        loop = asyncio.get_running_loop()
        while True:
            flight, ours = effect.flights.enter(effect.key, loop)
            if ours:
                # A task of its own, so that a caller who is cancelled does not take the token from those who wait.
                flight.task = loop.create_task(self._fly(effect, flight))
            outcome = asyncio.wrap_future(flight.outcome)
            outcome.add_done_callback(_seen)
            await asyncio.wait((outcome,), timeout=PATIENCE)
            if not outcome.done():
                # Its event loop stopped, or its thread hangs: nobody owes us a result any more.
                effect.flights.land(effect.key, flight, error=Abandoned())
            try:
                return await outcome
            except Abandoned:
                continue

    async def _fly(self, effect: Join, flight: Flight) -> None:
        try:
            value = await self.run(effect.start())
        except BaseException as error:
            effect.flights.land(effect.key, flight, error=_for_others(error))
            if not isinstance(error, Exception):
                raise
        else:
            effect.flights.land(effect.key, flight, value=value)


def _for_others(error: BaseException) -> BaseException:
    """What those who wait get: the error, or a call to try themselves when this one was only interrupted."""
    return error if isinstance(error, Exception) else Abandoned()


def _seen(outcome: asyncio.Future[Any]) -> None:
    """Whoever waited may have been cancelled; asyncio need not report that nobody read the error."""
    if not outcome.cancelled():
        outcome.exception()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Blocking:
    """A client whose methods block. Close it, or use it with `with`."""

    def __init_subclass__(cls) -> None:
        _methods_of(cls, "blocking")

    def __init__(self, http: Http) -> None:
        self._driver = BlockingDriver(http)

    def _drive(self, flow: Flow[T]) -> T:
        return self._driver.run(flow)

    def _stream(self, flow: Flow[None]) -> Iterator[Any]:
        return self._driver.iterate(flow)

    def close(self) -> None:
        """Close its connections."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Awaiting:
    """A client whose methods are awaited. Close it, or use it with `async with`."""

    def __init_subclass__(cls) -> None:
        _methods_of(cls, "awaiting")

    def __init__(self, http: Http) -> None:
        self._driver = AwaitingDriver(http)

    async def _drive(self, flow: Flow[T]) -> T:
        return await self._driver.run(flow)

    def _stream(self, flow: Flow[None]) -> AsyncIterator[Any]:
        return self._driver.iterate(flow)

    async def close(self) -> None:
        """Close its connections."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class operation(Generic[P, T]):  # noqa: N801 - used as a decorator
    """A method written once as a flow: it blocks on a Blocking client and is awaited on an Awaiting one.

    Either class gets a function of its own, with its signature, so that help(), editors and `unittest.mock.create_autospec` know it.
    """

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self.flow = flow

        def blocking(client: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return cast("T", client._drive(flow(client, *args, **kwargs)))

        async def awaiting(client: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return cast("T", await client._drive(flow(client, *args, **kwargs)))

        result = str(flow.__annotations__.get("return", "Any")).removeprefix("Flow[").removesuffix("]")
        self.blocking = _shown(blocking, flow, result)
        self.awaiting = _shown(awaiting, flow, result)

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Blocking, owner: type) -> Callable[P, T]: ...
        @overload
        def __get__(self, instance: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
        def __get__(self, instance: Any, owner: type) -> Any: ...


class stream(Generic[P, T]):  # noqa: N801 - used as a decorator
    """As `operation`, for a flow that yields items: an iterator, or an asynchronous one. T is the type of the items."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[None]], of: type[T]) -> None:
        self.flow = flow
        self.of = of

        def items(client: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return client._stream(flow(client, *args, **kwargs))

        def awaited_items(client: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return client._stream(flow(client, *args, **kwargs))

        self.blocking = _shown(items, flow, f"Iterator[{of.__name__}]")
        self.awaiting = _shown(awaited_items, flow, f"AsyncIterator[{of.__name__}]")

    def __set_name__(self, owner: type, name: str) -> None:
        for method in (self.blocking, self.awaiting):
            method.__name__ = name

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Blocking, owner: type) -> Callable[P, Iterator[T]]: ...
        @overload
        def __get__(self, instance: Awaiting, owner: type) -> Callable[P, AsyncIterator[T]]: ...
        def __get__(self, instance: Any, owner: type) -> Any: ...


def _shown(method: Callable[..., Any], flow: Callable[..., Any], result: str) -> Callable[..., Any]:
    """With name, text and signature of the flow, but what it gives in place of the flow itself."""
    functools.update_wrapper(method, flow)
    signature = inspect.signature(flow).replace(return_annotation=result)
    cast("Any", method).__signature__ = signature
    return method


def _methods_of(cls: type, kind: Literal["blocking", "awaiting"]) -> None:
    """Give a class the methods of its operations as functions of its own."""
    for base in cls.__mro__:
        for name, one in list(vars(base).items()):
            if isinstance(one, operation | stream) and (base is cls or name not in vars(cls)):
                setattr(cls, name, getattr(one, kind))
