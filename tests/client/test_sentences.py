"""What usually goes wrong, against a whole Varsel: one sentence that says what is wrong and what to do, with the server's code.

From Python it is the text of the error, from the terminal all that is printed; neither shows a key, a grant or a token.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import closing

import asyncpg
import pytest

from tests.client.test_commands import alone, varsel
from varsel.client import (
    AltinnTokens,
    ClientError,
    ClockSkew,
    KeyExpired,
    Maskinporten,
    MaskinportenRefused,
    Notifications,
    ScopeNotGranted,
    ScopeNotRegistered,
    SigningKey,
    TransportError,
    Unauthorized,
    diagnose,
)
from varsel.client._clock import SystemClock
from varsel.store.embedded import read_dsn

__all__ = ["alone", "varsel"]

SHIPMENT = "c1f0a1b2-90d7-4b53-8f3d-4f2b6c7d8e91"


@pytest.fixture
def made(varsel_sandbox, key, tmp_path):
    """An integration of the sandbox with our key; its identifier."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key.private_jwk()), "utf-8")
    path.chmod(0o600)
    told = varsel_sandbox.command("integration", "create", "sentences", "--key", str(path), "--json")
    return json.loads(told)["integration"]["client_id"]


@pytest.fixture
def sentence(varsel_sandbox, varsel, tmp_path, key, caplog):
    """The error of a token request, seen from Python and from the terminal, which say the same."""

    def seen(client, signer=key, *, code=1, **more):
        with closing(Maskinporten(client, signer, environment=varsel_sandbox.environment, **more)) as source:
            with pytest.raises(ClientError) as caught:
                source.token()
        path = tmp_path / "used.json"
        path.write_text(json.dumps(signer.private_jwk()), "utf-8")
        path.chmod(0o600)
        varsel("profile", "add", "seen", "--env", varsel_sandbox.url, "--client-id", client, "--key", path)
        words = ["token", "--maskinporten", "--profile", "seen"]
        printed = varsel(*words, *(("--scope", more["scope"]) if "scope" in more else ()), code=code).strip()
        said = str(caught.value)
        trace = getattr(caught.value, "trace_id", None) or "-"
        assert len(trace) == 32
        # The same but for the trace id, which is new each time.
        assert printed.partition(" (trace_id")[0] == said.partition(" (trace_id")[0]
        for shown in (said, printed, caplog.text):
            for name in ("d", "p", "q", "n"):
                assert signer.private_jwk()[name][:20] not in shown
            assert "eyJ" not in shown
        return caught.value

    return seen


def test_a_wrong_key(made, sentence, key):
    other = SigningKey.generate(key.kid)
    error = sentence(made, other)
    assert type(error) is MaskinportenRefused
    assert error.error == "invalid_grant"
    assert error.mp_code == "MP-124"
    assert "Invalid JWT signature" in str(error)
    assert "Sign with the key that is registered under this kid" in str(error)


def test_a_key_that_was_never_registered(made, sentence):
    error = sentence(made, SigningKey.generate("another"))
    assert "Unknown key identifier" in str(error)
    assert "Register the public half of this key" in str(error)


def test_an_unknown_integration(sentence):
    error = sentence("0f2a1c3e-5b7d-4e9f-8a6b-1c2d3e4f5a6b")
    assert error.mp_code == "MP-100"
    assert "is it active, and of this environment?" in str(error)


def test_a_scope_that_the_integration_lacks(made, sentence):
    error = sentence(made, scope="altinn:serviceowner/instances.read")
    assert isinstance(error, ScopeNotRegistered)
    assert error.mp_code == "MP-200"
    assert "MP-200" in str(error)
    assert "Add the scope to the integration" in str(error)


def test_a_scope_that_does_not_exist(made, sentence):
    error = sentence(made, scope="altinn:nonsense")
    assert isinstance(error, ScopeNotRegistered | ScopeNotGranted)
    assert "correct its spelling" in str(error)


async def change(sandbox, statement, *values):
    connection = await asyncpg.connect(read_dsn(sandbox.data))
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


def run(work):
    import asyncio

    with asyncio.Runner() as runner:
        runner.run(work)


def test_an_expired_key(made, sentence, varsel_sandbox):
    run(
        change(
            varsel_sandbox,
            "update client_key set expires_at = clock_timestamp() - interval '1 day' where client_id = $1::text::uuid",
            made,
        )
    )
    error = sentence(made)
    assert isinstance(error, KeyExpired)
    assert error.mp_code == "MP-121"
    assert "Register a new key" in str(error)


def test_an_integration_out_of_use(made, sentence, varsel_sandbox):
    varsel_sandbox.command("integration", "deactivate", made)
    error = sentence(made)
    assert error.mp_code == "MP-100"
    assert "is it active, and of this environment?" in str(error)


@pytest.fixture
def an_hour_ahead(monkeypatch):
    right = SystemClock.wall
    monkeypatch.setattr(SystemClock, "wall", lambda clock: right(clock) + 3600)


@pytest.fixture
def source(made, key, varsel_sandbox):
    with closing(Maskinporten(made, key, environment=varsel_sandbox.environment)) as found:
        yield found


def test_a_clock_that_is_off_is_corrected_and_told(source, an_hour_ahead, caplog):
    with caplog.at_level(logging.WARNING, "varsel.client"):
        assert source.token().value
    assert re.search(r"clock is off by about 360\d s", caplog.text)
    with (
        closing(AltinnTokens(source)) as tokens,
        Notifications(tokens) as api,
        pytest.raises(ClientError, match="NOT-00003"),
    ):
        api.shipment(SHIPMENT)
    findings = {one.step: one for one in diagnose(source)}
    assert not findings["clock"].well
    assert re.fullmatch(r"This machine is 360\d s ahead; set it right\.", findings["clock"].words)


def test_a_clock_that_is_off_and_may_not_be_corrected(made, key, varsel_sandbox, an_hour_ahead):
    source = Maskinporten(made, key, environment=varsel_sandbox.environment, repair_clock=False)
    with closing(source), pytest.raises(ClockSkew, match="Set this machine's clock right") as caught:
        source.token()
    assert caught.value.error == "invalid_grant"


def test_a_clock_that_is_off_at_the_terminal(made, varsel, varsel_sandbox, tmp_path, an_hour_ahead, capsys):
    from varsel.cli.main import run as command

    varsel(
        "profile",
        "add",
        "off",
        "--env",
        varsel_sandbox.url,
        "--client-id",
        made,
        "--key",
        tmp_path / "key.json",
    )
    assert command(["doctor", "--profile", "off"]) == 1
    shown = capsys.readouterr()
    assert re.search(r"^BAD clock: This machine is 360\d s ahead; set it right\.$", shown.out, re.MULTILINE)


def test_an_unreachable_host(varsel, key, tmp_path):
    source = Maskinporten("x", key, environment="http://127.0.0.1:1")
    with pytest.raises(TransportError) as caught:
        source.token()
    said = "127.0.0.1:1 could not be reached"
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("check the address, the network and the proxy.")
    assert not caught.value.sent
    (tmp_path / "key.json").write_text(json.dumps(key.private_jwk()), "utf-8")
    varsel("profile", "add", "away", "--env", "http://127.0.0.1:1", "--client-id", "x", "--key", "key.json")
    assert varsel("order", "sms", "+4799999999", "--body", "Hei", code=3).startswith(said)


def test_a_name_that_does_not_exist(key):
    with pytest.raises(TransportError, match=r"varsel\.invalid could not be reached"):
        Maskinporten("x", key, environment="https://varsel.invalid").token()


def test_a_token_that_was_not_exchanged(source, varsel_sandbox):
    token = source.token().value
    with (
        Notifications(token, environment=varsel_sandbox.url) as api,
        pytest.raises(Unauthorized, match="must be exchanged first") as caught,
    ):
        api.shipment(SHIPMENT)
    assert caught.value.status == 401
    assert token not in str(caught.value)
