"""Fixtures for the client's tests. Each operation is tried on both clients: `api` blocks, or is awaited behind the same face."""

from __future__ import annotations

import inspect

import pytest

from varsel.client import AsyncNotifications, Notifications, SigningKey
from varsel.client.testing import ManualClock, Memory
from varsel.pytest_plugin import varsel_inbox, varsel_memory, varsel_sandbox

__all__ = ["varsel_inbox", "varsel_memory", "varsel_sandbox"]


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate("acme-varsel-2026-07")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory() -> Memory:
    return Memory()


class Either:
    """`await either.method(…)` for both kinds of clients; `await either.listed(stream)` for their iterators."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        found = getattr(self.client, name)

        async def method(*args, **kwargs):
            result = found(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return method

    async def listed(self, items, count=None):
        got = []
        if hasattr(items, "__aiter__"):
            async for item in items:
                got.append(item)
                if count is not None and len(got) == count:
                    break
            await items.aclose()
        else:
            for item in items:
                got.append(item)
                if count is not None and len(got) == count:
                    break
            items.close()
        return got


@pytest.fixture(params=[Notifications, AsyncNotifications], ids=["blocking", "awaiting"])
def kind(request):
    return request.param


@pytest.fixture
async def api(kind, memory):
    client = kind(memory.credentials(), http=memory.http)
    yield Either(client)
    closed = client.close()
    if inspect.isawaitable(closed):
        await closed
