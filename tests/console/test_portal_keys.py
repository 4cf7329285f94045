"""What people paste where a public key belongs."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.console.visiting import private_key, public_key
from tests.support.identity import rsa_key
from varsel.console.portal_keys import NotAKey, PrivateKeyPasted, read_pasted, taken_kids, warning
from varsel.identity.clientkeys import parse_set

KEY = public_key()
PEM = rsa_key("first").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
NOW = datetime(2026, 7, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([KEY]),
        json.dumps([KEY], indent=4),
        json.dumps(KEY),
        json.dumps({"keys": [KEY]}),
        "[" + json.dumps({"keys": [KEY]}) + "]",
        "[" + json.dumps([KEY]) + "]",
        "\ufeff  " + json.dumps([KEY]) + "\n\n",
    ],
)
def test_every_way_of_writing_a_key_set_is_read(text: str) -> None:
    assert read_pasted(text) == [KEY]


def test_pem_becomes_a_key_with_the_given_or_a_derived_name() -> None:
    (named,) = read_pasted(PEM, " acme ")
    assert named == {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "acme", "n": KEY["n"], "e": "AQAB"}
    (unnamed,) = read_pasted(PEM)
    assert len(unnamed["kid"]) == 43
    assert parse_set([unnamed], NOW.timestamp())[0].kid == unnamed["kid"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "key_empty"),
        ("[]", "key_empty"),
        (" [ ] ", "key_empty"),
        ('{"keys": []}', "key_empty"),
        ("hello", "key_not_json"),
        ("[" + json.dumps(KEY), "key_not_json"),
        ('"text"', "key_not_json"),
        ("7", "key_not_json"),
        ('{"keys": 7}', "key_not_json"),
        ("[" * 100_000, "key_not_json"),
        ("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "key_bad_pem"),
        ("-----BEGIN PUBLIC KEY-----ø", "key_bad_pem"),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "key_not_rsa",
        ),
    ],
)
def test_what_is_no_key_is_told_apart(text: str, what: str) -> None:
    with pytest.raises(NotAKey) as refused:
        read_pasted(text)
    assert refused.value.what == what


def _private_texts() -> list[str]:
    private = private_key()
    text = json.dumps(private)
    key = rsa_key("first")
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    encoded = base64.b64encode(text.encode()).decode()
    return [
        text,
        json.dumps([private]),
        json.dumps({"keys": [KEY, private]}),
        json.dumps(KEY | {"d": private["d"]}),
        json.dumps(KEY | {"oth": []}),
        text[:-20],
        "[" + text,
        text.replace('"', "'"),
        encoded,
        "\n".join(encoded[i : i + 64] for i in range(0, len(encoded), 64)),
        encoded.rstrip("=").replace("+", "-").replace("/", "_"),
        json.dumps([encoded]),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
        base64.b64encode(der).decode(),
        PEM + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        '{"kty": "oct", "k": "c2VjcmV0"}',
        json.dumps(text),
        json.dumps(KEY | {"D": private["d"]}),
        f"EncodedJwk={encoded}",
        f"MASKINPORTEN_CLIENT_JWK {encoded} MASKINPORTEN_CLIENT_ID 0f2a1c3e",
        base64.b64encode(encoded.encode()).decode(),
        json.dumps({"jwk": encoded, "pub": KEY}),
        "tekst " * 5 + encoded,
    ]


@pytest.mark.parametrize("text", _private_texts(), ids=range(24))
def test_a_private_key_is_known_in_every_dress(text: str) -> None:
    with pytest.raises(PrivateKeyPasted) as refused:
        read_pasted(text)
    assert str(refused.value) == PrivateKeyPasted.__doc__ or not str(refused.value)


def test_looking_for_a_private_key_takes_no_longer_than_the_text_is_worth() -> None:
    """Each place that looks packed is unpacked, and what came out again: the places are counted, all together."""
    packed = base64.b64encode(b'{"a":' * 1000).decode()
    with pytest.raises(NotAKey):
        read_pasted((packed + " ") * 18)


@pytest.mark.parametrize("around", ["[]{}", "{}[]", "[] {} []", "[][{}]", "[{}][]", "[[{}]]"])
def test_brackets_that_stand_there_already_do_no_harm(around: str) -> None:
    assert read_pasted(around.replace("{}", json.dumps(KEY))) == [KEY]


def test_a_public_key_is_not_taken_for_a_private_one() -> None:
    assert read_pasted(json.dumps([public_key("d"), public_key("k")]))
    assert read_pasted(PEM)


def test_a_name_in_use_for_another_key_is_pointed_out() -> None:
    held: tuple[dict[str, Any], ...] = ({"kid": "a", "n": "1"}, {"kid": "b", "n": "2"})
    entries = [{"kid": "a", "n": "1"}, {"kid": "b", "n": "3"}, {"kid": "c", "n": "4"}, "text", {"kid": 7}]
    assert taken_kids(entries, held) == ["b"]


@pytest.mark.parametrize(
    ("left", "word"),
    [
        (timedelta(seconds=0), "expired"),
        (timedelta(seconds=1), "urgent"),
        (timedelta(days=7), "urgent"),
        (timedelta(days=7, seconds=1), "soon"),
        (timedelta(days=30), "soon"),
        (timedelta(days=30, seconds=1), ""),
    ],
)
def test_the_end_of_a_key_is_announced(left: timedelta, word: str) -> None:
    assert warning(NOW + left, NOW) == word
