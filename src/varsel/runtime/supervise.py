"""Child processes of Varsel: started with a handshake, tied to their parent, started anew when they die.

Parent and child hold the two ends of a socket pair and speak lines of JSON over it:

    parent → child   {"config": …}           what the child is to be, with its secrets: never in arguments or environment
    child → parent   {"ready": true}         or {"refused": sentence, "code": n}, one sentence for the operator
    parent → child   {"go": true}            the moment to begin, for a child that waits for it
    parent → child   {"ask": topic, "number": n}    child → parent {"answer": text, "number": n}

The kernel kills a child when its parent dies (PR_SET_PDEATHSIG), and a child that sees its line end leaves too, so nothing stays
behind after a kill -9. Children run in sessions of their own: Ctrl-C reaches Varsel alone, which stops them in its order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Self

import structlog

from varsel.runtime.errors import OperatorError, Unavailable
from varsel.runtime.tasks import end

log = structlog.get_logger("varsel.supervise")

READY_LIMIT: Final = 60.0  # seconds from start to {"ready"}
ANSWER_LIMIT: Final = 2.0  # seconds for {"answer"}
LINE_LIMIT: Final = 16 * 1024 * 1024  # bytes; metrics are the longest lines
BACKOFF: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before the n-th start in a row that did not last
LASTED: Final = 30.0  # seconds; a child that ran so long begins the row anew

UNAVAILABLE: Final = 3  # exit code when something Varsel depends on does not answer
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class State(StrEnum):
    """What a child is doing; `/health/ready` shows these words."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # died, and is started anew after a pause
    STOPPED = "stopped"


class ChildFailed(OperatorError):
    """A process of Varsel did not start."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # the child's own code, passed on


class Line:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Line:
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LINE_LIMIT))

    async def say(self, **words: Any) -> None:
        """Send one line; nothing happens when the other end has gone."""
        with contextlib.suppress(OSError):
            self._writer.write(json.dumps(words).encode() + b"\n")
            await self._writer.drain()

    async def hear(self) -> dict[str, Any] | None:
        """The next line, None when the other end has gone."""
        try:
            text = await self._reader.readline()
            return dict(json.loads(text)) if text.endswith(b"\n") else None
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()


def die_with(parent: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """In a child: ask the kernel for a signal at the parent's death. False when the parent is gone already."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return os.getppid() == parent


class Child:
    """One supervised process: `command` plus `--line FD --parent PID`.

    `config` is called at every start; `passed` are descriptors the child inherits beside its line. `output` is where its standard
    output and error go, by default those of the parent.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        config: Callable[[], Mapping[str, Any]],
        *,
        passed: Sequence[int] = (),
        output: int | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.state = State.STOPPED
        self.pid: int | None = None
        self._command = tuple(command)
        self._config = config
        self._passed = tuple(passed)
        self._output = output
        self._on_change = on_change
        self._line: Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[int] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._asked = 0
        self._going = False
        self._stopping = False

    async def start(self) -> None:
        """Return when the child is ready; ChildFailed with its own sentence when it refuses or dies."""
        try:
            await self._start_once()
        except BaseException:
            await self._kill()
            self._become(State.STOPPED)
            raise
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"keep-{self.name}")

    async def go(self) -> None:
        """Let a child begin that waits for the word; later incarnations begin at once."""
        self._going = True
        if self._line is not None:
            await self._line.say(go=True)

    async def ask(self, topic: str) -> str | None:
        """The child's answer, None when it is not ready or too busy to give one in time."""
        async with self._asking:
            if self.state is not State.READY or self._line is None:
                return None
            self._asked += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_LIMIT):
                    await self._line.say(ask=topic, number=self._asked)
                    while (heard := await self._line.hear()) is not None:
                        if heard.get("number") == self._asked:  # else a late answer to an earlier question
                            return str(heard.get("answer", ""))
            return None

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds."""
        self._stopping = True
        await end(self._keeper)
        self._keeper = None
        if self._process is not None and self._ended is not None and not self._ended.done():
            self._process.terminate()
            try:
                await asyncio.wait_for(asyncio.shield(self._ended), grace)
            except TimeoutError:
                log.warning("child did not stop in time", action="supervise.kill", child=self.name)
        await self._kill()
        self._become(State.STOPPED)

    def kill_now(self) -> None:
        """SIGKILL without waiting, for the second Ctrl-C."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._on_change()

    async def _start_once(self) -> None:
        self._become(State.STARTING)
        mine, theirs = socket.socketpair()
        try:
            words = [*self._command, "--line", str(theirs.fileno()), "--parent", str(os.getpid())]
            self._process = subprocess.Popen(  # noqa: ASYNC220 - fork and exec only; the end is awaited in a thread
                words,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(theirs.fileno(), *self._passed),
                start_new_session=True,
            )
        except OSError as error:
            mine.close()
            raise ChildFailed(f"The process {self.name} cannot be started ({error.strerror}).") from error
        finally:
            theirs.close()
        self.pid = self._process.pid
        self._ended = _end_of(self._process)
        self._line = await Line.over(mine)
        await self._line.say(config=dict(self._config()))
        try:
            async with asyncio.timeout(READY_LIMIT):
                heard = await self._line.hear()
        except TimeoutError:
            raise ChildFailed(f"The process {self.name} was not ready within {READY_LIMIT:.0f} s.") from None
        if heard is None:
            code = await self._kill()
            raise ChildFailed(f"The process {self.name} died while it started ({_cause(code)}); see its log.")
        if "refused" in heard:
            raise ChildFailed(str(heard["refused"]), int(heard.get("code", 1)))
        if self._going:
            await self._line.say(go=True)
        self._become(State.READY)

    async def _keep(self) -> None:
        """Start the child anew whenever it dies, with growing pauses while it does not last."""
        loop = asyncio.get_running_loop()
        row = 0
        begun = loop.time()
        while not self._stopping:
            assert self._ended is not None
            code = await asyncio.shield(self._ended)
            row = 0 if loop.time() - begun > LASTED else row + 1
            self._become(State.WAITING)
            log.error(
                "child died", action="supervise.died", child=self.name, cause=_cause(code), pid=self.pid
            )
            await self._kill()
            while True:
                await asyncio.sleep(BACKOFF[min(row, len(BACKOFF) - 1)])
                begun = loop.time()
                try:
                    await self._start_once()
                    break
                except ChildFailed as error:
                    row += 1
                    self._become(State.WAITING)
                    log.error(
                        "child did not start", action="supervise.failed", child=self.name, error=str(error)
                    )
                    await self._kill()
            log.info("child runs again", action="supervise.restarted", child=self.name, pid=self.pid)

    async def _kill(self) -> int | None:
        """End what may still run of this incarnation; its exit code."""
        code = None
        if self._process is not None and self._ended is not None:
            if not self._ended.done():
                self._process.kill()
            code = await asyncio.shield(self._ended)
        if self._line is not None:
            self._line.close()
            self._line = None
        self._process = None
        return code


def _cause(code: int | None) -> str:
    if code is None:
        return "unknown"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _end_of(process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """The exit code once the process has ended. A thread waits for it: no SIGCHLD handler, any event loop."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[int] = loop.create_future()

    def settle(code: int) -> None:
        if not end.done():
            end.set_result(code)

    def watch() -> None:
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may be closed when the program ends with it
            loop.call_soon_threadsafe(settle, code)

    threading.Thread(target=watch, name=f"child-{process.pid}", daemon=True).start()
    return end


class StopSignals:
    """SIGTERM, SIGINT or the end of the terminal asks to stop; a second SIGINT calls `now`, which does not come back."""

    def __init__(self, now: Callable[[], None]) -> None:
        self.asked = asyncio.Event()
        self._now = now

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.asked.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        # Whoever started us by nohup wants us to stay.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self.asked.set)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGHUP)

    def _interrupt(self) -> None:
        if self.asked.is_set():
            self._now()
        self.asked.set()


async def serve_line(
    descriptor: int,
    parent: int,
    run: Callable[
        [Mapping[str, Any], Callable[[], Awaitable[None]], asyncio.Event, asyncio.Event], Awaitable[None]
    ],
    answers: Mapping[str, Callable[[], str]],
) -> int:
    """The child's side; the exit code.

    `run(config, ready, go, stop)` opens what the child is, awaits `ready()`, works until `stop` is set, and closes. OperatorError out
    of it before `ready()` becomes the refusal.
    """
    line = await Line.over(socket.socket(fileno=descriptor))
    first = await line.hear()
    if first is None or os.getppid() != parent:
        return 1
    told = False
    go, stop = asyncio.Event(), asyncio.Event()

    async def ready() -> None:
        nonlocal told
        told = True
        await line.say(ready=True)

    async def listen() -> None:
        while (heard := await line.hear()) is not None:
            if heard.get("go"):
                go.set()
            elif (answer := answers.get(str(heard.get("ask")))) is not None:
                await line.say(answer=answer(), number=heard.get("number"))
        if os.getppid() != parent:
            os._exit(1)  # the parent is gone, and what it gave us with it

    with StopSignals(now=lambda: os._exit(130)) as signals:
        listening = asyncio.create_task(listen())
        stopping = asyncio.create_task(_follow(signals.asked, stop))
        try:
            await run(first["config"], ready, go, stop)
            return 0
        except (OperatorError, Unavailable) as error:
            if told:
                raise
            code = error.exit_code if isinstance(error, OperatorError) else UNAVAILABLE
            await line.say(refused=str(error), code=code)
            return code
        finally:
            for task in (listening, stopping):
                task.cancel()
            line.close()


async def _follow(first: asyncio.Event, then: asyncio.Event) -> None:
    await first.wait()
    then.set()
