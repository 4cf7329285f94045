"""`varsel demo`: a sandbox of its own, the tour, and then it stays for a look around."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from varsel.cli.terminal import progress
from varsel.cli.up import run, started
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import Settings
from varsel.runtime.settings_sources import load

if TYPE_CHECKING:
    from rich.console import Console

    from varsel.cli.world import World

#: Where the sandbox logs during the tour, in its data directory.
LOG = "demo.log"
#: Steps that show what goes wrong on purpose.
ODD = frozenset({"E-mail bounced", "SMS given up", "Reminder not sent"})


def demo(
    *,
    port: Annotated[int | None, Parameter(help="Port of the public listener; 0 takes a free one.")] = None,
    data: Annotated[
        Path | None, Parameter(help="Data directory to keep; a fresh one is made and removed otherwise.")
    ] = None,
    exit: Annotated[bool, Parameter(negative="", help="Leave after the tour.")] = False,  # noqa: A002
) -> int:
    with _directory(data) as directory:
        return run(_demo(load(port=port, data=str(directory)), keep=data is not None, leave=exit))


@contextlib.contextmanager
def _directory(data: Path | None) -> Iterator[Path]:
    """The directory that was named, or a fresh one that goes away at the end."""
    if data is not None:
        yield data.absolute()
        return
    from varsel.store.embedded import EmbeddedError, discard_cluster

    try:
        outer = Path(tempfile.mkdtemp(prefix="varsel-demo-"))
    except OSError as error:
        raise OperatorError(
            f"No temporary directory can be made ({error.strerror}); name one with --data."
        ) from None
    # The account that runs the database as root passes through; nothing is to be read here.
    outer.chmod(0o711)
    try:
        yield outer / "data"
    finally:
        with contextlib.suppress(EmbeddedError):
            discard_cluster(outer / "data")
        shutil.rmtree(outer, ignore_errors=True)


async def _demo(settings: Settings, *, keep: bool, leave: bool) -> int:
    from rich.console import Console

    from varsel.cli.world import World
    from varsel.runtime.logs import configure_logging
    from varsel.runtime.supervise import StopSignals
    from varsel.store.embedded import make_data_dir

    console = Console(highlight=False, soft_wrap=True)
    directory = make_data_dir(Path(settings.data))
    begun = time.monotonic()
    with (directory / LOG).open("a", encoding="utf-8") as log, progress() as shown:
        configure_logging(settings, log)
        world = World(settings, sandbox=True, say=shown, output=log.fileno())
        with StopSignals(world.end_now) as signals:
            _heading(console)
            if not await started(world.start(), signals.asked):
                return 130
            try:
                shown.done()
                _step(console, "Sandbox", f"up on {world.url} ({time.monotonic() - begun:.1f} s)")
                if not await started(_tour(world, console), signals.asked):
                    return 130
                _ending(console, world, keep=keep, leave=leave)
                if not leave:
                    await signals.asked.wait()
            finally:
                shown("Stopping")
                await world.stop()
    return 0


async def _tour(world: World, console: Console) -> None:
    from varsel.cli.tour import Tour
    from varsel.store.database import Database

    database = await Database.open(world.database_url, size=2, name="varsel-demo")
    try:
        await Tour(world.url, database, lambda step, sentence: _step(console, step, sentence)).walk()
    finally:
        await database.close()


def _heading(console: Console) -> None:
    console.print()
    console.print("[bold]Varsel[/]  messages from the key to the reminder, and what may become of them")
    console.print()


def _step(console: Console, name: str, sentence: str) -> None:
    from rich.markup import escape

    style = "green" if name.endswith("delivered") else "yellow" if name in ODD else "cyan"
    console.print(f"  [{style}]{name:<22}[/] {escape(sentence)}")


def _ending(console: Console, world: World, *, keep: bool, leave: bool) -> None:
    console.print()
    if leave:
        console.print("Everything ended as it should.")
        return
    console.print("Everything ended as it should. The sandbox stays up:")
    console.print()
    for name, path in (
        ("Inbox", "/console/inbox"),
        ("Messages as JSON", "/sandbox/api/messages"),
        ("API description", "/swagger"),
        ("Health", "/health/ready"),
    ):
        console.print(f"  {name:<22} {world.url}{path}")
    console.print(f"  {'Data directory':<22} {world.place.data}")
    console.print(f"  {'A token':<22} varsel dev token --data {world.place.data}")
    console.print()
    console.print("Ctrl-C stops it" + ("." if keep else " and removes its data directory."))
