"""Tokens: issue and exchange over HTTP with durable commits, and what the check of a known token costs an API call."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import RSAKey

from bench.measured import cpu_of, own_cpu_of
from bench.rows import CORES, How, Row, at_least, at_most
from bench.world import World
from varsel.cli.base import Base, Ground
from varsel.identity.registry import create_client, put_keys
from varsel.identity.room import IdentityRoom
from varsel.runtime.clock import SystemMachine
from varsel.runtime.endpoints import ANONYMOUS, Call, Policy
from varsel.runtime.settings import Settings
from varsel.runtime.trace import Trace
from varsel.store.database import Database

SCOPE = "altinn:serviceowner/notifications.create"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def tokens(how: How) -> list[Row]:
    """RSA 2048 throughout; every grant and every exchanged token is a different one."""
    count = how.of(3000, 10_000)
    with World(access_log="false", token_rate="0") as world:
        how.say(f"signing {count:,} grants")
        grants = asyncio.run(_grants(world, count))
        issue, issued = _measured(world, grants, how, "issuing tokens")
        bearers = [json.loads(body)["access_token"] for body in issued]
        path = "/authentication/api/v1/exchange/maskinporten"
        exchanges = [world.request("GET", path, token=token) for token in bearers]
        exchange, exchanged = _measured(world, exchanges, how, "exchanging tokens")
        how.say("checking a known token")
        check = asyncio.run(_check(world, exchanged[0].strip().strip('"')))
    return [
        at_least("token issue", issue.pop("rate"), "/s by CPU", 1000, **issue),
        at_least("token exchange", exchange.pop("rate"), "/s by CPU", 1000, **exchange),
        at_most("check of a known token", check, "µs", 15),
    ]


def _measured(world: World, requests: list[bytes], how: How, what: str) -> tuple[dict[str, Any], list[str]]:
    """Send each request once, at concurrency 32; rate by CPU of the front door and PostgreSQL, and the bodies."""
    how.say(what)
    databases = world.pids("bin/postgres")

    def used() -> float:
        return own_cpu_of(world.pid) + sum(map(cpu_of, databases))

    with tempfile.TemporaryDirectory() as folder:
        source, bodies = Path(folder, "requests"), Path(folder, "bodies")
        source.write_text(json.dumps([base64.b64encode(one).decode() for one in requests]))
        before = used()
        found = world.load(b"", requests=str(source), count=len(requests), bodies=str(bodies))
        cpu = used() - before
        told = [base64.b64decode(one).decode() for one in json.loads(bodies.read_text())]
    if set(found["statuses"]) != {"200"}:
        refused = [body for body in told if '"error"' in body][:1]
        raise SystemExit(f"{what}: unexpected answers {found['statuses']} {refused}")
    rate = found["requests"] / cpu * CORES
    figures = {"rate": rate, "wall /s": found["per_second"], "p99_ms": found["p99"], "CPU_s": round(cpu, 2)}
    return figures, told


async def _grants(world: World, count: int) -> list[bytes]:
    key = await asyncio.to_thread(
        RSAKey.generate_key, 2048, {"kid": "bench", "use": "sig", "alg": "RS256"}, auto_kid=False
    )
    database = await Database.open(world.dsn, size=2, name="bench")
    machine = SystemMachine()
    try:
        client = await create_client(
            database, machine, organisation="312718286", name="Bench", scopes=[SCOPE]
        )
        await put_keys(database, machine, client, {"keys": [key.as_dict(private=False)]})
    finally:
        await database.close()
    now = int(time.time())
    found = []
    for _ in range(count):
        claims = {
            "aud": f"http://127.0.0.1:{world.port}/maskinporten/",
            "iss": str(client),
            "scope": SCOPE,
            "iat": now,
            "exp": now + 115,
            "jti": str(uuid4()),
        }
        assertion = jwt.encode({"alg": "RS256", "kid": "bench"}, claims, key)
        form = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        head = (
            f"POST /maskinporten/token HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
        )
        found.append(head.encode() + form)
    return found


async def _check(world: World, token: str) -> float:
    """Microseconds of one authorization with a token that was seen before, the least of five rounds."""
    ground = Ground(world.dsn, None, str(world.data / "master.key"), sandbox=True)
    settings = Settings(port=world.port)
    base = await Base.open(settings, ground, name="bench")
    room = await IdentityRoom.open(
        settings, base.database, base.machine, base.master_key, sandbox=True, listener=base.listener
    )

    async def never() -> None:
        await asyncio.Event().wait()

    call = Call(
        "POST", "/", {}, b"", {b"authorization": [b"Bearer " + token.encode()]}, b"", ANONYMOUS, Trace(), {}, never
    )  # fmt: skip
    try:
        return min([await _round(lambda: room.authorizer.authorize(Policy.CREATE, call)) for _ in range(5)])
    finally:
        await room.close()
        await base.close()


async def _round(once: Callable[[], Any]) -> float:
    times = 20_000
    await once()
    begun = time.process_time()
    for _ in range(times):
        await once()
    return (time.process_time() - begun) / times * 1e6
