"""`varsel owner`, `member` and `issuer` against a Varsel that runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate

from tests.support.identity import rsa_key
from tests.support.varsel import Server, directory, varsel, wait_until
from varsel.identity.certificates import self_signed

ORDERS = "/notifications/api/v1/future/orders"
PERSON = "12906010095"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with directory(tmp_path_factory.mktemp("tenants")) as data, Server(data, "--sandbox") as server:
        yield server


def said(server: Server, *words: str) -> str:
    done = server.run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(server: Server, *words: str) -> str:
    done = server.run(*words)
    assert done.returncode != 0
    return done.stderr


def test_a_service_owner_is_registered(running: Server) -> None:
    assert "skd" in said(running, "owner", "add", "skd", "974761076", "Skatteetaten")
    assert {"code": "skd", "number": "974761076", "name": "Skatteetaten"} in json.loads(
        said(running, "owner", "list", "--json")
    )
    with running.client() as http:
        assert http.get("/orgs/altinn-orgs.json").json()["orgs"]["skd"]["orgnr"] == "974761076"
    assert "nine digits" in refused(running, "owner", "add", "nav", "12345", "NAV")
    assert "skd" in refused(running, "owner", "add", "nav", "974761076", "NAV")


def test_a_prefix_is_handed_out_once(running: Server) -> None:
    said(running, "owner", "add", "politiet", "982531950", "Politiet")
    said(running, "owner", "prefix", "politiet", "982531950")
    assert "already" in refused(running, "owner", "prefix", "politiet", "982531950")
    assert "small letters" in refused(running, "owner", "prefix", "Poli:tiet", "982531950")
    assert "no such organisation" in refused(running, "owner", "prefix", "ukjent", "999999999")


def test_a_person_is_invited_and_goes(running: Server) -> None:
    said(running, "owner", "add", "bfk", "310000019", "Bufetaten")
    said(running, "member", "add", PERSON, "--organisation", "310000019", "--name", "Ola")
    found = json.loads(said(running, "member", "list", "--json"))
    assert {"pid": PERSON, "name": "Ola", "organisation": "310000019", "role": "service-owner"} in found
    said(running, "member", "remove", PERSON, "--organisation", "310000019")
    assert PERSON not in said(running, "member", "list")
    assert "no such role" in refused(running, "member", "remove", PERSON, "--organisation", "310000019")
    assert "no such organisation" in refused(running, "member", "add", PERSON, "--organisation", "999999999")
    assert "check digits" in refused(running, "member", "add", "12345678901")


def test_a_platform_issuer_orders_until_it_is_withdrawn(running: Server, tmp_path: Path) -> None:
    key = rsa_key("platform-cli")
    certificate = load_der_x509_certificate(self_signed(key, "skd", datetime.now(UTC)))
    (tmp_path / "app.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "app.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    said(running, "owner", "add", "skd", "974761076", "Skatteetaten")
    said(running, "issuer", "add", "skd", str(tmp_path / "app.pem"))

    def order() -> int:
        token = varsel(
            "platform-token", "skd", "--certificate", str(tmp_path / "app.pem"), "--key",
            str(tmp_path / "app.key"), "--app", "my-app",
        ).stdout.split()[-1]  # fmt: skip
        settings = {"subject": "Vedtak", "body": "Hei"}
        body = {
            "idempotencyId": str(uuid.uuid4()),
            "recipient": {"recipientEmail": {"emailAddress": "kari@example.org", "emailSettings": settings}},
        }
        with running.client() as http:
            return http.post(ORDERS, json=body, headers={"PlatformAccessToken": token}).status_code

    wait_until(lambda: order() == 201, what="the running server has heard of the issuer")
    assert "counts" in said(running, "issuer", "list")
    said(running, "issuer", "withdraw", "skd")
    wait_until(lambda: order() == 401, what="the running server has heard of the withdrawal")
    assert "withdrawn" in said(running, "issuer", "list")
    # What does not count already cannot be withdrawn: a mistyped thumbprint must not pass for done.
    assert "No such certificate" in refused(running, "issuer", "withdraw", "skd")
    said(running, "issuer", "add", "skd", str(tmp_path / "app.pem"))
    assert "No such certificate" in refused(running, "issuer", "withdraw", "skd", "--certificate", "00" * 20)
    mark = certificate.fingerprint(SHA1()).hex(":")
    said(running, "issuer", "withdraw", "skd", "--certificate", mark)
    old = self_signed(key, "skd", datetime.now(UTC), -timedelta(hours=1))
    (tmp_path / "old.der").write_bytes(old)
    assert "expired on" in refused(running, "issuer", "add", "skd", str(tmp_path / "old.der"))
    (tmp_path / "text.pem").write_text("no certificate")
    assert "not a certificate" in refused(running, "issuer", "add", "skd", str(tmp_path / "text.pem"))


def test_a_leaked_signing_key_is_withdrawn_while_the_server_runs(running: Server) -> None:
    def keys(state: str) -> list[str]:
        told = json.loads(said(running, "signing-key", "list", "--json"))
        return [key["kid"] for key in told if key["issuer"] == "altinn" and key["state"] == state]

    def shown() -> set[str]:
        with running.client() as http:
            path = "/authentication/api/v1/openid/.well-known/openid-configuration/jwks"
            return {key["kid"] for key in http.get(path).json()["keys"]}

    def status(token: str) -> int:
        with running.client() as http:
            headers = {"Authorization": f"Bearer {token}"}
            return http.get("/notifications/api/v1/future/shipment/feed?seq=0", headers=headers).status_code

    (leaked,) = keys("signs")
    token = said(running, "dev", "token", "--org", "ttd").split()[-1]
    assert len(said(running, "signing-key", "rotate", "altinn").splitlines()) == 1
    assert "shown already" in refused(running, "signing-key", "rotate", "altinn")
    assert keys("signs") == [leaked] and len(keys("next")) == 1
    wait_until(lambda: shown() == {leaked, *keys("next")}, what="the next key is shown before it signs")
    assert status(token) == 200
    said(running, "signing-key", "withdraw", leaked)
    wait_until(lambda: status(token) == 401, what="the running server has heard of the withdrawal")
    assert leaked not in shown()
    fresh = said(running, "dev", "token", "--org", "ttd").split()[-1]
    wait_until(lambda: status(fresh) == 200, what="a new key signs")
    assert "no such key" in refused(running, "signing-key", "withdraw", "unknown")
