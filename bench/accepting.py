"""Starting, accepting orders, and how soon they leave."""

from __future__ import annotations

import time
from typing import Any

from bench.measured import Beside, memory_of
from bench.rows import How, Row, at_least, at_most, median, told
from bench.world import World, email_order

FAR = "9999-01-01T00:00:00Z"
ROUNDS = 3

PGBENCH = """\\set n random(1, 1000000000)
insert into bench_insert (reference, body) values (:n, 'Du har en ny melding i innboksen din. Logg inn for a lese den.');
"""


def start(how: How) -> list[Row]:
    """An empty directory to the first answer, and what everything holds when it has nothing to do."""
    how.say("starting in an empty directory")
    with World() as world:
        time.sleep(12)  # idle is when the connections of the start have been given back
        rss, pss = memory_of(world.pid)
        return [
            at_most("empty directory to ready", world.started_in, "s", 10),
            at_most("idle memory, PSS", pss, "MB", 350, RSS_sum_MB=round(rss)),
        ]


def accept(how: How) -> list[Row]:
    """Accepted orders a second at concurrency 32, against pgbench and against a bare hello."""
    seconds = how.of(4, 10)
    accepted: list[dict[str, Any]] = []
    inserts: list[float] = []
    prepared: list[float] = []
    hellos: list[dict[str, Any]] = []
    with World() as world, Beside("bench.hello") as hello:
        world.sql(
            "create table if not exists bench_insert (id bigserial primary key, reference bigint, body text)"
        )
        order = world.request(
            "POST", "/notifications/api/v1/future/orders", email_order(requestedSendTime=FAR)
        )
        world.load(order, seconds=1)
        for number in range(ROUNDS):
            how.say(f"accept, round {number + 1} of {ROUNDS}")
            inserts.append(world.pgbench(PGBENCH, seconds))
            prepared.append(world.pgbench(PGBENCH, seconds, "-M", "prepared", "-j", "2"))
            accepted.append(world.load(order, seconds=seconds))
            hellos.append(world.load(order, port=hello.port, seconds=seconds))
    for result in accepted:
        if set(result["statuses"]) != {"201"}:
            raise SystemExit(f"accept: unexpected answers {result['statuses']}")
    figures = {
        "orders/s": median([result["per_second"] for result in accepted]),
        "pgbench/s": round(median(inserts), 1),
        # The harder side: statements parsed once, two client threads.
        "pgbench_-M_prepared_-j_2": round(median(prepared), 1),
        "p50_ms": median([result["p50"] for result in accepted]),
        "generator_CPU_share": round(median([result["cpu"] / result["seconds"] for result in accepted]), 2),
    }
    ratio = median([result["per_second"] / insert for result, insert in zip(accepted, inserts, strict=True)])
    bare = median(
        [result["per_second"] / hello["per_second"] for result, hello in zip(accepted, hellos, strict=True)]
    )
    return [
        at_least("accept / pgbench -c 32", ratio, "", 0.30, **figures),
        at_most("accept p99", median([result["p99"] for result in accepted]), "ms", 60),
        told("accept / bare hello", bare, "", **{"hello/s": median([one["per_second"] for one in hellos])}),
    ]


def latency(how: How) -> list[Row]:
    """Due to handoff at a steady 100 orders a second, from the database's own times."""
    count = 100 * how.of(20, 60)
    with Beside("bench.sink", "email") as sink, World(email_url=f"smtp://127.0.0.1:{sink.port}") as world:
        how.say("due to handoff at 100 orders/s")
        order = world.request("POST", "/notifications/api/v1/future/orders", email_order())
        world.load(order, rate=100, count=count, concurrency=8)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and world.sql("select count(*) from attempt")[0][0] < count:
            time.sleep(0.2)
        found = world.sql(
            "select count(*), percentile_cont(array[0.5, 0.95, 0.99]) within group (order by extract(epoch from a.begun_at - o.requested_at) * 1000) "
            "from attempt a join orders o on o.id = a.order_id"
        )[0]
    p50, p95, p99 = (round(value, 1) for value in found[1])
    return [at_most("due to handoff p95", p95, "ms", 500, p50=p50, p99=p99, orders=found[0])]
