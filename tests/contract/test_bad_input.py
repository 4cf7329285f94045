"""Odd bodies and parameters over the whole API: what is illegal gets 4xx, what is legal is accepted, and the next request is unharmed.

docs/reference/notifications-api.md 1.3 and 1.4; each endpoint's own table is in the modules beside this one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.composed import Composed
from tests.contract.orders.bodies import (
    chain,
    instant_email,
    instant_sms,
    reminder,
    sms,
    v1_channel,
    v1_email,
    v1_sms,
    wrapped_sms,
)
from tests.contract.orders.bodies import (
    composed as files,
)

BASE = "/notifications/api/v1"
CHAIN = f"{BASE}/future/orders"
WEBHOOKS = f"{BASE}/future/webhooks"
HOOK = {"url": "https://hooks.example.org/x", "events": ["order.completed"]}
#: A good body of each endpoint that reads JSON, and the status it gets.
GOOD: dict[str, tuple[dict[str, Any], int]] = {
    f"{BASE}/orders/email": (v1_email(), 202),
    f"{BASE}/orders/sms": (v1_sms(), 202),
    f"{BASE}/orders": (v1_channel(), 202),
    CHAIN: (chain(), 201),
    f"{CHAIN}/composed-email": (files(), 201),
    f"{CHAIN}/instant/sms": (instant_sms(), 201),
    f"{CHAIN}/instant/email": (instant_email(), 201),
    f"{CHAIN}/instant": (wrapped_sms(), 201),
    WEBHOOKS: (HOOK, 201),
}
END = "9999-12-31T23:59:59.9999999Z"


def with_unknown(body: dict[str, Any], member: bytes) -> bytes:
    return json.dumps(body).encode()[:-1] + b', "x": ' + member + b"}"


def nested(levels: int) -> bytes:
    """A member so deep that its innermost list is on that level of the body."""
    return b"[" * (levels - 1) + b"]" * (levels - 1)


ILLEGAL: dict[str, bytes] = {
    "depth 33": nested(33),
    "depth 33 in objects": b'{"x": ' * 32 + b"1" + b"}" * 32,
    "depth 40,000": nested(40_000),
    "truncated UTF-8": b'"\xc3"',
    "an overlong NUL": b'"\xc0\x80"',
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "cut off": b'"',
    "a comment": b"1 /* */",
    "a trailing comma": b"1,",
    "not a number": b"NaN",
    "a second document": b"1} {",
}
LEGAL: dict[str, bytes] = {
    "depth 32": nested(32),
    "brackets in a text": b'"' + b"[" * 100 + b'"',
    "a quote before brackets": b'"\\"' + b"{" * 100 + b'"',
    "a number of any size": b"1" * 1000 + b"e" + b"9" * 100,
}


@pytest.mark.parametrize("path", GOOD)
async def test_illegal_bodies(path: str, composed: Composed) -> None:
    body, status = GOOD[path]
    for name, member in ILLEGAL.items():
        answer = await composed.ask("POST", path, with_unknown(body, member))
        assert (answer.status_code, "errors" in answer.json()) == (400, True), name
    assert await composed.database.fetchval("select count(*) from orders") == 0
    assert (await composed.ask("POST", path, body)).status_code == status


@pytest.mark.parametrize("path", GOOD)
async def test_legal_bodies(path: str, composed: Composed) -> None:
    body, status = GOOD[path]
    for number, (name, member) in enumerate(LEGAL.items()):
        own = body | {"idempotencyId": f"own-{number}"} if "idempotencyId" in body else body
        answer = await composed.ask("POST", path, with_unknown(own, member))
        assert answer.status_code == status, name


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{BASE}/orders/email", v1_email(requestedSendTime=END)),
        (f"{BASE}/orders/sms", v1_sms(requestedSendTime=END)),
        (f"{BASE}/orders", v1_channel(requestedSendTime=END)),
        (CHAIN, chain(requestedSendTime=END)),
        (CHAIN, chain(requestedSendTime=END, recipient=sms())),
        (CHAIN, chain(reminders=[{"recipient": sms(), "requestedSendTime": END}])),
        (f"{CHAIN}/composed-email", files(requestedSendTime=END, recipient=files()["recipient"] | {
            "emailSettings": {"subject": "s", "body": "b"}})),
    ],
    ids=["v1 e-mail", "v1 SMS", "v1 channel", "e-mail", "SMS", "reminder", "composed"],
)  # fmt: skip
async def test_the_year_9999(path: str, body: dict[str, Any], composed: Composed) -> None:
    planned = await composed.ask("POST", path, body, prefer="dry-run")
    assert planned.status_code == 200
    messages = [one for order in planned.json()["orders"] for one in order["messages"]]
    assert max(one["expiresAt"] for one in messages).startswith("9999-12-31T23:59:59.99999")
    placed = await composed.ask("POST", path, body)
    assert placed.status_code in (201, 202)
    receipt = placed.json()
    shipment = receipt.get("notification", {"shipmentId": receipt.get("orderId")})
    for one in (shipment, *shipment.get("reminders", ())):
        order = f"{BASE}/orders/{one['shipmentId']}"
        for method, read in [
            ("GET", order), ("GET", f"{order}/status"), ("GET", f"{BASE}/future/shipment/{one['shipmentId']}"), ("PUT", f"{order}/cancel"),
        ]:  # fmt: skip
            assert (await composed.ask(method, read)).status_code == 200, read
    read = (await composed.ask("GET", order)).json()
    assert read["requestedSendTime"].startswith("9999-12-31T23:59:59.99999")


async def test_ten_thousand_recipients(composed: Composed) -> None:
    recipients = [{"emailAddress": f"kari{number}@example.org"} for number in range(10_000)]
    answer = await composed.ask("POST", f"{BASE}/orders/email", v1_email(recipients=recipients))
    assert answer.status_code == 202
    order = await composed.ask("GET", f"{BASE}/orders/{answer.json()['orderId']}")
    assert order.json()["recipients"] == recipients


async def test_repeated_members_and_numbers_as_texts(composed: Composed) -> None:
    body = json.dumps(chain(sendersReference="first", reminders=[reminder(delayDays="3")])).encode()
    answer = await composed.ask("POST", CHAIN, body[:-1] + b', "SENDERSREFERENCE": "last"}')
    assert answer.status_code == 201
    assert answer.json()["notification"]["sendersReference"] == "last"


@pytest.mark.parametrize("value", ["2147483648", "-2147483649", "1e99", "0.5", "99999999999999999999"])
async def test_numbers_out_of_range(value: str, composed: Composed) -> None:
    body = json.dumps(chain(reminders=[reminder(delayDays=1)])).replace(
        '"delayDays": 1', f'"delayDays": {value}'
    )
    answer = await composed.ask("POST", CHAIN, body.encode())
    assert (answer.status_code, set(answer.json()["errors"])) == (
        400,
        {"$.reminders[0].delayDays", "notificationOrderRequest"},
    )


@pytest.mark.parametrize("name", ["sendersReference", "idempotencyId"])
@pytest.mark.parametrize("text", [b"\\u0000", b"\\ud800", b"x\\udc00\\ud800"])
async def test_texts_that_nothing_can_carry(name: str, text: bytes, composed: Composed) -> None:
    body = json.dumps(chain(**{name: "@@"})).encode().replace(b"@@", text)
    answer = await composed.ask("POST", CHAIN, body)
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {name[0].upper() + name[1:]})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("future/log?transmissionId=%00", []),
        ("future/log?transmissionId=%ff", []),
        ("orders?sendersReference=%00", {"count": 0, "orders": []}),
        ("orders?sendersReference=%ed%a0%80", {"count": 0, "orders": []}),
        ("future/shipment/feed?seq=9223372036854775807", []),
    ],
)
async def test_odd_parameters_find_nothing(path: str, found: Any, composed: Composed) -> None:
    answer = await composed.ask("GET", f"{BASE}/{path}")
    assert (answer.status_code, answer.json()) == (200, found)


async def test_bodies_that_are_too_large_for_what_they_say(composed: Composed) -> None:
    hook = await composed.ask("POST", WEBHOOKS, with_unknown(HOOK, b'"' + b"x" * 100_000 + b'"'))
    form = await composed.ask(
        "POST",
        f"{BASE}/metrics",
        b"month=3&year=2031&x=" + b"x" * 10_000,
        content_type="application/x-www-form-urlencoded",
    )
    assert (hook.status_code, form.status_code) == (413, 413)
