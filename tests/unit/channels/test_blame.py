"""Whose fault a refusal is: the server's, or the one message's that meets it each time."""

from __future__ import annotations

import pytest

from varsel.channels.email.blame import HEALTHY, Blame
from varsel.channels.model import Accepted, Permanent, Temporary, Unknown

REFUSED = Temporary(None, "451 4.3.0", "lookup failed", "provider")


def test_the_provider_rests_longer_each_time_until_a_mail_is_taken() -> None:
    blame, now, pauses = Blame(), 100.0, []
    for _ in range(8):
        judged = blame.judge(REFUSED, now)
        assert isinstance(judged, Temporary)
        assert judged.scope == "provider"
        assert judged.after is not None
        pauses.append(judged.after)
        now += judged.after
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    blame.judge(Accepted("id"), now)
    assert blame.judge(REFUSED, now + HEALTHY) == Temporary(1.0, "451 4.3.0", "lookup failed", "provider")


def test_refusals_side_by_side_are_one() -> None:
    blame = Blame()
    assert [blame.judge(REFUSED, now) for now in (10.0, 10.25, 11.0)] == [
        Temporary(after, "451 4.3.0", "lookup failed", "provider") for after in (1.0, 0.75, 2.0)
    ]


def test_while_other_mail_is_taken_it_is_the_messages_fault() -> None:
    blame = Blame()
    blame.judge(Accepted("id"), 10.0)
    assert blame.judge(REFUSED, 10.0 + HEALTHY / 2) == Temporary(
        None, "451 4.3.0", "lookup failed", "message"
    )


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted("id"),
        Unknown("no answer"),
        Permanent("Failed_Bounced", "550 5.1.1", "nobody"),
        Temporary(None, "450 4.2.1", "busy", "message"),
        Temporary(7.0, "", "no connection", "provider"),
    ],
)
def test_everything_else_stands_as_it_is(outcome: Accepted | Unknown | Permanent | Temporary) -> None:
    assert Blame().judge(outcome, 1.0) == outcome
