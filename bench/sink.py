"""The far end of the drain rows, in a process of its own: `python -m bench.sink email|sms`.

Prints its port on the first line, then lives until its standard input closes; then prints how many messages came.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime
from urllib.parse import urlsplit

import uvloop

from varsel.sandbox.gateway import SmsGateway
from varsel.sandbox.inbox import SmtpInbox


async def main(kind: str) -> None:
    received = 0

    async def count(_message: object) -> None:
        nonlocal received
        received += 1

    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(closed.set)

    far: SmtpInbox | SmsGateway
    if kind == "email":
        far = SmtpInbox("127.0.0.1", 0, count)
    else:
        # No reports: the row counts what is handed over.
        far = SmsGateway("127.0.0.1", 0, count, None, user="u", password="p", now=lambda: datetime.now(UTC))
    await far.start()
    port = far.port if isinstance(far, SmtpInbox) else urlsplit(far.url).port
    print(port, flush=True)
    threading.Thread(target=watch, daemon=True).start()
    await closed.wait()
    await far.close()
    print(received, flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
