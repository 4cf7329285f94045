"""Attacks 85 to 87 of docs/reference/identity.md 10.6; 88 to 90 are in test_exchange.py."""

from __future__ import annotations

import json

import pytest

from varsel.client import ClientError, MaskinportenRefused, UnexpectedAnswer

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in to the network</html>",
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"access_token": 17}',
        b'{"access_token": ""}',
        b'{"access_token": "not a token"}',
        b'{"access_token": "a.b.c\\r\\nX-Evil: 1"}',
        b'{"access_token": "' + b"a" * 20_000 + b'.b.c"}',
        b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_attack_85_a_success_without_a_token(memory, body):
    memory.fail("/token", status=200, headers=JSON, body=body)
    with pytest.raises(UnexpectedAnswer):
        memory.maskinporten().token()


@pytest.mark.parametrize(
    "expires_in", ["-5", "0", "1e12", '"119"', '"soon"', "null", "true", "[]", "NaN", "1" + "0" * 400]
)
def test_attack_85_a_life_that_cannot_be(memory, expires_in):
    memory.fail(
        "/token",
        status=200,
        headers=JSON,
        body=b'{"access_token":"aa.bb.cc","expires_in":%s}' % expires_in.encode(),
    )
    source = memory.maskinporten()
    token = source.token()
    assert token.value == "aa.bb.cc"
    assert 0 <= token.expires - memory.clock.steady() <= 24 * 3600
    memory.clock.advance(24 * 3600 + 1)
    assert source.token().value != "aa.bb.cc"


@pytest.mark.parametrize("expires_in", ["-5", "0", "null", "NaN"])
def test_attack_85_a_token_without_life_is_never_kept(memory, expires_in):
    memory.fail(
        "/token", status=200, body=b'{"access_token":"aa.bb.cc","expires_in":%s}' % expires_in.encode()
    )
    source = memory.maskinporten()
    assert source.token().value == "aa.bb.cc"
    assert source.token().value != "aa.bb.cc"


@pytest.mark.parametrize("status", [400, 404, 502])
@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"error": 17}', b'{"error":"x","error_description":"%s"}' % (b"y" * 100_000)]
)
def test_attack_85_a_refusal_of_no_known_form(memory, status, body):
    memory.fail("/token", status=status, body=body, times=4)
    with pytest.raises(MaskinportenRefused) as caught:
        memory.maskinporten().token()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://maskinporten.no/"},
        {"issuer": "https://test.maskinporten.no"},
        {"issuer": None},
        {"token_endpoint": "https://evil.example.org/token"},
        {"token_endpoint": "https://test.maskinporten.no.evil.example.org/token"},
        {"token_endpoint": "https://test.maskinporten.no@evil.example.org/token"},
        {"token_endpoint": "http://test.maskinporten.no/token"},
        {"token_endpoint": "https://test.maskinporten.no:8443/token"},
        {"token_endpoint": 17},
        {"token_endpoint": None},
    ],
)
def test_attack_86_metadata_that_leads_elsewhere(memory, change):
    body = json.dumps({**memory.issuer.metadata(), **change}).encode()
    memory.fail("well-known", status=200, body=body)
    with pytest.raises(UnexpectedAnswer):
        memory.maskinporten().token()
    assert not [one for one in memory.requests if one.method == "POST"]


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"<html>"), (200, b"[]"), (200, b"")])
def test_attack_86_metadata_that_is_none(memory, status, body):
    memory.fail("well-known", status=status, body=body)
    with pytest.raises(UnexpectedAnswer, match="without metadata"):
        memory.maskinporten().token()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("where", ["/token", "/exchange/", "well-known", "/orders"])
def test_attack_87_redirects_are_not_followed(memory, kind, where, status):
    memory.fail(where, status=status, headers={"location": "https://evil.example.org/token"})
    client = kind(memory.credentials(), http=memory.http)

    async def work():
        result = client.stored_orders("x")
        return await result if hasattr(result, "__await__") else result

    import asyncio

    with pytest.raises(ClientError):
        asyncio.run(work())
    assert not any("evil" in one.url for one in memory.requests)
