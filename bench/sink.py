"""The far end of the drain rows, in a process of its own: `python -m bench.sink email|sms`.

Prints its port on the first line, then lives until its standard input closes; then prints how many messages came.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import uvloop


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

    if kind == "email":
        from varsel.sandbox.inbox import SmtpInbox

        far = SmtpInbox("127.0.0.1", 0, count, None)
    else:
        from varsel.sandbox.gateway import SmsGateway

        far = SmsGateway("127.0.0.1", 0, count, "", "", "")
    await far.start()
    print(far.port, flush=True)
    threading.Thread(target=watch, daemon=True).start()
    await closed.wait()
    await far.stop()
    print(received, flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
