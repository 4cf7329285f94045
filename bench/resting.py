"""A large order, and nothing to do."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.measured import cpu_of
from bench.rows import How, Row, at_most
from bench.world import World

RECIPIENTS = 10_000


def _memory(pid: int, what: str) -> float:
    """MB of a process: VmRSS now, VmHWM at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {what} of {pid}")


def plan(how: How) -> list[Row]:
    """An order to 10,000 numbers, planned at night: its SMS wait for the morning, so that planning alone is measured."""
    with World() as world:
        oslo = ZoneInfo("Europe/Oslo")
        now = datetime.now(UTC)
        at = (now + timedelta(days=1)).astimezone(oslo).replace(hour=22, minute=0, second=0, microsecond=0)

        def order(number: int, moment: datetime) -> None:
            body = {
                "sendersReference": "bench-plan",
                "requestedSendTime": moment.isoformat(),
                "body": "Du har en ny melding.",
                "recipients": [{"mobileNumber": f"+479{n:07}"} for n in range(number)],
            }
            headers = {"Authorization": f"Bearer {world.token}", "Content-Type": "application/json"}
            address = f"http://127.0.0.1:{world.port}/notifications/api/v1/orders/sms"
            request = urllib.request.Request(address, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                if answer.status != 202:
                    raise SystemExit(f"plan: unexpected answer {answer.status}")

        # One beforehand, so that code and connections are warm and only the order itself is counted.
        for number, moment in ((50, at), (RECIPIENTS, at + timedelta(hours=1))):
            order(number, moment)
        [worker] = world.pids("varsel.cli.child worker")
        how.say("planning an order to 10,000")
        hours = int((at - now.astimezone(oslo)).total_seconds() // 60) + 2
        world.run("sandbox", "clock", "advance", f"{hours}m")
        _until(world, 50)
        Path(f"/proc/{worker}/clear_refs").write_text("5")
        before = _memory(worker, "VmRSS")
        cpu, begun = cpu_of(worker), time.perf_counter()
        world.run("sandbox", "clock", "advance", "1h")
        called = time.perf_counter() - begun
        _until(world, RECIPIENTS + 50)
        seconds = time.perf_counter() - begun
        extra = _memory(worker, "VmHWM") - before
        cpu = cpu_of(worker) - cpu
    return [
        at_most(
            "plan of 10,000 recipients",
            seconds,
            "s",
            5,
            of_it_the_command_that_moves_the_clock_s=round(called, 1),
            worker_CPU_s=round(cpu, 2),
        ),
        at_most("plan of 10,000 recipients, extra memory", extra, "MB", 50, before_MB=round(before)),
    ]


def _until(world: World, number: int) -> None:
    deadline = time.monotonic() + 60
    while world.sql("select count(*) from notification")[0][0] < number:
        if time.monotonic() > deadline:
            raise SystemExit("plan: not within 60 s")
        time.sleep(0.05)


def idle(how: How) -> list[Row]:
    """A worker with nothing to do, as a share of one core."""
    seconds = how.of(20, 60)
    with World() as world:
        how.say("letting it settle")
        time.sleep(5)
        workers, databases = world.pids("varsel.cli.child worker"), world.pids("bin/postgres")
        how.say(f"{seconds} s of nothing")
        before, database = sum(map(cpu_of, workers)), sum(map(cpu_of, databases))
        time.sleep(seconds)
        share = (sum(map(cpu_of, workers)) - before) / seconds * 100
        beside = (sum(map(cpu_of, databases)) - database) / seconds * 100
    return [at_most("idle worker", share, "% of a core", 1, database_percent=round(beside, 2))]
