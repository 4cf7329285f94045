"""Attacks on signatures and keys: docs/reference/identity.md 10.1, lines 1 to 21, each by its number."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.security.forging import (
    knock,
    raw_header,
    raw_payload,
    refused,
    right_claims,
    right_key,
    with_header,
)
from tests.security.shared import api, world
from tests.support.identity import b64, compact, jwk, rsa_key
from tests.support.running import Endpoints, RunningWorld, an_order

__all__ = ["api", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

DOORS = ("M", "X", "N")
every_door = pytest.mark.parametrize("door", DOORS)


@every_door
@pytest.mark.parametrize("empty", [True, False], ids=["unsigned", "signed"])
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", None, "", 256, ["RS256"]], ids=str)
async def test_001_no_algorithm(
    world: RunningWorld, api: Endpoints, door: str, alg: Any, empty: bool
) -> None:
    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        head = {name: value for name, value in (header | {"alg": alg}).items() if value is not None}
        return compact(head, claims, None if empty else key)

    await refused(world, api, door, forge)


def _hmac(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


@every_door
@pytest.mark.parametrize("form", ["pem", "der", "jwk", "n"])
async def test_002_public_key_as_hmac_secret(
    world: RunningWorld, api: Endpoints, door: str, form: str
) -> None:
    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        public = key.public_key()
        secret = {
            "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "jwk": json.dumps(jwk(key)).encode(),
            "n": public.public_numbers().n.to_bytes(256),
        }[form]
        return _hmac(header | {"alg": "HS256"}, claims, secret)

    await refused(world, api, door, forge)


@every_door
@pytest.mark.parametrize("kid", ["k1", "/dev/null", ""])
async def test_003_hmac_with_an_empty_key(world: RunningWorld, api: Endpoints, door: str, kid: str) -> None:
    await refused(
        world, api, door, lambda header, claims, key: _hmac({"alg": "HS256", "kid": kid}, claims, b"")
    )


@every_door
@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA", "RS1"])
async def test_004_other_algorithms(world: RunningWorld, api: Endpoints, door: str, alg: str) -> None:
    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        if alg != "PS256":
            return compact(header | {"alg": alg}, claims, key)
        signed = f"{b64(json.dumps(header | {'alg': alg}).encode())}.{b64(json.dumps(claims).encode())}"
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return f"{signed}.{b64(key.sign(signed.encode(), pss, hashes.SHA256()))}"

    await refused(world, api, door, forge)


@every_door
async def test_004_key_and_header_disagree(world: RunningWorld, api: Endpoints, door: str) -> None:
    await refused(
        world,
        api,
        door,
        lambda header, claims, key: compact(header | {"alg": "RS512"}, claims, key, hashes.SHA512()),
    )


@every_door
@pytest.mark.parametrize(
    "kid",
    ["../k1", "%2e%2e/k1", "k1' or '1'='1", "k1\0", "k" * 10_000, 1, ["k1"], {}, "k１", "K1"],
    ids=["dots", "encoded", "sql", "nul", "long", "number", "array", "object", "lookalike", "case"],
)
async def test_005_strange_kid(world: RunningWorld, api: Endpoints, door: str, kid: Any) -> None:
    await refused(world, api, door, with_header(kid=kid))


async def test_006_key_of_another_client(world: RunningWorld, api: Endpoints) -> None:
    await world.new_client("311618032", key="attacker", kid="attacker-key")

    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        return compact({"alg": "RS256", "kid": "attacker-key"}, claims, rsa_key("attacker"))

    await refused(world, api, "M", forge)


def _certificate(key: rsa.RSAPrivateKey, number: str = "991825827", days: int = 10) -> bytes:
    now = datetime(2026, 7, 15, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, f"NTRNO-{number}")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _x5c(key: rsa.RSAPrivateKey, **options: Any) -> list[str]:
    return [base64.b64encode(_certificate(key, **options)).decode()]


async def test_007_kid_missing_although_keys_are_registered(world: RunningWorld, api: Endpoints) -> None:
    await refused(world, api, "M", with_header(kid=None))
    answer = await world.token_request(world.grant(header={"alg": "RS256"}))
    assert "no key identifier (kid) provided" in answer.json()["error_description"]


async def test_007_x5c_beside_kid_or_instead(world: RunningWorld, api: Endpoints) -> None:
    await refused(world, api, "M", with_header(x5c=_x5c(rsa_key())))
    await refused(world, api, "M", with_header(kid=None, x5c=_x5c(rsa_key())))


@every_door
async def test_008_key_in_the_header(world: RunningWorld, api: Endpoints, door: str) -> None:
    attacker = rsa_key("attacker")
    await refused(
        world,
        api,
        door,
        lambda header, claims, key: compact(header | {"jwk": jwk(attacker)}, claims, attacker),
    )


@every_door
@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_009_key_address_is_never_fetched(
    world: RunningWorld, api: Endpoints, door: str, name: str
) -> None:
    asked = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await refused(world, api, door, with_header(**{name: f"http://127.0.0.1:{port}/jwks"}))
    server.close()
    await server.wait_closed()
    assert not asked.is_set()


@pytest.mark.parametrize(
    ("x5c", "code"),
    [
        (_x5c, "MP-120"),
        (lambda key: _x5c(key, number="311618032"), "MP-120"),
        (lambda key: _x5c(key, days=-1), "MP-120"),
        (lambda key: _x5c(rsa_key("other")) + _x5c(key), "MP-120"),
        (lambda key: _x5c(key) * 1000, None),
        (lambda key: _x5c(key) * 6, "MP-123"),
        (lambda key: _x5c(key)[0], "MP-123"),
        (lambda key: ["not base64"], "MP-123"),
        (lambda key: [1], "MP-123"),
        (lambda key: [], "MP-123"),
    ],
    ids=[
        "self-signed",
        "organisation",
        "expired",
        "leaf-second",
        "thousand",
        "six",
        "string",
        "rubbish",
        "number",
        "empty",
    ],
)
async def test_010_bad_certificates(
    world: RunningWorld, x5c: Callable[[rsa.RSAPrivateKey], Any], code: str | None
) -> None:
    from varsel.identity.registry import CREATE_SCOPE, create_client

    client = await create_client(
        world.database, world.clock, organisation="991825827", name="certificate", scopes=(CREATE_SCOPE,)
    )
    header = {"alg": "RS256", "x5c": x5c(rsa_key())}
    answer = await world.token_request(compact(header, world.claims(iss=str(client)), rsa_key()))
    assert answer.status_code == 400
    uri = answer.json()["error_uri"]
    # A thousand certificates make a request that is refused for its size alone.
    assert uri.endswith(code or "request")


@every_door
@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["unknown"], "unknown": 1},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
    ids=["crit", "b64-crit", "b64", "zip", "cty"],
)
async def test_011_headers_that_change_the_meaning(
    world: RunningWorld, api: Endpoints, door: str, members: dict[str, Any]
) -> None:
    await refused(world, api, door, with_header(**members))


_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _stray_bits(token: str) -> str:
    """The same bytes in another spelling: unused bits of the last character set."""
    return token[:-1] + _BASE64[_BASE64.index(token[-1]) + 1]


@every_door
@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + ".e30.e30",
        lambda token: token.rsplit(".", 1)[0],
        lambda token: token + ".e30",
        lambda token: token + ".",
        lambda token: "." + token,
        lambda token: token[:40] + "\n" + token[40:],
        lambda token: token + "=",
        lambda token: token.replace(".", "=.", 1),
        _stray_bits,
        lambda token: token.replace(".", "..", 1),
        lambda token: token + "é",
    ],
    ids=[
        "jwe",
        "two",
        "four",
        "trailing-dot",
        "leading-dot",
        "line",
        "padding",
        "head-padding",
        "stray-bits",
        "empty-part",
        "not-ascii",
    ],
)
async def test_012_other_spellings(
    world: RunningWorld, api: Endpoints, door: str, change: Callable[[str], str]
) -> None:
    key, header = right_key(world, door)
    token = compact(header, right_claims(world, door), key)
    if door == "M":
        assert not await knock(world, api, "M", change(token))
        return
    headers = [(b"authorization", b"Bearer " + change(token).encode().replace(b"\n", b"\x0b"))]
    if door == "X":
        answer = await world.http.get("/authentication/api/v1/exchange/maskinporten", headers=headers)
    else:
        answer = await api.http.post(
            "/notifications/api/v1/future/orders",
            headers=[*headers, (b"content-type", b"application/json")],
            content=an_order(),
        )
    # A control character in a header is no HTTP: the server says so before anybody looks at tokens.
    assert answer.status_code == (400 if b"\x0b" in headers[0][1] else 401)
    assert api.let_in == []


async def test_012_leading_space_in_the_assertion(world: RunningWorld, api: Endpoints) -> None:
    assert not await knock(world, api, "M", " " + world.grant())


@every_door
@pytest.mark.parametrize("how", ["bit", "cut", "empty", "other-token", "reserialised"])
async def test_013_altered_signatures(world: RunningWorld, api: Endpoints, door: str, how: str) -> None:
    def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        token = compact(header, claims, key)
        signed, _, signature = token.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        match how:
            case "bit":
                return f"{signed}.{b64(raw[:-1] + bytes([raw[-1] ^ 1]))}"
            case "cut":
                return f"{signed}.{b64(raw[:-1])}"
            case "empty":
                return signed + "."
            case "other-token":
                return f"{signed}.{compact(header, claims | {'x': 1}, key).rpartition('.')[2]}"
            case _:
                head = b64(json.dumps(header, separators=(",", ":")).encode())
                return f"{head}.{token.split('.')[1]}.{signature}"

    await refused(world, api, door, forge)


def _twice(name: str) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:-1] + b"," + json.dumps({name: json.loads(raw)[name]})[1:-1].encode() + b"}"


@every_door
@pytest.mark.parametrize("name", ["scope", "exp", "iss"])
async def test_014_repeated_names_in_the_payload(
    world: RunningWorld, api: Endpoints, door: str, name: str
) -> None:
    await refused(world, api, door, raw_payload(_twice(name)))


@every_door
@pytest.mark.parametrize("name", ["alg", "kid"])
async def test_014_repeated_names_in_the_header(
    world: RunningWorld, api: Endpoints, door: str, name: str
) -> None:
    await refused(world, api, door, raw_header(_twice(name)))


@every_door
@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"[" + raw + b"]",
        lambda raw: b'"text"',
        lambda raw: raw.replace(b'"scope"', b'"sc\xffpe"'),
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        lambda raw: raw[:-1] + b',"x":1e400}',
        lambda raw: raw[:-1] + b',"x":NaN}',
        lambda raw: raw[:-1] + b',"x":-Infinity}',
        lambda raw: raw[:-1] + b',"x":"\\ud800"}',
        lambda raw: raw[:-1] + b',"x":"\\u0000"}',
        lambda raw: raw[:-1] + b',"x":' + b"9" * 5000 + b"}",
        lambda raw: raw + b"{}",
        lambda raw: b"",
    ],
    ids=[
        "array",
        "text",
        "utf8",
        "bom",
        "deep",
        "1e400",
        "nan",
        "infinity",
        "surrogate",
        "nul",
        "digits",
        "two",
        "empty",
    ],
)
async def test_015_payloads_that_are_no_object(
    world: RunningWorld, api: Endpoints, door: str, change: Callable[[bytes], bytes]
) -> None:
    await refused(world, api, door, raw_payload(change))


async def test_hmac_in_these_tests_is_what_it_claims() -> None:
    token = _hmac({"alg": "HS256"}, {}, b"k")
    signed, _, tag = token.rpartition(".")
    assert base64.urlsafe_b64decode(tag + "=") == hmac.new(b"k", signed.encode(), sha256).digest()
