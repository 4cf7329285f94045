"""Tell people about their appointments, remind them, and keep track of what arrived."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from varsel.client import (
    Conflict,
    Email,
    EmailPreferred,
    Notifications,
    Order,
    RecipientUnreachable,
    Reminder,
    Sms,
    ToPerson,
)

OSLO = ZoneInfo("Europe/Oslo")


@dataclass(frozen=True)
class Appointment:
    """One appointment. `number` names it in our own system."""

    number: int
    person: str
    at: datetime

    @property
    def reference(self) -> str:
        return f"appointment-{self.number}"


def order(appointment: Appointment, now: datetime) -> Order:
    """The notification and its reminder two days before, where there is time for one.

    The idempotency id follows from the appointment and its time: told twice, it is sent once; moved, it is told anew.
    """
    when = f"{appointment.at.astimezone(OSLO):%d.%m. kl. %H.%M}"
    told = EmailPreferred(
        Email("Time hos kommunen", f"Hei $recipientName$, du har time {when}."),
        Sms(f"Du har time hos kommunen {when}."),
    )
    again = EmailPreferred(
        Email("Påminnelse om time", f"Husk timen din {when}."), Sms(f"Husk timen din {when}.")
    )
    days = (appointment.at - now).days - 2
    return Order(
        f"{appointment.reference}/{appointment.at:%Y%m%dT%H%M}",
        ToPerson(appointment.person, told),
        senders_reference=appointment.reference,
        reminders=[Reminder(to=ToPerson(appointment.person, again), delay_days=days)] if days >= 1 else [],
    )


@dataclass(frozen=True)
class Told:
    """What we keep of an order: which shipment is the notification, and which the reminder."""

    notification: str
    reminder: str | None


def tell(api: Notifications, appointment: Appointment, now: datetime) -> Told | None:
    """Order it; None when nobody knows how to reach the person, who then gets a letter."""
    try:
        receipt = api.order(order(appointment, now))
    except RecipientUnreachable:
        return None
    reminders = [str(one.shipment_id) for one in receipt.reminders]
    return Told(str(receipt.shipment_id), reminders[0] if reminders else None)


def call_off(api: Notifications, told: Told) -> bool:
    """The appointment is off: no reminder any more. Whether it could still be stopped."""
    if told.reminder is None:
        return True
    try:
        api.cancel(told.reminder)
    except Conflict:
        return False
    return True


def arrivals(api: Notifications, cursor: Path, *, follow: bool = True) -> Iterator[tuple[str, bool]]:
    """Our reference and whether it arrived, for every order that has come to its end; goes on where it was last time."""
    for entry in api.feed(cursor, follow=follow):
        if entry.senders_reference and entry.senders_reference.startswith("appointment-"):
            yield entry.senders_reference, any(one.is_delivered for one in entry.recipients)


def main() -> None:
    with Notifications.from_environment() as api:
        for reference, arrived in arrivals(
            api, Path("appointments.cursor"), follow=sys.argv[1:] == ["follow"]
        ):
            print(reference, "arrived" if arrived else "did not arrive")


if __name__ == "__main__":
    main()
