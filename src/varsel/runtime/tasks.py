"""Ending tasks of the event loop, for good."""

from __future__ import annotations

import asyncio
from typing import Any, Final

#: Seconds after which a task that goes on in spite of its cancellation is cancelled again.
_AGAIN: Final = 0.5


async def end(*tasks: asyncio.Future[Any] | None) -> None:
    """Cancel tasks (None is none) and return when all have ended, however they end.

    Once is not enough: a cancellation that arrives with the end of a time limit (a connection just made by the driver, `wait_for`
    before Python 3.12) is swallowed there, and who waits for the task then waits for ever. What a task failed with stays in it.
    """
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN)
