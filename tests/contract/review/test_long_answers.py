"""Nothing blocks the event loop: answers with very long texts are put together from what the database wrote, in pieces and in threads."""

from __future__ import annotations

import json
import threading
from typing import Any

import msgspec
import pytest

from tests.contract.review.world import KARI, World
from varsel.review import log, orders, results
from varsel.runtime import asgi
from varsel.store import content as contents
from varsel.store import order_status
from varsel.store.content import EmailText, OrderContent, Recipient
from varsel.store.long_texts import LONG

TEXT = 'å"\n😀\\' * (LONG // 3)
DIALOG = "0195b6a0-7d3e-7c55-9c1f-3f6f1f9b7c10"


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layout in one call, decoding, and digests of long answers on the event loop fail the test."""
    loop = threading.current_thread()
    layout, digest, decode = msgspec.json.format, asgi.blake2b, contents.decode

    def format_(data: bytes, **options: Any) -> bytes:
        assert len(data) <= LONG, "a long answer is laid out in one call"
        return layout(data, **options)

    def blake2b(data: bytes, **options: Any) -> Any:
        assert len(data) <= LONG or threading.current_thread() is not loop, "digest on the event loop"
        return digest(data, **options)

    def decoded(data: bytes, **options: Any) -> OrderContent:
        assert len(data) <= LONG or threading.current_thread() is not loop, "decoded on the event loop"
        return decode(data, **options)

    def brief(text: bytes | None) -> Any:
        assert text is None or isinstance(text, bytes), "the driver has decoded a text"
        return written(text)

    written = order_status.as_written
    monkeypatch.setattr(msgspec.json, "format", format_)
    monkeypatch.setattr(asgi, "blake2b", blake2b)
    monkeypatch.setattr(contents, "decode", decoded)
    for module in (order_status, orders, results, log):
        monkeypatch.setattr(module, "as_written", brief)


async def test_an_order_with_long_texts(world: World) -> None:
    content = OrderContent(
        (Recipient(email=TEXT),), EmailText("a@b.no", TEXT, TEXT), condition_endpoint="https://x.no/" + TEXT
    )
    order = await world.add_order(content, reference=TEXT, resource=TEXT, action=TEXT)
    await world.add_message(order, address=TEXT)
    found = (await world.get(f"orders/{order}")).json()
    assert found["sendersReference"] == found["resourceId"] == found["resourceAction"] == TEXT
    assert found["recipients"] == [{"emailAddress": TEXT}]
    assert (found["emailTemplate"]["subject"], found["emailTemplate"]["body"]) == (TEXT, TEXT)
    assert found["conditionEndpoint"] == "https://x.no/" + TEXT
    status = (await world.get(f"orders/{order}/status")).json()
    assert status["sendersReference"] == status["resourceId"] == status["resourceAction"] == TEXT
    assert status["conditionEndpoint"] == "https://x.no/" + TEXT
    assert "ignoreReservation" not in status
    listed = (await world.get(f"orders/{order}/notifications/email")).json()
    assert (listed["sendersReference"], listed["notifications"][0]["recipient"]["emailAddress"]) == (
        TEXT,
        TEXT,
    )
    answer = await world.get(f"future/shipment/{order}")
    shipment = answer.json()
    assert (shipment["sendersReference"], shipment["recipients"][0]["destination"]) == (TEXT, TEXT)
    same = await world.get(f"future/shipment/{order}", if_none_match=answer.headers["etag"])
    assert same.status_code == 304


async def test_an_order_to_very_many(world: World) -> None:
    many = tuple(Recipient(email=f"k{number}@example.org") for number in range(20_000))
    order = await world.add_order(
        OrderContent(many, EmailText("a@b.no", "s", "b"), ignore_reservation=True), reference=None
    )
    answer = await world.get(f"orders/{order}")
    assert answer.text == json.dumps(answer.json(), indent=2), "laid out as every answer"
    assert answer.json()["recipients"] == [{"emailAddress": one.email} for one in many]
    status = (await world.get(f"orders/{order}/status")).json()
    assert status["ignoreReservation"] is True


async def test_log_and_search_with_long_texts(world: World) -> None:
    await world.add_line(dialog=DIALOG, transmission=TEXT, destination=TEXT)
    found = (await world.get(f"future/log?dialogId={DIALOG}")).json()
    assert [(line["transmissionId"], line["destination"]) for line in found] == [(TEXT, TEXT)]
    assert (await world.get(f"future/enduser/log?dialogId={DIALOG}", None, pid=KARI)).json() == []
    order = await world.add_order(reference=TEXT, resource=TEXT)
    await world.add_message(order, address=TEXT, person=KARI)
    (searched,) = (
        await world.get("future/dashboard/recipients/notifications/nin", NationalIdentityNumber=KARI)
    ).json()
    assert searched["sendersReference"] == searched["resourceId"] == TEXT
    assert searched["deliveryAttempts"][0]["emailAddress"] == TEXT
