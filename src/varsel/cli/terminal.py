"""Words for the person at the terminal: results on standard output, progress and refusals on standard error."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

#: What takes less than this is not worth a word.
PATIENCE: Final = 1.0  # seconds


def say(text: str = "") -> None:
    """One line of result."""
    print(text, flush=True)


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    with contextlib.suppress(OSError, ValueError):
        print(sentence, file=sys.stderr, flush=True)


class Progress:
    """What is going on, shown once it has taken more than a second: a spinner on a terminal, a line elsewhere.

    Call it with the sentence of each step; needs a running event loop.
    """

    def __init__(self) -> None:
        self._sentence = ""
        self._timer: asyncio.TimerHandle | None = None
        self._status: Any = None

    def __call__(self, sentence: str) -> None:
        self._sentence = sentence
        if self._status is not None:
            self._status.update(sentence)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._show)

    def done(self) -> None:
        """Take the spinner away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _show(self) -> None:
        self._timer = None
        if not sys.stderr.isatty():
            complain(f"{self._sentence} …")
            return
        from rich.console import Console
        from rich.status import Status

        self._status = Status(self._sentence, console=Console(stderr=True))
        self._status.start()


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    shown = Progress()
    try:
        yield shown
    finally:
        shown.done()


@contextlib.contextmanager
def waiting(sentence: str) -> Iterator[None]:
    """A spinner on standard error while blocking code waits; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.status import Status

    with Status(sentence, console=Console(stderr=True)):
        yield


def spell(seconds: float) -> str:
    """A duration in words: `7 days`, `1 day 12 hours`, `0 seconds`."""
    left = int(abs(seconds))
    words = []
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(words) or "0 seconds"
