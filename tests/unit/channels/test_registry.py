"""Provider URLs and what they open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.channels.conformance import NOW
from varsel.channels.model import Channel
from varsel.channels.registry import open_channels
from varsel.channels.urls import ProviderUrlError


def opened(email: str = "", sms: str = "") -> list[Channel]:
    return open_channels(email, sms, lambda: NOW)


def test_in_their_order() -> None:
    channels = opened(
        "smtps://u:p@a.example.org  smtp://b.example.org:2525\nsmtp+starttls://[::1] smtp://c.example.org",
        "link+https://u:p@xml.example.org/x link+http://u:p@127.0.0.1:8080",
    )
    assert [channel.name for channel in channels] == [
        "smtp:a.example.org:465",
        "smtp:b.example.org:2525",
        "smtp:[::1]:587",
        "smtp:c.example.org:25",
        "link:xml.example.org:443",
        "link:127.0.0.1:8080",
    ]
    assert [channel.kind for channel in channels] == ["Email"] * 4 + ["Sms"] * 2
    assert all(1 <= channel.slots <= 32 for channel in channels)


def test_nothing_is_set() -> None:
    assert opened() == []


def test_options() -> None:
    one, two = opened(
        "smtp://a.example.org?connections=3&ca_file=/etc/ca.pem",
        "link+https://u:p@b.example.org/?slots=4&batch=2",
    )
    assert (one.slots, two.slots) == (3, 4)


SECRET = "hemm%40elig%2Fx"


@pytest.mark.parametrize(
    ("email", "sms"),
    [
        ("mail.example.org", ""),
        ("http://u:" + SECRET + "@a.example.org", ""),
        ("smtp://u:" + SECRET + "@:25", ""),
        ("smtp://u:" + SECRET + "@a.example.org:99999", ""),
        ("smtp://u:" + SECRET + "@a.example.org:x", ""),
        ("smtp://u:" + SECRET + "@a.example.org:0", ""),
        ("smtp://u:" + SECRET + "@a.example.org/path", ""),
        ("smtp://u:" + SECRET + "@a.example.org?verify=" + SECRET, ""),
        ("smtp://u:" + SECRET + "@a.example.org?connections=99", ""),
        ("smtp://u:" + SECRET + "@a.example.org#x", ""),
        ("smtp://" + SECRET + "@a.example.org", ""),
        ("smtp://u:" + SECRET + "/x@a.example.org", ""),
        ("smtp://u:" + SECRET + "#x@a.example.org", ""),
        ("smtp://a.example.org smtp://u:" + SECRET + "@a.example.org", ""),
        ("", "link+https://a.example.org"),
        ("", "https://u:" + SECRET + "@a.example.org"),
        ("", "link+https://u:" + SECRET + "@a.example.org?batch=0"),
    ],
)
def test_one_clear_sentence_without_secrets(email: str, sms: str) -> None:
    with pytest.raises(ProviderUrlError) as caught:
        opened(email, sms)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    for secret in (SECRET, "hemm@elig/x", "hemm"):
        assert secret not in text
    assert caught.value.exit_code == 2


def test_secrets_are_in_no_repr() -> None:
    for channel in opened(f"smtp://user:{SECRET}@a.example.org", f"link+https://user:{SECRET}@b.example.org"):
        endpoint = channel._connector._endpoint if channel.kind == "Email" else channel._endpoint
        for value in (channel, channel.name, endpoint):
            assert "hemm" not in repr(value)
            assert "user" not in repr(value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for email, sms in ((text, ""), ("", text), ("smtp://" + text, ""), ("", "link+https://u:p@" + text)):
        try:
            opened(email, sms)
        except ProviderUrlError as error:
            assert str(error)
