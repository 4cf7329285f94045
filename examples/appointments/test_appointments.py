"""The rules of the program, without a server and without waiting."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from appointments import Appointment, arrivals, call_off, order, tell

from varsel.client import Notifications, TemporarilyDown
from varsel.client.testing import Memory

NOW = datetime(2031, 3, 3, 12, tzinfo=UTC)
APPOINTMENT = Appointment(17, "17849012320", NOW + timedelta(days=10))


@pytest.fixture
def api(varsel_memory: Memory) -> Iterator[Notifications]:
    with Notifications(varsel_memory.credentials(), http=varsel_memory.http) as client:
        yield client


def test_the_reminder_comes_two_days_before() -> None:
    assert [one.delay_days for one in order(APPOINTMENT, NOW).reminders] == [8]


def test_an_appointment_tomorrow_has_no_reminder() -> None:
    assert order(Appointment(18, "17849012320", NOW + timedelta(days=1)), NOW).reminders == []


def test_it_is_ordered_once(api: Notifications, varsel_memory: Memory) -> None:
    first = tell(api, APPOINTMENT, NOW)
    assert tell(api, APPOINTMENT, NOW) == first
    assert len(varsel_memory.orders) == 2  # the notification and its reminder


def test_an_outage_that_passes_is_not_noticed(api: Notifications, varsel_memory: Memory) -> None:
    varsel_memory.fail("/future/orders", status=503, times=3)
    assert tell(api, APPOINTMENT, NOW)


def test_an_outage_that_stays_is_told(api: Notifications, varsel_memory: Memory) -> None:
    varsel_memory.fail("/future/orders", status=503, times=4)
    with pytest.raises(TemporarilyDown):
        tell(api, APPOINTMENT, NOW)


def test_who_cannot_be_reached_gets_a_letter(api: Notifications, varsel_memory: Memory) -> None:
    varsel_memory.api.unreachable.add(APPOINTMENT.person)
    assert tell(api, APPOINTMENT, NOW) is None


def test_a_reminder_is_called_off_in_time(api: Notifications, varsel_memory: Memory) -> None:
    told = tell(api, APPOINTMENT, NOW)
    assert told is not None
    assert call_off(api, told)
    varsel_memory.deliver()
    other = tell(api, Appointment(19, "17849012320", APPOINTMENT.at), NOW)
    varsel_memory.deliver()
    assert other is not None
    assert not call_off(api, other)


def test_arrivals_are_read_once(api: Notifications, varsel_memory: Memory, tmp_path: Path) -> None:
    tell(api, APPOINTMENT, NOW)
    varsel_memory.deliver()
    cursor = tmp_path / "cursor"
    assert list(arrivals(api, cursor, follow=False)) == [("appointment-17", True)]
    assert list(arrivals(api, cursor, follow=False)) == []
