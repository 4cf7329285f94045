"""Bodies that are illegal, and bodies that are only odd, at every endpoint that reads JSON (1.3, 1.4).

Illegal ones give 4xx with the keys of 1.7.1, odd ones are accepted, nothing holds the event loop, and the next request is unharmed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.composed import Composed
from tests.support.watchdog import watchdog
from varsel.cli.description import ENDPOINTS
from varsel.runtime.asgi import BODY_LIMIT
from varsel.runtime.endpoints import Endpoint

READING = [row for row in ENDPOINTS if row.request is not None]
#: The longest that Varsel may hold the event loop, in seconds of processor time.
LONGEST = 0.05

#: operation -> a text of the example, by its path, and the key that names it.
TEXTS = {
    "create_email_order": (("sendersReference",), "SendersReference"),
    "create_sms_order": (("body",), "Body"),
    "create_channel_order": (("emailTemplate", "subject"), "EmailTemplate.Subject"),
    "create_chain": (
        ("recipient", "recipientEmail", "emailSettings", "body"),
        "Recipient.RecipientEmail.Settings.Body",
    ),
    "create_composed": (("recipient", "emailSettings", "subject"), "Recipient.Settings.Subject"),
    "create_instant_sms": (
        ("recipientSms", "smsSettings", "body"),
        "RecipientSms.ShortMessageContent.Body",
    ),
    "create_instant_email": (
        ("recipientEmail", "emailSettings", "subject"),
        "InstantEmailDetails.EmailSettings.Subject",
    ),
    "create_wrapped_instant_sms": (
        ("recipient", "recipientSms", "smsSettings", "body"),
        "InstantNotificationRecipient.ShortMessageDeliveryDetails.ShortMessageContent.Body",
    ),
    "add_webhook": (("url",), "Url"),
    "send_internal_sms": (("message",), "Message"),
    "send_internal_email": (("subject",), "Subject"),
}
#: operation -> a number (or an enumeration that takes numbers), by its path, and one that is out of its range.
NUMBERS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "create_email_order": (("contentType",), 99),
    "create_sms_order": (("recipients", 0, "isReserved"), 99),
    "create_channel_order": (("notificationChannel",), 99),
    "create_chain": (("reminders", 0, "delayDays"), 2_147_483_648),
    "create_composed": (("recipient", "emailSettings", "contentType"), 99),
    "create_instant_sms": (("recipientSms", "timeToLiveInSeconds"), 172_801),
    "create_instant_email": (("recipientEmail", "emailSettings", "contentType"), 99),
    "create_wrapped_instant_sms": (("recipient", "recipientSms", "timeToLiveInSeconds"), 59),
    "add_webhook": (("events",), [99]),
    "send_internal_sms": (("timeToLive",), 172_801),
    "send_internal_email": (("contentType",), 99),
}


def example(row: Endpoint, **changes: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(row.examples["request"]))) | changes


def changed(row: Endpoint, path: tuple[Any, ...], value: Any) -> bytes:
    body = example(row)
    at: Any = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(body).encode()


def accepted(row: Endpoint) -> int:
    return next(status for status in (201, 202, 200) if status in row.responses)


def test_the_tables_name_every_endpoint_that_reads_json():
    names = {row.operation for row in READING}
    assert set(TEXTS) == set(NUMBERS) == names


def truncated_utf8(row: Endpoint) -> bytes:
    return json.dumps(example(row, odd="å"), ensure_ascii=False).encode().replace("å".encode(), b"\xc3")


def truncated_json(row: Endpoint) -> bytes:
    return json.dumps(example(row)).encode()[:-1]


def lone_surrogate(row: Endpoint) -> bytes:
    return changed(row, TEXTS[row.operation][0], "x\ud800")


def nul(row: Endpoint) -> bytes:
    return changed(row, TEXTS[row.operation][0], "x\0")


def depth_33(row: Endpoint) -> bytes:
    return json.dumps(example(row, odd=json.loads("[" * 32 + "]" * 32))).encode()


def out_of_range(row: Endpoint) -> bytes:
    path, number = NUMBERS[row.operation]
    return changed(row, path, number)


def a_hundred_digits(row: Endpoint) -> bytes:
    path, _ = NUMBERS[row.operation]
    return changed(row, path, int("9" * 100))


def trailing_comma(row: Endpoint) -> bytes:
    return json.dumps(example(row)).encode()[:-1] + b",}"


ILLEGAL: dict[str, Callable[[Endpoint], bytes]] = {
    "truncated UTF-8": truncated_utf8,
    "lone surrogate": lone_surrogate,
    "NUL": nul,
    "depth 33": depth_33,
    "number out of range": out_of_range,
    "number of a hundred digits": a_hundred_digits,
    "truncated JSON": truncated_json,
    "trailing comma": trailing_comma,
    "empty": lambda _: b"",
    "null": lambda _: b"null",
}


@pytest.mark.parametrize("name", ILLEGAL)
async def test_illegal(name: str, composed: Composed):
    wrong = []
    async with watchdog() as watched:
        for row in READING:
            answer = await composed.ask("POST", row.path, ILLEGAL[name](row))
            if answer.status_code != 400:
                wrong.append((row.operation, answer.status_code, answer.text[:200]))
            elif name in ("lone surrogate", "NUL") and not named(row, answer.json()["errors"]):
                wrong.append((row.operation, 400, answer.json()["errors"]))
    assert wrong == []
    assert await composed.database.fetchval("select count(*) from orders") == 0
    await unharmed(composed)
    assert watched.busy < LONGEST, f"busy {watched.busy * 1000:.1f} ms, passed {watched.wall * 1000:.1f} ms"


def named(row: Endpoint, errors: dict[str, Any]) -> bool:
    """Whether the answer names the field; a webhook's body is refused as a whole."""
    return TEXTS[row.operation][1] in errors or (row.operation == "add_webhook" and "$" in errors)


async def test_too_large_is_refused_before_it_is_read(composed: Composed):

    async def unread() -> Any:
        raise AssertionError("the body was read")

    for row in READING:
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % (BODY_LIMIT + 1)),
            (b"x-test-creator", b"ttd"),
        ]
        scope = {"type": "http", "method": "POST", "path": row.path, "query_string": b"", "headers": headers}
        await composed.api(scope, unread, send)
        assert sent[0]["status"] == 413
    await unharmed(composed)


def repeated(row: Endpoint) -> bytes:
    """Every member of the body twice; the first reference is another one."""
    body = example(row)
    first = json.dumps(body | {"sendersReference": "the first"})[:-1]
    return (first + ", " + json.dumps(body)[1:]).encode()


def another_case(row: Endpoint) -> bytes:
    return json.dumps({name.upper(): value for name, value in example(row).items()}).encode()


def unknown_members(row: Endpoint) -> bytes:
    # A registration of an endpoint may have some kilobytes at most.
    size = 1_000 if row.operation == "add_webhook" else 100_000
    return json.dumps(example(row, odd={"deep": [[[[1e300, None, True]]]]}, ODD="x" * size)).encode()


def year_9999(row: Endpoint) -> bytes | None:
    body = example(row)
    if "requestedSendTime" not in body:
        return None
    if row.operation in ("create_chain", "create_composed"):
        # A reminder must lie before the calendar's end, and a file must be readable when it is sent.
        body.pop("reminders", None)
        if row.operation == "create_composed":
            del body["recipient"]["emailSettings"]["attachments"]
    return json.dumps(body | {"requestedSendTime": "9999-12-31T23:59:59Z"}).encode()


def ten_thousand(row: Endpoint) -> bytes | None:
    body = example(row)
    if "recipients" not in body:
        return None
    one = {"mobileNumber": "+4799999999", "emailAddress": "kari@example.org"}
    if row.operation == "create_sms_order":
        del one["emailAddress"]
    return json.dumps(body | {"recipients": [one] * 10_000}).encode()


LEGAL: dict[str, Callable[[Endpoint], bytes | None]] = {
    "repeated members": repeated,
    "names in upper case": another_case,
    "unknown members": unknown_members,
    "year 9999": year_9999,
    "10,000 recipients": ten_thousand,
}
#: Webhooks are Varsel's own: their names are read as they are spelled.
EXACT = {"names in upper case"}


@pytest.mark.parametrize("name", LEGAL)
async def test_legal_however_odd(name: str, composed: Composed):
    wrong, asked = [], 0
    async with watchdog() as watched:
        for row in READING:
            body = LEGAL[name](row)
            if body is None or (row.operation == "add_webhook" and name in EXACT):
                continue
            asked += 1
            answer = await composed.ask("POST", row.path, body)
            if answer.status_code != accepted(row):
                wrong.append((row.operation, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert asked >= 3
    told = await composed.database.fetch("select distinct senders_reference from orders")
    assert "the first" not in {row[0] for row in told}
    assert watched.busy < LONGEST, f"busy {watched.busy * 1000:.1f} ms, passed {watched.wall * 1000:.1f} ms"


async def unharmed(world: Composed) -> None:
    """The next request of the same caller is answered as always."""
    [row] = [row for row in READING if row.operation == "create_chain"]
    answer = await world.ask("POST", row.path, example(row, idempotencyId="the next"))
    assert answer.status_code == 201
