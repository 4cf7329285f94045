"""Where settings come from, which of them wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from varsel.runtime.errors import SettingsError
from varsel.runtime.settings import SETTINGS
from varsel.runtime.settings_sources import load


def refusal(environment: dict[str, str], directory: Path, **overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environment, directory, **overrides)
    return str(caught.value)


def test_the_later_of_file_dotenv_environment_and_command_line_wins(tmp_path):
    (tmp_path / "varsel.toml").write_text("port = 1\nworkers = 2\nhost = '127.0.0.2'\nfeed_max_page = 5\n")
    (tmp_path / ".env").write_text(
        "# of this machine\nexport VARSEL_PORT='3'\nVARSEL_WORKERS=4\nOTHER=x\nVARSEL_HOST=127.0.0.3\n"
    )
    found = load({"VARSEL_PORT": "5", "VARSEL_WORKERS": "6"}, tmp_path, port=7)
    assert (found.port, found.workers, found.host, found.feed_max_page) == (7, 6, "127.0.0.3", 5)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VARSEL_PORT", "65536"),
        ("VARSEL_PORT", "-1"),
        ("VARSEL_PORT", "http"),
        ("VARSEL_SMTP_INBOX_PORT", "70000"),
        ("VARSEL_INTERNAL_PORT", "99999999999999999999"),
        ("VARSEL_WORKERS", "-1"),
        ("VARSEL_WORKERS", "1.5"),
        ("VARSEL_API_PROCESSES", "0"),
        ("VARSEL_DATABASE_POOL", "1"),
        ("VARSEL_STOP_SECONDS", "nan"),
        ("VARSEL_ACCESS_LOG", "maybe"),
        ("VARSEL_LOG_LEVEL", "loud"),
        ("VARSEL_PUBLIC_URL", "varsel.example.org"),
        ("VARSEL_PUBLIC_URL", "ftp://varsel.example.org"),
        ("VARSEL_PUBLIC_URL", "https://"),
        ("VARSEL_PUBLIC_URL", "https://varsel.example.org:port"),
        ("VARSEL_PUBLIC_URL", "https://varsel.example.org/?a=b"),
        ("VARSEL_PROFILE_URL", "file:///etc/passwd"),
        ("VARSEL_UNHEARD_OF", "1"),
        ("VARSEL_PORT_FILE", "/dev/null"),
    ],
)
def test_a_malformed_or_unknown_setting_is_refused_by_name(tmp_path, variable, value):
    assert variable in refusal({variable: value}, tmp_path)


@pytest.mark.parametrize(
    "line", ["port = true", "port = 5090.5", "stop_seconds = true", "host = 5", "potr = 1", "[port]\na = 1"]
)
def test_toml_is_held_to_the_same_types(tmp_path, line):
    (tmp_path / "varsel.toml").write_text(line)
    assert refusal({}, tmp_path)


def test_addresses_are_taken_as_they_are(tmp_path):
    found = load(
        {"VARSEL_PUBLIC_URL": "https://varsel.example.org:8443/base/", "VARSEL_PROFILE_URL": ""}, tmp_path
    )
    assert found.base_url == "https://varsel.example.org:8443/base"


def test_a_secret_comes_from_a_file_named_anywhere(tmp_path):
    (tmp_path / "one").write_text("https://secret-one\n")
    assert load({"VARSEL_SMS_URL_FILE": str(tmp_path / "one")}, tmp_path).sms_url == "https://secret-one"
    (tmp_path / "varsel.toml").write_text(f"sms_url_file = '{tmp_path / 'one'}'\n")
    assert load({}, tmp_path).sms_url == "https://secret-one"
    assert load({"VARSEL_SMS_URL": "two"}, tmp_path).sms_url == "two"
    (tmp_path / "varsel.toml").write_text("sms_url_file = 'hunter2-gone'\n")
    assert "sms_url_file" in (said := refusal({}, tmp_path))
    assert "hunter2" not in said


def test_a_secret_and_its_file_at_once_are_refused_in_either_order(tmp_path):
    (tmp_path / "one").write_text("x")
    pair = {"VARSEL_SMS_URL": "hunter2", "VARSEL_SMS_URL_FILE": str(tmp_path / "one")}
    for given in (pair, dict(reversed(pair.items()))):
        assert "VARSEL_SMS_URL and VARSEL_SMS_URL_FILE" in (said := refusal(given, tmp_path))
        assert "hunter2" not in said


@pytest.mark.parametrize("name", ["varsel.toml", ".env"])
def test_a_settings_file_that_is_no_text_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    assert name in refusal({}, tmp_path)


def test_a_directory_that_is_closed_holds_no_settings(tmp_path, monkeypatch):
    def closed(self: Path, **_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", closed)
    assert load({}, tmp_path).port == 5090


def test_every_default_is_a_value_of_its_kind():
    assert load({}, Path("/nonexistent"))
    assert {setting.kind for setting in SETTINGS} == {
        "text", "secret", "url", "number", "port", "seconds", "flag", "list", "choice",
    }  # fmt: skip


def test_orders_are_kept_as_long_as_what_is_known_of_them(tmp_path):
    assert refusal({"VARSEL_KEEP_ORDER_DAYS": "89"}, tmp_path) == (
        "VARSEL_KEEP_ORDER_DAYS (89) must be 0 or at least VARSEL_KEEP_IDENTITY_DAYS (90)."
    )
    shown = refusal({"VARSEL_KEEP_TEXT_DAYS": "2000"}, tmp_path)
    assert shown == "VARSEL_KEEP_ORDER_DAYS (1095) must be 0 or at least VARSEL_KEEP_TEXT_DAYS (2000)."
    for days in ("0", "90"):
        assert load({"VARSEL_KEEP_ORDER_DAYS": days}, tmp_path).keep_order_days == int(days)
