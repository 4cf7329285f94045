"""Plans: rows, lives, lanes, parts (docs/reference/delivery.md 3.8, 6.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from varsel.delivery.backoff import message_pause, provider_pause
from varsel.delivery.model import Addressee, DueOrder
from varsel.delivery.plan import PlanError, direct_addressees, plan
from varsel.delivery.window import Window
from varsel.store.content import EmailText, OrderContent, Recipient, SmsText

NOON = datetime(2031, 3, 12, 11, tzinfo=UTC)
ME = UUID(int=7)


def order(**changes: Any) -> DueOrder:
    values: dict[str, Any] = {
        "id": UUID(int=1),
        "creator": "ttd",
        "kind": "Notification",
        "channel": "Email",
        "sending_policy": "Daytime",
        "requested_at": NOON,
        "resource_id": None,
        "resource_action": None,
        "due_at": NOON,
        "tries": 0,
        "asked": False,
        "content": None,
    }
    return DueOrder(**{**values, **changes})


CONTENT = OrderContent((), email=EmailText("a@b.no", "s", "b"), sms=SmsText("Varsel", "x" * 161))
BOTH = Recipient(email="x@Example.ORG", mobile="+4799999999")


@pytest.mark.parametrize(
    ("channel", "recipient", "made"),
    [
        ("Email", BOTH, [("Email", None)]),
        ("Sms", BOTH, [("Sms", None)]),
        ("EmailPreferred", BOTH, [("Email", None)]),
        ("SmsPreferred", BOTH, [("Sms", None)]),
        ("EmailPreferred", Recipient(mobile="1"), [("Sms", None)]),
        ("SmsPreferred", Recipient(email="1"), [("Email", None)]),
        ("EmailAndSms", BOTH, [("Email", None), ("Sms", None)]),
        ("EmailAndSms", Recipient(email="1"), [("Email", None), ("Sms", "Failed_RecipientNotIdentified")]),
        ("Sms", Recipient(email="1"), [("Sms", "Failed_RecipientNotIdentified")]),
        ("SmsPreferred", Recipient(), [("Sms", "Failed_RecipientNotIdentified")]),
    ],
)
def test_direct_addresses_by_scheme(
    channel: str, recipient: Recipient, made: list[tuple[str, str | None]]
) -> None:
    found = direct_addressees(order(channel=channel), OrderContent((recipient,)))
    assert found is not None
    assert [(one.channel, one.status) for one in found] == made


def test_an_identity_needs_a_register() -> None:
    assert direct_addressees(order(), OrderContent((BOTH, Recipient(person="1")))) is None


def planned(made: list[Addressee], at: datetime = NOON, **changes: Any) -> Any:
    return plan(order(**changes), CONTENT, made, window=Window(), now=at, key=str.encode, owner=ME)


def test_what_may_leave_now_is_taken_at_once() -> None:
    [row] = planned([Addressee("Email", "direct", address="x@Example.ORG")])
    assert (row.owner, row.domain, row.lane, row.daytime) == (ME, "example.org", 1, False)
    assert row.expires_at == NOON + timedelta(hours=48)


def test_a_daytime_sms_at_night_waits_for_the_window() -> None:
    night = NOON + timedelta(hours=9)
    [row] = planned([Addressee("Sms", "direct", address="1")], night, requested_at=night)
    opening = datetime(2031, 3, 13, 8, tzinfo=UTC)
    assert (row.owner, row.ready_at, row.daytime) == (None, opening, True)
    assert row.expires_at == opening + timedelta(hours=48)
    assert (row.sms_parts, row.body_length) == (2, 161)


def test_parts_are_those_of_the_text_as_it_is_sent() -> None:
    """Not of line ends that become one, nor of what a cut takes away; the length stays that of the text (7.10)."""
    for body, parts in (
        ("x" * 159 + "\r\n", 1),
        ("x" * 1500 + "😀", 8),
        ("$recipientName$\r\n" + "x" * 158, 1),
    ):
        content = OrderContent((), sms=SmsText("Varsel", body))
        made = [Addressee("Sms", "direct", address="1", name="K")]
        [row] = plan(order(), content, made, window=Window(), now=NOON, key=str.encode)
        assert (row.sms_parts, row.body_length) == (parts, len(row.custom_body or body))


def test_positions_count_by_channel() -> None:
    rows = planned(
        [
            Addressee("Email", "direct", address="a"),
            Addressee("Sms", "direct", address="b"),
            Addressee("Email", "direct", address="c"),
        ]
    )
    assert [(row.channel, row.position) for row in rows] == [("Email", 0), ("Sms", 0), ("Email", 1)]


def test_a_missing_text_cannot_be_planned() -> None:
    with pytest.raises(PlanError):
        plan(
            order(),
            OrderContent(()),
            [Addressee("Sms", "direct", address="1")],
            window=Window(),
            now=NOON,
            key=str.encode,
        )


def test_composed_mail_has_a_lane_of_its_own() -> None:
    [row] = planned([Addressee("Email", "direct", address="a@b")], kind="Composed")
    assert row.lane == 2


def test_pauses_grow_and_end() -> None:
    assert timedelta(seconds=4) <= message_pause(0) <= timedelta(seconds=6)
    assert timedelta(seconds=720) <= message_pause(50) <= timedelta(seconds=1080)
    assert message_pause(3, 17.0) == timedelta(seconds=17)
    assert message_pause(3, -5.0) == timedelta(0)
    assert provider_pause(None) == timedelta(seconds=60)
    assert provider_pause(1e12) == timedelta(hours=6)
