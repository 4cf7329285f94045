"""Which credentials count where: profiles by their environment, and sandboxes, whose self-service needs neither profile nor platform."""

from __future__ import annotations

import json
import sys

import pytest

from tests.client.test_commands import alone, here, varsel
from varsel.client import SelfService, SigningKey

__all__ = ["alone", "here", "varsel"]


@pytest.fixture
def profile(varsel, key, tmp_path):
    (tmp_path / "key.json").write_text(json.dumps(key.private_jwk()), "utf-8")

    def add(name, env):
        varsel("profile", "add", name, "--env", env, "--client-id", f"client-{name}", "--key", "key.json")

    return add


def test_an_environment_takes_the_profile_that_is_for_it(varsel, profile):
    from varsel.cli.calling import Where, caller

    def chosen(env):
        found = caller(Where(env=env))
        return (found.profile.name, found.environment.name)

    profile("here", "http://127.0.0.1:5090")
    assert "no credentials for tt02" in varsel("doctor", "--env", "tt02", code=2)
    profile("at", "at23")
    profile("test", "tt02")
    assert chosen("tt02") == ("test", "tt02")
    assert chosen("http://127.0.0.1:5090")[0] == "here"
    # An integration counts at its Maskinporten, so in every environment that trusts it.
    assert chosen("at23") == ("at", "at23")
    assert chosen("yt01") == ("at", "yt01")
    varsel("profile", "use", "test")
    assert chosen("yt01") == ("test", "yt01")
    assert "no credentials for production" in varsel("token", "--env", "production", code=2)


def test_a_key_is_not_used_at_another_maskinporten(varsel, profile):
    profile("here", "http://127.0.0.1:5090")
    said = varsel("token", "--profile", "here", "--env", "tt02", code=2)
    assert said.startswith("The profile here is for http://127.0.0.1:5090, and its key is not used at tt02")


def test_self_service_of_a_sandbox_beside_a_profile(varsel, varsel_sandbox, tmp_path):
    address = ("--env", varsel_sandbox.url)
    varsel("jwk", "new", "places", "--out", "places.json")
    made = json.loads(varsel("integration", "create", "a", "--key", "places.json", "--json", *address))
    client = made["integration"]["client_id"]
    varsel("profile", "add", "mine", *address, "--client-id", client, "--key", "places.json")
    # The profile's own integration may only order; whoever is on this machine may still register another.
    assert client in varsel("integration", "list")
    assert "name: a" in varsel("integration", "show", client)
    assert "other" in varsel("integration", "keys", "rotate", client, "--kid", "other", "--out", "other.json")


def test_self_service_by_an_integration_of_ones_own(varsel, varsel_sandbox, tmp_path):
    scope = "idporten:dcr.read"
    key = SigningKey.generate("own")
    (tmp_path / "own.json").write_text(json.dumps(key.private_jwk()), "utf-8")
    with SelfService(varsel_sandbox.administrator()) as service:
        client = service.create("reader", scopes=[scope]).client_id
        service.add_key(client, key)
    varsel(
        "profile", "add", "own", "--env", varsel_sandbox.url, "--client-id", client, "--key", "own.json", "--scope", scope
    )  # fmt: skip
    assert client in varsel("integration", "list")
    assert "scopes" in varsel("integration", "create", "b", code=1)


def test_without_the_platform_a_sandbox_elsewhere_serves(varsel, varsel_sandbox, monkeypatch):
    for missing in ("asyncpg", "starlette", "structlog", "uvloop", "aiohttp"):
        monkeypatch.setitem(sys.modules, missing, None)
    address = ("--env", varsel_sandbox.url)
    assert "is there" in varsel("integration", "create", "c", *address)
    assert "Ordered" in varsel("order", "sms", "+4799999903", "--body", "a", *address)
    varsel("inbox", "list", *address)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--at", "2031-03-14T08:00:00"), "--at needs a time zone, such as 2031-03-14T08:00:00+01:00"),
        (("--remind", "0"), "--remind must be 1 or more"),
        (("--condition", "ftp://x"), "--condition must be an absolute http or https address"),
        (("--id", " "), "--id must not be blank"),
        (("--from", "me"), "--from is not an e-mail address"),
    ],
)
def test_what_is_wrong_is_called_as_on_the_command_line(varsel, options, said):
    words = ("order", "email", "a@example.org", "--subject", "a", "--body", "b", *options)
    assert varsel(*words, code=2) == f"The order is wrong: {said}.\n"


def test_where_there_is_no_sandbox(varsel, profile):
    profile("here", "http://127.0.0.1:1")
    assert "could not be reached" in varsel("integration", "list", code=3)
