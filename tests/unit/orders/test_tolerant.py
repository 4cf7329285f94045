"""Request reading: docs/reference/notifications-api.md 1.4, and the `$…` keys of 1.7.1."""

from __future__ import annotations

import contextlib
import gc
import json
import time
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varsel.orders.reading import RequestReader, normalised
from varsel.orders.tolerant import Null, Reader, Refused
from varsel.orders.wire import ChainOrder, ContentType, DialogportenAssociation, RecipientContainer, Reminder
from varsel.orders.wire_v1 import EmailOrder
from varsel.runtime.errors import ValidationProblem

GOOD = b'{"idempotencyId":"x","recipient":{"recipientEmail":{"emailAddress":"a@b.no","emailSettings":{"subject":"s","body":"b"}}}'


def read(body: bytes, cls: Any = ChainOrder) -> Any:
    return Reader(body).read(cls)


def where(body: bytes, cls: Any = ChainOrder) -> str:
    with pytest.raises(Refused) as refused:
        read(body, cls)
    return refused.value.path


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        (b"", "$"),
        (b",", "$"),
        (b",}", "$"),
        (b"]", "$"),
        (b'"a":1}', "$"),
        (b',"a"1}', "$"),
        (b',"a":}', "$.a"),
        (b',"a":01}', "$.a"),
        (b',"a":1.}', "$.a"),
        (b',"a":-}', "$.a"),
        (b',"a":1e}', "$.a"),
        (b',"a":+1}', "$.a"),
        (b',"a":1x}', "$.a"),
        (b',"a":NaN}', "$.a"),
        (b',"a":tru}', "$.a"),
        (b',"a":truex}', "$"),
        (b",\"a\":'x'}", "$.a"),
        (b',"a":"\n"}', "$.a"),
        (b',"a":"\\x"}', "$.a"),
        (b',"a":"\\u12G4"}', "$.a"),
        (b',"a":"', "$.a"),
        (b',"a b":x}', "$['a b']"),
        (b',"a.b":x}', "$['a.b']"),
        (b',"a":[1,2,}', "$.a"),
        (b',"a":{"b":x}}', "$.a"),
        (b',"a":[1,2 3]}', "$.a"),
        (b',"a":{"b":1,}}', "$.a"),
        (b',"reminders":[{"recipient":{}} {}]}', "$.reminders[1]"),
        (b',"reminders":[null,]}', "$.reminders[1]"),
        (b',"reminders":[1]}', "$.reminders[0]"),
        (b',"reminders":[{"recipient":{"recipientSms":{"phoneNumber":1}}}]}', "$.reminders[0].recipient.recipientSms.phoneNumber"),
        (b',"REMINDERS":[{"Recipient":5}]}', "$.REMINDERS[0].Recipient"),
        (b',"fallbackOnFailure":"true"}', "$.fallbackOnFailure"),
        (b',"sendersReference":"\xff"}', "$.sendersReference"),
        (b',"sendersReference":"\xed\xa0\x80"}', "$.sendersReference"),
        (b',"sendersReference":{}}', "$.sendersReference"),
        (b"}{", "$"),
        (b"}\x00", "$"),
        (b"} // why", "$"),
    ],
)  # fmt: skip
def test_the_first_failing_point_names_the_error(rest: bytes, path: str) -> None:
    assert where(GOOD + rest) == path


def test_the_first_failing_point_wins() -> None:
    assert where(b'{"sendersReference": 5, "recipient": oops') == "$.sendersReference"
    assert (
        where(b'{"recipient": {"recipientEmail": {}}, "sendersReference": 5}') == "$.recipient.recipientEmail"
    )


def test_all_missing_members_of_one_object_stand_in_one_message() -> None:
    with pytest.raises(Refused) as refused:
        read(b"{}")
    assert "idempotencyId" in refused.value.why
    assert "recipient" in refused.value.why


@pytest.mark.parametrize("body", [b"null", b" null\n", b"\xef\xbb\xbfnull"])
def test_null(body: bytes) -> None:
    with pytest.raises(Null):
        read(body)


@pytest.mark.parametrize("depth", [31, 32])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth(depth: int, brackets: tuple[bytes, bytes]) -> None:
    inner = b"1" if brackets[0] != b"[" else b""
    body = GOOD + b',"z":' + brackets[0] * depth + inner + brackets[1] * depth + b"}"
    if depth == 31:
        read(body)
    else:
        assert where(body) == "$.z"


def test_wide_is_not_deep() -> None:
    read(GOOD + b',"z":[' + b"[]," * 100 + b'{"a":[]}]}')


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (b"3", 3), (b'"3"', 3), (b'"+007"', 7), (b"-0", 0), (b'"-2"', -2), (b"2147483647", 2147483647), (b"null", None), (b'"0000000000000000000000000000001"', 1),
    ],
)  # fmt: skip
def test_integers(sent: bytes, value: int | None) -> None:
    assert read(b'{"recipient":{},"delayDays":' + sent + b"}", Reminder).delay_days == value


@pytest.mark.parametrize(
    "sent",
    [
        b"1.0",
        b"1e0",
        b'""',
        b'" 3"',
        b'"3.0"',
        b"true",
        b"[3]",
        b"2147483648",
        b"-2147483649",
        b"9" * 5000,
        b'"' + b"9" * 5000 + b'"',
        '"٣"'.encode(),
    ],
)
def test_not_integers(sent: bytes) -> None:
    assert where(b'{"recipient":{},"delayDays":' + sent + b"}", Reminder) == "$.delayDays"


@pytest.mark.parametrize(
    ("sent", "value"), [(b'"Html"', ContentType.HTML), (b'"hTML"', ContentType.HTML), (b"1", ContentType.HTML), (b'"1"', ContentType.HTML), (b"7", 7), (b"-1", -1), (b'" html "', ContentType.HTML), (b"null", None)]
)  # fmt: skip
def test_enumerations(sent: bytes, value: Any) -> None:
    assert read(b'{"contentType":' + sent + b"}", EmailOrder).content_type == value


@pytest.mark.parametrize("sent", [b'"Markdown"', b'""', b'"Plain,Html"', b"1.0", b"true", b"99999999999"])
def test_not_enumerations(sent: bytes) -> None:
    assert where(b'{"contentType":' + sent + b"}", EmailOrder) == "$.contentType"


def test_the_last_repeated_member_wins_in_any_case() -> None:
    body = (
        GOOD
        + b',"reminders":[{"recipient":{}}],"sendersReference":"a","SendersReference":"b","Reminders":null,"sendersreference":null}'
    )
    found = read(body)
    assert (found.senders_reference, found.reminders) == (None, None)


def test_names_may_be_escaped() -> None:
    assert (
        read(b'{"dialog\\u0049d":"\\u00e6\\/\\n\\ud83d\\ude00"}', DialogportenAssociation).dialog_id
        == "æ/\n😀"
    )


def test_names_beyond_ascii_never_fold_into_ours() -> None:
    assert (
        read('{"dialogId":"a","dıalogId":"b","diaſogId":"c"}'.encode(), DialogportenAssociation).dialog_id
        == "a"
    )


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("\\u0000", True),
        ("\\ud800", True),
        ("\\ude00\\ud83d", True),
        ("\\ud83d\\ude00", False),
        ("\\u00e5", False),
        ("a\\\\u0000", False),
    ],
)
def test_odd_texts_are_noticed(text: str, odd: bool) -> None:
    reader = Reader(b'{"dialogId":"' + text.encode() + b'"}')
    reader.read(DialogportenAssociation)
    assert reader.odd is odd


def test_a_surrogate_pair_survives_the_seam_of_a_long_text() -> None:
    for before in range(995, 1005):
        body = b'{"dialogId":"' + b"\\u00e5" * before + b"\\ud83d\\ude00" * 1005 + b'"}'
        assert read(body, DialogportenAssociation).dialog_id == "å" * before + "😀" * 1005


def test_texts_longer_than_a_window() -> None:
    for length in (65_530, 65_535, 65_536, 65_537, 131_073):
        for tail in ("", "\\n", "\\u00e5", '\\"'):
            body = '{"dialogId":"' + "x" * length + tail + '"}'
            assert read(body.encode(), DialogportenAssociation).dialog_id == json.loads(body)["dialogId"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans(), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_any_json_is_passed_over(value: Any, escaped: bool, indent: int) -> None:
    text = json.dumps({"z": value, "dialogId": "found"}, ensure_ascii=escaped, indent=indent or None)
    assert read(text.encode("utf-8", "surrogatepass"), DialogportenAssociation).dialog_id == "found"


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_anything_else_is_refused_and_never_crashes(body: bytes) -> None:
    try:
        json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: json.loads(""))
        valid = True
    except (ValueError, RecursionError):
        valid = False
    for whole in (body, b'{"z":' + body + b"}"):
        try:
            read(whole, DialogportenAssociation)
            accepted = True
        except (Refused, Null):
            accepted = False
        # What is skipped is not decoded; everything that is read must be JSON in UTF-8.
        if accepted and whole is body:
            assert valid


REQUESTS = st.fixed_dictionaries(
    {
        "idempotencyId": st.text(min_size=1, max_size=5),
        "recipient": st.just({}) | st.just({"recipientSms": {"phoneNumber": "1", "smsSettings": {"body": "b", "sendingTimePolicy": "Anytime"}}}),
    },
    optional={
        "sendersReference": st.none() | st.text(max_size=5),
        "requestedSendTime": st.sampled_from(["2031-03-14T08:00:00Z", "2031-03-14", "9999-12-31T23:59:59.9999999+14:00"]),
        "reminders": st.none() | st.lists(st.fixed_dictionaries({"recipient": st.just({})}, optional={"delayDays": st.integers(1, 2147483647) | st.none()}), max_size=3),
        "fallbackOnFailure": st.booleans(),
    },
)  # fmt: skip


@given(REQUESTS)
@settings(max_examples=300, deadline=None)
def test_both_readers_agree(request_body: dict[str, Any]) -> None:
    body = json.dumps(request_body).encode("utf-8", "surrogatepass")
    fast = RequestReader(ChainOrder, "x")
    try:
        expected = fast._decoder.decode(body)
    except ValueError:
        return  # left to the tolerant reader
    found = read(body)
    assert found == expected
    assert normalised(found) == normalised(expected)


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_what_the_fast_decoder_takes_the_tolerant_one_takes(value: Any) -> None:
    body = json.dumps(
        {"recipient": value, "idempotencyId": "x", "reminders": [value], "delayDays": value}
    ).encode("utf-8", "surrogatepass")
    for cls in (ChainOrder, Reminder, RecipientContainer):
        try:
            expected = RequestReader(cls, "x")._decoder.decode(body)
        except ValueError:
            continue
        assert read(body, cls) == expected


def test_errors_carry_the_name_of_the_body() -> None:
    reader = RequestReader(ChainOrder, "notificationOrderRequest")
    for body, key in ((b"", ""), (b"null", ""), (b"[]", "$")):
        with pytest.raises(ValidationProblem) as problem:
            reader.read(body)
        assert set(problem.value.errors) == {key, "notificationOrderRequest"}


MILLION = 1_000_000
LARGE = {
    "text": b'"' + b"a" * 10 * MILLION + b'"',
    "escapes": b'"' + b"\\u00e5" * MILLION + b'"',
    "pairs": b'"' + b"\\ud83d\\ude00" * (MILLION // 2) + b'"',
    "digits": b"1" * 10 * MILLION,
    "spaces": b" " * 10 * MILLION + b"1",
    "numbers": b"[" + b"1," * 4 * MILLION + b"1]",
    "strings": b"[" + b'"ab",' * 2 * MILLION + b"1]",
    "members": b"{" + b'"ab":1,' * MILLION + b'"c":2}',
    "lists": b"[" + b"[]," * MILLION + b"1]",
    "open brackets": b"[" * 10 * MILLION,
    "quotes": b'"' + b'\\"' * 5 * MILLION + b'"',
    "backslashes": b'"' + b"\\" * 10 * MILLION,
}


@pytest.mark.parametrize("name", LARGE)
def test_time_is_linear(name: str) -> None:
    """A body of 10 MB takes seconds at most; a quadratic step would take hours."""
    began = time.process_time()
    for member in (b"dialogId", b"unknown"):
        with contextlib.suppress(Refused):
            read(b'{"' + member + b'":' + LARGE[name] + b"}", DialogportenAssociation)
    assert time.process_time() - began < 20


def test_a_body_is_let_go_as_soon_as_it_has_been_read() -> None:
    """Not at some collection: bodies of 30 MB would fill the memory before one came."""

    class Watched(Reader):
        pass

    gc.disable()
    try:
        reader = Watched(GOOD + b"}")
        gone = weakref.ref(reader)
        reader.read(ChainOrder)
        del reader
        assert gone() is None
    finally:
        gc.enable()
