"""Maskinporten tokens: docs/reference/identity.md 2 and 9."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import parse_qs

import httpx2
import pytest

from varsel.client import (
    ClockSkew,
    ConfigurationError,
    Http,
    KeyExpired,
    Maskinporten,
    MaskinportenRefused,
    NotDelegated,
    ScopeNotGranted,
    ScopeNotRegistered,
    SignerCallback,
    SigningKey,
    TimedOut,
    TransportError,
)
from varsel.client._errors import maskinporten_refusal, mp_code
from varsel.client._tokens import claims_of, header_of
from varsel.client.testing import Memory

CREATE = "altinn:serviceowner/notifications.create"


def grant(memory, index=-1):
    form = parse_qs(memory.requests[index].body.decode())
    return form["assertion"][0]


def asked(memory, path):
    return [one for one in memory.requests if one.path.endswith(path)]


def test_a_token_is_fetched_as_the_contract_shows(memory, key):
    client_id = memory.register(key, client_id="0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b")
    source = Maskinporten(client_id, key, environment="tt02", http=memory.http)
    memory.clock.set_wall(1784102400)
    token = source.token()
    metadata, request = memory.requests
    assert metadata.method == "GET"
    assert metadata.url == "https://test.maskinporten.no/.well-known/oauth-authorization-server"
    assert (request.method, request.url) == ("POST", "https://test.maskinporten.no/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers
    form = parse_qs(request.body.decode(), strict_parsing=True)
    assert set(form) == {"grant_type", "assertion"}
    assert request.body.startswith(
        b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"
    )
    assert header_of(grant(memory)) == {"alg": "RS256", "kid": "acme-varsel-2026-07"}
    claims = claims_of(grant(memory))
    jti = claims.pop("jti")
    assert len(jti) == 36
    assert claims == {
        "aud": "https://test.maskinporten.no/",
        "iss": "0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b",
        "scope": CREATE,
        "iat": 1784102400,
        "exp": 1784102460,
    }
    assert token.scope == CREATE
    assert token.expires == memory.clock.steady() + 119


def test_every_claim_that_can_be_asked_for(memory, key):
    client_id = memory.register(key, scopes=["a:b", "c:d"])
    details = {
        "type": "urn:altinn:systemuser",
        "systemuser_org": {"authority": "iso6523-actorid-upis", "ID": "0192:312718286"},
    }
    source = Maskinporten(
        client_id,
        key,
        scope=["a:b", "c:d a:b"],
        resource="https://api.example.org",
        consumer_org="312718286",
        pid="17849012320",
        authorization_details=[details],
        grant_seconds=120,
        http=memory.http,
    )
    source.token()
    claims = claims_of(grant(memory))
    assert claims["scope"] == "a:b c:d"
    assert claims["resource"] == ["https://api.example.org"]
    assert claims["consumer_org"] == "312718286"
    assert claims["pid"] == "17849012320"
    assert claims["authorization_details"] == [details]
    assert claims["exp"] - claims["iat"] == 120


def test_a_sub_client(memory, key):
    source = Maskinporten(memory.register(key), key, on_behalf_of="customer-7", http=memory.http)
    source.token()
    assert claims_of(grant(memory))["iss_onbehalfof"] == "customer-7"


def test_a_certificate_goes_as_x5c_without_kid(memory, key):
    signer = SignerCallback(key.sign, certificates=(b"leaf", b"issuer"))
    lenient = Memory(lenient=True)
    source = Maskinporten(lenient.register(key), signer, http=lenient.http)
    source.token()
    leaf, issuer = (base64.b64encode(der).decode() for der in (b"leaf", b"issuer"))
    assert header_of(grant(lenient)) == {"alg": "RS256", "x5c": [leaf, issuer]}
    assert source.kid is None


async def test_an_asynchronous_signer(memory, key):
    async def sign(data):
        await asyncio.sleep(0)
        return key.sign(data)

    source = Maskinporten(memory.register(key), SignerCallback(sign, kid=key.kid), http=memory.http)
    assert (await source.token_async()).value
    with pytest.raises(ConfigurationError, match="asynchronous client"):
        await asyncio.to_thread(Maskinporten("x", SignerCallback(sign, kid=key.kid), http=memory.http).token)


def test_a_signer_that_promises_more_than_it_gives(memory, key):
    class Promise:
        def __await__(self):
            yield

    source = Maskinporten(
        memory.register(key), SignerCallback(lambda _: Promise(), kid=key.kid), http=memory.http
    )
    with pytest.raises(ConfigurationError, match="asynchronous client"):
        source.token()


def test_several_scope_sets_have_a_token_each(memory, key):
    source = Maskinporten(memory.register(key, scopes=["a:b", "c:d"]), key, scope="a:b", http=memory.http)
    first, second = source.token(), source.token("c:d")
    assert (first.scope, second.scope) == ("a:b", "c:d")
    assert source.token("c:d") is second
    assert source.token(["a:b"]) is first
    assert len(asked(memory, "/token")) == 2


async def test_both_forms_share_one_cache(memory):
    source = memory.maskinporten()
    token = await source.token_async()
    assert await asyncio.to_thread(source.token) is token
    await source.close_async()
    source.close()


def test_a_token_is_renewed_ten_seconds_early(memory):
    source = memory.maskinporten()
    first = source.token()
    memory.clock.advance(108)
    assert source.token() is first
    memory.clock.advance(2)
    assert source.token() is not first


def test_metadata_lasts_an_hour_and_survives_an_outage(memory):
    source = memory.maskinporten()
    source.token()
    memory.clock.advance(3599)
    source.token()
    assert len(asked(memory, "authorization-server")) == 1
    memory.clock.advance(2)
    memory.fail("well-known", times=4)
    source.drop(source.token())
    assert source.token()
    assert len(asked(memory, "authorization-server")) == 5


def test_metadata_that_was_never_had_is_an_error(memory):
    memory.fail("well-known", times=4)
    with pytest.raises(TransportError, match=r"test\.maskinporten\.no could not be reached"):
        memory.maskinporten().token()


def test_the_override_asks_for_no_metadata(memory, key):
    there = {"token_url": "https://test.maskinporten.no/token", "audience": "https://test.maskinporten.no/"}
    Maskinporten(memory.register(key), key, http=memory.http, **there).token()
    assert [one.path for one in memory.requests] == ["/token"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_url": "https://a.example.org/token"},
        {"audience": "https://a.example.org/"},
        {"token_url": "http://a.example.org/token", "audience": "https://a.example.org/"},
        {"token_url": "nonsense", "audience": "x"},
        {"client_id": " "},
        {"scope": " "},
        {"scope": []},
        {"grant_seconds": 121},
        {"grant_seconds": 0},
        {"kid": "a/b"},
        {"consumer_org": "312718286", "on_behalf_of": "x"},
        {"key": 17},
        {"environment": "atlantis"},
        {"environment": "http://varsel.example.org"},
        {"environment": "https://user:secret@varsel.example.org"},
    ],
)
def test_wrong_settings_are_found_before_anything_is_sent(key, wrong):
    with pytest.raises(ConfigurationError) as caught:
        Maskinporten(**{"client_id": "x", "key": key, **wrong})
    assert "secret" not in str(caught.value)


def test_a_key_without_a_name_needs_one(key):
    jwk = {name: value for name, value in key.private_jwk().items() if name != "kid"}
    with pytest.raises(ConfigurationError, match="no kid"):
        Maskinporten("x", jwk)
    assert Maskinporten("x", jwk, kid="mine").kid == "mine"
    assert Maskinporten("x", key.encoded_jwk(), kid="other").kid == "other"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("MP-200", ScopeNotRegistered),
        ("MP-250", ScopeNotGranted),
        ("MP-251", NotDelegated),
        ("MP-121", KeyExpired),
        ("MP-130", ClockSkew),
        ("MP-011", MaskinportenRefused),
    ],
)
def test_refusals_have_classes_codes_and_advice(memory, code, kind):
    body = {
        "error": "invalid_grant",
        "error_description": f"Something. (trace_id: {'0af7651916cd43dd' * 2})",
        "error_uri": f"https://test.maskinporten.no/errors/{code}",
    }
    memory.fail("/token", status=400, body=json.dumps(body).encode(), times=2)
    with pytest.raises(kind) as caught:
        memory.maskinporten().token()
    error = caught.value
    assert type(error) is kind
    assert (error.mp_code, error.status, error.error) == (code, 400, "invalid_grant")
    assert error.trace_id == "0af7651916cd43dd" * 2
    assert error.error_uri.endswith(code)
    assert error.error_description in str(error)
    assert kind.advice in str(error)


def test_mp_codes_are_read_strictly():
    assert mp_code("https://maskinporten.no/errors/MP-121") == "MP-121"
    for odd in ("", "MP-12", "https://x/MP-1234", "https://x/MP-121/", "https://x/mp-121", "MP-121\n"):
        assert mp_code(odd) is None


def test_an_older_catch_all_is_coped_with():
    error = maskinporten_refusal(401, "invalid_client", "AUTH-00004", "", "")
    assert type(error) is MaskinportenRefused
    assert "AUTH-00004" in str(error)
    assert error.mp_code is None
    assert error.trace_id is None


def test_200_and_250_are_never_tried_again(memory, key):
    source = Maskinporten(memory.register(key, scopes=["a:b"]), key, scope="c:d", http=memory.http)
    with pytest.raises(ScopeNotRegistered):
        source.token()
    memory.issuer.withdrawn.add("a:b")
    with pytest.raises(ScopeNotGranted):
        source.token("a:b")
    assert len(asked(memory, "/token")) == 2
    assert memory.clock.pauses == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again_with_a_new_grant(memory, status):
    source = memory.maskinporten()
    memory.fail("/token", status=status)
    assert source.token()
    first, second = asked(memory, "/token")
    assert first.body != second.body
    assert claims_of(parse_qs(first.body.decode())["assertion"][0])["jti"] != claims_of(grant(memory))["jti"]


def test_a_network_failure_is_tried_again_but_not_for_ever(memory):
    source = memory.maskinporten()
    memory.fail("/token", error=httpx2.ReadTimeout("slow"), times=4)
    with pytest.raises(TimedOut):
        source.token()
    assert len(asked(memory, "/token")) == 4
    assert len(memory.clock.pauses) == 3


def test_a_clock_that_is_behind_is_repaired_once(memory):
    source = memory.maskinporten(http=Http(transport=memory, clock=Behind(memory.clock, 3600)))
    assert source.token()
    assert len(asked(memory, "/token")) == 2
    assert source.clock_offset == pytest.approx(3600, abs=2)
    # The correction stays.
    source.drop(source.token())
    assert source.token()
    assert len(asked(memory, "/token")) == 3


def test_a_clock_that_is_ahead_is_repaired_once(memory):
    source = memory.maskinporten(http=Http(transport=memory, clock=Behind(memory.clock, -300)))
    assert source.token()
    assert source.clock_offset == pytest.approx(-300, abs=2)


def test_the_repair_can_be_turned_off(memory):
    source = memory.maskinporten(
        http=Http(transport=memory, clock=Behind(memory.clock, 60)), repair_clock=False
    )
    with pytest.raises(ClockSkew, match="Set this machine's clock right"):
        source.token()
    assert len(asked(memory, "/token")) == 1


def test_without_a_date_there_is_nothing_to_repair_by(memory):
    body = json.dumps({"error": "invalid_grant", "error_description": "Issue time is after now"}).encode()
    for date in ({}, {"date": "nonsense"}):
        memory.fail("/token", status=400, body=body, headers=date)
        with pytest.raises(ClockSkew):
            memory.maskinporten().token()


class Behind:
    """A machine whose clock on the wall is wrong."""

    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, seconds
        self.steady, self.sleep, self.sleep_async = clock.steady, clock.sleep, clock.sleep_async

    def wall(self):
        return self._clock.wall() - self._seconds


def test_nothing_secret_shows(memory, caplog):
    caplog.set_level("DEBUG")
    source = memory.maskinporten()
    token = source.token()
    assertion = grant(memory)
    shown = f"{source!r} {token!r} {token} {memory.requests!r} {caplog.text}"
    assert token.value not in shown
    assert assertion not in shown
    assert "eyJ" not in shown


def test_a_jwk_of_another_name(memory):
    other = SigningKey.generate("registered")
    source = Maskinporten(memory.register(other), other.private_jwk(), kid="unregistered", http=memory.http)
    with pytest.raises(MaskinportenRefused, match="Unknown key identifier"):
        source.token()


@pytest.mark.parametrize(
    ("description", "uri", "advice"),
    [
        ("Grant is used before", "https://maskinporten.no/errors/MP-012", "let this client make a new one"),
        (
            "Invalid JWT signature",
            "https://maskinporten.no/errors/MP-124",
            "the key that is registered under",
        ),
        (
            "The JWT is signed with an invalid certificate.",
            "https://maskinporten.no/errors/MP-120",
            "business certificate",
        ),
        ("Unknown key identifier (kid) for client", "", "Register the public half"),
        ("AUTH-00004", "", "And is its key this one?"),
        ("something new", "", "something new."),
    ],
)
def test_a_refusal_says_what_to_do(description, uri, advice):
    text = str(maskinporten_refusal(400, "invalid_grant", description, uri, ""))
    assert advice in text
    assert description.rstrip(".") in text


def test_an_invalid_client_is_looked_up_by_its_identifier():
    assert "identifier of the integration" in str(maskinporten_refusal(401, "invalid_client", "no", "", ""))
