"""Clients that others wrote fetch a token here and place an order: curl as the guide has it, authlib, pymaskinporten (9.4)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authlib.integrations.requests_client import AssertionSession
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

from tests.support.identity import CREATE_SCOPE, GRANT, compact, rsa_key
from tests.support.varsel import Server, directory, environment, varsel

ROOT = Path(__file__).parents[2]
ORDERS = "/notifications/api/v1/future/orders"
EXCHANGE = "/authentication/api/v1/exchange/maskinporten"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with directory(tmp_path_factory.mktemp("others")) as data, Server(data, "--sandbox") as running:
        yield running


@pytest.fixture(scope="module")
def integration(sandbox: Server) -> tuple[str, Path]:
    """An integration whose key `theirs` lies in a PEM file, as these clients want it."""
    pem = sandbox.data.with_name("theirs.pem")
    pem.write_bytes(rsa_key("theirs").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    encoded = sandbox.data.with_name("theirs.encoded")
    encoded.write_text(varsel("jwk", "encode", str(pem), "--kid", "theirs").stdout)
    made = sandbox.run("integration", "create", "theirs", "--key", str(encoded), "--json")
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["integration"]["client_id"]), pem


def orders_with(sandbox: Server, maskinporten_token: str) -> None:
    """Exchange the token and place an order with what comes of it."""
    with sandbox.client() as http:
        exchanged = http.get(EXCHANGE, headers={"Authorization": f"Bearer {maskinporten_token}"})
        assert exchanged.status_code == 200, exchanged.text
        settings = {"subject": "Vedtak", "body": "Hei"}
        order = {
            "idempotencyId": str(uuid.uuid4()),
            "recipient": {"recipientEmail": {"emailAddress": "kari@example.org", "emailSettings": settings}},
        }
        made = http.post(ORDERS, json=order, headers={"Authorization": f"Bearer {exchanged.text}"})
        assert made.status_code == 201, made.text


@pytest.mark.needs("curl", "openssl")
def test_plain_curl_as_the_guide_has_it(sandbox: Server, tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/token-with-curl.md").read_text("utf-8")
    script = [f'varsel() {{ {shlex.quote(sys.executable)} -m varsel.cli.main "$@"; }}']
    shown: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        continued = False
        for line in block.splitlines():
            if line.startswith("$ ") or continued:
                script.append(line.removeprefix("$ "))
                # Open until the quotation that it began is closed again.
                continued = line.endswith("\\") or "\n".join(script).count("'") % 2 == 1
            else:
                shown.append(line)
    text = "\n".join(script).replace("http://127.0.0.1:5090", sandbox.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text.replace("/tmp/varsel", str(sandbox.data))],
        capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    refusal, status = shown
    assert status in done.stdout
    told = json.loads(re.sub(r"trace_id: [0-9a-f]{32}", "trace_id: …", done.stdout.partition("HTTP/1.1")[0]))
    assert told == json.loads(refusal.replace("http://127.0.0.1:5090", sandbox.url))


def test_authlib_fetches_a_token_and_places_an_order(sandbox: Server, integration: tuple[str, Path]) -> None:
    client_id, pem = integration
    with sandbox.client() as http:
        metadata = http.get("/maskinporten/.well-known/oauth-authorization-server").json()
    session = AssertionSession(
        metadata["token_endpoint"],
        client_id,
        client_id,
        metadata["issuer"],
        grant_type=AssertionSession.JWT_BEARER_GRANT_TYPE,
        claims={"scope": CREATE_SCOPE},
        key=RSAKey.import_key(pem.read_bytes()),
        header={"alg": "RS256", "kid": "theirs"},
        expires_in=100,
    )
    session.trust_env = False
    token = session.refresh_token()
    assert token["token_type"] == "Bearer" and token["expires_in"] == 119
    orders_with(sandbox, token["access_token"])


def test_the_very_grant_that_pymaskinporten_builds(sandbox: Server, integration: tuple[str, Path]) -> None:
    """Header, claims and their order as its `build_jwt` of 2.1.0 makes them; the request as it posts it."""
    client_id, _ = integration
    now = int(datetime.now(UTC).timestamp())
    claims: dict[str, Any] = {
        "aud": f"{sandbox.url}/maskinporten/",
        "iss": client_id,
        "scope": CREATE_SCOPE,
        "iat": now,
        "exp": now + 60,
        "jti": str(uuid.uuid4()),
    }
    header = {"alg": "RS256", "kid": "theirs", "typ": "JWT"}
    assertion = compact(
        json.dumps(header, separators=(",", ":"), sort_keys=True).encode(),
        json.dumps(claims, separators=(",", ":")).encode(),
        rsa_key("theirs"),
    )
    answer = httpx2.post(
        f"{sandbox.url}/maskinporten/token",
        data={"grant_type": GRANT, "assertion": assertion},
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        trust_env=False,
    )
    # What it asks of an answer: 200, a text and a whole number.
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert isinstance(told["access_token"], str) and type(told["expires_in"]) is int
    orders_with(sandbox, told["access_token"])


_THEIRS = """
import sys
from pymaskinporten import MaskinportenClient, MaskinportenSecrets, MaskinportenTokenError

base, client_id, pem, scope = sys.argv[1:]
secrets = MaskinportenSecrets(
    PRIVATE_KEY=open(pem).read(), MASKINPORTEN_CLIENT_ID=client_id, KID="theirs", SCOPE=scope
)
there = {"token_url": base + "token", "audience": base}
client = MaskinportenClient(secrets, **there)
token = client.get_token()
assert client.get_token() == token, "kept until it is nearly over"
try:
    MaskinportenClient(secrets.model_copy(update={"SCOPE": "altinn:other"}), **there).get_token()
except MaskinportenTokenError as refused:
    assert (refused.status, refused.code) == (400, "invalid_scope"), refused
else:
    raise AssertionError("a scope that the integration lacks was given")
print(token)
"""


def _runs(candidate: str) -> bool:
    """Whether this is a Python 3.13 that starts and can make environments; a shim may be there without one behind it."""
    with contextlib.suppress(OSError):
        probe = [candidate, "-c", "import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 13))"]
        return subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 0
    return False


@pytest.fixture(scope="module")
def their_python() -> Path:
    """Python 3.13 with pymaskinporten in an environment of its own, kept under tests/out; skips where there can be none."""
    found = next(
        filter(_runs, ["python3.13", *map(str, Path.home().glob(".pyenv/versions/3.13*/bin/python"))]), None
    )
    if found is None:
        pytest.skip("pymaskinporten needs Python 3.13, and this machine has none")
    wanted = ROOT / "requirements" / "pymaskinporten.txt"
    place = ROOT / "tests" / "out" / "pymaskinporten"
    stamp = place / "complete.txt"
    if not stamp.is_file() or stamp.read_bytes() != wanted.read_bytes():
        install: list[str | Path] = [
            place / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--only-binary",
            ":all:",
        ]
        for command in (
            [found, "-m", "venv", "--clear", place],
            [*install, "--require-hashes", "-r", wanted],
        ):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=240, check=False,
                env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            )  # fmt: skip
            if done.returncode != 0:
                pytest.skip(
                    f"pymaskinporten cannot be installed here: {done.stderr.strip().splitlines()[-1]}"
                )
        stamp.write_bytes(wanted.read_bytes())
    return place / "bin" / "python"


def test_pymaskinporten_fetches_a_token_and_places_an_order(
    sandbox: Server, integration: tuple[str, Path], their_python: Path
) -> None:
    client_id, pem = integration
    done = subprocess.run(
        [their_python, "-c", _THEIRS, f"{sandbox.url}/maskinporten/", client_id, pem, CREATE_SCOPE],
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    orders_with(sandbox, done.stdout.split()[-1])
