"""Long texts are read and written in slices, and come out as if they had not been."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.contract.orders.bodies import chain, put, reminder
from varsel.orders import tolerant
from varsel.orders.tolerant import Reader, Refused
from varsel.orders.wire import ChainOrder
from varsel.runtime.problems import pretty
from varsel.store import content as contents
from varsel.store import long_texts
from varsel.store.content import Attachment, EmailText, OrderContent, Recipient, decode, encode
from varsel.store.long_texts import LONG, in_slices, pretty_in_slices

TEXTS = ["\\", '\\"', "\\\\n", "😀", "\n", "ab", "\x01", "å\\"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("shift", range(7))
def test_windows_cut_no_escape(text: str, shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerant, "_WINDOW", 16)
    whole = "x" * shift + text * 40
    for ascii_only in (True, False):
        body = json.dumps(
            put(chain(), "recipient.recipientEmail.emailSettings.body", whole), ensure_ascii=ascii_only
        )
        read = Reader(body.encode()).read(ChainOrder)
        assert read.recipient.recipient_email.email_settings.body == whole


@pytest.mark.parametrize("text", TEXTS)
def test_slices_make_the_same_json(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "LONG", 10)
    content = OrderContent(
        (Recipient(email=text * 30), Recipient(mobile="1")),
        email=EmailText("a", text, text * 25),
        time_to_live=7,
    )
    assert msgspec.json.encode(in_slices(content)) == msgspec.json.encode(content)
    assert in_slices(OrderContent((Recipient(email="short"),))) == OrderContent((Recipient(email="short"),))


@pytest.mark.parametrize("text", TEXTS)
def test_a_layout_with_long_texts_is_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "LONG", 10)
    content = OrderContent(
        (Recipient(email=text * 30), Recipient(mobile="1")),
        email=EmailText("a", text * 11, text * 25),
        time_to_live=7,
    )
    assert pretty_in_slices(content) == pretty(content)
    assert pretty_in_slices([content, content]) == pretty([content, content])


def test_short_contents_are_left_alone() -> None:
    short = OrderContent((Recipient(email="kari@example.org"),))
    assert in_slices(short) is short


def test_a_long_content_comes_back() -> None:
    content = OrderContent((Recipient(email="a@b.no"),), email=EmailText("a", "b", '"å' * LONG))
    stored = encode(content)
    assert decode(stored) == content
    assert stored == msgspec.json.encode(content)


@pytest.mark.parametrize("text", [*TEXTS, '},{"', '}],"', '}],"x', "{}"])
@pytest.mark.parametrize("shift", range(5))
def test_a_large_content_is_decoded_as_the_decoder_would(
    text: str, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (long_texts, contents):
        monkeypatch.setattr(module, "LONG", 20)
        monkeypatch.setattr(module, "LARGE", 30)
        monkeypatch.setattr(module, "MANY", 4)
    monkeypatch.setattr(long_texts, "_WINDOW", 16)
    monkeypatch.setattr(long_texts, "_CHUNK", 3)
    many = tuple(Recipient(email="x" * shift + text * number, mobile=text) for number in range(12))
    content = OrderContent(
        many,
        email=EmailText("a", text * 9, "x" * shift + text * 40),
        condition_endpoint=text * 30,
        attachments=(Attachment(text * 30, "a", text), Attachment(text, "a", None)),
    )
    stored = encode(content)
    assert stored == msgspec.json.encode(content)
    assert decode(stored) == content
    assert pretty_in_slices(decode(stored, written=True)) == pretty(content)
    assert pretty_in_slices([content, decode(stored, written=True)]) == pretty([content, content])


def test_what_is_no_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LARGE", 3)
    for wrong in (
        b'{"recipients":[{"email":"a}',
        b'{"recipients":[{"email":"a\\',
        b'{"recipients":[{]}],"x',
        b"pigeons",
    ):
        with pytest.raises(ValueError):
            decode(wrong)


@pytest.mark.parametrize("shift", range(4))
def test_octets_are_decoded_slice_by_slice(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "LONG", 7)
    text = "x" * shift + "å€😀a" * 9
    slices = list(long_texts.decoded_slices(text.encode()))
    assert "".join(slices) == long_texts.decoded(text.encode()) == text
    assert max(len(one.encode()) for one in slices) <= 7
    for wrong in (b"\x80" * 40, text.encode()[:-1] + b"\xf0\x9f"):
        with pytest.raises(UnicodeDecodeError):
            long_texts.decoded(wrong)


@pytest.mark.parametrize("shift", range(20))
def test_windows_cut_no_pair_of_surrogates(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerant, "_WINDOW", 16)
    for tail, odd in (("", False), ("\\ud83d", True), ("\\ude00", True)):
        text = json.dumps("x" * shift + "😀a😀😀" * 20)[1:-1] + tail
        body = put(chain(), "recipient.recipientEmail.emailSettings.body", "TEXT")
        reader = Reader(json.dumps(body).replace("TEXT", text).encode())
        read = reader.read(ChainOrder)
        assert read.recipient.recipient_email.email_settings.body == json.loads(f'"{text}"')
        assert reader.odd is odd


def test_many_structures_are_freed_in_steps() -> None:
    class Watched(list[int]):
        def __delitem__(self, place: object) -> None:
            before = len(self)
            super().__delitem__(place)  # type: ignore[arg-type]
            steps.append(before - len(self))

    steps: list[int] = []
    items = Watched(range(2_500))
    long_texts.let_go(items)
    assert (items, steps) == ([], [1_000, 1_000, 500])


def test_what_was_read_of_a_refused_list_is_freed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []
    monkeypatch.setattr(tolerant, "let_go", lambda items: freed.append(len(items)))
    for wrong in ("7", "{"):
        body = json.dumps(chain(reminders=[reminder()] * 3))[:-1].replace("]", f", {wrong}]") + "}"
        with pytest.raises(Refused):
            Reader(body.encode()).read(ChainOrder)
    assert freed == [3, 3]
