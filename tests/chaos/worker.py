"""A worker process for the chaos suite: `python -m tests.chaos.worker DATABASE_URL SMTP_PORT SMS_URL`.

The calendar's shift is read from the table `calendar` a few times a second, so that a test can move the time of a
worker that runs. VARSEL_FAULT_STEP arms a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from tests.engine.fakes import NoOutbound
from varsel.channels.registry import open_channels
from varsel.delivery.room import Worker
from varsel.runtime.clock import ShiftedCalendar, SystemMachine
from varsel.runtime.errors import Unavailable
from varsel.runtime.settings import Settings
from varsel.store.database import BY_INDEX, Database, Listener
from varsel.store.secrets import MasterKey


async def main(url: str, smtp_port: str, sms_url: str) -> None:
    machine = SystemMachine()
    calendar = ShiftedCalendar(machine)
    database = await Database.open(url, name="chaos-worker", planner=BY_INDEX)
    listener = Listener(url)
    # What was sent is counted at the end, after the calendar has gone through a year.
    kept = dict.fromkeys(("keep_feed_days", "keep_text_days", "keep_identity_days"), 1000)
    settings = Settings(unknown_settle_seconds=0.3, stop_seconds=5, smtp_connections=4, **kept)
    channels = open_channels(f"smtp://127.0.0.1:{smtp_port}", sms_url, calendar.now, smtp_connections=4)
    calendar.shift = await database.fetchval("select shift from calendar")
    worker = Worker(
        settings,
        database,
        listener,
        calendar,
        machine,
        MasterKey(bytes(32)),
        channels,
        None,  # type: ignore[arg-type]  # no order here needs a register
        NoOutbound(),
    )
    listener.start()
    await worker.start()
    print("works", flush=True)  # noqa: T201 - for whoever waits for it
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    while not stop.is_set():
        with contextlib.suppress(Unavailable):
            calendar.shift = await database.fetchval("select shift from calendar")
        try:
            async with asyncio.timeout(0.2):
                await stop.wait()
        except TimeoutError:
            continue
    await worker.stop()
    for channel in channels:
        await channel.close()
    await listener.stop()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
