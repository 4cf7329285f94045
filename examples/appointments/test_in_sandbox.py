"""The program against a whole Varsel, which pytest starts by itself: messages arrive, and ten days pass in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from appointments import Appointment, arrivals, tell

from varsel.client import Notifications
from varsel.client.testing import Inbox, Sandbox

KARI, OLA = "17849012320", "20859012331"


@pytest.fixture(scope="module")
def api(varsel_sandbox: Sandbox) -> Iterator[Notifications]:
    varsel_sandbox.add_contacts(
        [
            {"person": KARI, "name": "Kari Prøve", "email": "kari@example.org", "mobile": "+4799999901"},
            {"person": OLA, "name": "Ola Prøve", "email": "ola+bounce@example.org"},
        ]
    )
    with Notifications(varsel_sandbox.credentials()) as client:
        yield client


def test_a_person_is_told_and_reminded(
    api: Notifications, varsel_sandbox: Sandbox, varsel_inbox: Inbox
) -> None:
    now = datetime.now(UTC)
    told = tell(api, Appointment(1, KARI, now + timedelta(days=10)), now)
    assert told is not None
    api.wait_until_final(told.notification)
    assert "Hei Kari Prøve, du har time" in varsel_inbox.expect("kari@example.org").body
    varsel_inbox.expect_none("kari@example.org", containing="Husk timen")

    varsel_sandbox.advance(timedelta(days=8, minutes=1))

    assert varsel_inbox.expect("kari@example.org", containing="Husk timen").subject == "Påminnelse om time"
    varsel_sandbox.reset_clock()


def test_what_did_not_arrive_is_known(api: Notifications, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    told = tell(api, Appointment(2, OLA, now + timedelta(days=1)), now)
    assert told is not None
    api.wait_until_final(told.notification)
    assert ("appointment-2", False) in arrivals(api, tmp_path / "cursor", follow=False)
