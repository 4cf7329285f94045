"""`varsel up`: everything on this machine, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from varsel.cli.terminal import progress, say
from varsel.runtime.settings import Settings
from varsel.runtime.settings_sources import load

MOST_DESCRIPTORS: Final = 1_048_576


def up(
    *,
    port: Annotated[int | None, Parameter(help="Port of the public listener; 0 takes a free one.")] = None,
    host: Annotated[str | None, Parameter(help="Address it binds (not in a sandbox).")] = None,
    data: Annotated[Path | None, Parameter(help="Data directory.")] = None,
    sandbox: Annotated[
        bool,
        Parameter(
            negative="",
            help="A world to test in: loopback only, an inbox and a gateway of its own, a movable calendar.",
        ),
    ] = False,
    workers: Annotated[int | None, Parameter(help="Worker processes.")] = None,
) -> int:
    settings = load(port=port, host=host, data=None if data is None else str(data), workers=workers)
    return run(_up(settings, sandbox=sandbox))


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine on uvloop; its exit code."""
    try:
        import uvloop
    except ModuleNotFoundError:
        work.close()  # the platform is not installed; the sentence about that is enough
        raise

    take_all_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def take_all_descriptors() -> None:
    """Raise the soft limit of open files to the hard one: each caller that keeps a connection takes one, and the usual 1,024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A boundless one is more than the kernel gives.
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if wanted > soft != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _up(settings: Settings, *, sandbox: bool) -> int:
    from varsel.cli.world import World
    from varsel.runtime.logs import configure_logging
    from varsel.runtime.supervise import StopSignals

    configure_logging(settings)
    with progress() as shown:
        world = World(settings, sandbox=sandbox, say=shown)
        with StopSignals(world.end_now) as signals:
            if not await started(world.start(), signals.asked):
                return 128 + signal.SIGINT
            shown.done()
            say(f"Varsel answers on {world.url}" + (" (sandbox)" if sandbox else ""))
            await signals.asked.wait()
            shown("Stopping: finishing what is in hand")
            await world.stop()
    return 0


async def started(start: Coroutine[Any, Any, None], asked: asyncio.Event) -> bool:
    """Whether the start came to its end before somebody asked to stop."""
    starting = asyncio.create_task(start)
    stopping = asyncio.create_task(asked.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    from varsel.runtime.tasks import end

    await end(starting)
    return False
