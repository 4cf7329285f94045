"""`varsel login` against the provider that a sandbox brings, and the token that it keeps."""

from __future__ import annotations

import json
import re
import stat
import threading
import webbrowser
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.client.test_commands import alone, here, varsel
from varsel.cli.main import run
from varsel.client.testing._issuer import sign

__all__ = ["alone", "here", "varsel"]

PERSON = "17849012320"


class Person:
    """Somebody with a browser: opens the login page, chooses who to be, and follows where that leads."""

    def __init__(self):
        self.address = ""
        self.last = ""
        self._thread = None

    def open(self, address):
        self.address = address
        self._thread = threading.Thread(target=self._log_in)
        self._thread.start()
        return True

    def _log_in(self):
        with httpx2.Client(follow_redirects=True, timeout=30) as browser:
            page = browser.get(self.address)
            action = re.search(r'<form[^>]* action="([^"]+)"', page.text)[1]
            handle = re.search(r'name="handle" value="([^"]+)"', page.text)[1]
            answer = browser.post(str(page.url.join(action)), data={"handle": handle, "pid": PERSON})
            self.last = answer.text

    def done(self):
        self._thread.join(30)
        return self.last


@pytest.fixture
def person(monkeypatch):
    found = Person()
    monkeypatch.setattr(webbrowser, "open", found.open)
    return found


def test_a_person_logs_in_through_the_browser(varsel, here, person, tmp_path, varsel_sandbox):
    told = varsel("login", *here)
    assert "Innloggingen er fullført" in person.done()
    assert "Logged in until" in told
    path = next((tmp_path / "config" / "tokens").iterdir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text("utf-8").strip()
    assert token not in told
    assert varsel("token", "--person", *here).strip() == token
    claims = json.loads(varsel("token", "--person", "--decode", *here))["claims"]
    assert claims["pid"] == PERSON
    assert claims["urn:altinn:authlevel"] >= 3
    # The client was made once; the next login uses it again, by the address alone too.
    client = parse_qs(urlsplit(person.address).query)["client_id"][0]
    again = json.loads(varsel("login", "--env", varsel_sandbox.url, "--json"))
    person.done()
    assert again["level"] == claims["urn:altinn:authlevel"]
    assert client in person.address


def test_a_login_that_nobody_finishes(here, alone, monkeypatch, capsys):
    from varsel.client import _idporten

    monkeypatch.setattr(_idporten, "PATIENCE", 0.1)
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    assert run(["login", "--client-id", "nobody", *map(str, here)]) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Log in here: http://127.0.0.1:")
    assert last == "Nobody logged in within 0.1 seconds."


def test_a_token_of_nobody(varsel, here, tmp_path):
    assert "Nobody is logged in" in varsel("token", "--person", "--env", "tt02", code=1)
    (tmp_path / "config" / "tokens").mkdir(parents=True)
    (tmp_path / "config" / "tokens" / "tt02.token").write_text(sign({"exp": 1}), "utf-8")
    assert "has ended" in varsel("token", "--person", "--env", "tt02", code=1)
    assert "leave --scope" in varsel("token", "--person", "--scope", "a", code=2)


def test_where_a_login_goes(varsel, tmp_path):
    varsel("profile", "add", "public", "--env", "at22")
    (tmp_path / "config" / "tokens").mkdir(parents=True)
    kept = tmp_path / "config" / "tokens" / "at22.token"
    kept.write_text(sign({"exp": 4102444800}) + "\n", "utf-8")
    assert varsel("token", "--person").strip() == kept.read_text("utf-8").strip()
    assert varsel("token", "--person", "--profile", "public").strip().count(".") == 2
    assert json.loads(varsel("token", "--person", "--json"))["expires"] == 4102444800
    assert "--client-id" in varsel("login", "--env", "tt02", code=2)
