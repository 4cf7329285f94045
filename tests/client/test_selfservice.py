"""Self-service: docs/reference/identity.md 3.5 and 3.6."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.client.conftest import Either
from varsel.client import (
    ApiError,
    AsyncSelfService,
    ConfigurationError,
    Conflict,
    Forbidden,
    ForwardedToken,
    Http,
    InvalidRequest,
    KeyRefused,
    Maskinporten,
    NotFound,
    SelfService,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from varsel.client.testing import ManualClock

BASE = "https://api.test.samarbeid.digdir.no/api/v1"
ID = "0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b"


class Desk(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers in the order given; keeps what was asked."""

    def __init__(self):
        self.answers = []
        self.asked = []

    def answer(self, status=200, body=None, headers=None):
        self.answers.append(
            httpx2.Response(
                status, headers=headers, content=b"" if body is None else json.dumps(body).encode()
            )
        )

    def _next(self, request, body):
        self.asked.append(
            (
                request.method,
                str(request.url).removeprefix(BASE),
                json.loads(body) if body else None,
                request.headers,
            )
        )
        return self.answers.pop(0)

    def handle_request(self, request):
        return self._next(request, request.read())

    async def handle_async_request(self, request):
        return self._next(request, await request.aread())


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture(params=[SelfService, AsyncSelfService], ids=["blocking", "awaiting"])
def service(request, desk):
    http = Http(transport=desk, clock=ManualClock())
    return Either(request.param(ForwardedToken("aa.bb.cc", environment="tt02"), http=http))


async def test_creating_sends_the_smallest_useful_body(service, desk):
    desk.answer(
        201,
        {
            "client_id": ID,
            "client_name": "acme-varsel",
            "scopes": ["altinn:serviceowner/notifications.create"],
            "unknown": 1,
        },
    )
    made = await service.create(
        "acme-varsel",
        scopes=["altinn:serviceowner/notifications.create"],
        description="Sends notifications from case system",
    )
    assert made.client_id == ID
    method, path, body, headers = desk.asked[0]
    assert (method, path) == ("POST", "/clients")
    assert headers["authorization"] == "Bearer aa.bb.cc"
    assert body == {
        "integration_type": "maskinporten", "client_name": "acme-varsel", "description": "Sends notifications from case system",
        "token_endpoint_auth_method": "private_key_jwt", "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "scopes": ["altinn:serviceowner/notifications.create"],
    }  # fmt: skip


async def test_reading_changing_and_deactivating(service, desk):
    model = {"client_id": ID, "client_name": "a", "created": "x", "last_updated": "y", "scopes": ["a:b"]}
    desk.answer(200, [model])
    desk.answer(200, [])
    assert [one.client_id for one in await service.integrations()] == [ID]
    assert await service.integrations(inactive=True) == ()
    desk.answer(200, model)
    assert (await service.integration(ID)).scopes == ("a:b",)
    desk.answer(200, model)
    desk.answer(200, {**model, "client_name": "b"})
    assert (await service.change(ID, client_name="b")).client_name == "b"
    assert desk.asked[-1][:3] == (
        "PUT",
        f"/clients/{ID}",
        {"client_id": ID, "client_name": "b", "scopes": ["a:b"]},
    )
    desk.answer(204)
    await service.deactivate(ID)
    assert [one[:2] for one in desk.asked][:2] == [("GET", "/clients"), ("GET", "/clients?inactive=true")]
    assert desk.asked[-1][:2] == ("DELETE", f"/clients/{ID}")


async def test_adding_a_key_keeps_the_others(service, desk, key):
    other = {"kid": "other", "kty": "RSA"}
    desk.answer(200, {"keys": [other, {"kid": key.kid, "n": "old"}]}, {"etag": '"7"'})
    desk.answer(200, {"keys": [other, key.public_jwk()]})
    found = await service.add_key(ID, key)
    assert len(found.keys) == 2
    method, path, body, headers = desk.asked[-1]
    assert (method, path, headers["if-match"]) == ("POST", f"/clients/{ID}/jwks", '"7"')
    assert body == {"keys": [other, key.public_jwk()]}
    assert key.private_jwk()["d"] not in json.dumps(body)


async def test_the_first_key(service, desk, key):
    desk.answer(404)
    desk.answer(200, {"client_id": ID})
    desk.answer(201, {"keys": [key.public_jwk()]})
    await service.add_key(ID, key.public_jwk())
    assert "if-match" not in desk.asked[-1][3]
    desk.answer(404)
    desk.answer(404)
    with pytest.raises(NotFound):
        await service.keys(ID)


async def test_keys_that_are_not_sent(service, desk, key):
    with pytest.raises(KeyRefused, match="private key"):
        await service.add_key(ID, key.private_jwk())
    with pytest.raises(KeyRefused, match="no kid"):
        await service.add_key(ID, {"kty": "RSA"})
    desk.answer(200, {"keys": [{"kid": str(number)} for number in range(5)]})
    with pytest.raises(ConfigurationError, match="5 keys already"):
        await service.add_key(ID, key)
    assert len(desk.asked) == 1


async def test_removing_keys(service, desk):
    desk.answer(200, {"keys": [{"kid": "a"}, {"kid": "b"}]})
    desk.answer(200, {"keys": [{"kid": "b"}]})
    assert [one["kid"] for one in (await service.remove_key(ID, "a")).keys] == ["b"]
    desk.answer(200, {"keys": [{"kid": "b"}]})
    desk.answer(204)
    assert (await service.remove_key(ID, "b")).keys == ()
    assert desk.asked[-1][:2] == ("DELETE", f"/clients/{ID}/jwks")
    desk.answer(200, {"keys": [{"kid": "b"}]})
    with pytest.raises(ConfigurationError, match="no key of that kid"):
        await service.remove_key(ID, "c")


async def test_scopes_that_were_given(service, desk):
    desk.answer(
        200,
        [{"scope": "a:b", "state": "APPROVED", "consumer_orgno": "312718286", "owner_orgno": "991825827"}],
    )
    assert [one.state for one in await service.scopes()] == ["APPROVED"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (418, ApiError),
    ],
)
async def test_refusals(service, desk, status, expected):
    body = {
        "status": status, "correlation_id": "c-1", "error": "invalid", "error_description": "Not like this",
        "errors": [{"errorMessage": "Unknown scope", "fieldIdentifier": "scopes"}, {"errorMessage": "x"}, 17],
    }  # fmt: skip
    desk.answer(status, body)
    with pytest.raises(expected, match="Not like this") as caught:
        await service.integrations()
    assert caught.value.errors == {"scopes": ("Unknown scope",), "": ("x",)}
    assert caught.value.trace_id == "c-1"


async def test_refusals_without_a_form(service, desk):
    desk.answer(400, {"errors": "text"})
    with pytest.raises(InvalidRequest) as caught:
        await service.integrations()
    assert caught.value.errors == {}
    for _ in range(4):
        desk.answer(503)
    with pytest.raises(ServerError):
        await service.integrations()
    desk.answer(500)
    with pytest.raises(ServerError):
        await service.create("a", scopes=["a:b"])
    for _ in range(4):
        desk.answer(429)
    with pytest.raises(TooManyRequests):
        await service.create("a", scopes=["a:b"])


@pytest.mark.parametrize("odd", ["", ".", ".."])
async def test_an_identifier_that_is_none(service, desk, odd):
    with pytest.raises(ConfigurationError):
        await service.integration(odd)
    assert desk.asked == []


async def test_an_identifier_cannot_leave_its_place(service, desk):
    desk.answer(404)
    with pytest.raises(NotFound):
        await service.integration("../scopes?x")
    assert desk.asked[0][1] == "/clients/..%2Fscopes%3Fx"


def test_with_maskinporten_credentials(memory):
    source = memory.maskinporten(scope="idporten:dcr.read")
    memory.fail("/clients", status=200, body=b"[]")
    with SelfService(source) as service:
        assert service.integrations() == ()
    assert memory.requests[-1].url == f"{BASE}/clients"
    assert memory.requests[-1].headers["authorization"] == f"Bearer {source.token().value}"


async def test_environments(key):
    source = Maskinporten("x", key, environment="tt02")
    assert SelfService(source, environment="at22")._environment.name == "at22"
    async with AsyncSelfService(source) as service:
        assert service._environment.name == "tt02"
    with pytest.raises(ConfigurationError, match="not for production"):
        SelfService(source, environment="production")
    with pytest.raises(ConfigurationError, match="Say which"):
        SelfService(ForwardedToken("aa.bb.cc"))


async def test_an_integration_is_taken_out_of_use(service, desk):
    desk.answer(204)
    assert await service.deactivate(ID) is None
    assert desk.asked[0][:2] == ("DELETE", f"/clients/{ID}")
    assert service.client.environment.name == "tt02"


async def test_public_keys_are_listed(service, desk):
    desk.answer(200, {"keys": [{"kid": "acme"}]}, {"etag": '"1"'})
    assert [one["kid"] for one in (await service.keys(ID)).keys] == ["acme"]
    assert desk.asked[0][:2] == ("GET", f"/clients/{ID}/jwks")
