"""From due to handed over: what a message costs, alone and beside an open transaction, and what an instant one waits meanwhile.

CPU is that of worker and PostgreSQL, who share two cores; the far end, the front door and the load generator are processes of their
own. All state is kept: attempts, references, waiting for reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import asyncpg

from bench.measured import Beside, cpu_of
from bench.rows import CORES, How, Row, at_least, at_most, told
from bench.world import World, email_order, instant_sms, sms_order
from varsel.store.ids import floor_of

Kind = Literal["email", "sms"]
#: Issue targets: messages a second on two cores.
LIMIT = {"email": 2000, "sms": 2000}
#: Seconds until a drain is given up.
PATIENCE = 600


@dataclass(frozen=True, slots=True)
class Drained:
    """One drain: messages, wall seconds, CPU seconds of worker and PostgreSQL."""

    count: int
    seconds: float
    worker: float
    database: float

    @property
    def rate(self) -> float:
        """Messages a second on two cores, by CPU."""
        return self.count / (self.worker + self.database) * CORES


@contextlib.contextmanager
def sending_world(kind: Kind, **settings: str) -> Iterator[World]:
    with Beside("bench.sink", kind) as sink:
        url = (
            {"email_url": f"smtp://127.0.0.1:{sink.port}"}
            if kind == "email"
            else {"sms_url": f"link+http://u:p@127.0.0.1:{sink.port}/"}
        )
        with World(**url, **settings) as world:
            yield world


def drain(
    world: World, kind: Kind, count: int, how: How, beside: Any = None, *, minutes: int = 60
) -> Drained:
    """Accept orders for `minutes` later, move the calendar twice as far, and wait until all are handed over; `beside` is called as it
    begins.
    """
    body = email_order if kind == "email" else sms_order
    how.say(f"{kind}: accepting {count:,} orders")
    [[shift]] = world.sql("select extract(epoch from shift) from calendar")
    first = floor_of(datetime.now(UTC))
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + float(shift) + 60 * minutes))
    path = "/notifications/api/v1/future/orders"
    world.load(world.request("POST", path, body(requestedSendTime=later)), count=count)
    workers, databases = world.pids("varsel.cli.child worker"), world.pids("bin/postgres")
    how.say(f"{kind}: sending {count:,}")
    database, worker = sum(map(cpu_of, databases)), sum(map(cpu_of, workers))
    begun = time.perf_counter()
    world.run("sandbox", "clock", "advance", f"{2 * minutes}m")
    if beside is not None:
        beside()
    done = 0
    while done < count and time.perf_counter() - begun < PATIENCE:
        time.sleep(0.5)
        # Not from the queues: rows that cannot be cleaned away would make the question itself dear.
        [[done]] = world.sql(
            "select count(*) from attempt where order_id >= $1 and outcome = 'accepted'", first
        )
    seconds = time.perf_counter() - begun
    if done < count:
        raise SystemExit(f"drain {kind}: {done} of {count} handed over in {seconds:.0f} s")
    return Drained(count, seconds, sum(map(cpu_of, workers)) - worker, sum(map(cpu_of, databases)) - database)


def _row(name: str, kind: Kind, one: Drained, **more: Any) -> Row:
    return at_least(
        name,
        one.rate,
        "msg/s by CPU",
        LIMIT[kind],
        **{"wall msg/s": round(one.count / one.seconds)},
        worker_CPU_s=round(one.worker, 2),
        database_CPU_s=round(one.database, 2),
        **more,
    )


def drains(how: How) -> list[Row]:
    """E-mail, e-mail with DKIM, and SMS, each in a Varsel of its own."""
    count = how.of(20_000, 100_000)
    rows = []
    with sending_world("email") as world:
        rows.append(_row("drain email", "email", drain(world, "email", count, how)))
    for name, key in (("RSA 2048", _dkim_key()), ("Ed25519", _small_dkim_key())):
        with sending_world("email", dkim_domain="example.org", dkim_key=key) as world:
            rows.append(_row(f"drain email, DKIM ({name})", "email", drain(world, "email", count, how)))
    with sending_world("sms") as world:
        rows.append(_row("drain sms", "sms", drain(world, "sms", count, how)))
    return rows


def _dkim_key() -> str:
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048).as_pem(private=True).decode()


def _small_dkim_key() -> str:
    from joserfc.jwk import OKPKey

    return OKPKey.generate_key("Ed25519").as_pem(private=True).decode()


def held(how: How) -> list[Row]:
    """The same while another transaction stays open: dead rows cannot be cleaned away, and nothing may scan over them."""
    rows = []
    seconds = how.of(60, 600)
    for kind in ("email", "sms"):
        with sending_world(kind) as world:
            # The calendar moves at each drain, and the e-mails of the one before it come to their end: that work is part of both sides.
            # Texts, of which the far end reports nothing, would end two days later: on neither side then.
            minutes = {"email": 60, "sms": 5}[kind]
            drain(world, kind, 20_000, how, minutes=minutes)
            # Several, as one drain takes two seconds, and the cleaning of each minute falls into some of them on the other side.
            alone = [drain(world, kind, 20_000, how, minutes=minutes) for _ in range(how.of(3, 10))]
            beside: list[Drained] = []
            with OpenTransaction(world.dsn) as transaction:
                while transaction.seconds < seconds:
                    beside.append(drain(world, kind, 20_000, how, minutes=minutes))
                open_for = transaction.seconds
        rows.append(
            at_least(
                f"drain {kind}, another transaction open / none",
                _rate_of(beside) / _rate_of(alone),
                "",
                0.8,
                open_s=round(open_for),
                alone=[round(one.rate) for one in alone],
                open=[round(one.rate) for one in beside],
            )
        )
    return rows


def _rate_of(several: Sequence[Drained]) -> float:
    """Messages a second on two cores, by the CPU of them all."""
    return sum(one.count for one in several) / sum(one.worker + one.database for one in several) * CORES


class OpenTransaction:
    """Somebody's transaction that has written and does not end, on a connection and a thread of its own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hold()), daemon=True)
        self._begun = 0.0

    @property
    def seconds(self) -> float:
        """How long it has been open."""
        return time.perf_counter() - self._begun

    async def _hold(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            async with connection.transaction(isolation="repeatable_read"):
                await connection.fetchval("select pg_current_xact_id()::text")
                self._begun = time.perf_counter()
                self._ready.set()
                await asyncio.to_thread(self._over.wait)
        finally:
            await connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(30):
            raise SystemExit("no transaction could be opened")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def instant(how: How) -> list[Row]:
    """What the caller of an instant SMS waits while a large send of SMS is on its way through the same gateway."""
    count = how.of(20_000, 100_000)
    rate = 20
    with sending_world("sms") as world:
        path = "/notifications/api/v1/future/orders/instant/sms"
        request = world.request("POST", path, instant_sms())
        world.load(request, count=20, concurrency=1)
        running: list[subprocess.Popen[str]] = []

        def begin() -> None:
            running.append(world.loading(request, rate=rate, count=rate * how.of(10, 50), concurrency=16))

        drained = drain(world, "sms", count, how, beside=begin)
        found = json.loads(running[0].communicate(timeout=PATIENCE)[0])
    if set(found["statuses"]) != {"201"}:
        raise SystemExit(f"instant: unexpected answers {found['statuses']}")
    return [
        at_most(
            f"instant p99 while {count:,} SMS drain",
            found["p99"],
            "ms",
            200,
            p50=found["p50"],
            instant=found["requests"],
            instant_for_s=found["seconds"],
            drain_for_s=round(drained.seconds, 1),
        )
    ]


def raw(how: How) -> list[Row]:
    """Prepared messages over the same channel with no database at all: what the conversation itself costs."""
    count = how.of(20_000, 100_000)
    rows = []
    for name, dkim in (("raw SMTP, no database", ""), ("raw SMTP, no database, DKIM", _dkim_key())):
        how.say(name)
        with Beside("bench.sink", "email") as sink, tempfile.TemporaryDirectory() as folder:
            key = Path(folder, "key.pem")
            key.write_text(dkim)
            done = subprocess.run(
                [sys.executable, "-m", "bench.raw", str(sink.port), str(count), str(key)],
                capture_output=True,
                text=True,
                check=True,
            )
        found = json.loads(done.stdout)
        rows.append(
            told(
                name,
                count / found["cpu"] * CORES,
                "msg/s by CPU",
                **{"wall msg/s": round(count / found["seconds"])},
                CPU_s=round(found["cpu"], 2),
            )
        )
    return rows
