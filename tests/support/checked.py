"""Every answer held against the API description.

An ASGI application under test is wrapped in `checked_api`; clients of a server that listens have `check_response` among their hooks.
`tests/contract/test_checked.py` holds the suite to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, MutableMapping
from functools import cache
from typing import Any

import httpx2
import jsonschema  # type: ignore[import-untyped]

from varsel.cli.description import ENDPOINTS
from varsel.runtime.asgi import ASGIApp, Receive, Scope, Send
from varsel.runtime.endpoints import Bound, Call, Endpoint, Policy, Reply
from varsel.runtime.openapi import document
from varsel.runtime.routing import Route, RouteTable
from varsel.runtime.settings import Settings

#: Status of callers that went away: nobody sees such an answer.
_GONE = 499
#: Status of headers that are too long: the server answers before it knows which path is asked, as it does to broken HTTP.
_TOO_LONG = 431


class Contract:
    """The description of some endpoints; holds answers against it."""

    def __init__(self, rows: Iterable[Endpoint]) -> None:
        rows = tuple(rows)
        self.document: dict[str, Any] = json.loads(
            document(rows, Settings(public_url="https://varsel.example.org"), internal=True)
        )
        self._table = RouteTable(Route(Bound(row, _nobody), None, False, False, _uncounted) for row in rows)
        self._validators: dict[tuple[str, str, str, str], jsonschema.Draft202012Validator] = {}

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> str | None:
        """AssertionError when the description does not tell of this answer; else the operation, None where no route is."""
        where = f"{method} {path} {status}"
        route, _, _ = self._table.find(method, path)
        if route is None or status == _TOO_LONG or (status == 400 and headers.get("connection") == "close"):
            # Routing refuses by itself; the site around the router has pages that no row describes.
            return None
        endpoint = route.bound.endpoint
        if status == 404 and endpoint.policy is Policy.INTERNAL:
            assert not body, f"{where}: on other listeners the path does not exist"
            return None
        if status == _GONE:
            return endpoint.operation
        told = self.document["paths"][endpoint.path][method.lower()]["responses"].get(str(status))
        assert told is not None, f"{where}: the description does not tell of this status"
        if "$ref" in told:
            told = self.document["components"]["responses"][told["$ref"].rpartition("/")[2]]
        content = told.get("content", {})
        if not body:
            either = status in (415, 503) or (status == 404 and endpoint.typed)
            assert either or not content, f"{where}: a body was told of, and none came"
            return endpoint.operation
        kind = headers.get("content-type", "").partition(";")[0]
        assert kind in content, f"{where}: {kind or 'no content type'} is not told of, but {sorted(content)}"
        if kind == "application/json":
            assert headers["content-type"] in ("application/json; charset=utf-8", "application/json"), where
            validator = self._validator(endpoint, method, str(status), content[kind]["schema"])
            wrong = [
                f"{error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(body))
            ]
            assert not wrong, f"{where}: {wrong}"
        return endpoint.operation

    def _validator(
        self, endpoint: Endpoint, method: str, status: str, schema: dict[str, Any]
    ) -> jsonschema.Draft202012Validator:
        key = (endpoint.path, method, status, endpoint.operation)
        found = self._validators.get(key)
        if found is None:
            found = jsonschema.Draft202012Validator(
                {**schema, "components": self.document["components"]},
                format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
            )
            self._validators[key] = found
        return found


@cache
def whole_contract() -> Contract:
    """The description of everything that Varsel serves."""
    return Contract(ENDPOINTS)


class CheckedApi:
    """An ASGI application that answers as the one inside, and fails the test when an answer is not as described.

    `seen` counts answers by operation and status.
    """

    def __init__(self, app: ASGIApp, contract: Contract) -> None:
        self._app = app
        self._contract = contract
        self.seen: dict[tuple[str, int], int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, noted)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
        raw = scope.get("raw_path")
        path = scope["path"] if raw is None else raw.decode("latin-1").partition("?")[0]
        operation = self._contract.check(scope["method"], path, start["status"], headers, bytes(body))
        if operation is not None:
            key = (operation, start["status"])
            self.seen[key] = self.seen.get(key, 0) + 1


def check_response(response: httpx2.Response) -> None:
    """A response hook of `httpx2.Client`: the answer is held against the description of the whole API."""
    response.read()
    path = response.request.url.raw_path.decode("latin-1").partition("?")[0]
    headers = {name.lower(): value for name, value in response.headers.items()}
    whole_contract().check(response.request.method, path, response.status_code, headers, response.content)


async def check_async_response(response: httpx2.Response) -> None:
    """The same for `httpx2.AsyncClient`."""
    await response.aread()
    check_response(response)


def checked_api(app: ASGIApp) -> CheckedApi:
    """The application with every answer held against the description of the whole API."""
    return CheckedApi(app, whole_contract())


async def _nobody(call: Call) -> Reply:
    raise AssertionError("the description answers nobody")


def _uncounted(status: int, seconds: float, received: int, sent: int) -> None:
    del status, seconds, received, sent
