"""Grants signed with enterprise certificates of an issuer that is trusted: docs/reference/identity.md 2.5, and line 10 of 10.1."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.identity import CREATE_SCOPE, START, compact, payload_of, rsa_key
from tests.support.running import Endpoints, RunningWorld, close_running, open_running
from varsel.identity.registry import create_client
from varsel.identity.seed import DIGDIR

pytestmark = pytest.mark.asyncio(loop_scope="session")
YEAR = timedelta(days=365)


def certificate(
    name: str,
    *,
    by: str,
    number: str | None = None,
    authority: bool = False,
    ends: timedelta = YEAR,
) -> x509.Certificate:
    """A certificate of the key `name`, signed by the key `by`."""

    def named(who: str, organisation: str | None) -> x509.Name:
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, who)]
        if organisation is not None:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, f"NTRNO-{organisation}"))
        return x509.Name(parts)

    return (
        x509.CertificateBuilder()
        .subject_name(named(name, number))
        .issuer_name(named(by, None))
        .public_key(rsa_key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START - timedelta(days=400))
        .not_valid_after(START + ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(rsa_key(by), hashes.SHA256())
    )


ROOT = certificate("ca-root", by="ca-root", authority=True)
MIDDLE = certificate("ca-middle", by="ca-root", authority=True)
STRANGE = certificate("ca-strange", by="ca-strange", authority=True)
LEAF = certificate("leaf", by="ca-middle", number=DIGDIR)


def sent(*chain: x509.Certificate) -> list[str]:
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def trusting(
    shared_world: RunningWorld, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningWorld]:
    """An installation that trusts the root, with a client of Digdir that has registered no key."""
    issuers = tmp_path_factory.mktemp("issuers") / "issuers.pem"
    issuers.write_bytes(ROOT.public_bytes(Encoding.PEM))
    world = await open_running(
        shared_world.database, shared_world.folder, enterprise_ca_file=str(issuers), token_rate=0
    )
    world.client_id = str(
        await create_client(
            world.database, world.clock, organisation=DIGDIR, name="certificate", scopes=(CREATE_SCOPE,)
        )
    )
    yield world
    await close_running(world)


def grant(world: RunningWorld, x5c: Any, key: str = "leaf", **header: Any) -> str:
    return compact({"alg": "RS256", "x5c": x5c} | header, world.claims(), rsa_key(key))


async def test_a_grant_with_a_trusted_certificate_becomes_a_token_and_an_order(
    trusting: RunningWorld,
) -> None:
    answer = await trusting.token_request(grant(trusting, sent(LEAF, MIDDLE)))
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert payload_of(token)["client_amr"] == "virksomhetssertifikat"
    assert payload_of(token)["consumer"]["ID"] == f"0192:{DIGDIR}"
    api = Endpoints(trusting)
    assert await api.status((await trusting.exchange(token)).text) == 201
    await api.http.aclose()


async def test_a_leaf_alone_is_enough_where_its_issuer_is_trusted(trusting: RunningWorld) -> None:
    own = certificate("leaf", by="ca-root", number=DIGDIR)
    assert (await trusting.token_request(grant(trusting, sent(own)))).status_code == 200


@pytest.mark.parametrize(
    ("x5c", "key", "code"),
    [
        (sent(LEAF), "leaf", "MP-120"),
        (sent(certificate("leaf", by="ca-strange", number=DIGDIR), STRANGE), "leaf", "MP-120"),
        (sent(certificate("leaf", by="ca-root", number="312718286")), "leaf", "MP-122"),
        (sent(certificate("leaf", by="ca-root")), "leaf", "MP-120"),
        (sent(certificate("leaf", by="ca-root", number=DIGDIR, ends=-timedelta(days=1))), "leaf", "MP-120"),
        (sent(MIDDLE, LEAF), "leaf", "MP-120"),
        (sent(certificate("leaf", by="ca-root", number=DIGDIR, authority=True)), "leaf", "MP-120"),
        (sent(certificate("leaf", by="other-leaf", number=DIGDIR), LEAF, MIDDLE), "leaf", "MP-120"),
        (sent(LEAF, MIDDLE), "attacker", "MP-124"),
        (sent(LEAF, MIDDLE)[0], "leaf", "MP-123"),
    ],
    ids=[
        "chain-incomplete",
        "untrusted-issuer",
        "organisation",
        "no-organisation",
        "expired",
        "leaf-second",
        "leaf-is-issuer",
        "issued-by-a-leaf",
        "another-key-signed",
        "string",
    ],
)
async def test_010_certificates_of_trusted_issuers_that_do_not_count(
    trusting: RunningWorld, x5c: Any, key: str, code: str
) -> None:
    answer = await trusting.token_request(grant(trusting, x5c, key))
    assert answer.status_code == 400 and answer.json()["error_uri"].endswith(code), answer.text
    assert (await trusting.token_request(grant(trusting, sent(LEAF, MIDDLE)))).status_code == 200


async def test_007_a_certificate_counts_for_no_client_that_has_keys(trusting: RunningWorld) -> None:
    keyed = await trusting.new_client()
    header = {"alg": "RS256", "x5c": sent(LEAF, MIDDLE)}
    for extra in ({}, {"kid": "k1"}):
        claims = trusting.claims(iss=keyed)
        answer = await trusting.token_request(compact(header | extra, claims, rsa_key("leaf")))
        assert answer.status_code == 400
    assert datetime.fromtimestamp(trusting.now, UTC) < START + YEAR
