"""What stands around the rooms: health, metrics, mounts, pages (docs/reference/notifications-api.md 2.28)."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from varsel.runtime.site import READY, Page, Site
from varsel.runtime.swagger import pages


async def answer(site: Site, path: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("no body is read")

    await site({"type": "http", "path": path, "method": method, "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:])


def site(**states: str) -> Site:
    async def told() -> dict[str, str]:
        return states or {"database": READY}

    async def metrics() -> bytes:
        return b"varsel_up 1\n"

    async def room(scope: Any, receive: Any, send: Any) -> None:
        del receive
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    return Site(
        mounts={"/dev/tokens": room, "/console": room},
        states=told,
        metrics=metrics,
        pages={"/openapi.json": Page(b"application/json", lambda: b"{}", ((b"x-more", b"1"),))},
        home="/console",
    )


async def test_liveness_is_one_word():
    status, headers, body = await answer(site(database="unavailable"), "/health")
    assert (status, body, headers[b"content-type"]) == (200, b"Healthy", b"text/plain")


@pytest.mark.parametrize(("state", "status"), [(READY, 200), ("unavailable", 503), ("starting", 503)])
async def test_readiness_names_parts_and_states_only(state, status):
    found, headers, body = await answer(site(database=state, worker=READY), "/health/ready")
    assert found == status
    assert headers[b"content-type"] == b"application/json"
    assert msgspec.json.decode(body) == {
        "status": READY if status == 200 else "not ready",
        "parts": {"database": state, "worker": READY},
    }


async def test_metrics_and_pages():
    assert (await answer(site(), "/metrics"))[2] == b"varsel_up 1\n"
    _, headers, body = await answer(site(), "/openapi.json")
    assert (headers[b"content-type"], headers[b"x-more"], body) == (b"application/json", b"1", b"{}")
    status, headers, body = await answer(site(), "/health", "HEAD")
    assert (status, headers[b"content-length"], body) == (200, b"7", b"")


async def test_mounts_take_their_prefix_and_nothing_beside_it():
    assert (await answer(site(), "/console/inbox", "POST"))[::2] == (299, b"/console/inbox")
    assert (await answer(site(), "/dev/tokens/GetX"))[0] == 299
    assert (await answer(site(), "/consoles"))[0] == 404
    assert (await answer(site(), "/dev"))[0] == 404


async def test_unknown_paths_and_methods():
    assert (await answer(site(), "/nope"))[::2] == (404, b"")
    status, headers, _ = await answer(site(), "/health", "POST")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")
    status, headers, _ = await answer(site(), "/")
    assert (status, headers[b"location"]) == (302, b"/console")


def test_the_description_for_people_takes_nothing_from_elsewhere():
    shown = pages()
    text = shown["/swagger"].make().decode()
    policy = dict(shown["/swagger"].headers)[b"content-security-policy"]
    assert b"unsafe" not in policy
    assert b"default-src 'none'" in policy
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', text)) - {"data:,", "/openapi.json"}
    assert wanted == set(shown) - {"/swagger", "/swagger/index.html"}
    for path in wanted:
        assert len(shown[path].make()) > 100
        assert b"content-security-policy" in dict(shown[path].headers)
