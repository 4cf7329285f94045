"""Rotation of keys, composed e-mail, completion, and --json on every command of callers."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from importlib import import_module
from uuid import uuid4

import pytest

from tests.client.test_commands import alone, here, varsel
from varsel.cli import main
from varsel.cli.callers import CALLER_COMMANDS
from varsel.cli.commands import COMMANDS, EXIT_CODES
from varsel.client import ComposedEmail, ConfigurationError, Email, Notifications, Order, SigningKey, ToEmail

__all__ = ["alone", "here", "varsel"]

SAS = "https://examplestore.blob.core.windows.net/out/avtale%20nr%201.pdf?sv=2024-11-04&se=2099-03-15T08%3A00%3A00Z&sr=b&sp=r&sig=c3ludGhldGlj"


# ---- keys ----


@pytest.fixture
def integration(varsel, here, varsel_sandbox):
    varsel("jwk", "new", "first", "--out", "first.json")
    made = json.loads(varsel("integration", "create", "rotating", "--key", "first.json", "--json", *here))
    client = made["integration"]["client_id"]
    varsel(
        "profile", "add", "mine", "--env", varsel_sandbox.url, "--client-id", client, "--key", "first.json"
    )
    return client


def test_a_key_is_rotated_by_one_command(varsel, here, integration, tmp_path, capsys):
    rotate = ("integration", "keys", "rotate", integration)
    told = json.loads(varsel(*rotate, "--kid", "second", "--replace", "first", "--json", *here))
    assert [one["kid"] for one in told["keys"]] == ["second"]
    assert told["profiles"] == ["mine"]
    written = tmp_path / "second.json"
    assert told["file"] == "second.json"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    # The profile has moved to the new key: tokens go on, though the old one is gone.
    assert varsel("token", "--maskinporten").strip().count(".") == 2
    assert json.loads(varsel("doctor", "--json"))[0]["words"] == "kid second, RS256"
    shown = varsel(*rotate, "--out", "third.json", *here)
    assert "when all use it, take the old one away" in shown
    assert SigningKey.from_file(tmp_path / "third.json").kid.startswith("key-")


def test_a_rotation_that_cannot_be_changes_nothing(varsel, here, integration, tmp_path):
    rotate = ("integration", "keys", "rotate", integration)
    assert "already" in varsel(*rotate, "--kid", "first", *here, code=2)
    assert "no key named old" in varsel(*rotate, "--kid", "a", "--replace", "old", *here, code=2)
    assert "never overwritten" in varsel(*rotate, "--kid", "a", "--out", "first.json", *here, code=2)
    assert "kid must be" in varsel(*rotate, "--kid", "a b", *here, code=2)
    assert not (tmp_path / "a.json").exists()
    keys = json.loads(varsel("integration", "keys", "list", integration, "--json", *here))
    assert [one["kid"] for one in keys] == ["first"]


def test_an_old_key_stays_until_the_new_one_has_given_a_token(varsel, here, integration, monkeypatch):
    from varsel.client import Maskinporten, MaskinportenRefused

    whole = Maskinporten.token

    def refused(source, *args):
        if source.kid == "second":
            raise MaskinportenRefused(400, "invalid_grant", "Unknown key identifier in 'kid' header")
        return whole(source, *args)

    monkeypatch.setattr(Maskinporten, "token", refused)
    rotate = ("integration", "keys", "rotate", integration, "--kid", "second", "--replace", "first")
    assert "gives no token yet, so no old key was taken away" in varsel(*rotate, *here, code=1)
    monkeypatch.undo()
    keys = json.loads(varsel("integration", "keys", "list", integration, "--json", *here))
    assert {one["kid"] for one in keys} == {"first", "second"}


def test_an_integration_without_scopes_is_rotated_too(varsel, here):
    varsel("jwk", "new", "first", "--out", "first.json")
    created = varsel("integration", "create", "bare", "--scope", "altinn:serviceowner", "--json", *here)
    client = json.loads(created)["integration"]["client_id"]
    told = varsel("integration", "keys", "rotate", client, "--kid", "only", *here)
    assert "only\tRS256" in told
    assert "take the old one away" not in told


# ---- composed e-mail ----


def test_an_email_with_attachments_from_the_terminal(varsel, here, tmp_path):
    (tmp_path / "address.txt").write_text(SAS + "\n", "utf-8")
    words = ("order", "composed", "kari@example.org", "--subject", "Avtale", "--body", "Ligger ved.", *here)
    told = json.loads(varsel(*words, "--attach", "@address.txt", "--at", "2098-01-01T00:00:00Z", "--json"))
    assert told["created"]
    shown = json.loads(varsel("shipment", "show", told["shipmentId"], "--json", *here))
    assert (shown["type"], shown["status"]) == ("Composed", "Order_Registered")
    assert "Cancelled" in varsel("order", "cancel", told["shipmentId"], *here)
    assert "No MIME type" in varsel(*words, "--attach", "avtale.nothing=@address.txt", code=2)
    assert "cannot be read" in varsel(*words, "--attach", "@nothing", code=2)
    assert "no reminders" in varsel(*words, "--remind", "1", code=2)


def test_attachments_are_named_after_their_address(varsel, here, monkeypatch):
    placed = []

    def place(_, order):
        placed.append(order)
        raise ConfigurationError("enough")

    monkeypatch.setattr(Notifications, "order_composed_email", place)
    words = ("order", "composed", "kari@example.org", "--subject", "a", "--body", "b", *here)
    varsel(*words, "--attach", SAS, "--attach", f"brev.docx={SAS}", code=2)
    order = placed[0]
    assert isinstance(order, ComposedEmail)
    assert [(one.filename, one.mime_type) for one in order.attachments] == [
        ("avtale nr 1.pdf", "application/pdf"),
        ("brev.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ]
    assert {one.sas_url for one in order.attachments} == {SAS}


def test_an_order_to_a_self_identified_user(varsel, here, varsel_sandbox):
    urn = "urn:altinn:person:idporten-email:terminal@example.org"
    varsel_sandbox.add_contacts([{"identity": urn, "email": "terminal@example.org"}])
    words = ("order", "identity", urn, "--subject", "a", "--body", "b", "--wait")
    assert "Order_Completed" in varsel(*words, *here)


def test_a_wait_that_ends_in_vain_still_tells_the_receipt(varsel, here, capsys):
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
    code = main.run([str(word) for word in (*words, "--wait", "--timeout", "0.05", "--json", *here)])
    shown = capsys.readouterr()
    assert code == 4
    assert json.loads(shown.out)["shipment"]["status"] == "Order_Registered"
    assert "has not come to its end" in shown.err


# ---- every command ----


@pytest.mark.parametrize("command", CALLER_COMMANDS, ids=lambda one: one.words)
def test_every_command_of_callers_speaks_json(command):
    if command.words == "completion":
        return  # its output is a program already
    module, _, name = command.where.partition(":")
    assert "json" in inspect.signature(getattr(import_module(module), name)).parameters


def test_small_answers_as_json(varsel, here, tmp_path, integration, monkeypatch):
    import webbrowser

    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    made = json.loads(varsel("jwk", "new", "acme", "--json"))
    assert (made["file"], made["public"]["kid"]) == ("acme.json", "acme")
    assert json.loads(varsel("jwk", "public", "acme.json", "--json")) == made["public"]
    assert json.loads(varsel("jwk", "check", "acme.json", "--json"))["bits"] == 2048
    assert SigningKey.from_encoded_jwk(
        json.loads(varsel("jwk", "encode", "acme.json", "--json"))["EncodedJwk"]
    )
    assert json.loads(varsel("inbox", "open", "--json", *here))["address"].endswith("/console/inbox")
    assert json.loads(varsel("profile", "add", "x", "--env", "tt02", "--json"))["environment"] == "tt02"
    assert json.loads(varsel("profile", "use", "x", "--json")) == {"default": "x"}
    assert json.loads(varsel("profile", "remove", "x", "--json")) == {"removed": "x", "default": "mine"}
    assert json.loads(varsel("token", "--json", *here))["token"].count(".") == 2
    ended = json.loads(varsel("integration", "deactivate", integration, "--json", *here))
    assert ended == {"client_id": integration, "active": False}


# ---- completion ----


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(varsel, shell, tmp_path):
    script = varsel("completion", shell)
    for command in COMMANDS:
        assert re.search(rf"\b{re.escape(command.words.split()[-1])}\b", script), command.words
    if found := shutil.which(shell):
        (tmp_path / "script").write_text(script, "utf-8")
        subprocess.run([found, "-n", tmp_path / "script"], check=True)


def test_bash_completes_commands_and_options(varsel, tmp_path):
    (tmp_path / "script").write_text(varsel("completion", "bash"), "utf-8")
    ask = """source ./script
    COMP_WORDS=({words}); COMP_CWORD={last}; COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
    _varsel; printf '%s\\n' "${{COMPREPLY[@]}}\""""
    for words, expected in (
        ("varsel or", "order"),
        ("varsel order em", "email"),
        ("varsel order email --sub", "--subject"),
        ("varsel integration keys rot", "rotate"),
    ):
        program = ask.format(words=words, last=len(words.split()) - 1)
        done = subprocess.run(
            ["bash", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert expected in done.stdout.split(), (words, done.stdout, done.stderr)


# ---- without the platform ----


def test_a_command_of_the_platform_says_what_to_install(varsel, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    said = varsel("up", "--sandbox", code=1)
    assert (
        said == "This command needs the whole platform (uvloop is missing): pip install 'varsel[server]'.\n"
    )


def test_a_module_of_ours_that_is_missing_is_a_fault(varsel, monkeypatch):
    monkeypatch.setitem(sys.modules, "varsel.cli.jwk", None)
    assert "inside Varsel" in varsel("jwk", "check", "x", code=70)


def test_exit_codes_are_documented():
    assert set(EXIT_CODES) == {0, 1, 2, 3, 4, 70, 130}


# ---- commands that stay ----


def test_the_feed_is_followed_until_it_is_interrupted(here, varsel_sandbox, tmp_path):
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("VARSEL_")}
    follower = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "varsel.cli.main",
            "feed",
            "--follow",
            "--json",
            "--cursor",
            "cursor",
            *map(str, here),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=surroundings,
    )
    with follower, Notifications(varsel_sandbox.credentials()) as api:
        try:
            for _ in range(2):
                receipt = api.order(Order(str(uuid4()), ToEmail("followed@example.org", Email("Hei", "Hei"))))
                api.wait_until_final(receipt.shipment_id)
            for line in follower.stdout:
                entry = json.loads(line)
                if entry["shipmentId"] == str(receipt.shipment_id):
                    break
            # The second line is asked for only after the first was written, so the cursor stands before this one or at it.
            assert int((tmp_path / "cursor").read_text("utf-8").split()[0]) <= entry["sequenceNumber"]
            follower.send_signal(signal.SIGINT)
            _, errors = follower.communicate(timeout=30)
        finally:
            follower.kill()
    assert follower.returncode == 130
    assert errors == ""


def test_a_reader_that_goes_away_is_no_fault(varsel, here, varsel_inbox):
    varsel("order", "sms", "+4799999903", "--body", "a", "--anytime", "--wait", *here)
    command = shlex.join([sys.executable, "-m", "varsel.cli.main", "feed", *map(str, here)])
    done = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    ("redirected", "code", "says"),
    [
        ("settings > /dev/full", 1, "What was to be written found no room: No space left on device.\n"),
        ("--help > /dev/full", 1, "What was to be written found no room: No space left on device.\n"),
        ("settings >&-", 0, ""),
        ("settings <&- >&- 2>&-", 0, ""),
        ("nonsense 2>&-", 2, ""),
        ("settings | true", 0, ""),
        ("--help | true", 0, ""),
    ],
)
def test_output_that_goes_nowhere_is_no_fault(redirected, code, says):
    command = shlex.join([sys.executable, "-m", "varsel.cli.main"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {redirected}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", says)


def test_a_terminal_without_the_letters_gets_the_rest():
    done = subprocess.run(
        [sys.executable, "-m", "varsel.cli.main", "order", "email", "--help"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert b"Logg inn for ? lese." in b" ".join(done.stdout.split())


# ---- composed e-mail, to its end ----


def test_a_composed_email_with_a_file_arrives(varsel, here, varsel_sandbox, varsel_inbox, tmp_path):
    (tmp_path / "address.txt").write_text(varsel_sandbox.file_url("brev.pdf") + "\n", "utf-8")
    told = varsel(
        "order", "composed", "file@example.org", "--subject", "Vedtak", "--body", "Se vedlegg.",
        "--attach", "vedtak.pdf=@address.txt", "--wait", *here,
    )  # fmt: skip
    assert "Email\tfile@example.org\tEmail_Delivered" in told
    assert varsel_inbox.expect("file@example.org").subject == "Vedtak"


# ---- dry runs ----


def test_what_would_be_sent(varsel, here, varsel_inbox, capsys):
    words = (
        "order",
        "email",
        "rehearsal@example.org",
        "--subject",
        "a",
        "--body",
        "b",
        "--id",
        str(uuid4()),
        *here,
    )
    shown = varsel(*words, "--remind", 7, "--dry-run")
    assert shown.startswith("Notification at ")
    assert "\nReminder at " in shown
    assert shown.count("Email\tre…@example.org\tEmail_New\t") == 2
    assert shown.endswith("Nothing was ordered.\n")
    told = json.loads(varsel(*words, "--dry-run", "--json"))
    assert (told["orderCount"], told["repeat"]) == (1, False)
    varsel(*words)
    assert main.run([str(word) for word in (*words, "--dry-run")]) == 0
    assert "taken already" in capsys.readouterr().err
    assert "Instant at " in varsel(
        "order", "sms", "+4799999903", "--body", "a", "--instant", "--dry-run", *here
    )


def test_a_public_environment_is_not_asked_what_would_be(varsel, tmp_path, key):
    (tmp_path / "key.json").write_text(json.dumps(key.private_jwk()), "utf-8")
    varsel("profile", "add", "public", "--env", "tt02", "--client-id", "x", "--key", "key.json")
    words = ("order", "email", "a@example.org", "--subject", "a", "--body", "b", "--dry-run")
    assert "would send; nothing was sent" in varsel(*words, code=2)
