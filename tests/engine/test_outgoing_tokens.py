"""What a far end that callers name gets to see: a token for itself alone, never the platform's (docs/reference/identity.md 6.7)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.engine.conftest import NOON, MakeWorker
from tests.engine.fakes import FakeChannel
from tests.engine.seed import place
from tests.support.polling import until
from varsel.cli.roles import registers_of
from varsel.identity.altinn.claims import wants_code
from varsel.identity.keys import KeyRing
from varsel.identity.outgoing import ConditionTokens, PlatformToken
from varsel.identity.platform.tokens import PlatformTokens
from varsel.runtime.clock import ManualClock, SystemMachine
from varsel.runtime.outbound import GuardedClient
from varsel.runtime.settings import Settings
from varsel.store.database import Database, DatabaseUnavailable
from varsel.store.secrets import MasterKey

SETTINGS = Settings(public_url="https://varsel.example")
KEY = MasterKey(bytes(32))


class FarEnd:
    """An address that keeps the headers of every question."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answer: Any = {"sendNotification": True}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path_qs)
        return web.json_response(self.answer)


@pytest.fixture
async def far_end() -> AsyncIterator[FarEnd]:
    end = FarEnd()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", end.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    end.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    yield end
    await runner.cleanup()


async def test_a_condition_gets_a_token_for_itself(
    database: Database, far_end: FarEnd, make_worker: MakeWorker
) -> None:
    machine = SystemMachine()
    tokens = ConditionTokens(SETTINGS, database, machine, KEY)
    client = GuardedClient(machine, sandbox=True)
    email = FakeChannel()
    await make_worker(email, outbound=client, condition_token=tokens.token)
    for number in range(2):
        await place(
            database,
            f"u{number}@example.org",
            requested_at=NOON,
            condition_endpoint=f"{far_end.url}/ask?n={number}",
        )
    await until(lambda: len(email.handed) == 2)
    assert sorted(far_end.paths) == ["/ask?n=0", "/ask?n=1"]
    scheme, _, token = far_end.headers[0]["authorization"].partition(" ")
    assert scheme == "Bearer"
    assert (
        far_end.headers[1]["authorization"] == far_end.headers[0]["authorization"]
    )  # of one origin: used again
    assert not {"platformaccesstoken", "cookie", "ocp-apim-subscription-key"} & far_end.headers[0].keys()
    ring = await KeyRing.open(database, machine, KEY)
    read = jwt.decode(token, KeySet.import_key_set(json.loads(ring.jwks("maskinporten"))))
    assert read.claims["scope"] == "altinn:system/notifications.condition.check"
    assert read.claims["iss"] == "https://varsel.example/maskinporten/"
    assert read.claims["aud"] == far_end.url
    assert read.claims["exp"] - read.claims["iat"] == 120
    # Shown to our own exchange it gives no service owner, without which the API lets nobody in.
    assert not wants_code(read.claims)
    await ring.close()
    await tokens.close()
    await client.close()


async def test_each_origin_has_its_own_token_and_no_other_keys_are_used(database: Database) -> None:
    clock = ManualClock(NOON)
    tokens = ConditionTokens(SETTINGS, database, clock, KEY)
    first = await tokens.token("https://a.example/x")
    assert await tokens.token("https://A.example/y?z=1") == first
    assert await tokens.token("https://b.example/x") != first
    clock.advance(timedelta(seconds=61))
    assert await tokens.token("https://a.example/x") != first
    await tokens.close()
    assert (
        await ConditionTokens(Settings(identity_mode="altinn"), database, clock, KEY).token(
            "https://a.example/"
        )
        is None
    )


async def test_without_a_token_nobody_is_asked(
    database: Database, days: Any, make_worker: MakeWorker
) -> None:
    """A database that is away while the token is made is not the caller's inconclusive answer."""

    class Outbound:
        asked = 0

        async def get(self, url: str, **_: Any) -> Any:
            self.asked += 1
            return SimpleNamespace(status=200, body=b'{"sendNotification": true}')

    tried: list[str] = []

    async def broken(url: str) -> str | None:
        tried.append(url)
        raise DatabaseUnavailable

    outbound, email = Outbound(), FakeChannel()
    await make_worker(email, outbound=outbound, condition_token=broken)
    await place(
        database, "kari@example.org", requested_at=NOON, condition_endpoint="https://condition.example/"
    )
    await until(lambda: tried)
    assert (outbound.asked, email.handed) == (0, [])
    assert not await database.fetchval("select asked from due")


async def test_the_name_register_gets_the_platforms_token(database: Database, far_end: FarEnd) -> None:
    far_end.answer = {
        "partyNames": [{"ssn": "17913949999", "name": "Kari Nordmann"}],
        "contactPointsList": [],
    }
    machine = SystemMachine()
    settings = Settings(
        register_url=f"{far_end.url}/register/api/v1", profile_url=f"{far_end.url}/profile/api/v1"
    )
    base: Any = SimpleNamespace(
        settings=settings, database=database, machine=machine, master_key=KEY, sandbox=False
    )
    registers = registers_of(base)
    assert await registers.names(["17913949999"], []) == {"17913949999": "Kari Nordmann"}
    await registers.persons(["17913949999"], use_stale=False)
    await registers.close()
    named, asked = far_end.headers
    known = await PlatformTokens.open(database, machine)
    caller = known.check(named["platformaccesstoken"].encode())
    assert (caller.issuer, caller.app) == ("platform", "notifications")
    assert "platformaccesstoken" not in asked  # Profile is asked without credentials
    await known.close()


async def test_a_platform_token_is_used_again_for_295_seconds(database: Database) -> None:
    clock = ManualClock(NOON)
    token = PlatformToken(database, clock, KEY)
    first = await token()
    clock.advance(timedelta(seconds=294))
    assert await token() == first
    clock.advance(timedelta(seconds=2))
    assert await token() != first
