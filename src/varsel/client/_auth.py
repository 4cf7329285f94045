"""Our credentials as an authentication of httpx2, for callers with an HTTP client of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Protocol

import httpx2

from ._drive import AwaitingDriver, BlockingDriver
from ._tokens import Credentials


class _Fetching(Credentials, Protocol):
    _blocking: BlockingDriver
    _awaiting: AwaitingDriver


class _Auth(httpx2.Auth):
    def __init__(self, credentials: _Fetching) -> None:
        self._credentials = credentials

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        headers = self._credentials._blocking.run(self._credentials.authorize())
        request.headers.update(headers)
        response = yield request
        if response.status_code == 401 and self._credentials.refused(headers):
            request.headers.update(self._credentials._blocking.run(self._credentials.authorize()))
            yield request

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        headers = await self._credentials._awaiting.run(self._credentials.authorize())
        request.headers.update(headers)
        response = yield request
        if response.status_code == 401 and self._credentials.refused(headers):
            request.headers.update(await self._credentials._awaiting.run(self._credentials.authorize()))
            yield request


def auth_of(credentials: _Fetching) -> httpx2.Auth:
    """Adds the headers to every request, and tries once more with new ones after a 401."""
    return _Auth(credentials)
