"""The callers' commands as a person meets them: what they print, their exit codes, and that nothing secret or long shows."""

from __future__ import annotations

import io
import json
import stat
import sys
import types
import webbrowser

import pytest

from tests.client.test_keys import certificate, pem_of, private
from varsel.cli import calling, profiles
from varsel.cli.callers import CALLER_COMMANDS
from varsel.cli.commands import COMMANDS
from varsel.cli.main import run
from varsel.client import ConfigurationError, NotFinal, SigningKey, TransportError

__all__ = ["certificate", "private"]

SOME = "6f2c0a51-3d0e-4b7e-9a55-0d2b8c6f1e10"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A person with an empty configuration, no keyring, and nothing of Varsel in the surroundings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VARSEL_SDK_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("VARSEL_DATA", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def varsel(capsys):
    def command(*words, code=0):
        capsys.readouterr()
        assert run([str(word) for word in words]) == code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        if code:
            assert shown.err.strip().count("\n") == 0
        return shown.out if code == 0 else shown.err

    return command


@pytest.fixture
def here(varsel_sandbox):
    return ("--data", varsel_sandbox.data)


def test_every_command_of_callers_is_in_the_table():
    assert set(CALLER_COMMANDS) <= set(COMMANDS)


# ---- keys ----


def test_a_key_from_start_to_end(varsel, tmp_path, capsys):
    public = json.loads(varsel("jwk", "new", "acme", "--out", "key.json"))
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    assert public[0]["kid"] == "acme"
    assert "d" not in public[0]
    assert json.loads(varsel("jwk", "public", "key.json")) == public[0]
    encoded = varsel("jwk", "encode", "key.json").strip()
    assert SigningKey.from_encoded_jwk(encoded).public_jwk() == public[0]
    assert varsel("jwk", "check", "key.json") == "The key is well: kid acme, RS256, 2048 bits.\n"
    assert "never overwritten" in varsel("jwk", "new", "acme", "--out", "key.json", code=2)
    assert "cannot be written" in varsel("jwk", "new", "acme", "--out", "none/key.json", code=2)
    assert "kid must be" in varsel("jwk", "new", "a b", code=2)


def test_keys_on_standard_input(varsel, monkeypatch, key, private):
    from varsel.cli import jwk

    def given(text):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        jwk._stdin.clear()

    given(json.dumps(key.private_jwk()))
    assert "is well" in varsel("jwk", "check", "-")
    given(key.encoded_jwk())
    assert "is well" in varsel("jwk", "check", "-")
    given(pem_of(private))
    assert "is well" in varsel("jwk", "check", "-", "--kid", "mine")
    given(pem_of(private))
    assert "has no kid" in varsel("jwk", "check", "-", code=1)


def test_a_key_that_others_refuse(varsel, tmp_path, key):
    jwk = {name: value for name, value in key.private_jwk().items() if name != "use"}
    (tmp_path / "key.json").write_text(json.dumps(jwk), "utf-8")
    assert "use must be sig" in varsel("jwk", "check", "key.json", code=1)
    (tmp_path / "key.json").write_text(json.dumps(key.public_jwk()), "utf-8")
    assert "public half" in varsel("jwk", "check", "key.json", code=2)
    assert "no key file" in varsel("jwk", "check", "missing.json", code=2)


# ---- profiles ----


def test_profiles(varsel, tmp_path, key):
    (tmp_path / "key.json").write_text(json.dumps(key.private_jwk()), "utf-8")
    assert "keys/tt02.json" in varsel("profile", "add", "tt02", "--client-id", "x", "--key", "key.json")
    varsel("profile", "add", "sand", "--env", "http://127.0.0.1:5090")
    kept = tmp_path / "config" / "keys" / "tt02.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    book = (tmp_path / "config" / "profiles.json").read_text("utf-8")
    assert key.private_jwk()["d"] not in book
    listed = json.loads(varsel("profile", "list", "--json"))
    assert listed["default"] == "tt02"
    assert "* tt02" in varsel("profile", "list")
    assert profiles.Book.open().named(None).key().kid == key.kid
    kept.chmod(0o644)
    assert "chmod 600" in varsel("token", code=2)
    kept.unlink()
    assert "no key file" in varsel("token", code=2)
    varsel("profile", "use", "sand")
    assert json.loads(varsel("profile", "list", "--json"))["default"] == "sand"
    varsel("profile", "remove", "sand")
    varsel("profile", "remove", "tt02")
    assert json.loads(varsel("profile", "list", "--json")) == {"profiles": []}


def test_the_keyring_is_used_where_there_is_one(varsel, tmp_path, key, monkeypatch):
    kept = {}
    ring = types.SimpleNamespace(
        set_password=lambda _, name, value: kept.update({name: value}),
        get_password=lambda _, name: kept.get(name),
        delete_password=lambda _, name: kept.pop(name),
    )
    monkeypatch.setitem(sys.modules, "keyring", ring)
    (tmp_path / "key.json").write_text(json.dumps(key.private_jwk()), "utf-8")
    assert "in the keyring" in varsel("profile", "add", "tt02", "--client-id", "x", "--key", "key.json")
    assert profiles.Book.open().named("tt02").key().kid == key.kid
    assert not (tmp_path / "config" / "keys").exists()
    secret = kept.pop("tt02")
    assert "no longer holds" in varsel("token", code=2)
    kept["tt02"] = secret
    varsel("profile", "remove", "tt02")
    assert kept == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "a/b"), "name of a profile"),
        (("add", "a", "--client-id", "x"), "given together"),
        (("add", "a", "--env", "atlantis"), "no environment called"),
        (("use", "nobody"), "no profile 'nobody'"),
        (("remove", "nobody"), "there are: none yet"),
    ],
)
def test_profiles_that_cannot_be(varsel, words, said):
    assert said in varsel("profile", *words, code=2)


def test_a_key_without_a_name_is_no_profile(varsel, tmp_path, private):
    (tmp_path / "key.pem").write_text(pem_of(private), "utf-8")
    assert "has no kid" in varsel("profile", "add", "a", "--client-id", "x", "--key", "key.pem", code=2)
    varsel("profile", "add", "a", "--client-id", "x", "--key", "key.pem", "--kid", "mine")
    assert profiles.Book.open().named("a").key().kid == "mine"


def test_a_broken_book_is_not_overwritten(varsel, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "profiles.json").write_text("[]", "utf-8")
    assert "mend or remove it" in varsel("profile", "list", code=2)
    assert (tmp_path / "config" / "profiles.json").read_text("utf-8") == "[]"


def test_places_for_the_configuration(monkeypatch, tmp_path):
    monkeypatch.delenv("VARSEL_SDK_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert profiles.config_directory() == tmp_path / "varsel"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert profiles.config_directory() == tmp_path / ".config" / "varsel"


def test_a_profile_without_an_integration():
    with pytest.raises(calling.WrongInput, match="no integration"):
        profiles.Profile("a", "tt02").needed_client_id()
    with pytest.raises(calling.WrongInput, match="no key"):
        profiles.Profile("a", "tt02").key()


# ---- against a sandbox ----


def test_an_order_from_the_terminal(varsel, here, varsel_inbox):
    told = json.loads(
        varsel(
            "order",
            "email",
            "terminal@example.org",
            "--subject",
            "Hei",
            "--body",
            "Hei du",
            "--remind",
            3,
            "--wait",
            "--json",
            *here,
        )
    )
    assert told["created"]
    assert told["shipment"]["status"] == "Order_Completed"
    assert len(told["reminders"]) == 1
    varsel_inbox.expect("terminal@example.org")
    shown = varsel("shipment", "show", told["shipmentId"], *here)
    assert "Order_Completed" in shown
    assert "Email_Delivered" in shown
    assert (
        json.loads(varsel("shipment", "show", told["shipmentId"], "--wait", "--json", *here))["shipmentId"]
        == told["shipmentId"]
    )
    assert "Cancelled" in varsel("order", "cancel", told["reminders"][0]["shipmentId"], *here)
    assert (
        json.loads(varsel("order", "cancel", told["notificationOrderId"], "--chain", "--json", *here))[
            "status"
        ]
        == "Cancelled"
    )
    assert "terminal@example.org" in varsel("inbox", "list", *here)
    message = json.loads(varsel("inbox", "list", "--to", "terminal@example.org", "--json", *here))[0]
    assert "Subject: Hei" in varsel("inbox", "show", message["id"], *here)
    assert json.loads(varsel("inbox", "show", "--to", "terminal@example.org", "--json", *here)) == message
    assert told["shipmentId"] in varsel("feed", *here)
    entries = [
        json.loads(line) for line in varsel("feed", "--json", "--cursor", "cursor", *here).splitlines()
    ]
    assert told["shipmentId"] in {one["shipmentId"] for one in entries}
    assert varsel("feed", "--cursor", "cursor", *here) == ""
    assert varsel("feed", "--after", entries[-1]["sequenceNumber"], *here) == ""


def test_other_orders_from_the_terminal(varsel, here, tmp_path, varsel_sandbox, monkeypatch):
    (tmp_path / "letter.html").write_text("<b>Hei</b>", "utf-8")
    varsel_sandbox.add_contacts(
        [
            {"person": "17849012320", "email": "k@example.org", "mobile": "+4799999901"},
            {"organization": "310332712", "emails": ["o@example.org"]},
        ]
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("Fra standard inn"))
    orders = [
        (
            "email",
            "a@example.org",
            "--subject",
            "a",
            "--body",
            "@letter.html",
            "--html",
            "--from",
            "noreply@example.org",
            "--instant",
        ),
        ("sms", "+4799999903", "--body", "-", "--anytime", "--reference", "r"),
        ("sms", "+4799999903", "--body", "a", "--instant", "--from", "Varsel"),
        (
            "person",
            "17849012320",
            "--subject",
            "a",
            "--body",
            "b",
            "--sms",
            "c",
            "--by",
            "both",
            "--anytime",
            "--ignore-reservation",
        ),
        (
            "person",
            "17849012320",
            "--subject",
            "a",
            "--body",
            "b",
            "--sms",
            "c",
            "--by",
            "sms-preferred",
            "--anytime",
        ),
        ("person", "17849012320", "--sms", "c", "--anytime"),
        ("org", "310332712", "--subject", "a", "--body", "b", "--sms", "c"),
        ("org", "310332712", "--subject", "a", "--body", "b"),
    ]
    for words in orders:
        assert "Order_Completed" in varsel("order", *words, "--wait", *here)


def test_a_known_id(varsel, here, capsys):
    words = ("order", "email", "a@example.org", "--subject", "a", "--id", "fixed-id-of-the-terminal", *here)
    assert varsel(*words, "--body", "a").startswith("Ordered: ")
    assert run([str(word) for word in (*words, "--body", "other")]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Ordered before: ")
    assert "nothing new was ordered" in shown.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("order", "email", "nobody", "--subject", "a", "--body", "b"),
            2,
            "The order is wrong: address is not an e-mail address.",
        ),
        (("order", "sms", "40000001", "--body", "b"), 2, "international number"),
        (
            ("order", "email", "a@example.org", "--subject", "a", "--body", "@missing"),
            2,
            "missing cannot be read",
        ),
        (
            (
                "order",
                "email",
                "a@example.org",
                "--subject",
                "a",
                "--body",
                "b",
                "--at",
                "2031-03-14T08:00:00",
            ),
            2,
            "time zone",
        ),
        (("order", "person", "12839010182"), 2, "Give --subject and --body"),
        (("order", "person", "12839010182", "--subject", "a"), 2, "given together"),
        (("order", "person", "12839010182", "--sms", "a"), 1, "NOT-00001"),
        (("order", "cancel", SOME), 1, "404"),
        (("order", "cancel", "x"), 2, "UUID"),
        (("shipment", "show", SOME), 1, "NOT-00003"),
        (("feed", "--after", "1", "--cursor", "x"), 2, "not both"),
        (("inbox", "show", "x"), 1, "no such message"),
        (("token", "--maskinporten"), 1, "Altinn tokens only"),
        (("doctor",), 2, "register one"),
        (("integration", "show", SOME), 1, "404"),
    ],
)
def test_what_goes_wrong_is_one_sentence(varsel, here, words, code, said):
    assert said in varsel(*words, *here, code=code)


def test_waiting_too_long(varsel, here):
    words = (
        "order",
        "email",
        "a@example.org",
        "--subject",
        "a",
        "--body",
        "b",
        "--at",
        "2099-01-01T00:00:00Z",
    )
    assert "has not come to its end" in varsel(*words, "--wait", "--timeout", "0.1", *here, code=4)


def test_tokens(varsel, here, varsel_sandbox):
    assert varsel("token", *here).strip().count(".") == 2
    assert varsel("token", "--env", varsel_sandbox.url).strip().count(".") == 2
    shown = json.loads(varsel("token", "--decode", "--scope", "a:b", "--scope", "c:d", *here))
    assert shown["claims"]["scope"] == "a:b c:d"


def test_an_integration_from_start_to_end(varsel, here, varsel_sandbox, tmp_path, capsys):
    varsel("jwk", "new", "first", "--out", "first.json")
    varsel("jwk", "new", "second", "--out", "second.json")
    made = json.loads(varsel("integration", "create", "terminal", "--key", "first.json", "--json", *here))
    client = made["integration"]["client_id"]
    assert client in varsel("integration", "list", *here)
    assert {one["client_id"] for one in json.loads(varsel("integration", "list", "--json", *here))} >= {
        client
    }
    assert "name: terminal" in varsel("integration", "show", client, *here)
    assert json.loads(varsel("integration", "show", client, "--json", *here))["client_id"] == client
    assert "second" in varsel("integration", "keys", "add", client, "second.json", *here)
    varsel("integration", "keys", "remove", client, "first", *here)
    assert [
        one["kid"] for one in json.loads(varsel("integration", "keys", "list", client, "--json", *here))
    ] == ["second"]
    varsel(
        "profile", "add", "mine", "--env", varsel_sandbox.url, "--client-id", client, "--key", "second.json"
    )
    assert varsel("token", "--maskinporten").strip().count(".") == 2
    assert "service owner: testkommune" in varsel("doctor")
    assert all(one["well"] for one in json.loads(varsel("doctor", "--json")))
    assert "Ordered" in varsel("order", "sms", "+4799999903", "--body", "a", "--anytime", "--wait")
    # The profile leads to a sandbox, whose inbox is open to whoever is on this machine.
    assert "a" in varsel("inbox", "list", "--to", "+4799999903", "--channel", "sms")
    varsel("integration", "keys", "remove", client, "second", *here)
    assert "kid" in varsel("token", code=1)
    assert run(["doctor"]) == 1
    assert "One step failed" in capsys.readouterr().err
    assert "gives no more tokens" in varsel("integration", "deactivate", client, *here)
    assert "register a key next" in varsel(
        "integration", "create", "empty", "--scope", "altinn:serviceowner", *here
    )


def test_the_inbox_in_the_browser(varsel, here, varsel_sandbox, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert varsel("inbox", "open", *here).strip() == f"{varsel_sandbox.url}/console/inbox"
    assert opened == [f"{varsel_sandbox.url}/console/inbox"]


# ---- without anything ----


def test_without_credentials(varsel, monkeypatch):
    assert "profile add" in varsel("token", code=2)
    assert "no credentials for tt02" in varsel("token", "--env", "tt02", code=2)
    assert "no profile 'x'" in varsel("token", "--profile", "x", code=2)
    assert "No sandbox runs" in varsel("token", "--data", "nowhere", code=1)
    monkeypatch.setenv("VARSEL_SDK_CLIENT_ID", "x")
    assert "key is missing" in varsel("token", code=2)


def test_an_unreachable_host(varsel, tmp_path, key, monkeypatch):
    monkeypatch.setenv("VARSEL_SDK_CLIENT_ID", "x")
    monkeypatch.setenv("VARSEL_SDK_ENCODED_JWK", key.encoded_jwk())
    said = varsel("token", "--env", "http://127.0.0.1:1", code=3)
    assert "127.0.0.1:1 could not be reached" in said
    assert key.encoded_jwk() not in said


def test_a_platform_token(varsel, tmp_path, private, certificate):
    from cryptography.hazmat.primitives import serialization

    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_text(pem_of(private), "utf-8")
    files = ("--certificate", "cert.pem", "--key", "key.pem")
    assert varsel("platform-token", "ttd", "--app", "my-app", *files).strip().count(".") == 2
    assert "service owner code" in varsel("platform-token", "T", *files, code=2)
    assert "cannot be read" in varsel(
        "platform-token", "ttd", "--certificate", "none", "--key", "key.pem", code=2
    )


def test_a_login_needs_a_client(varsel):
    assert "--client-id" in varsel("login", code=2)


def test_a_login(varsel, tmp_path, monkeypatch):
    from varsel.client import AltinnTokens, IdPorten, Token
    from varsel.client.testing._issuer import sign

    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    monkeypatch.setattr(
        IdPorten, "login", lambda person: person._open("https://login.example.org/authorize?x")
    )
    value = sign({"exp": 1784102400, "iat": 1784100600, "urn:altinn:authlevel": 4})
    monkeypatch.setattr(AltinnTokens, "token", lambda _: Token(value, 0.0))
    told = varsel("login", "--client-id", "x")
    assert "Logged in until" in told
    assert value not in told
    path = tmp_path / "config" / "tokens" / "tt02.token"
    assert path.read_text("utf-8").strip() == value
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert shown == ["https://login.example.org/authorize?x"]
    assert json.loads(varsel("login", "--client-id", "x", "--no-browser", "--json"))["level"] == 4
    assert len(shown) == 1


def test_errors_have_their_exit_codes():
    for error, expected in (
        (ConfigurationError("x"), 2),
        (TransportError("x"), 3),
        (NotFinal("x", None), 4),
    ):
        with pytest.raises(calling.OperatorError) as caught, calling.told():
            raise error
        assert caught.value.exit_code == expected


def test_tables_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    calling.table(["a", "b"], [["Order_Completed", "[x]"], ["SMS_Failed", "Email_New"]])
    shown = capsys.readouterr().out
    assert "[x]" in shown
    assert "a" in shown.splitlines()[0]
    calling.table(["a", "b"], [])
    assert capsys.readouterr().out == ""


def test_what_is_copied_from_a_table_stays_whole(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    calling.table(["to", "id"], [["somebody.with.a.long.name@example.org", SOME]])
    shown = capsys.readouterr().out
    assert SOME in shown
    assert "…" not in shown
