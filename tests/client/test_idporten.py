"""Login in the browser: docs/reference/identity.md 7 and 10.5 (70, 73)."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from varsel.client import (
    AltinnTokens,
    ConfigurationError,
    Http,
    IdPorten,
    LoginRefused,
    SigningKey,
    UnexpectedAnswer,
)
from varsel.client import _idporten as idporten
from varsel.client._jws import b64url
from varsel.client._tokens import claims_of, header_of
from varsel.client.testing import ManualClock
from varsel.client.testing._issuer import own_key, sign

ISSUER = "https://test.idporten.no"


class Provider(httpx2.BaseTransport):
    """An OpenID provider, and the browser of a person who logs in."""

    def __init__(self):
        self.clock = ManualClock()
        self.metadata = {
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.test.idporten.no/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks.json",
        }
        self.claims = {}  # changes to the ID token
        self.token = {}  # changes to the answer of the token endpoint
        self.status = 200
        self.answer = {}  # changes to what the browser brings back
        self.requests = []
        self.asked = {}
        self.pages = []
        self.before = []

    def handle_request(self, request):
        path = urlsplit(str(request.url)).path
        self.requests.append(request)
        if path.endswith("openid-configuration"):
            return httpx2.Response(200, json=self.metadata)
        if path == "/jwks.json":
            return httpx2.Response(200, json={"keys": [{**own_key().public_jwk(), "kid": "memory"}]})
        if "/exchange/" in path:
            return httpx2.Response(
                200, content=sign({"iat": self.clock.wall(), "exp": self.clock.wall() + 600})
            )
        if self.status != 200:
            return httpx2.Response(self.status, json={"error": "invalid_grant", "error_description": "No."})
        now = int(self.clock.wall())
        id_token = sign(
            {
                "iss": ISSUER,
                "aud": "client",
                "nonce": self.asked.get("nonce"),
                "exp": now + 120,
                "acr": "idporten-loa-high",
                **self.claims,
            }
        )
        return httpx2.Response(
            200,
            json={
                "access_token": "aa.bb.cc",
                "id_token": id_token,
                "expires_in": 600,
                "refresh_token": "again",
                **self.token,
            },
        )

    def browse(self, address):
        """Opened in another thread, as a browser is."""
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        answer = {"code": "the-code", "state": self.asked["state"], "iss": ISSUER, **self.answer}
        redirect = self.asked["redirect_uri"]

        def work():
            with httpx2.Client(trust_env=False) as browser:
                for path, query in self.before:
                    self.pages.append(browser.get(redirect.rpartition("/")[0] + path, params=query))
                self.pages.append(browser.get(redirect, params={k: v for k, v in answer.items() if v}))

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def person(self, **more):
        return IdPorten(
            "client", http=Http(transport=self, clock=self.clock), open_browser=self.browse, **more
        )


@pytest.fixture
def provider():
    own_key()
    made = Provider()
    yield made
    if hasattr(made, "thread"):
        made.thread.join(10)


def form(provider):
    return {name: values[0] for name, values in parse_qs(provider.requests[1].content.decode()).items()}


def test_a_login(provider):
    person = provider.person(scope="altinn:instances.read altinn:enduser")
    token = person.login()
    asked = provider.asked
    assert token.value == "aa.bb.cc"
    assert token.expires == provider.clock.steady() + 600
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "openid altinn:instances.read altinn:enduser"
    assert asked["acr_values"] == "idporten-loa-substantial"
    assert asked["ui_locales"] == "nb"
    assert asked["redirect_uri"].startswith("http://127.0.0.1:")
    sent = form(provider)
    challenge = (
        base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest())
        .rstrip(b"=")
        .decode()
    )
    assert challenge == asked["code_challenge"]
    assert 43 <= len(sent["code_verifier"]) <= 128
    assert (sent["grant_type"], sent["code"], sent["redirect_uri"], sent["client_id"]) == (
        "authorization_code",
        "the-code",
        asked["redirect_uri"],
        "client",
    )
    assert "authorization" not in provider.requests[1].headers
    provider.thread.join(10)
    page = provider.pages[-1]
    assert page.status_code == 200
    assert "Innloggingen er fullført" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert person.token() is token
    assert "aa.bb" not in repr(person)


async def test_a_login_while_the_loop_goes_on(provider):
    person = provider.person()
    assert (await person.login_async()).value == "aa.bb.cc"


def test_the_token_is_exchanged_and_renewed(provider):
    person = provider.person()
    person.login()
    tokens = AltinnTokens(person)
    assert tokens.token().value.count(".") == 2
    assert str(provider.requests[-1].url).endswith("/exchange/id-porten")
    provider.clock.advance(595)
    provider.token = {"access_token": "dd.ee.ff", "refresh_token": None}
    assert person.token().value == "dd.ee.ff"
    assert b"grant_type=refresh_token&refresh_token=again" in provider.requests[-1].content
    provider.clock.advance(595)
    with pytest.raises(LoginRefused, match=r"call login\(\)"):
        person.token()


def test_a_renewal_that_is_refused(provider):
    person = provider.person()
    person.login()
    provider.clock.advance(595)
    provider.status = 400
    with pytest.raises(LoginRefused, match=r"invalid_grant\): No\. Log in again"):
        person.token()
    with pytest.raises(LoginRefused, match="Nobody is logged in"):
        person.token()


def test_a_dropped_token_is_renewed(provider):
    person = provider.person()
    first = person.login()
    provider.token = {"access_token": "dd.ee.ff"}
    person.drop(first)
    second = person.token()
    assert second.value == "dd.ee.ff"
    person.drop(first)
    assert person.token() is second
    assert person.key() == (ISSUER, "client", "openid altinn:instances.read")


def test_client_authentication(provider):
    provider.person(client_secret="s:cret").login()
    assert (
        provider.requests[1].headers["authorization"]
        == "Basic " + base64.b64encode(b"client:s%3Acret").decode()
    )
    provider.requests.clear()
    provider.person(key=SigningKey.generate("mine")).login()
    assertion = form(provider)["client_assertion"]
    assert header_of(assertion)["kid"] == "mine"
    claims = claims_of(assertion)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("client", "client", ISSUER)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"code": None, "error": "access_denied", "error_description": "The user\nsaid no"},
            r"\(access_denied\): The user said no",
        ),
        ({"code": None, "error": "server_error"}, r"\(server_error\)\."),
        ({"iss": "https://evil.example.org"}, "another login provider"),
        ({"code": None}, "without a code"),
    ],
)
def test_attack_70_answers_that_are_refused(provider, answer, words):
    provider.answer = answer
    with pytest.raises(LoginRefused, match=words):
        provider.person().login()
    assert len(provider.requests) == 1


def test_attack_70_answers_of_others_are_passed_over(provider):
    provider.before = [
        ("/favicon.ico", {}),
        ("/callback", {"code": "stolen", "state": "other"}),
        ("/callback", {"code": "stolen"}),
        ("/callback", {}),
    ]
    provider.person().login()
    assert form(provider)["code"] == "the-code"
    provider.thread.join(10)
    assert [one.status_code for one in provider.pages] == [404, 200, 200, 200, 200]
    assert "avbrutt" in provider.pages[3].text


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"}, {"nonce": None}, {"iss": "https://idporten.no"}, {"aud": "other"}, {"aud": ["other"]}, {"aud": None},
        {"exp": 1}, {"exp": "soon"}, {"acr": "idporten-loa-low"}, {"acr": "unknown"}, {"acr": None},
    ],
)  # fmt: skip
def test_attacks_70_and_73_id_tokens_of_other_logins(provider, claims):
    provider.claims = claims
    with pytest.raises(LoginRefused):
        provider.person().login()


def test_an_audience_in_a_list_is_one(provider):
    provider.claims = {"aud": ["client"]}
    assert provider.person().login()


@pytest.mark.parametrize(
    "id_token", [None, "", "aa.bb.cc", 17, f"{b64url(json.dumps({'alg': 'none'}).encode())}.{b64url(b'{}')}."]
)
def test_an_id_token_that_nobody_signed(provider, id_token):
    provider.token = {"id_token": id_token}
    with pytest.raises(LoginRefused, match="not signed"):
        provider.person().login()


@pytest.mark.parametrize("token", [{"access_token": None}, {"access_token": "x"}, {"expires_in": "600"}])
def test_an_answer_without_a_token(provider, token):
    provider.token = token
    with pytest.raises(UnexpectedAnswer, match="usable access token"):
        provider.person().login()


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://idporten.no"},
        {"token_endpoint": "https://evil.example.org/token"},
        {"jwks_uri": "https://evil.example.org/jwks"},
        {"token_endpoint": "http://test.idporten.no/token"},
        {"authorization_endpoint": "http://login.test.idporten.no/authorize"},
        {"authorization_endpoint": 17},
    ],
)
def test_metadata_that_leads_elsewhere(provider, change):
    provider.metadata.update(change)
    with pytest.raises(UnexpectedAnswer):
        provider.person().login()
    assert len(provider.requests) == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]"])
def test_metadata_that_is_none(content):
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=content))
    with pytest.raises(UnexpectedAnswer, match="without metadata"):
        IdPorten("client", http=Http(transport=transport)).login()


@pytest.mark.parametrize("content", [b"<html>", b"[]"])
def test_a_refusal_that_is_none(provider, content):
    provider.status = 502
    real = provider.handle_request
    provider.handle_request = lambda request: (
        httpx2.Response(502, content=content) if request.method == "POST" else real(request)
    )
    with pytest.raises(LoginRefused, match="HTTP 502"):
        provider.person().login()


def test_nobody_logs_in(provider, monkeypatch):
    monkeypatch.setattr(idporten, "PATIENCE", 0.05)
    with pytest.raises(LoginRefused, match="Nobody logged in"):
        IdPorten(
            "client", http=Http(transport=provider, clock=provider.clock), open_browser=lambda _: None
        ).login()


def test_a_taken_port(provider):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} is taken"):
            provider.person(port=port).login()


def test_openid_is_always_asked_for():
    assert IdPorten("client").scope == "openid altinn:instances.read"
    assert IdPorten("client", scope="altinn:enduser openid").scope == "openid altinn:enduser"


def test_wrong_levels_are_refused():
    with pytest.raises(ConfigurationError, match="level must be"):
        IdPorten("client", level="Level4")


def test_the_browser_is_opened_by_default(monkeypatch):
    import webbrowser

    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    idporten._open_browser("https://login.example.org")
    assert opened == ["https://login.example.org"]
