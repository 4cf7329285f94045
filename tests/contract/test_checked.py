"""The check of every answer against the API description (tests/support/checked.py): it finds what differs, and it is on everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.contract.composed import Composed
from tests.support.checked import CheckedApi, check_response, checked_api
from varsel.runtime.asgi import Receive, Scope, Send

TESTS = Path(__file__).parents[1]
SHIPMENT = "/notifications/api/v1/future/shipment/0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11"
GOOD = {
    "shipmentId": "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c11",
    "type": "Notification",
    "status": "Order_Processed",
    "lastUpdate": "2031-03-14T08:00:41.5Z",
    "recipients": [],
}
JSON = "application/json; charset=utf-8"

#: What is planted, and the words that the failure must hold. Nothing planted comes first.
BREACHES: list[tuple[str, int, str, Any, str | None]] = [
    ("as described", 200, JSON, GOOD, None),
    ("not modified", 304, "", b"", None),
    ("a status that is not told of", 418, JSON, GOOD, "does not tell of this status"),
    ("a success that is not told of", 201, JSON, GOOD, "does not tell of this status"),
    ("a member is missing", 200, JSON, {**GOOD, "status": ...}, "'status' is a required property"),
    ("a member has another type", 200, JSON, GOOD | {"recipients": None}, "None is not of type 'array'"),
    ("a value is none of the enumeration", 200, JSON, GOOD | {"type": "Alert"}, "'Alert' is not one of"),
    ("a date is none", 200, JSON, GOOD | {"lastUpdate": "yesterday"}, "'yesterday' is not a"),
    ("another content type", 200, "text/plain", GOOD, "text/plain is not told of"),
    ("no content type", 200, "", GOOD, "no content type is not told of"),
    ("another charset", 200, "application/json; charset=latin-1", GOOD, "200"),
    ("no body", 200, JSON, b"", "a body was told of, and none came"),
    ("a problem without its code", 404, JSON, {"type": "x", "title": "x", "status": 404}, "'code' is a required property"),
]  # fmt: skip


def planted(status: int, kind: str, body: Any) -> Any:
    """An application that always answers so."""
    given = (
        {name: value for name, value in body.items() if value is not ...} if isinstance(body, dict) else body
    )
    content = given if isinstance(given, bytes) else json.dumps(given).encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", kind.encode())] if kind else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return answer


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"), [row[1:] for row in BREACHES], ids=[row[0] for row in BREACHES]
)
async def test_a_planted_breach_is_found(status: int, kind: str, body: Any, words: str | None) -> None:
    app = planted(status, kind, body)
    await through(httpx2.ASGITransport(app=checked_api(app)), words)
    # The same answer over a client's hook, as for servers that listen.
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://varsel"
    ) as unchecked:
        found = await unchecked.get(SHIPMENT)
    if words is None:
        check_response(found)
    else:
        with pytest.raises(AssertionError, match=re.escape(words)):
            check_response(found)


async def through(transport: httpx2.AsyncBaseTransport, words: str | None) -> None:
    async with httpx2.AsyncClient(transport=transport, base_url="http://varsel") as http:
        if words is None:
            await http.get(SHIPMENT)
        else:
            with pytest.raises(AssertionError, match=re.escape(words)):
                await http.get(SHIPMENT)


async def test_what_was_seen_is_counted(composed: Composed) -> None:
    assert isinstance(composed.api, CheckedApi)
    for _ in range(2):
        await composed.ask("GET", SHIPMENT)
    assert composed.api.seen == {("get_shipment", 404): 2}


#: Files that make a client or serve an application, and why their answers need no check here. Folders `client` and `console` have
#: the SDK's own stand-ins and pages, which have no rows in the endpoint table.
UNCHECKED = {"support/identity.py": "the identity room alone, whose routes have documents of their own"}
FOLDERS = ("chaos", "contract", "engine", "identity", "security", "support", "unit")


def test_the_check_is_on_everywhere() -> None:
    """Whoever makes an HTTP client in the suite has the check in it, or stands above."""
    makes = re.compile(r"httpx2\.(?:Async)?Client\(|ASGITransport\(")
    found = {
        str(path.relative_to(TESTS))
        for folder in FOLDERS
        for path in (TESTS / folder).rglob("*.py")
        if makes.search(text := path.read_text("utf-8")) and not re.search(r"checked_api\(|check_(?:async_)?response\b|whole_contract\(", text)
    }  # fmt: skip
    assert found - set(UNCHECKED) == set(), "wrap the application in checked_api, or hook check_response"
    assert set(UNCHECKED) - found == set(), "no longer needed"
