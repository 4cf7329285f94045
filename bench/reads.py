"""Reads stay flat: a store of a million orders beside one of a thousand, asked in turn.

The orders are put there by set-based statements on the bench's own servers, as they stand after they have completed and been fed.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from bench.rows import How, Row, at_most, median
from bench.world import World
from varsel.delivery.entry import feed_entry
from varsel.store.content import EmailText, OrderContent, Recipient, encode

FEW, MANY = 1_000, 1_000_000
ROUNDS: Final = 5
#: Different requests of one kind: more than a page of the feed, few enough to prepare.
SAMPLE: Final = 2_000
CONCURRENCY: Final = 8
RATIO, P99 = 1.5, 30.0

_ID = UUID("01900000-0000-7000-8000-0123456789ab")
_REFERENCE = "@reference@"
_CONTENT = encode(
    OrderContent(
        (Recipient(email="kari@example.org"),),
        email=EmailText(
            "noreply@varsel.example.org", "Ny melding", "Du har fått en ny melding i innboksen din."
        ),
    )
)
_ENTRY = feed_entry(
    order_id=_ID,
    kind="Notification",
    senders_reference=_REFERENCE,
    state="Completed",
    ended_at=datetime(2031, 3, 14, 8, 0, 41, 500_000, tzinfo=UTC),
    recipients=[("Email", "kari@example.org", "Delivered", datetime(2031, 3, 14, 8, 0, 41, tzinfo=UTC))],
).decode()

#: Statement and arguments, for the orders numbered in `seeded`.
_SEED: Final[Sequence[tuple[str, tuple[Any, ...]]]] = (
    (
        "insert into orders (id, chain_id, creator, kind, channel, sending_policy, senders_reference, requested_at, created_at, state, "
        "state_at, ended_at) select id, id, 'ttd', 'Notification', 'Email', 'Anytime', reference, at, at, 'Completed', at, at "
        "from seeded cross join lateral (select uuid_extract_timestamp(id) as at)",
        (),
    ),
    ("insert into order_content (order_id, content) select id, $1 from seeded", (_CONTENT,)),
    (
        "insert into notification (order_id, id, creator, channel, position, recipient_kind, address, status, rank, status_at, expires_at) "
        "select id, gen_random_uuid(), 'ttd', 'Email', 0, 'direct', 'kari@example.org', 'Delivered', 40, at, at + interval '48 hours' "
        "from seeded cross join lateral (select uuid_extract_timestamp(id) as at)",
        (),
    ),
    ("insert into fed (order_id) select id from seeded", ()),
    (
        "insert into feed (seq, creator, order_id, created_at, entry) select n, 'ttd', id, uuid_extract_timestamp(id), "
        "convert_to(replace(replace($1, $2, id::text), $3, reference), 'UTF8') from seeded",
        (_ENTRY, str(_ID), _REFERENCE),
    ),
)  # fmt: skip


async def _seed_part(dsn: str, first: int, last: int, count: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        # Losing it with the machine would do no harm.
        await connection.execute("set synchronous_commit = off")
        # Spread over the last three weeks, in the order of their numbers.
        await connection.execute(
            "create temp table seeded as select n, uuidv7(interval '21 days' * (n / "
            f"{count}.0 - 1)) as id, 'bench-' || n as reference from generate_series({first}, {last}) n"
        )
        for statement, arguments in _SEED:
            await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def _seed(dsn: str, count: int) -> None:
    middle = count // 2
    await asyncio.gather(
        _seed_part(dsn, 1, middle, count),
        _seed_part(dsn, middle + 1, count, count),
    )
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("update feed_counter set last = $1", count)
        for table in ("orders", "order_content", "notification", "fed", "feed"):
            await connection.execute(f"vacuum (analyze) {table}")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


def _requests(world: World, count: int) -> dict[str, list[bytes]]:
    """Prepared requests of each row, at places spread over the whole store."""
    chance = random.Random(17)
    numbers = [chance.randrange(1, count + 1) for _ in range(SAMPLE)]
    found = world.sql(
        "select order_id from feed where creator = 'ttd' and seq = any($1::bigint[])", sorted(set(numbers))
    )
    ids = [row[0] for row in found]
    pages = [chance.randrange(0, count - 500) for _ in range(SAMPLE)]
    base = "/notifications/api/v1"
    return {
        "shipment by id": [world.request("GET", f"{base}/future/shipment/{one}") for one in ids],
        "feed page of 500": [
            world.request("GET", f"{base}/future/shipment/feed?seq={one}&pageSize=500") for one in pages
        ],
        "order status": [world.request("GET", f"{base}/orders/{one}/status") for one in ids],
    }


def reads(how: How) -> list[Row]:
    """Medians of interleaved rounds; their ratio, and the 99th percentile with many orders, are judged."""
    with World() as small, World() as large, tempfile.TemporaryDirectory() as folder:
        stores = ((small, FEW), (large, MANY))
        files: dict[tuple[str, int], Path] = {}
        for world, count in stores:
            how.say(f"reads: putting {count:,} orders into a store")
            asyncio.run(_seed(world.dsn, count))
            for name, requests in _requests(world, count).items():
                path = Path(folder) / f"{name}-{count}.json"
                path.write_text(json.dumps([base64.b64encode(one).decode() for one in requests]))
                files[name, count] = path
        names = sorted({name for name, _ in files})
        times: dict[tuple[str, int], list[dict[str, Any]]] = {key: [] for key in files}
        for number, name in itertools.product(range(-1, ROUNDS), names):
            for world, count in stores:
                how.say(f"reads: {name} among {count:,}, round {max(number, 0) + 1} of {ROUNDS}")
                result = world.load(
                    b"",
                    requests=str(files[name, count]),
                    concurrency=CONCURRENCY,
                    seconds=how.of(2, 5) if number >= 0 else 0.5,
                )
                if set(result["statuses"]) != {"200"}:
                    raise SystemExit(f"{name}: unexpected answers {result['statuses']}")
                if number >= 0:  # the first round warms both up
                    times[name, count].append(result)
    rows = []
    for name in names:
        few, lots = times[name, FEW], times[name, MANY]
        ratio = median([b["p50"] / a["p50"] for a, b in zip(few, lots, strict=True)])
        figures = {
            f"p50 ms among {FEW:,}": median([one["p50"] for one in few]),
            f"p50 ms among {MANY:,}": median([one["p50"] for one in lots]),
            "per second": median([one["per_second"] for one in lots]),
        }
        rows.append(at_most(f"{name}, {MANY:,} / {FEW:,} orders", ratio, "", RATIO, **figures))
        rows.append(at_most(f"{name}, p99", median([one["p99"] for one in lots]), "ms", P99))
    return rows
