"""The API's methods, blocking and awaited: requests as the contract has them, answers as objects, refusals as errors."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from uuid import UUID

import httpx2
import pytest

from tests.client.conftest import Either
from tests.client.test_orders import EIGHT, EMAIL, EXAMPLES, SMS
from varsel.client import (
    AltinnTokens,
    ApiError,
    ClassicRecipient,
    ClassicSmsOrder,
    ConfigurationError,
    Conflict,
    Forbidden,
    ForwardedToken,
    Http,
    IdPorten,
    InstantSms,
    InvalidRequest,
    MissingServiceOwner,
    NotFinal,
    NotFound,
    Notifications,
    Order,
    RecipientUnreachable,
    Reminder,
    ServerError,
    TemporarilyDown,
    TimedOut,
    ToEmail,
    TooManyRequests,
    ToPerson,
    TransportError,
    Unauthorized,
    UnexpectedAnswer,
)
from varsel.client._orders import EmailOnly
from varsel.client.testing import Memory

BASE = "https://platform.tt02.altinn.no/notifications/api/v1"
SOME = UUID("c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91")
ORDER = Order("case-42", ToEmail("kari@example.org", EMAIL), senders_reference="case-42")


def calls(memory):
    return [one for one in memory.requests if one.url.startswith(BASE)]


PLACES = {
    "2.1": ("order_classic", "/orders/email"),
    "2.2": ("order_classic", "/orders/sms"),
    "2.3": ("order_classic", "/orders"),
    "2.10": ("order", "/future/orders"),
    "2.11": ("order_composed_email", "/future/orders/composed-email"),
    "2.12": ("send_sms", "/future/orders/instant/sms"),
    "2.13": ("send_email", "/future/orders/instant/email"),
}


@pytest.mark.parametrize("section", list(PLACES))
async def test_an_order_goes_where_the_contract_says(api, memory, section):
    method, path = PLACES[section]
    receipt = await getattr(api, method)(EXAMPLES[section])
    request = calls(memory)[0]
    assert (request.method, request.url) == ("POST", BASE + path)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"].startswith("Bearer ey")
    assert request.headers["accept"] == "application/json"
    assert "platformaccesstoken" not in request.headers
    assert request.json() == EXAMPLES[section].wire()
    if method == "order_classic":
        assert receipt.order_id in {UUID(one.shipment_id) for one in memory.orders}
        assert receipt.recipient_lookup is None
    else:
        assert receipt.created
        assert receipt.shipment_id == UUID(memory.orders[0].shipment_id)


async def test_the_old_address_of_instant_sms(api, memory):
    await api.send_sms_deprecated(EXAMPLES["2.12"])
    request = calls(memory)[0]
    assert request.url == BASE + "/future/orders/instant"
    assert request.json()["recipient"] == {"recipientSms": EXAMPLES["2.12"].wire()["recipientSms"]}
    assert "recipientSms" not in request.json()


async def test_receipts(api, memory):
    first = await api.order(EXAMPLES["2.10"])
    again = await api.order(EXAMPLES["2.10"])
    assert first.senders_reference == "case-2031-0042"
    assert [one.senders_reference for one in first.reminders] == ["case-2031-0042-r1"]
    assert not again.created
    assert (again.order_id, again.shipment_id) == (first.order_id, first.shipment_id)
    assert (await api.receipt(first.order_id)).shipment_id == first.shipment_id


async def test_what_varsel_adds_to_a_receipt(api, memory):
    body = {"notificationOrderId": str(SOME), "notification": {"shipmentId": str(SOME)}}
    memory.fail(
        "/future/orders",
        status=200,
        headers={"varsel-idempotency": "body-differs", "varsel-warning": "sms-truncated"},
        body=json.dumps(body).encode(),
    )
    receipt = await api.order(ORDER)
    assert receipt.body_differs
    assert receipt.warnings == ("sms-truncated",)
    assert receipt.reminders == ()


async def test_following_a_shipment(api, memory):
    receipt = await api.order(ORDER)
    shipment = await api.shipment(receipt.shipment_id)
    assert (shipment.status, shipment.type, shipment.is_final, shipment.is_delivered) == (
        "Order_Registered",
        "Notification",
        False,
        False,
    )
    memory.deliver()
    shipment = await api.shipment(str(receipt.shipment_id).upper())
    assert shipment.is_final
    assert shipment.is_delivered
    delivery = shipment.recipients[0]
    assert (delivery.type, delivery.destination, delivery.status) == (
        "Email",
        "kari@example.org",
        "Email_Delivered",
    )
    assert delivery.is_final
    assert not delivery.is_failed
    assert delivery.last_update.utcoffset() == timedelta(0)
    assert "kari" not in repr(shipment)
    assert calls(memory)[-1].url == f"{BASE}/future/shipment/{receipt.shipment_id}"


async def test_a_failed_message(api, memory):
    receipt = await api.order(ORDER)
    memory.deliver(failed="Bounced")
    shipment = await api.shipment(receipt.shipment_id)
    assert shipment.is_final
    assert not shipment.is_delivered
    assert shipment.recipients[0].is_failed


async def test_waiting_until_the_end(api, memory):
    receipt = await api.order(ORDER)
    sleep = memory.clock.advance

    def advance(seconds):
        sleep(seconds)
        if len(memory.clock.pauses) == 3:
            memory.deliver()

    memory.clock.advance = advance
    shipment = await api.wait_until_final(receipt.shipment_id, timeout=timedelta(minutes=1))
    assert shipment.is_delivered
    assert len(memory.clock.pauses) == 3


async def test_waiting_ends(api, memory):
    receipt = await api.order(ORDER)
    with pytest.raises(NotFinal, match="Order_Registered") as caught:
        await api.wait_until_final(receipt.shipment_id, timeout=30)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.shipment.shipment_id == receipt.shipment_id
    assert sum(memory.clock.pauses) == pytest.approx(30)


async def test_cancelling(api, memory):
    receipt = await api.order(EXAMPLES["2.10"])
    status = await api.cancel(receipt.shipment_id)
    assert status.processing_status.status == "Cancelled"
    assert (calls(memory)[-1].method, calls(memory)[-1].url) == (
        "PUT",
        f"{BASE}/orders/{receipt.shipment_id}/cancel",
    )
    assert calls(memory)[-1].body == b""
    await api.cancel_chain(receipt.order_id)
    assert {one.status for one in memory.orders} == {"Order_Cancelled"}


async def test_cancelling_too_late(api, memory):
    receipt = await api.order(ORDER)
    memory.deliver()
    with pytest.raises(Conflict, match="on its way") as caught:
        await api.cancel(receipt.shipment_id)
    assert caught.value.trace_id.startswith("00-")
    with pytest.raises(NotFound):
        await api.cancel(SOME)
    with pytest.raises(NotFound):
        await api.cancel_chain(SOME)


async def test_reads_of_the_first_version(api, memory):
    receipt = await api.order(ORDER)
    memory.deliver()
    stored = await api.stored_order(receipt.shipment_id)
    assert (stored.id, stored.creator, stored.senders_reference) == (receipt.shipment_id, "ttd", "case-42")
    assert [one.id for one in await api.stored_orders("case-42")] == [stored.id]
    assert await api.stored_orders("a b&c") == ()
    assert calls(memory)[-1].url == f"{BASE}/orders?sendersReference=a%20b%26c"
    assert (await api.order_status(stored.id)).processing_status.status == "Completed"
    emails = await api.email_results(stored.id)
    assert (emails.generated, emails.succeeded) == (1, 1)
    assert emails.notifications[0].send_status.status == "Delivered"
    assert emails.notifications[0].recipient.email_address == "kari@example.org"
    assert "kari" not in repr(emails)
    assert (await api.sms_results(stored.id)).generated == 0
    assert [one.path.rsplit("/", 2)[1:] for one in calls(memory)[-2:]] == [
        ["notifications", "email"],
        ["notifications", "sms"],
    ]


async def test_a_lookup_of_the_first_version(api, memory):
    body = {
        "orderId": str(SOME),
        "recipientLookup": {
            "status": "PartialSuccess",
            "isReserved": ["12839010182"],
            "missingContact": ["312345609"],
        },
    }
    memory.fail("/orders/sms", status=202, body=json.dumps(body).encode())
    receipt = await api.order_classic(EXAMPLES["2.2"])
    assert receipt.recipient_lookup.missing_contact == ("312345609",)
    assert "12839010182" not in repr(receipt)


async def test_support(api, memory):
    entry = {
        "shipmentId": str(SOME),
        "creatorName": "ttd",
        "requestedSendTime": "2031-03-14T08:00:00Z",
        "notificationChannel": "EmailPreferred",
        "notificationType": "Notification",
        "deliveryAttempts": [
            {"nationalIdentityNumber": "12839010182", "channel": "email", "emailAddress": "kari@example.org", "result": "Delivered", "resultTime": "2031-03-14T08:03:15.75Z"}
        ],
    }  # fmt: skip
    memory.fail("/nin", status=200, body=json.dumps([entry]).encode())
    found = await api.messages_to_person("12839010182", since=EIGHT - timedelta(days=7), until=EIGHT)
    request = calls(memory)[-1]
    assert request.url == (
        f"{BASE}/future/dashboard/recipients/notifications/nin?from=2031-03-07T08%3A00%3A00Z&to=2031-03-14T08%3A00%3A00Z"
    )
    assert request.headers["nationalidentitynumber"] == "12839010182"
    assert found[0].delivery_attempts[0].result == "Delivered"
    assert "12839010182" not in repr(found)
    memory.fail("/orgnumber", status=200, body=b"[]")
    assert await api.messages_to_organization("312345609") == ()
    assert calls(memory)[-1].headers["organizationnumber"] == "312345609"
    with pytest.raises(ConfigurationError, match="time zone"):
        await api.messages_to_person("12839010182", since=datetime(2031, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize("channel", ["sms", "email"])
async def test_daily_files(api, memory, channel):
    memory.fail(
        f"/metrics/{channel}",
        status=200,
        headers={
            "content-disposition": f'attachment; filename="20310313_{channel}_notifications_test.parquet"',
            "x-total-filetransfer-count": "17",
            "x-environment": "test",
        },
        body=b"PAR1",
    )
    file = await getattr(api, f"daily_{channel}_file")("secret-key")
    assert file.name == f"20310313_{channel}_notifications_test.parquet"
    assert (file.rows, file.environment, file.content) == (17, "test", b"PAR1")
    request = calls(memory)[-1]
    assert request.headers["x-api-key"] == "secret-key"
    assert "authorization" not in request.headers
    memory.fail("/metrics/", status=200, body=b"", headers={"x-total-filetransfer-count": "many"})
    assert (await api.daily_sms_file("secret-key")).rows == 0


# ---- refusals ----


async def test_an_invalid_request_names_its_fields(api, memory):
    body = {
        "title": "One or more validation errors occurred.",
        "status": 400,
        "errors": {"RequestedSendTime": ["A time zone is required."], "": ["x"], "odd": "text"},
        "traceId": "00-4bf9-01",
    }
    memory.fail("/future/orders", status=400, body=json.dumps(body).encode())
    with pytest.raises(InvalidRequest) as caught:
        await api.order(ORDER)
    assert caught.value.errors == {"RequestedSendTime": ("A time zone is required.",), "": ("x",)}
    assert caught.value.trace_id == "00-4bf9-01"
    assert "RequestedSendTime: A time zone is required." in str(caught.value)
    assert "body: x" in str(caught.value)


async def test_a_recipient_who_cannot_be_reached(api, memory):
    memory.api.unreachable.add("12839010182")
    with pytest.raises(RecipientUnreachable) as caught:
        await api.order(EXAMPLES["2.10"])
    assert (caught.value.code, caught.value.status) == ("NOT-00001", 422)
    assert "Missing contact information" in str(caught.value)
    reminder = Reminder(to=ToPerson("12839010182", EmailOnly(EMAIL)), delay_days=1)
    with pytest.raises(RecipientUnreachable):
        await api.order(Order("b", ToEmail("a@example.org", EMAIL), reminders=[reminder]))
    assert memory.orders == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Unauthorized), (403, Forbidden), (404, NotFound), (409, Conflict), (415, ApiError), (429, TooManyRequests),
        (418, ApiError), (500, ServerError), (503, TemporarilyDown), (507, ServerError), (204, ApiError), (302, ApiError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"title": 17, "errors": [1]}'])
async def test_every_status_has_its_class(api, memory, status, expected, body):
    memory.fail("/shipment/", status=status, body=body, times=5)
    with pytest.raises(expected) as caught:
        await api.shipment(SOME)
    assert type(caught.value) is expected
    assert caught.value.status == status


async def test_a_shipment_that_does_not_exist(api):
    with pytest.raises(NotFound, match="another organisation") as caught:
        await api.shipment(SOME)
    assert caught.value.code == "NOT-00003"


@pytest.mark.parametrize("odd", ["../orders", "x", "", None, 17])
async def test_only_ids_reach_a_path(api, memory, odd):
    with pytest.raises(ConfigurationError, match="UUID"):
        await api.shipment(odd)
    assert memory.requests == []


async def test_an_answer_that_is_none(api, memory):
    for body in (b"<html>", b"{}", b"[" * 100_000, b"\xff"):
        memory.fail("/shipment/", status=200, body=body)
        with pytest.raises(UnexpectedAnswer, match="right address"):
            await api.shipment(SOME)


@pytest.mark.parametrize(
    ("scope", "code", "expected", "words"),
    [
        (
            "altinn:serviceowner/instances.read",
            "ttd",
            Forbidden,
            "lacks the scope altinn:serviceowner/notifications.create;",
        ),
        ("altinn:serviceowner/notifications.create", "", MissingServiceOwner, "names no service owner"),
        ("altinn:serviceowner/notifications.create", "ttd", Forbidden, "organisation may not do this"),
    ],
)
async def test_a_forbidden_call_says_why(kind, memory, scope, code, expected, words):
    source = memory.maskinporten(scope=scope)
    client = next(iter(memory.issuer.clients.values()))
    memory.issuer.clients[client.client_id] = type(client)(
        client.client_id, client.keys, client.scopes, "312718286", code
    )
    api = Either(kind(AltinnTokens(source), http=memory.http))
    memory.fail("/notifications/api", status=403)
    with pytest.raises(expected, match=words) as caught:
        await api.order(ORDER)
    assert type(caught.value) is expected


async def test_the_scope_that_is_missing_is_named(api, memory):
    memory.fail("/notifications/api", status=403)
    with pytest.raises(
        Forbidden, match=r"lacks the scope altinn:serviceowner/notifications\.composedemail\.create;"
    ):
        await api.order_composed_email(EXAMPLES["2.11"])
    memory.fail("/notifications/api", status=403)
    with pytest.raises(Forbidden, match=r"lacks the scope altinn:notifications\.support\.admin;"):
        await api.messages_to_person("12839010182")


async def test_a_forbidden_call_without_a_readable_token(kind, memory):
    api = Either(kind(ForwardedToken("aa.bb.cc", environment="tt02"), http=memory.http))
    memory.fail("/notifications/api", status=403)
    with pytest.raises(Forbidden, match="credentials may not"):
        await api.shipment(SOME)


# ---- tries ----


async def test_401_fetches_a_new_token_once(api, memory):
    await api.order(ORDER)
    memory.issuer.revoked.add(calls(memory)[-1].headers["authorization"].removeprefix("Bearer "))
    assert not (await api.order(ORDER)).created
    tokens = {one.headers["authorization"] for one in calls(memory)}
    assert len(tokens) == 2
    memory.fail("/notifications/api", status=401, times=2)
    with pytest.raises(Unauthorized):
        await api.shipment(SOME)
    assert len(calls(memory)) == 5


async def test_401_with_a_token_that_cannot_be_renewed(kind, memory):
    api = Either(kind(ForwardedToken("aa.bb.cc", environment="tt02"), http=memory.http))
    with pytest.raises(Unauthorized, match="exchanged first"):
        await api.shipment(SOME)
    assert len(calls(memory)) == 1


@pytest.mark.parametrize(
    "failure",
    [
        {"error": httpx2.ReadTimeout("slow")}, {"error": httpx2.ConnectTimeout("slow")}, {"error": httpx2.ConnectError("no")},
        {"error": httpx2.RemoteProtocolError("gone")}, {"status": 500}, {"status": 502}, {"status": 503}, {"status": 429},
    ],
)  # fmt: skip
async def test_an_order_with_its_id_is_repeated_unchanged(api, memory, failure):
    memory.fail("/future/orders", **failure)
    memory.fail("/future/orders", **failure)
    assert (await api.order(ORDER)).created
    bodies = {one.body for one in calls(memory)}
    assert len(calls(memory)) == 3
    assert len(bodies) == 1
    assert len(memory.clock.pauses) == 2


async def test_an_answer_that_was_lost_makes_no_second_order(api, memory):
    await api.order(ORDER)
    memory.fail("/future/orders", error=httpx2.ReadError("broken"))
    assert not (await api.order(ORDER)).created
    assert len(memory.orders) == 1


CLASSIC = ClassicSmsOrder(recipients=[ClassicRecipient(mobile="+4799999999")], body="a")


@pytest.mark.parametrize(
    "error", [httpx2.ConnectError("no"), httpx2.ConnectTimeout("slow"), httpx2.PoolTimeout("busy")]
)
async def test_an_order_without_id_is_repeated_while_nothing_was_sent(api, memory, error):
    memory.fail("/orders/sms", error=error)
    await api.order_classic(CLASSIC)
    assert len(memory.orders) == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ({"error": httpx2.ReadTimeout("slow")}, TimedOut), ({"error": httpx2.ReadError("broken")}, TransportError),
        ({"error": httpx2.WriteError("broken")}, TransportError), ({"status": 500}, ServerError), ({"status": 503}, TemporarilyDown),
    ],
)  # fmt: skip
async def test_an_order_without_id_is_not_repeated_otherwise(api, memory, failure, expected):
    memory.fail("/orders/sms", **failure)
    with pytest.raises(expected):
        await api.order_classic(CLASSIC)
    assert len(calls(memory)) == 1


async def test_an_instant_message_that_failed_may_be_sent_again(api, memory):
    order = InstantSms("otp-1", "+4799999999", SMS)
    body = b'{"title":"A temporary network failure occurred","status":503,"code":"NOT-00004"}'
    memory.fail("/instant/sms", status=503, body=body, times=4)
    with pytest.raises(TemporarilyDown, match="same idempotency id") as caught:
        await api.send_sms(order)
    assert caught.value.code == "NOT-00004"
    assert (await api.send_sms(order)).created


@pytest.mark.parametrize(
    ("value", "pause"),
    [("7", 7.0), ("Thu, 01 Jan 2099 00:00:00 GMT", None), ("nonsense", None), ("61", None), ("9" * 30, None)],
)
async def test_retry_after(api, memory, value, pause):
    memory.fail("/shipment/", status=429, headers={"retry-after": value}, times=1)
    receipt = await api.order(ORDER)
    if value in {"61", "Thu, 01 Jan 2099 00:00:00 GMT"}:
        with pytest.raises(TooManyRequests) as caught:
            await api.shipment(receipt.shipment_id)
        assert caught.value.retry_after >= 61
        assert memory.clock.pauses == []
        return
    await api.shipment(receipt.shipment_id)
    assert memory.clock.pauses[0] == pause if pause else memory.clock.pauses[0] < 1


async def test_retry_after_as_a_date(api, memory):
    from email.utils import formatdate

    memory.fail(
        "/shipment/", status=503, headers={"retry-after": formatdate(memory.clock.wall() + 20, usegmt=True)}
    )
    receipt = await api.order(ORDER)
    await api.shipment(receipt.shipment_id)
    assert memory.clock.pauses[0] == pytest.approx(20, abs=1.1)


# ---- making a client ----


def test_credentials_of_many_kinds(memory, key):
    source = memory.maskinporten()
    with Notifications(source, http=memory.http) as api:
        assert api.order(ORDER).created
        assert "Maskinporten" in repr(api)
        assert "eyJ" not in repr(api)
    assert Notifications(IdPorten("x"))._environment.name == "tt02"
    assert Notifications("aa.bb.cc", environment="production")._environment.name == "production"
    with pytest.raises(ConfigurationError, match="Say which environment"):
        Notifications("aa.bb.cc")
    with pytest.raises(ConfigurationError, match="are for tt02 and are not sent to production"):
        Notifications(source, environment="production")
    with pytest.raises(ConfigurationError, match="credentials must be"):
        Notifications(17)


async def test_from_environment_variables(kind, key):
    memory = Memory("http://127.0.0.1:5090")
    variables = {
        "VARSEL_SDK_CLIENT_ID": memory.register(key),
        "VARSEL_SDK_ENCODED_JWK": key.encoded_jwk(),
        "VARSEL_SDK_ENVIRONMENT": "http://127.0.0.1:5090",
    }
    client = kind.from_environment(variables, http=memory.http)
    assert (await Either(client).order(ORDER)).created
    assert "127.0.0.1" in memory.requests[-1].url
    assert key.private_jwk()["d"] not in repr(client)


async def test_one_key_for_both_kinds_of_context(kind, memory):
    client = kind(memory.credentials(), http=memory.http)
    if hasattr(client, "__aenter__"):
        async with client as api:
            assert (await api.order(ORDER)).created
    else:
        with client as api:
            assert api.order(ORDER).created


def test_help_is_kept():
    assert "Order a notification" in Notifications.order.__doc__
    assert Notifications.order.__name__ == "order"


def test_impossible_options_are_refused(tmp_path):
    for wrong in (
        {"timeout": 0},
        {"connect_timeout": -1},
        {"tries": 0},
        {"connections": 0},
        {"verify": False},
    ):
        with pytest.raises(ConfigurationError):
            Http(**wrong)
    (tmp_path / "none.pem").write_text("", "utf-8")
    with pytest.raises(ConfigurationError, match="certificates of authorities"):
        Http(verify=str(tmp_path / "none.pem"))._options()
    with pytest.raises(ConfigurationError, match="certificates of authorities"):
        Http(verify=str(tmp_path / "missing.pem"))._options()
