"""What every role stands on: database, wake-ups, both clocks and the master key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from varsel.runtime.clock import ShiftedCalendar, SystemMachine
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import BY_NAME, Settings
from varsel.sandbox import clock
from varsel.sandbox.clock import FollowedCalendar
from varsel.store.database import BY_INDEX, Database, Listener
from varsel.store.secrets import MasterKey

SEALED = "select exists (select from signing_key)"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the store and the master key are; enough, with the settings, to open a role in another process."""

    url: str
    direct_url: str | None
    master_key: str
    sandbox: bool

    def as_config(self, settings: Settings) -> dict[str, Any]:
        """All of it as JSON values, for `varsel.runtime.supervise`."""
        return {"ground": asdict(self), "settings": {name: getattr(settings, name) for name in BY_NAME}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> tuple[Ground, Settings]:
        return cls(**config["ground"]), Settings(**config["settings"])


class Base:
    """The open resources of one process. Close it last."""

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        database: Database,
        *,
        listener: Listener,
        master_key: MasterKey,
        calendar: ShiftedCalendar,
    ) -> None:
        self.settings = settings
        self.sandbox = ground.sandbox
        self.database = database
        self.listener = listener
        self.master_key = master_key
        self.machine = SystemMachine()
        self.calendar = calendar

    @classmethod
    async def open(cls, settings: Settings, ground: Ground, *, name: str, queues: bool = False) -> Base:
        """Connect and read the calendar; `queues` for a process that works on queues. DatabaseUnavailable or OperatorError when
        something is not as it must be.
        """
        database = await Database.open(
            ground.url,
            direct_url=ground.direct_url,
            size=settings.database_pool,
            name=f"varsel-{name}",
            planner=BY_INDEX if queues else {},
        )
        try:
            key = await _master_key(database, Path(ground.master_key))
            listener = Listener(database.direct_url)
            calendar = await _calendar(database, listener, sandbox=ground.sandbox)
        except BaseException:
            await database.close()
            raise
        return cls(settings, ground, database, listener=listener, master_key=key, calendar=calendar)

    def start(self) -> None:
        """Begin to listen, after every room has said what it listens for."""
        self.listener.start()

    async def close(self) -> None:
        if isinstance(self.calendar, FollowedCalendar):
            await self.calendar.close()
        await self.listener.stop()
        await self.database.close()


async def _calendar(database: Database, listener: Listener, *, sandbox: bool) -> ShiftedCalendar:
    """The calendar of this process: in a sandbox it follows the one in the database, elsewhere it is the machine's."""
    await clock.claim(database, sandbox=sandbox)
    if not sandbox:
        return ShiftedCalendar(SystemMachine())
    calendar = await FollowedCalendar.open(SystemMachine(), database, listener)
    # Rooms heard the announcement too, perhaps before this process knew the new time: they look again now.
    calendar.on_change(lambda: listener.tell(clock.TOPIC))
    return calendar


async def _master_key(database: Database, path: Path) -> MasterKey:
    """The key in the file. A new one is made only where nothing is sealed yet: two keys on one database read nothing of each other."""
    if not await asyncio.to_thread(path.exists) and await database.fetchval(SEALED):
        raise OperatorError(
            f"The master key {path} is missing, and the database holds secrets sealed with one; "
            "copy it from where the database was used first, or name it in VARSEL_MASTER_KEY_FILE."
        )
    return MasterKey.load(path, create=True)
