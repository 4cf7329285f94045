"""Messages over the SMTP channel with nothing behind it: `python -m bench.raw PORT COUNT KEY_FILE`; prints seconds and CPU seconds."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import uvloop

from varsel.channels.email.dkim_signing import Signer
from varsel.channels.model import Accepted, EmailMessage, Message, Outcome
from varsel.channels.registry import open_channels
from varsel.store.ids import uuid7

BATCH = 500


def now() -> datetime:
    return datetime.now(UTC)


async def main(port: str, count: int, pem: str) -> None:
    sign = Signer("example.org", "bench", pem, now) if pem else None
    [channel] = open_channels(f"smtp://127.0.0.1:{port}", "", now, sign=sign)
    expires = now() + timedelta(days=2)
    text = "Du har fått en ny melding i innboksen din. Logg inn for å lese den."
    messages = [
        EmailMessage(uuid7(), uuid7(), "noreply@example.org", "kari@example.org", "Ny melding", text, False, expires)
        for _ in range(count)
    ]  # fmt: skip
    taken = 0

    async def intend(group: Sequence[Message]) -> frozenset[UUID]:
        return frozenset(one.attempt_id for one in group)

    def settle(message: Message, outcome: Outcome) -> None:
        nonlocal taken
        taken += isinstance(outcome, Accepted)

    usage = resource.getrusage(resource.RUSAGE_SELF)
    before, begun = usage.ru_utime + usage.ru_stime, time.perf_counter()
    for start in range(0, count, BATCH):
        await channel.send(messages[start : start + BATCH], intend, settle)
    seconds = time.perf_counter() - begun
    usage = resource.getrusage(resource.RUSAGE_SELF)
    await channel.close()
    if taken < count:
        raise SystemExit(f"{taken} of {count} taken")
    print(json.dumps({"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime - before}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_text()))
