"""The world in memory is as strict as the real one."""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import urlencode

import httpx2
import pytest

from tests.client.test_orders import EMAIL, SMS
from varsel.client import (
    ClassicOrder,
    ClassicRecipient,
    ComposedEmail,
    EmailAndSms,
    EmailOnly,
    EmailTemplate,
    Forbidden,
    InstantEmail,
    InstantSms,
    InvalidRequest,
    Maskinporten,
    MaskinportenRefused,
    NotFound,
    Notifications,
    Order,
    SigningKey,
    SmsOnly,
    SmsTemplate,
    ToIdentity,
    ToPerson,
    ToPhone,
    Unauthorized,
)
from varsel.client import _keys as keys
from varsel.client._jws import b64url
from varsel.client.testing import Memory, Sandbox, SandboxError
from varsel.client.testing import _sandbox as sandboxes
from varsel.client.testing._issuer import own_key, sign

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def asserted(memory, key, header=None, grant_type=GRANT, **changes):
    """The answer to a grant with these changes; None takes a claim away."""
    client = memory.register(key)
    now = int(memory.clock.wall())
    claims = {"aud": "https://test.maskinporten.no/", "iss": client, "scope": "altinn:serviceowner/notifications.create",
              "iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), **changes}  # fmt: skip
    claims = {name: value for name, value in claims.items() if value is not None}
    parts = [
        b64url(json.dumps(part).encode()) for part in (header or {"alg": "RS256", "kid": key.kid}, claims)
    ]
    text = ".".join(parts)
    assertion = f"{text}.{b64url(key.sign(text.encode()))}"
    body = urlencode({"grant_type": grant_type, "assertion": assertion})
    return httpx2.Client(transport=memory).post("https://test.maskinporten.no/token", content=body)


def test_a_good_grant(memory, key):
    assert asserted(memory, key).status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"header": {"alg": "none", "kid": "x"}}, "requires pre-registered jwk"),
        ({"header": {"alg": "RS256"}}, "requires pre-registered jwk"),
        ({"header": {"alg": "RS256", "kid": "other"}}, "Unknown key"),
        ({"grant_type": "password"}, "jwt-bearer"),
        ({"iss": "somebody"}, "Client not found"),
        ({"aud": "https://test.maskinporten.no/token"}, "aud"),
        ({"iat": "now"}, "Invalid parameter"),
        ({"exp": None}, "Invalid parameter"),
        ({"iat": 1}, "expired"),
        ({"exp": 99_999_999_999}, "expired"),
        ({"iat": 99_999_999_999}, "Issue time is after now"),
        ({"jti": None}, "used before"),
        ({"scope": "a:b"}, "invalid scopes"),
    ],
)
def test_a_grant_that_the_real_one_refuses(memory, key, change, words):
    answer = asserted(memory, key, **change)
    assert answer.status_code == 400
    assert words in answer.json()["error_description"]


def test_a_grant_counts_once(memory, key):
    assert asserted(memory, key, jti="same", iss=(client := memory.register(key))).status_code == 200
    assert "used before" in asserted(memory, key, jti="same", iss=client).json()["error_description"]


def test_a_signature_by_another_key(memory, key):
    other = SigningKey(SigningKey.generate("x").private_jwk(), kid=key.kid)
    client_id = memory.register(key)
    with pytest.raises(MaskinportenRefused, match="Invalid JWT signature"):
        Maskinporten(client_id, other, http=memory.http).token()
    lenient = Memory(lenient=True)
    assert Maskinporten(lenient.register(key), other, http=lenient.http).token()


def get(memory, url, token=None, method="GET"):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(transport=memory).request(method, url, headers=headers).status_code


def test_tokens_that_are_not_exchanged(memory):
    url = memory.environment.exchange + "/maskinporten"
    good = memory.maskinporten().token().value
    assert get(memory, url, good) == 200
    foreign = sign({"iss": "https://maskinporten.no/", "exp": memory.clock.wall() + 60})
    assert [get(memory, url, one) for one in (None, "x", "a.b.c", foreign, good[:-4] + "AAAA")] == [401] * 5
    memory.clock.advance(200)
    assert get(memory, url, good) == 401


def test_what_the_api_refuses(memory):
    base = memory.environment.notifications
    token = memory.credentials().token().value
    maskinporten = memory.maskinporten().token().value
    assert get(memory, f"{base}/orders/x", maskinporten) == 401
    assert get(memory, f"{base}/orders/x", token) == 404
    assert get(memory, f"{base}/unknown", token) == 404
    assert get(memory, f"{base}/future/shipment/feed", token, "DELETE") == 405
    assert get(memory, "https://elsewhere.example.org/") == 404
    body = httpx2.Client(transport=memory).post(
        f"{base}/future/orders", content=b"{", headers={"authorization": f"Bearer {token}"}
    )
    assert body.status_code == 400
    with (
        Notifications(memory.credentials(scope="altinn:serviceowner"), http=memory.http) as api,
        pytest.raises(Forbidden),
    ):
        api.stored_orders("x")
    with Notifications("a.b.c", environment="tt02", http=memory.http) as api, pytest.raises(Unauthorized):
        api.stored_orders("x")
    with Notifications(memory.credentials(), http=memory.http) as api, pytest.raises(NotFound):
        api.receipt("6f2c0a51-3d0e-4b7e-9a55-0d2b8c6f1e10")


def test_an_order_that_is_no_json(memory):
    memory.fail("/future/orders", status=400, body=b'{"errors": {"$": ["x"]}}')
    with Notifications(memory.credentials(), http=memory.http) as api, pytest.raises(InvalidRequest):
        api.order(Order("a", ToPhone("+4799999999", SMS)))


def test_every_recipient_gets_its_messages(memory):
    with Notifications(memory.credentials(), http=memory.http) as api:
        both = EmailAndSms(EMAIL, SMS)
        ids = [
            api.order(Order("a", to)).shipment_id
            for to in (ToPerson("12839010182", both), ToIdentity("urn:altinn:username:kari", both))
        ]
        to = [
            ClassicRecipient(email="a@example.org"),
            ClassicRecipient(mobile="+4799999999"),
            ClassicRecipient(organization_number="312345609"),
        ]
        order = ClassicOrder(
            channel="EmailPreferred", recipients=to, email=EmailTemplate("a", "b"), sms=SmsTemplate("b")
        )
        ids.append(api.order_classic(order).order_id)
        memory.deliver()
        assert [[one.type for one in api.shipment(shipment).recipients] for shipment in ids] == [
            ["Email", "SMS"],
            ["Email", "SMS"],
            ["Email", "SMS", "Email"],
        ]
        assert api.sms_results(ids[2]).succeeded == 1
        assert memory.orders[0].status == "Order_Completed"
        memory.deliver()
        assert len(memory.api.feed) == 2


def test_a_finished_order_is_fed_once_and_a_cancelled_one_never(memory):
    with Notifications(memory.credentials(), http=memory.http) as api:
        first = api.order(Order("a", ToPhone("+4799999999", SMS)))
        api.cancel(first.shipment_id)
        api.cancel(first.shipment_id)
        memory.deliver()
        assert api.feed_page() == ()


# ---- the sandbox's own edges ----


def fake(monkeypatch, program):
    monkeypatch.setattr(sandboxes, "_command", lambda: [sys.executable, "-c", program])


def test_a_sandbox_that_does_not_start(monkeypatch):
    fake(monkeypatch, "import sys; print('x'); sys.exit('The port is taken.')")
    with pytest.raises(SandboxError, match=r"did not start(.|\n)*The port is taken"):
        Sandbox.start()


def test_a_sandbox_that_takes_too_long(monkeypatch, tmp_path):
    fake(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(sandboxes, "START_SECONDS", 0.2)
    with pytest.raises(SandboxError, match="not ready within"):
        Sandbox.start(tmp_path / "data")


def test_a_sandbox_that_does_not_stop_is_ended(monkeypatch, tmp_path):
    fake(
        monkeypatch,
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('Varsel answers on http://127.0.0.1:1 (sandbox)', flush=True); time.sleep(60)",
    )
    monkeypatch.setattr(sandboxes, "STOP_SECONDS", 0.2)
    sandbox = Sandbox.start(tmp_path / "data")
    assert sandbox.url == "http://127.0.0.1:1"
    process = sandbox._process
    sandbox.stop()
    assert process.returncode == -9
    sandbox.stop()


def test_an_inbox_that_answers_otherwise(monkeypatch):
    inbox = sandboxes.Inbox("http://127.0.0.1:1")
    monkeypatch.setattr(inbox._wire, "exchange", lambda _: sandboxes.Answer(500, {}, b""))
    with pytest.raises(SandboxError, match="answered 500"):
        inbox.messages()


# ---- small things ----


def test_small_edges_of_tokens_and_keys(key):
    from varsel.client._http import Http
    from varsel.client._tokens import TokenSource, claims_of, header_of

    assert claims_of("a.b") == {}
    assert claims_of("a.!.c") == {}
    assert header_of(f"{b64url(b'[1]')}.x.y") == {}
    with pytest.raises(NotImplementedError):
        TokenSource(Http()).token()
    assert keys._only_key(key.private_jwk()) == key.private_jwk()
    assert own_key() is own_key()


def test_composed_and_instant_messages_are_delivered_to_their_address(memory):
    with Notifications(memory.credentials(), http=memory.http) as api:
        ids = [
            api.order_composed_email(ComposedEmail("a", "kari@example.org", EMAIL)).shipment_id,
            api.send_email(InstantEmail("b", "kari@example.org", EMAIL)).shipment_id,
            api.send_sms(InstantSms("c", "+4799999999", SMS)).shipment_id,
            api.order(Order("d", ToPerson("12839010182", EmailOnly(EMAIL)))).shipment_id,
            api.order(Order("e", ToPerson("12839010182", SmsOnly(SMS)))).shipment_id,
        ]
        memory.deliver()
        found = [api.shipment(one).recipients for one in ids]
    assert [[one.destination for one in recipients] for recipients in found] == [
        ["kari@example.org"],
        ["kari@example.org"],
        ["+4799999999"],
        ["someone@example.org"],
        ["+4799999999"],
    ]
