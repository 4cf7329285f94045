"""All rooms of the API behind the router, put together as the `api` role does, with providers that accept and callers by header.

Every answer is held against the description of the whole API.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import httpx2

from tests.engine.fakes import FakeChannel
from tests.support.checked import CheckedApi, checked_api
from varsel.cli import roles
from varsel.cli.base import Base, Ground
from varsel.runtime.asgi import Api
from varsel.runtime.clock import ManualClock
from varsel.runtime.endpoints import Bound, Call, Caller, Policy
from varsel.runtime.errors import EmptyProblem
from varsel.runtime.settings import Settings
from varsel.store.database import Database, Listener
from varsel.store.secrets import MasterKey

PUBLIC = "https://varsel.example.org"
#: Before the send times of the examples in the description.
NOW = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)


class HeaderAuthorizer:
    """`X-Test-Creator` stands for a verified credential with every scope; without it there is none."""

    async def authorize(self, policy: Policy, call: Call) -> Caller:
        creator, pid = call.header(b"x-test-creator"), call.header(b"x-test-pid")
        if policy is Policy.PERSON and pid is None:
            raise EmptyProblem(401 if creator is None else 403)
        if policy in (Policy.CREATE, Policy.COMPOSED, Policy.SUPPORT) and creator is None:
            raise EmptyProblem(401)
        return Caller(creator.decode() if creator else None, via="bearer", pid=pid.decode() if pid else None)


@dataclass
class Composed:
    """The API and a client that speaks to it."""

    database: Database
    clock: ManualClock
    bound: tuple[Bound, ...]
    api: CheckedApi
    http: httpx2.AsyncClient

    async def ask(
        self, method: str, path: str, body: Any = None, creator: str | None = "ttd", **headers: str
    ) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if creator is not None:
            sent["x-test-creator"] = creator
        if body is not None:
            sent.setdefault("content-type", "application/json")
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return await self.http.request(method, path, content=content, headers=sent)


@contextlib.asynccontextmanager
async def open_composed(database: Database, url: str, **settings: Any) -> AsyncIterator[Composed]:
    clock = ManualClock(NOW)
    base = Base(
        Settings(public_url=PUBLIC, **settings),
        Ground(url, None, "", sandbox=True),
        database,
        listener=Listener(url),
        master_key=MasterKey(b"k" * 32),
        calendar=clock,  # type: ignore[arg-type]
    )
    fakes = [FakeChannel("Email"), FakeChannel("Sms", "link:fake")]
    async with contextlib.AsyncExitStack() as stack:
        with mock.patch.object(roles, "channels", lambda _base: fakes):
            bound = tuple(await roles._api(base, stack))
        api = checked_api(Api(bound, HeaderAuthorizer()))
        transport = httpx2.ASGITransport(app=api)
        http = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=PUBLIC))
        yield Composed(database, clock, bound, api, http)
