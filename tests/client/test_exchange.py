"""The exchange, forwarded tokens and platform tokens: docs/reference/identity.md 5, 6.6 and 9.2."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import httpx2
import pytest

from varsel.client import (
    AltinnTokens,
    ConfigurationError,
    ExchangeRefused,
    ForwardedToken,
    Http,
    IdPorten,
    Maskinporten,
    PlatformToken,
    SignerCallback,
    TransportError,
    UnexpectedAnswer,
)
from varsel.client._drive import AwaitingDriver, BlockingDriver
from varsel.client._tokens import claims_of, header_of
from varsel.client.testing import ManualClock, Memory
from varsel.client.testing._issuer import own_key, sign, verified


def exchanges(memory):
    return [one for one in memory.requests if "/exchange/" in one.url]


def test_the_exchange_as_the_contract_shows(memory):
    source = memory.maskinporten()
    token = AltinnTokens(source).token()
    request = exchanges(memory)[0]
    assert request.method == "GET"
    assert request.url == "https://platform.tt02.altinn.no/authentication/api/v1/exchange/maskinporten"
    assert request.headers["authorization"] == f"Bearer {source.token().value}"
    assert request.body == b""
    assert claims_of(token.value)["urn:altinn:org"] == "ttd"


def test_the_life_is_that_of_the_altinn_token(memory):
    tokens = memory.credentials()
    first = tokens.token()
    memory.clock.advance(1739)
    assert tokens.token() is first
    memory.clock.advance(2)
    assert tokens.token() is not first
    assert len(exchanges(memory)) == 2


@pytest.mark.parametrize(
    "form", ["{}", '"{}"', "{}\n", ' "{}"\r\n'], ids=["bare", "quoted", "line break", "both"]
)
def test_every_form_of_the_answer_is_read(memory, form):
    good = memory.issuer.exchange(memory.maskinporten().token().value)
    memory.fail("/exchange/", status=200, body=form.format(good).encode())
    assert memory.credentials().token().value == good


def test_the_test_department(memory):
    AltinnTokens(memory.maskinporten(), test_org=True).token()
    assert exchanges(memory)[0].url.endswith("/exchange/maskinporten?test=true")


def test_combinations_that_cannot_work_are_refused(key):
    tt02 = Maskinporten("x", key, environment="tt02")
    with pytest.raises(ConfigurationError, match="does not trust"):
        AltinnTokens(tt02, environment="production")
    with pytest.raises(ConfigurationError, match="test environments"):
        AltinnTokens(Maskinporten("x", key, environment="production"), test_org=True)
    with pytest.raises(ConfigurationError, match="machines"):
        AltinnTokens(IdPorten("x"), test_org=True)
    # Every test platform takes tokens of the one test Maskinporten.
    assert AltinnTokens(tt02, environment="at22").environment.platform == "https://platform.at22.altinn.cloud"


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "does not accept"), (403, "altinn: scope"), (410, "system user"), (400, "answered 400")],
)
def test_refusals_say_what_to_do(memory, status, words):
    memory.fail("/exchange/", status=status)
    with pytest.raises(ExchangeRefused, match=words) as caught:
        memory.credentials().token()
    assert caught.value.status == status


def test_a_provider_token_that_was_refused_is_not_used_again(memory):
    source = memory.maskinporten()
    tokens = AltinnTokens(source)
    first = source.token()
    memory.fail("/exchange/", status=401)
    with pytest.raises(ExchangeRefused):
        tokens.token()
    memory.clock.advance(2)
    tokens.token()
    assert source.token() is not first


def test_an_outage_of_the_exchange_is_waited_out(memory):
    memory.fail("/exchange/", status=503)
    memory.fail("/exchange/")
    assert memory.credentials().token()
    assert len(memory.clock.pauses) == 2


def test_our_authentication_in_a_client_of_ones_own(memory):
    tokens = memory.credentials()
    url = memory.environment.notifications + "/orders/6f2c0a51-3d0e-4b7e-9a55-0d2b8c6f1e10"
    with httpx2.Client(transport=memory, auth=tokens.auth()) as client:
        assert client.get(url).status_code == 404
        memory.issuer.revoked.add(tokens.token().value)
        assert client.get(url).status_code == 404
        assert len(exchanges(memory)) == 2


async def test_our_authentication_in_an_asynchronous_client(memory):
    tokens = memory.credentials()
    url = memory.environment.notifications + "/orders/6f2c0a51-3d0e-4b7e-9a55-0d2b8c6f1e10"
    async with httpx2.AsyncClient(transport=memory, auth=tokens.auth()) as client:
        assert (await client.get(url)).status_code == 404
        memory.issuer.revoked.add((await tokens.token_async()).value)
        assert (await client.get(url)).status_code == 404


def headers(credentials, http=None):
    return BlockingDriver(http or Http()).run(credentials.authorize())


def test_a_forwarded_token_goes_unchanged():
    assert headers(ForwardedToken("aa.bb.cc")) == {"authorization": "Bearer aa.bb.cc"}
    assert headers(ForwardedToken(lambda: "bearer  aa.bb.cc ")) == {"authorization": "Bearer aa.bb.cc"}
    assert headers(ForwardedToken("aa.bb.cc", cookie=True)) == {"cookie": "AltinnStudioRuntime=aa.bb.cc"}
    assert headers(ForwardedToken("aa.bb.cc", cookie="Other")) == {"cookie": "Other=aa.bb.cc"}
    assert not ForwardedToken("aa.bb.cc").refused({})
    assert "aa.bb" not in repr(ForwardedToken("aa.bb.cc"))
    assert ForwardedToken("aa.bb.cc", environment="tt02").environment.name == "tt02"


async def test_a_forwarded_token_may_be_asked_for_asynchronously():
    async def incoming():
        return "aa.bb.cc"

    credentials = ForwardedToken(incoming)
    assert await AwaitingDriver(Http()).run(credentials.authorize()) == {"authorization": "Bearer aa.bb.cc"}


@pytest.mark.parametrize(
    "text", ["", "aa.bb", "aa.bb.cc\r\nX: y", "aa.bb.cc; other=1", "a" * 20_000 + ".b.c"]
)
def test_what_is_no_token_is_not_forwarded(text):
    with pytest.raises(ConfigurationError, match="not a token"):
        headers(ForwardedToken(text))
    with pytest.raises(ConfigurationError, match="not a token"):
        headers(ForwardedToken(lambda: None))


@pytest.fixture
def signer(key):
    return SignerCallback(key.sign, certificates=(b"certificate",))


def test_a_platform_token_is_made_and_kept_for_295_seconds(key, signer, clock):
    credentials = PlatformToken("ttd", signer, app="my-app", http=Http(clock=clock))
    first = headers(credentials)["PlatformAccessToken"]
    assert verified(first, key.public_jwk(), "RS256")
    claims = claims_of(first)
    assert claims["iss"] == "ttd"
    assert claims["urn:altinn:app"] == "my-app"
    assert claims["exp"] - claims["nbf"] == 305
    assert header_of(first)["kid"] == hashlib.sha1(b"certificate").hexdigest().upper()
    clock.advance(294)
    assert headers(credentials)["PlatformAccessToken"] == first
    clock.advance(2)
    assert headers(credentials)["PlatformAccessToken"] != first
    assert "app='my-app'" in repr(credentials)
    assert credentials.environment is None


def test_a_platform_token_without_app_and_beside_other_credentials(signer, clock):
    http = Http(clock=clock)
    credentials = PlatformToken(
        "platform", signer, alongside=ForwardedToken("aa.bb.cc"), environment="at22", http=http
    )
    made = headers(credentials)
    assert made["authorization"] == "Bearer aa.bb.cc"
    assert "urn:altinn:app" not in claims_of(made["PlatformAccessToken"])
    assert credentials.refused(made)
    assert PlatformToken("ttd", signer, http=http).refused({})
    clock.advance(1)
    assert headers(credentials) != made


@pytest.mark.parametrize("issuer", ["", "x", "../x", "TTD", "a" * 41])
def test_a_platform_token_needs_a_code(signer, issuer):
    with pytest.raises(ConfigurationError, match="service owner code"):
        PlatformToken(issuer, signer)


def test_a_platform_token_needs_a_certificate(key):
    with pytest.raises(ConfigurationError, match="certificate"):
        PlatformToken("ttd", key)


# ---- attacks 88 to 90 ----


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b'""'),
        (200, b"<html>"),
        (200, b'{"access_token":"a.b.c"}'),
        (200, b"aa.bb.cc"),
        (200, b"\xff\xfe"),
        (200, sign({"exp": "soon", "iat": 1}).encode()),
        (200, sign({"iat": 1}).encode()),
    ],
)
def test_attack_88_an_exchange_that_answers_nonsense(memory, status, body):
    memory.fail("/exchange/", status=status, body=body)
    with pytest.raises(UnexpectedAnswer):
        memory.credentials().token()


def test_attack_88_an_empty_success(memory):
    memory.fail("/exchange/", status=204)
    with pytest.raises(ExchangeRefused):
        memory.credentials().token()


@pytest.mark.parametrize("life", [0, -60, 10**12, float("nan"), float("inf"), 10**400])
def test_attack_88_a_life_that_cannot_be(memory, life):
    ends = life if life != life or life == float("inf") else 1000 + life
    memory.fail("/exchange/", status=200, body=sign({"iat": 1000, "exp": ends}).encode())
    tokens = memory.credentials()
    first = tokens.token()
    memory.clock.advance(24 * 3600 + 1)
    assert tokens.token() is not first


def test_attack_89_two_environments_in_one_process(key):
    worlds = [Memory("tt02"), Memory("production"), Memory("http://127.0.0.1:5090")]
    sources = [
        Maskinporten(
            world.register(key, client_id="same"), key, environment=world.environment, http=world.http
        )
        for world in worlds
    ]
    tokens = [AltinnTokens(source).token().value for source in sources]
    assert len(set(tokens)) == 3
    assert len({source.key() for source in sources}) == 3
    issuers = [claims_of(token)["iss"] for token in tokens]
    assert issuers == [world.environment.issuer for world in worlds]
    for world, source in zip(worlds, sources, strict=True):
        hosts = {one.url.split("/")[2] for one in world.requests}
        assert len(hosts) <= 2
        assert source.token().value in exchanges(world)[0].headers["authorization"]


def test_attack_90_a_clock_stepped_back_by_an_hour_keeps_no_stale_token(memory):
    tokens = memory.credentials()
    first = tokens.token()
    memory.clock.set_wall(memory.clock.wall() - 3600)
    memory.clock._steady += 1741
    assert tokens.token() is not first


def test_attack_90_threads_fetch_once(memory):
    tokens = memory.credentials()
    own_key()
    got, barrier = [], threading.Barrier(20)

    def work():
        barrier.wait()
        got.append(tokens.token())

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(got) == 20
    assert len(set(map(id, got))) == 1
    assert len(exchanges(memory)) == 1


async def test_attack_90_tasks_fetch_once_and_a_cancelled_one_takes_nothing_away(memory):
    tokens = memory.credentials()
    tasks = [asyncio.create_task(tokens.token_async()) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert len({id(one) for one in results[1:]}) == 1
    assert len(exchanges(memory)) == 1


# ---- outages, 9.2 ----


def test_the_old_token_serves_through_an_outage(memory, caplog):
    tokens = memory.credentials()
    first = tokens.token()
    memory.clock.advance(1745)
    memory.fail("/exchange/", times=100)
    memory.fail("/token", times=100)
    before = len(memory.requests)
    for _ in range(50):
        assert tokens.token() is first
    # One round of tries, not fifty: an outage must not make every call slow.
    assert len(memory.requests) - before <= 4
    assert "the old one is used" in caplog.text
    memory.clock.advance(100)
    with pytest.raises(TransportError):
        tokens.token()


def test_after_the_outage_it_is_renewed(memory):
    tokens = memory.credentials()
    first = tokens.token()
    memory.clock.advance(1745)
    memory.fail("/token", times=4)
    assert tokens.token() is first
    memory.clock.advance(6)
    assert tokens.token() is not first


def test_an_error_is_shared_for_a_second_at_most():
    clock = ManualClock()
    memory = Memory(clock=clock)
    tokens = memory.credentials()
    memory.fail("/token", status=400, body=b'{"error":"invalid_grant"}')
    for _ in range(3):
        with pytest.raises(Exception, match="invalid_grant"):
            tokens.token()
    assert len([one for one in memory.requests if one.path == "/token"]) == 1
    clock.advance(1.1)
    assert tokens.token()
