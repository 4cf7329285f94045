"""What leaves for the public environments, byte for byte: docs/reference/identity.md 1.2 and 8, notifications-api.md 2."""

from __future__ import annotations

import base64
import json
import re

import pytest

from tests.client.test_orders import EXAMPLES, example
from varsel.client import (
    AltinnTokens,
    Maskinporten,
    NotFound,
    Notifications,
    PlatformToken,
    SignerCallback,
    SigningKey,
)
from varsel.client._jws import b64url
from varsel.client.testing import ManualClock, Memory

#: docs/reference/identity.md 8, written out once more: name, platform, Maskinporten.
PUBLIC = [
    ("at21", "platform.at21.altinn.cloud", "test.maskinporten.no"),
    ("at22", "platform.at22.altinn.cloud", "test.maskinporten.no"),
    ("at23", "platform.at23.altinn.cloud", "test.maskinporten.no"),
    ("at24", "platform.at24.altinn.cloud", "test.maskinporten.no"),
    ("yt01", "platform.yt01.altinn.cloud", "test.maskinporten.no"),
    ("tt02", "platform.tt02.altinn.no", "test.maskinporten.no"),
    ("production", "platform.altinn.no", "maskinporten.no"),
]
CLIENT = "0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b"
KID = "acme-varsel-2026-07"
NOON = 1784102400
SHIPMENT = "c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91"
PLACES = {
    "2.1": ("order_classic", "/orders/email"),
    "2.2": ("order_classic", "/orders/sms"),
    "2.3": ("order_classic", "/orders"),
    "2.10": ("order", "/future/orders"),
    "2.11": ("order_composed_email", "/future/orders/composed-email"),
    "2.12": ("send_sms", "/future/orders/instant/sms"),
    "2.13": ("send_email", "/future/orders/instant/email"),
}
READS = [
    ("shipment", (SHIPMENT,), "GET", f"/future/shipment/{SHIPMENT}"),
    ("feed_page", (17,), "GET", "/future/shipment/feed?seq=17&pageSize=500"),
    ("cancel", (SHIPMENT,), "PUT", f"/orders/{SHIPMENT}/cancel"),
    ("stored_order", (SHIPMENT,), "GET", f"/orders/{SHIPMENT}"),
    ("stored_orders", ("sak 42/a&b",), "GET", "/orders?sendersReference=sak%2042%2Fa%26b"),
    ("order_status", (SHIPMENT,), "GET", f"/orders/{SHIPMENT}/status"),
    ("email_results", (SHIPMENT,), "GET", f"/orders/{SHIPMENT}/notifications/email"),
    ("sms_results", (SHIPMENT,), "GET", f"/orders/{SHIPMENT}/notifications/sms"),
    ("messages_to_person", ("12839010182",), "GET", "/future/dashboard/recipients/notifications/nin"),
    (
        "messages_to_organization",
        ("312345609",),
        "GET",
        "/future/dashboard/recipients/notifications/orgnumber",
    ),
]


@pytest.fixture(scope="module")
def key():
    return SigningKey.generate(KID)


def world(environment, key):
    memory = Memory(environment, clock=ManualClock(float(NOON)))
    memory.register(key, client_id=CLIENT)
    return memory, Maskinporten(CLIENT, key, environment=environment, http=memory.http)


def sent(memory):
    """Requests as they left: method, address, the headers that matter, body."""
    matter = ("authorization", "content-type", "accept", "prefer", "platformaccesstoken", "cookie")
    return [
        (one.method, one.url, {name: one.headers[name] for name in matter if name in one.headers}, one.body)
        for one in memory.requests
    ]


def part(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(("name", "platform", "issuer"), PUBLIC)
def test_the_road_of_a_token_and_an_order(key, name, platform, issuer):
    memory, source = world(name, key)
    with Notifications(AltinnTokens(source), http=memory.http) as api:
        api.order(EXAMPLES["2.10"])
        first = source.token().value
    metadata, grant, exchange, order = sent(memory)
    assert metadata == (
        "GET",
        f"https://{issuer}/.well-known/oauth-authorization-server",
        {"accept": "application/json"},
        b"",
    )

    method, url, headers, body = grant
    assert (method, url) == ("POST", f"https://{issuer}/token")
    assert headers == {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    form = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
    assert body.startswith(form)
    head, claims, signature = body.removeprefix(form).decode().split(".")
    assert part(head) == b'{"alg":"RS256","kid":"acme-varsel-2026-07"}'
    jti = json.loads(part(claims))["jti"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", jti)
    assert part(claims).decode() == (
        f'{{"aud":"https://{issuer}/","iss":"{CLIENT}","scope":"altinn:serviceowner/notifications.create",'
        f'"iat":{NOON},"exp":{NOON + 60},"jti":"{jti}"}}'
    )
    assert signature == b64url(key.sign(f"{head}.{claims}".encode()))

    assert exchange == (
        "GET",
        f"https://{platform}/authentication/api/v1/exchange/maskinporten",
        {"authorization": f"Bearer {first}", "accept": "text/plain"},
        b"",
    )

    method, url, headers, body = order
    assert (method, url) == ("POST", f"https://{platform}/notifications/api/v1/future/orders")
    assert headers.pop("authorization").startswith("Bearer ey")
    assert headers == {"content-type": "application/json", "accept": "application/json"}
    assert body == example_bytes("2.10")


def example_bytes(section):
    """The example as it stands in the reference, with its order of members, without its line breaks and indentation."""
    return json.dumps(example(section), ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("section", list(PLACES))
@pytest.mark.parametrize("name", ["at22", "tt02", "production"])
def test_an_order_is_its_example(key, name, section):
    memory, source = world(name, key)
    method, path = PLACES[section]
    platform = next(one for known, one, _ in PUBLIC if known == name)
    with Notifications(AltinnTokens(source), http=memory.http) as api:
        getattr(api, method)(EXAMPLES[section])
    verb, url, headers, body = sent(memory)[-1]
    assert (verb, url) == ("POST", f"https://{platform}/notifications/api/v1{path}")
    assert headers["content-type"] == "application/json"
    assert body == example_bytes(section)


@pytest.mark.parametrize(("method", "arguments", "verb", "path"), READS)
def test_every_other_call(key, method, arguments, verb, path):
    memory, source = world("tt02", key)
    with Notifications(AltinnTokens(source), http=memory.http) as api:
        memory.fail("/notifications/api", status=404)
        with pytest.raises(NotFound):  # what it answers is told elsewhere
            getattr(api, method)(*arguments)
    sent_verb, url, headers, body = sent(memory)[-1]
    assert (sent_verb, url) == (verb, f"https://platform.tt02.altinn.no/notifications/api/v1{path}")
    assert set(headers) == {"authorization", "accept"}
    assert body == b""
    looked_up = {
        "messages_to_person": "nationalidentitynumber",
        "messages_to_organization": "organizationnumber",
    }
    if method in looked_up:
        assert memory.requests[-1].headers[looked_up[method]] == arguments[0]


def test_a_platform_token_goes_in_its_own_header(key):
    memory = Memory("tt02")
    signer = SignerCallback(key.sign, certificates=(b"certificate",))
    with Notifications(PlatformToken("ttd", signer, app="app"), environment="tt02", http=memory.http) as api:
        memory.fail("/notifications/api", status=404)
        with pytest.raises(Exception, match="404"):
            api.shipment(SHIPMENT)
    _, _, headers, _ = sent(memory)[-1]
    assert set(headers) == {"platformaccesstoken", "accept"}
    assert headers["platformaccesstoken"].count(".") == 2
