"""Azure Communication Services: the conformance suite against the simulator, the table of refusals, and the questions."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.unit.channels.conformance import NOW, Conformance, Engine, Fate, email, sms
from tests.unit.channels.test_smtp import free_port
from varsel.channels.email.acs import AcsChannel, AcsEndpoint
from varsel.channels.email.acs_rest import AccessKey, judge_operation, judge_submission, operation
from varsel.channels.model import (
    Accepted,
    Attachment,
    Channel,
    Message,
    Outcome,
    Permanent,
    Temporary,
    Unknown,
)
from varsel.channels.polling import Missing, Passed, Polled, Underway
from varsel.channels.registry import open_channels
from varsel.channels.retry_after import retry_after
from varsel.channels.urls import ProviderUrlError
from varsel.sandbox.acs import AcsMail, AcsSimulator

KEY = b"a key of the sandbox's own"


def acs(port: int, key: bytes = KEY, **options: object) -> AcsChannel:
    endpoint = AcsEndpoint(f"http://127.0.0.1:{port}", f"acs:127.0.0.1:{port}", AccessKey(key))
    return AcsChannel(endpoint, lambda: NOW, **options)


@dataclass
class AcsFar:
    simulator: AcsSimulator
    held: asyncio.Event
    channel: Channel = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.channel = acs(self.simulator.port)

    def message(self, fate: Fate) -> Message:
        self.number += 1
        tag = {"ordinary": "", "temporary": "+503"}.get(fate, f"+{fate}")
        return email(f"kari{self.number}{tag}@example.org")

    def taken(self) -> list[str]:
        return [mail.to for mail in self.simulator.taken]

    def other_kind(self) -> Message:
        return sms()

    def unreachable(self) -> Channel:
        return acs(free_port())

    def unknown_user(self) -> Channel:
        return acs(self.simulator.port, b"hemmelig")


@pytest.fixture
async def far() -> AsyncIterator[AcsFar]:
    held, release = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        held.set()
        await release.wait()

    async def keep(_mail: AcsMail) -> None:
        pass

    simulator = AcsSimulator("127.0.0.1", 0, KEY, keep, now=lambda: NOW, sleep=sleep)
    await simulator.start()
    far = AcsFar(simulator, held)
    yield far
    release.set()
    await far.channel.close()
    await simulator.close()


class TestConformance(Conformance):
    pass


async def sent(far: AcsFar, message: Message) -> Outcome:
    engine = Engine()
    await far.channel.send([message], engine.intend, engine.settle)
    return engine.outcome(message)


@pytest.mark.parametrize(
    ("tag", "result"),
    [
        ("permanent", "Failed_InvalidEmailFormat"),
        ("toolarge", "Failed_PayloadTooLarge"),
        ("refused", "Failed"),
        ("400", "Failed"),
    ],
)
async def test_refused_for_good(far: AcsFar, tag: str, result: str) -> None:
    outcome = await sent(far, email(f"kari+{tag}@example.org"))
    assert isinstance(outcome, Permanent)
    assert outcome.result == result
    assert "kari" not in outcome.detail


@pytest.mark.parametrize("status", [408, 409, 500, 502, 504])
async def test_what_may_have_been_taken_is_unknown(far: AcsFar, status: int) -> None:
    assert isinstance(await sent(far, email(f"kari+{status}@example.org")), Unknown)


def test_suppressed_and_throttled_by_code_whatever_the_status() -> None:
    body = b'{"error": {"code": "%s", "message": "to ola@example.org"}}'
    outcome = judge_submission(400, None, body % b"EmailDroppedAllRecipientsSuppressed", "op")
    assert outcome == Permanent(
        "Failed_SupressedRecipient", "EmailDroppedAllRecipientsSuppressed", "to [address]"
    )
    outcome = judge_submission(400, 7.0, body % b"TooManyRequests", "op")
    assert outcome == Temporary(7.0, "TooManyRequests", "the provider asks to wait", "provider")


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (b'{"code": "EmailDroppedAllRecipientsSuppressed", "message": null}', "Failed_SupressedRecipient"),
        (b'{"code": "EmailDroppedAllRecipientsSuppressed", "message": [1]}', "Failed_SupressedRecipient"),
        (b'{"code": null, "message": "Invalid format for email address"}', "Failed_InvalidEmailFormat"),
        (b'{"code": 7, "message": "Invalid format for email address"}', "Failed_InvalidEmailFormat"),
        (b'"Invalid format for email address"', "Failed_InvalidEmailFormat"),
        (b'{"code": null, "message": null}', "Failed"),
        (b'"text"', "Failed"),
        (b"null", "Failed"),
        (b"[]", "Failed"),
        (b"7", "Failed"),
    ],
)
def test_odd_members_never_lose_the_verdict(error: bytes, result: str) -> None:
    for outcome in (
        judge_submission(400, None, b'{"error": %s}' % error, "op"),
        judge_operation(200, None, b'{"id": null, "status": "Failed", "error": %s}' % error),
        judge_operation(200, None, b'{"id": {}, "status": "Canceled", "error": %s}' % error),
    ):
        assert isinstance(outcome, Permanent)
        assert outcome.result == result
    assert judge_operation(200, None, b'{"id": null, "status": "Succeeded", "error": %s}' % error) == Passed()
    running = judge_operation(200, 3.0, b'{"id": 7, "status": "Running", "error": %s}' % error)
    assert running == Underway(3.0)


HERS = "11111111-2222-3333-4444-55555555555A"
PLACE = "https://a.example/emails/operations/{}?api-version=2023-03-31"


@pytest.mark.parametrize(
    ("answer", "location", "reference"),
    [
        (f'{{"id": "{HERS}", "status": "Running"}}', "", HERS.lower()),
        (f'{{"id": "{HERS}"}}', PLACE.format("other"), HERS.lower()),
        ('{"id": null}', PLACE.format(HERS), HERS.lower()),
        ("", PLACE.format(HERS), HERS.lower()),
        ("[" * 100_000, PLACE.format("a%2Db"), "a-b"),
        ('{"id": 7}', "", "ours"),
        ('{"id": ""}', "https://a.example/", "ours"),
        ('{"id": "a\\nb"}', PLACE.format("a%0Ab"), "ours"),
        ('{"id": ".."}', PLACE.format("%2E%2E"), "ours"),
        (f'{{"id": "{"a" * 201}"}}', PLACE.format("a" * 201), "ours"),
        ("[]", "not an address", "ours"),
        ("", "", "ours"),
    ],
)
def test_the_operation_id_of_the_answer(answer: str, location: str, reference: str) -> None:
    """docs/reference/delivery.md 7.7: the report's messageId is the operation id."""
    outcome = judge_submission(202, None, answer.encode(), "ours", location)
    assert outcome == Accepted(reference, "HTTP 202")


def test_an_operation_id_is_one_part_of_the_path() -> None:
    assert operation("a:b=+") == "/emails/operations/a%3Ab%3D%2B?api-version=2023-03-31"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), None),  # not: at once
        (format_datetime(NOW, usegmt=True), None),
        ("0", None),
        ("1", 1.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("9" * 400, None),
        ("999999999", 21_600.0),  # no slip of a server closes the channel for years
        ("Fri, 14 Mar 2099 08:00:00 GMT", 21_600.0),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_a_date_closer_than_a_second_is_a_second() -> None:
    header = format_datetime(NOW + timedelta(seconds=1), usegmt=True)
    assert retry_after(header, NOW + timedelta(seconds=0.9)) == 1.0


def test_no_retry_after_is_a_minute() -> None:
    for status in (429, 503):
        outcome = judge_submission(status, None, b"", "op")
        assert isinstance(outcome, Temporary)
        assert (outcome.after, outcome.scope) == (60.0, "provider")


async def test_throttling_spares_the_rest_of_the_batch(far: AcsFar) -> None:
    channel = acs(far.simulator.port, slots=1)
    messages = [email(f"kari{number}+temporary@example.org") for number in range(5)]
    engine = Engine()
    await channel.send(messages, engine.intend, engine.settle)
    assert len(far.simulator.submissions) == 1
    outcomes = [engine.outcome(message) for message in messages]
    assert all(
        isinstance(one, Temporary) and one.scope == "provider" and one.after and one.after <= 5
        for one in outcomes
    )
    await channel.close()


async def test_what_is_submitted(far: AcsFar) -> None:
    file = Attachment("årsrapport.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(200_000))
    message = email(
        sender="Skatteetaten <noreply@varsel.example.org>",
        subject="Hei på deg",
        body="<p>Du har fått <b>post</b>.</p>",
        html=True,
        attachments=(file,),
    )
    outcome = await sent(far, message)
    assert outcome == Accepted(str(message.attempt_id), "HTTP 202")
    [mail] = far.simulator.taken
    assert mail.operation_id == str(message.attempt_id)
    assert mail.sender == "noreply@varsel.example.org"
    assert mail.content["subject"] == "Hei på deg"
    assert mail.content["html"] == "<p>Du har fått <b>post</b>.</p>"
    assert mail.content["plainText"].strip() == "Du har fått post."
    assert mail.attachments == ((file.filename, file.mime_type, file.content),)


async def test_answers_that_cannot_be_read_settle_all_the_same(
    far: AcsFar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested without end, or what nobody foresaw: the next messages go on."""
    for body in (b'{"error": ' + b"[" * 100_000, b'{"error": {"code": "\xff"}}', b"{"):
        assert judge_submission(400, None, body, "op") == Permanent("Failed", "HTTP 400", "")
        assert isinstance(judge_submission(500, None, body, "op"), Unknown)

    def confused(*_: object) -> Outcome:
        raise RecursionError

    monkeypatch.setattr("varsel.channels.email.acs.judge_submission", confused)
    messages = [email(f"kari{number}@example.org") for number in range(3)]
    engine = Engine()
    await far.channel.send(messages, engine.intend, engine.settle)
    assert [type(engine.outcome(message)) for message in messages] == [Unknown] * 3


async def test_addresses_that_cannot_be_written(far: AcsFar) -> None:
    for values in ({"to": "kari@@"}, {"sender": "no address"}):
        outcome = await sent(far, email(**values))
        assert isinstance(outcome, Permanent)
    assert far.simulator.submissions == []


async def test_asked_until_it_is_known(far: AcsFar) -> None:
    channel = far.channel
    assert isinstance(channel, Polled)
    for tag, ends in (
        ("", Passed()),
        ("+canceled", Permanent("Failed", "", "")),
        ("+dropped", Permanent("Failed", "EmailDropped", "Dropped for [address]")),
        (
            "+suppressed",
            Permanent(
                "Failed_SupressedRecipient",
                "EmailDroppedAllRecipientsSuppressed",
                "Message dropped because all recipients were suppressed",
            ),
        ),
    ):
        message = email(f"kari{tag}@example.org")
        assert isinstance(await sent(far, message), Accepted)
        assert await channel.stand(str(message.attempt_id)) == Underway(1.0)
        assert await channel.stand(str(message.attempt_id)) == ends


async def test_a_lost_answer_can_be_asked_for(far: AcsFar) -> None:
    taken, lost = email("kari+drop@example.org"), email("kari+lost@example.org")
    assert isinstance(await sent(far, taken), Unknown)
    assert isinstance(await sent(far, lost), Unknown)
    assert isinstance(far.channel, Polled)
    assert await far.channel.stand(str(taken.attempt_id)) == Underway(1.0)
    assert await far.channel.stand(str(lost.attempt_id)) == Missing()


async def test_a_question_without_an_answer_says_nothing(far: AcsFar) -> None:
    message = email("kari+poll-500@example.org")
    await sent(far, message)
    assert isinstance(far.channel, Polled)
    assert isinstance(await far.channel.stand(str(message.attempt_id)), Temporary)
    away = acs(free_port())
    assert isinstance(await away.stand("x"), Temporary)
    await away.close()
    for body in (b"", b"[]", b'{"status": 3}', b"\xff", b'{"status": "Failed", "x": ' + b"[" * 100_000):
        assert isinstance(judge_operation(200, None, body), Temporary)
    assert judge_operation(200, None, b'{"status": "Brooding"}') == Underway(None)


def test_the_signature_by_the_published_recipe() -> None:
    when = datetime(2026, 11, 22, 8, 49, 37, tzinfo=UTC)
    headers = AccessKey(b"secret").sign("POST", "/emails:send?api-version=x", "a.example", b"{}", when)
    assert headers["x-ms-date"] == "Sun, 22 Nov 2026 08:49:37 GMT"
    assert headers["x-ms-content-sha256"] == "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="
    assert headers["Authorization"].startswith(
        "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="
    )


def test_from_the_settings(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(base64.b64encode(KEY).decode() + "\n")
    [one, other] = open_channels(
        f"acs://mail.example.org?key_file={key} acs+http://127.0.0.1:81?key_file={key}&slots=3",
        "",
        lambda: NOW,
    )
    assert (one.name, one.kind) == ("acs:mail.example.org:443", "Email")
    assert (other.name, other.slots) == ("acs:127.0.0.1:81", 3)
    key.write_text("not a key!")
    for url in (
        "acs://mail.example.org",
        f"acs://mail.example.org?key_file={key}",
        f"acs://mail.example.org?key_file={key}x",
        f"acs://mail.example.org/path?key_file={key}",
        "acs://user:hemmelig@mail.example.org?key_file=x",
    ):
        with pytest.raises(ProviderUrlError) as refused:
            open_channels(url, "", lambda: NOW)
        assert "hemmelig" not in str(refused.value)
