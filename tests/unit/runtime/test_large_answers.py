"""Nothing blocks the event loop: a large answer is given to the transport piece by piece."""

from __future__ import annotations

from typing import Any

import pytest

from varsel.runtime import asgi
from varsel.runtime.endpoints import RESPOND, Reply


@pytest.mark.parametrize("size", [asgi._SENT_AT_ONCE, asgi._SENT_AT_ONCE + 1, 3 * asgi._SENT_AT_ONCE])
async def test_a_large_answer_goes_in_pieces(size: int) -> None:
    whole: list[bytes] = []
    pieces: list[dict[str, Any]] = []

    def respond(status: int, headers: Any, body: bytes) -> bool:
        whole.append(body)
        return True

    async def send(message: Any) -> None:
        pieces.append(message)

    body = b"x" * size
    await asgi._send({"extensions": {RESPOND: respond}}, send, Reply(200, body))
    if size <= asgi._SENT_AT_ONCE:
        assert (whole, pieces) == ([body], [])
        return
    assert whole == []
    head, *parts = pieces
    assert dict(head["headers"])[b"content-length"] == b"%d" % size
    assert b"".join(part["body"] for part in parts) == body
    assert max(len(part["body"]) for part in parts) <= asgi._SENT_AT_ONCE
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
