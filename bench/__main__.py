"""`make bench`: each row is a ratio or a figure with its limit; both sides of a ratio are measured in the same run.

Three interleaved rounds, medians. Absolute figures are reported, ratios are judged: machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import client
from bench.measured import Beside, cpu_of, memory_of
from bench.world import World, email_order, sms_order

FAR = "9999-01-01T00:00:00Z"
ROUNDS = 3

PGBENCH = """\\set n random(1, 1000000000)
insert into bench_insert (reference, body) values (:n, 'Du har en ny melding i innboksen din. Logg inn for a lese den.');
"""


@dataclass
class Row:
    """One line of the result: value, limit, and the figures behind it."""

    name: str
    value: float
    unit: str
    limit: str
    met: bool | None
    figures: dict[str, Any] = field(default_factory=dict)


def median(values: list[float]) -> float:
    return statistics.median(values)


def accept_rows(world: World, seconds: int, say: Callable[[str], None]) -> list[Row]:
    """Accepted orders a second at concurrency 32, against pgbench and against a bare hello."""
    world.sql(
        "create table if not exists bench_insert (id bigserial primary key, reference bigint, body text)"
    )
    order = world.request("POST", "/notifications/api/v1/future/orders", email_order(requestedSendTime=FAR))
    world.load(order, seconds=1)
    accepted: list[dict[str, Any]] = []
    inserts: list[float] = []
    prepared: list[float] = []
    hellos: list[dict[str, Any]] = []
    with Beside("bench.hello") as hello:
        for number in range(ROUNDS):
            say(f"accept, round {number + 1} of {ROUNDS}")
            inserts.append(world.pgbench(PGBENCH, seconds))
            prepared.append(world.pgbench(PGBENCH, seconds, "-M", "prepared", "-j", "2"))
            accepted.append(world.load(order, seconds=seconds))
            hellos.append(world.load(order, port=hello.port, seconds=seconds))
    for result in accepted:
        if set(result["statuses"]) != {"201"}:
            raise SystemExit(f"accept: unexpected answers {result['statuses']}")
    rate = median([result["per_second"] for result in accepted])
    figures = {
        "orders/s": rate,
        "pgbench/s": round(median(inserts), 1),
        # The harder side: statements parsed once, two client threads.
        "pgbench -M prepared -j 2": round(median(prepared), 1),
        "ratio to that": round(rate / median(prepared), 3),
        "p50 ms": median([result["p50"] for result in accepted]),
        "generator CPU share": round(median([result["cpu"] / result["seconds"] for result in accepted]), 2),
    }
    ratio = median([result["per_second"] / insert for result, insert in zip(accepted, inserts, strict=True)])
    p99 = median([result["p99"] for result in accepted])
    bare = median(
        [result["per_second"] / hello["per_second"] for result, hello in zip(accepted, hellos, strict=True)]
    )
    return [
        Row("accept / pgbench -c 32", ratio, "", ">= 0.30", ratio >= 0.30, figures),
        Row("accept p99", p99, "ms", "<= 60", p99 <= 60),
        Row(
            "accept / bare hello", bare, "", "", None, {"hello/s": median([h["per_second"] for h in hellos])}
        ),
    ]


def drain_row(kind: str, count: int, limit: float, say: Callable[[str], None]) -> Row:
    """Messages handed over per CPU second of worker and PostgreSQL, times two cores; the sink in its own process."""
    with Beside("bench.sink", kind) as sink:
        url = (
            {"email_url": f"smtp://127.0.0.1:{sink.port}"}
            if kind == "email"
            else {"sms_url": f"link+http://u:p@127.0.0.1:{sink.port}/"}
        )
        with World(**url) as world:
            body = email_order if kind == "email" else sms_order
            say(f"drain {kind}: accepting {count} orders")
            later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            world.load(
                world.request("POST", "/notifications/api/v1/future/orders", body(requestedSendTime=later)),
                count=count,
            )
            workers, databases = world.pids("varsel.cli.child worker"), world.pids("bin/postgres")
            say(f"drain {kind}: sending")
            before = sum(map(cpu_of, workers + databases))
            worker_before = sum(map(cpu_of, workers))
            begun = time.perf_counter()
            world.run("sandbox", "clock", "advance", "2h")
            done = 0
            while done < count and time.perf_counter() - begun < 300:
                time.sleep(0.2)
                done = world.sql("select count(*) from attempt where outcome = 'accepted'")[0][0]
            seconds = time.perf_counter() - begun
            cpu = sum(map(cpu_of, workers + databases)) - before
            worker_cpu = sum(map(cpu_of, workers)) - worker_before
            if done < count:
                raise SystemExit(f"drain {kind}: {done} of {count} handed over in {seconds:.0f} s")
        received = sink.stop()
    rate = count / cpu * 2
    return Row(
        f"drain {kind}",
        rate,
        "msg / CPU s x 2",
        f">= {limit:.0f}",
        rate >= limit,
        {
            "wall msg/s": round(count / seconds),
            "worker CPU s": round(worker_cpu, 2),
            "database CPU s": round(cpu - worker_cpu, 2),
            "sink got": received,
        },
    )


def latency_row(seconds: int, say: Callable[[str], None]) -> list[Row]:
    """Due to handoff at a steady 100 orders a second, from the database's own times."""
    with Beside("bench.sink", "email") as sink, World(email_url=f"smtp://127.0.0.1:{sink.port}") as world:
        say("due to handoff at 100 orders/s")
        order = world.request("POST", "/notifications/api/v1/future/orders", email_order())
        world.load(order, rate=100, count=100 * seconds, concurrency=8)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and world.sql("select count(*) from attempt")[0][0] < 100 * seconds:
            time.sleep(0.2)
        found = world.sql(
            "select count(*), percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from a.begun_at - o.requested_at) * 1000) "
            "from attempt a join orders o on o.id = a.order_id"
        )[0]
    p50, p95, p99 = (round(value, 1) for value in found[1])
    return [
        Row(
            "due to handoff p95",
            p95,
            "ms",
            "<= 500",
            p95 <= 500,
            {"p50": p50, "p99": p99, "orders": found[0]},
        )
    ]


def start_rows(say: Callable[[str], None]) -> tuple[list[Row], World]:
    say("starting in an empty directory")
    world = World()
    rss, pss = memory_of(world.pid)
    return [
        Row("empty directory to ready", world.started_in, "s", "<= 10", world.started_in <= 10),
        Row("idle memory, PSS", pss, "MB", "<= 350", pss <= 350, {"RSS sum MB": round(rss)}),
    ], world


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="accept, client, drain, latency or start")
    parser.add_argument("--long", action="store_true", help="the long rows")
    options = parser.parse_args()
    console = Console()
    seconds, count = (10, 100_000) if options.long else (4, 20_000)
    rows: list[Row] = []
    with console.status("") as status:

        def say(text: str) -> None:
            status.update(text)

        if options.only in (None, "start", "accept"):
            started, world = start_rows(say)
            rows += started
            with world:
                if options.only in (None, "accept"):
                    rows += accept_rows(world, seconds, say)
        if options.only in (None, "drain"):
            rows.append(drain_row("email", count, 1000, say))
            rows.append(drain_row("sms", count, 1000, say))
        if options.only in (None, "client"):
            found = client.measure(say)
            ratio = found.pop("ratio")
            rows.append(
                Row("SDK / bare httpx, CPU", ratio, "", f"<= {client.LIMIT}", ratio <= client.LIMIT, found)
            )
        if options.only in (None, "latency"):
            rows += latency_row(20 if not options.long else 60, say)
    table = Table("row", "value", "limit", "", "figures")
    for row in rows:
        mark = "" if row.met is None else "met" if row.met else "NOT MET"
        shown = ", ".join(f"{name} {value}" for name, value in row.figures.items())
        table.add_row(row.name, f"{row.value:.2f} {row.unit}".strip(), row.limit, mark, shown)
    console.print(table)
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "latest.json").write_text(json.dumps([vars(row) for row in rows], indent=2))
    raise SystemExit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
