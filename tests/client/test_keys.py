"""Keys: docs/reference/identity.md 4.2 and 4.3."""

from __future__ import annotations

import base64
import json
import pickle
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from varsel.client import KeyRefused, Signer, SignerCallback, SigningKey
from varsel.client._keys import decode_jwk, problems
from varsel.client.testing._issuer import verified


def b64(data: str) -> str:
    return base64.b64encode(data.encode()).decode()


def pem_of(private, password: bytes | None = None) -> str:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


@pytest.fixture(scope="module")
def private():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def certificate(private):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Varsel test")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )


def test_a_new_key_passes_every_check(key):
    assert problems(key.private_jwk()) == []
    assert key.bits == 2048
    assert set(key.public_jwk()) == {"kty", "use", "alg", "kid", "n", "e"}
    assert isinstance(key, Signer)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512"])
def test_it_signs(key, alg):
    signer = SigningKey(key.private_jwk(), alg=alg)
    signature = base64.urlsafe_b64encode(signer.sign(b"head.body")).rstrip(b"=").decode()
    assert verified(f"head.body.{signature}", key.public_jwk(), alg)


@pytest.mark.parametrize(
    ("kid", "bits"), [("", 2048), ("a b", 2048), ("ok", 1024), ("ok", 2049), ("ok", 16384)]
)
def test_a_key_that_nobody_takes_is_not_made(kid, bits):
    with pytest.raises(KeyRefused):
        SigningKey.generate(kid, bits=bits)


def tolerated(key) -> dict[str, str]:
    plain = json.dumps(key.private_jwk())
    encoded = key.encoded_jwk()
    return {
        "plain": encoded,
        "white space": f"\n  {encoded} \n",
        "line breaks": "\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76)),
        "base64url": encoded.replace("+", "-").replace("/", "_"),
        "no padding": encoded.rstrip("="),
        "byte order mark": b64("\ufeff" + plain),
        "pretty": b64(json.dumps(key.private_jwk(), indent=4)),
        "a set of one": b64(json.dumps({"keys": [key.private_jwk()]})),
        "mark before": "\ufeff" + encoded,
    }


@pytest.mark.parametrize("how", list(tolerated(SigningKey.generate("x"))))
def test_an_encoded_jwk_is_read_tolerantly(key, how):
    assert SigningKey.from_encoded_jwk(tolerated(key)[how]).public_jwk() == key.public_jwk()


def test_raw_json_is_read_with_a_warning(key):
    with pytest.warns(UserWarning, match="raw JSON"):
        assert SigningKey.from_encoded_jwk(json.dumps(key.private_jwk(), indent=2)).kid == key.kid


def test_what_is_no_private_jwk_has_its_own_message(key, private):
    refused = {
        "empty": ("  ", "empty"),
        "public": (b64(json.dumps(key.public_jwk())), "public half"),
        "several": (b64(json.dumps({"keys": [key.private_jwk()] * 2})), "set of 2 keys"),
        "pem": (pem_of(private), "PEM"),
        "encoded pem": (b64(pem_of(private)), "PEM"),
        "no base64": ("!!!!", "not base64"),
        "cut": (key.encoded_jwk()[:41], "cut off"),
        "cut json": (b64(json.dumps(key.private_jwk())[:500]), "cut off"),
        "not text": (base64.b64encode(b"\xff\xfe\xfd").decode(), "not base64 of a JWK"),
        "a number": (b64("17"), "not a JWK"),
        "list of numbers": (b64("[1]"), "not a JWK"),
        "too long": ("A" * 70_000, "too long"),
        "deep": (b64("[" * 20_000), "not JSON"),
    }
    messages = set()
    for text, words in refused.values():
        with pytest.raises(KeyRefused, match=words) as caught:
            SigningKey.from_encoded_jwk(text)
        messages.add(str(caught.value))
    assert len(messages) >= 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kty": "EC"}, "kty must be RSA"),
        ({"alg": "PS256"}, "alg must be"),
        ({"n": ""}, "n missing"),
        ({"p": None}, "p missing"),
        ({"d": "not+base64url="}, "d must be base64url"),
        ({"d": "A"}, "d must be base64url"),
        ({"d": 17}, "d must be base64url"),
        ({"e": "AAEAAQ"}, "zero byte"),
        ({"d": "A" * 9000}, "d is too long"),
        ({"oth": [{}]}, "more than two primes"),
        ({"e": "Aw"}, "e and d do not belong"),
        ({"dp": "AQAB"}, "dp, dq or qi"),
        ({"n": "AQAB"}, "modulus has 17 bits"),
    ],
)
def test_a_broken_key_is_told_apart_and_never_shown(key, change, words):
    jwk = {**key.private_jwk(), **change}
    with pytest.raises(KeyRefused, match=words) as caught:
        SigningKey(jwk)
    assert key.private_jwk()["d"][:12] not in str(caught.value)


def test_halves_of_two_keys_do_not_fit(key):
    other = SigningKey.generate("other").private_jwk()
    with pytest.raises(KeyRefused, match="different keys"):
        SigningKey({**key.private_jwk(), "n": other["n"]})


def test_what_only_registration_needs_does_not_stop_signing(key):
    jwk = {name: value for name, value in key.private_jwk().items() if name not in {"use", "kid", "alg"}}
    assert problems(jwk) == [
        "use must be sig",
        "kid must be 1 to 255 of the letters a–z and A–Z, digits, '.', '_' and '-'",
    ]
    assert SigningKey(jwk, kid="mine").kid == "mine"
    assert SigningKey(jwk).kid is None
    with pytest.raises(KeyRefused, match="kid must be"):
        SigningKey(jwk, kid="a/b")
    with pytest.raises(KeyRefused, match="alg must be"):
        SigningKey(jwk, kid="mine", alg="none")


def test_files_hold_keys_of_every_form(tmp_path, key, private):
    cases = {
        "jwk.json": json.dumps(key.private_jwk()),
        "encoded.txt": key.encoded_jwk() + "\n",
        "bom.json": "\ufeff" + json.dumps(key.private_jwk()),
    }
    for name, text in cases.items():
        (tmp_path / name).write_text(text, "utf-8")
        assert SigningKey.from_file(tmp_path / name).kid == key.kid
    (tmp_path / "key.pem").write_text(pem_of(private), "utf-8")
    assert SigningKey.from_file(tmp_path / "key.pem", kid="mine").kid == "mine"
    with pytest.raises(KeyRefused, match="no key file"):
        SigningKey.from_file(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(KeyRefused, match="cannot be read"):
        SigningKey.from_file(tmp_path / "binary")


def test_pem_keys(private):
    assert SigningKey.from_pem(pem_of(private), kid="mine").bits == 2048
    locked = pem_of(private, b"secret")
    assert SigningKey.from_pem(locked.encode(), kid="mine", password="secret").kid == "mine"
    with pytest.raises(KeyRefused, match="do not fit"):
        SigningKey.from_pem(locked, kid="mine")
    with pytest.raises(KeyRefused, match="password is wrong"):
        SigningKey.from_pem(locked, kid="mine", password="wrong")
    with pytest.raises(KeyRefused, match="not an RSA key"):
        SigningKey.from_pem(pem_of(ec.generate_private_key(ec.SECP256R1())), kid="mine")


def test_certificates(private, certificate, key):
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    made = SigningKey.from_certificate(pem, pem_of(private))
    assert made.kid is None
    assert made.certificates == (certificate.public_bytes(serialization.Encoding.DER),)
    with pytest.raises(KeyRefused, match="not PEM"):
        SigningKey.from_certificate("nonsense", pem_of(private))
    with pytest.raises(KeyRefused, match="another key"):
        SigningKey.from_certificate(pem, pem_of(rsa.generate_private_key(65537, 2048)))


def test_pkcs12(private, certificate):
    def packed(cert):
        return pkcs12.serialize_key_and_certificates(
            b"varsel", private, cert, None, serialization.BestAvailableEncryption(b"secret")
        )

    assert SigningKey.from_pkcs12(packed(certificate), password="secret").certificates
    with pytest.raises(KeyRefused, match="password"):
        SigningKey.from_pkcs12(packed(certificate), password="wrong")
    with pytest.raises(KeyRefused, match="certificate"):
        SigningKey.from_pkcs12(packed(None), password=b"secret")


def test_a_key_never_shows_itself(key):
    jwk = key.private_jwk()
    shown = f"{key!r} {key} {key!s}"
    assert shown.count("acme-varsel-2026-07") == 3
    assert not any(jwk[name] in shown for name in ("d", "p", "q", "dp", "dq", "qi"))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


def test_signers_elsewhere():
    signer = SignerCallback(lambda _data: b"signature", kid="vault-1")
    assert (signer.kid, signer.alg, signer.certificates) == ("vault-1", "RS256", ())
    assert "vault-1" in repr(signer)
    assert isinstance(signer, Signer)
    for wrong in ({}, {"kid": "a", "certificates": (b"x",)}, {"kid": "a/b"}, {"kid": "a", "alg": "ES256"}):
        with pytest.raises(KeyRefused):
            SignerCallback(lambda _data: b"", **wrong)


def test_decoding_gives_the_jwk_as_it_is(key):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_jwk(key.encoded_jwk()) == key.private_jwk()


def test_every_fault_of_a_public_half_is_listed(key):
    assert problems({**key.public_jwk(), "use": "enc"}) == [
        "use must be sig",
        "it is the public half; the private one is needed",
    ]
