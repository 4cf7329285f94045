"""The tour: what a service owner does, done over HTTP against a running sandbox, and told as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import uuid4

import httpx2

from varsel.cli.tour_road import Road, Tell
from varsel.recipients import contacts
from varsel.runtime.clock import ShiftedCalendar, SystemMachine
from varsel.runtime.errors import OperatorError
from varsel.runtime.times import OSLO
from varsel.sandbox import clock
from varsel.store.database import Database

BASE: Final = "/notifications/api/v1"
EMAIL: Final = "kari.nordmann@example.org"
NUMBER: Final = "+4799999999"
REMINDER_DAYS: Final = 7
#: What the magic of the sandbox does on purpose (docs/reference/magic.md).
BOUNCING: Final = "ola+bounce@example.org"
LATE: Final = "+4740009014"
#: Who is in the contact register of the tour, as `varsel contacts import` reads it.
PERSON: Final = ("05887899891", "Kari Nordmann", "kari@example.com")
COMPANY: Final = ("310332712", "Prøvefylke", "post@example.com")
USERS: Final = ("leder@example.com", "vikar@example.com")
RESOURCE: Final = "urn:altinn:resource:varsel-tour"
REGISTER: Final = (
    {"person": PERSON[0], "name": PERSON[1], "email": PERSON[2], "mobile": "+4791234567"},
    {
        "organization": COMPANY[0],
        "name": COMPANY[1],
        "emails": [COMPANY[2]],
        "users": [
            {"person": "17849012320", "email": USERS[0], "resources": [RESOURCE]},
            {"person": "14870398215", "email": USERS[1], "resources": []},
        ],
    },
)
#: Seconds for each thing to happen; it takes well under one on an idle machine.
PATIENCE: Final = 30.0


class TourError(OperatorError):
    """The tour could not be finished."""

    exit_code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order of the tour: its shipment, and those of its reminders."""

    shipment: str
    reminders: tuple[str, ...]


class Tour:
    """Walks once through everything. `mark` keeps the messages of this walk apart from those of earlier ones."""

    def __init__(self, url: str, database: Database, tell: Tell) -> None:
        self._database = database
        self._tell = tell
        self._machine = SystemMachine()
        self._http = httpx2.AsyncClient(base_url=url, timeout=20.0, trust_env=False)
        self._url = url
        self._token = ""
        self._mark = uuid4().hex[:8]

    async def walk(self) -> None:
        """All of it; TourError says what did not happen."""
        try:
            await self._walk()
        except httpx2.HTTPError as error:
            raise TourError(f"The tour lost its server ({type(error).__name__}).") from None
        finally:
            await self._http.aclose()

    async def _walk(self) -> None:
        road = Road(self._http, self._url, self._mark, self._tell, self._good)
        self._token = await road.walk(self._database)
        await contacts.store(self._database, contacts.read([json.dumps(one).encode() for one in REGISTER]))
        mail = await self._order(
            "E-mail ordered",
            EMAIL,
            {"recipientEmail": _email(EMAIL, f"Vedtak {self._mark}", "Du har fått et vedtak.")},
            {"recipientEmail": _email(EMAIL, f"Påminnelse {self._mark}", "Du har ikke åpnet vedtaket ditt.")},
        )
        sms = await self._order(
            "SMS ordered",
            NUMBER,
            {"recipientSms": _sms(NUMBER, f"Du har fått et vedtak ({self._mark}).", "Anytime")},
            {"recipientSms": _sms(NUMBER, f"Husk vedtaket ditt ({self._mark}).", "Anytime")},
        )
        await self._delivered("E-mail delivered", mail.shipment, "email", EMAIL, f"Vedtak {self._mark}")
        await self._delivered("SMS delivered", sms.shipment, "sms", NUMBER, f"({self._mark})")
        await self._person()
        await self._organization()
        await self._bounced()

        await self._wait_for_morning()

        unwanted = await self._order_unwanted_reminder()
        late = await self._order_without_report()
        now = await self._advance(timedelta(days=REMINDER_DAYS))
        self._tell("Clock", f"moved {REMINDER_DAYS} days on: it is {_written(now)} in Oslo")
        await self._given_up(late)
        await self._delivered(
            "Reminder delivered", mail.reminders[0], "email", EMAIL, f"Påminnelse {self._mark}"
        )
        await self._delivered("Reminder delivered", sms.reminders[0], "sms", NUMBER, "Husk vedtaket")
        await self._not_reminded(unwanted)
        await self._reported_late(late)
        await self._read_feed()

    # -- who, and what may go wrong --------------------------------------------------------------------------------

    async def _person(self) -> None:
        number, name, address = PERSON
        order = await self._order(
            "Person ordered",
            f"national number {number}, by e-mail if there is an address",
            {
                "recipientPerson": {
                    "nationalIdentityNumber": number,
                    "channelSchema": "EmailPreferred",
                    "emailSettings": {
                        "subject": f"Hei, $recipientName$ ({self._mark})",
                        "body": "Du har fått et vedtak.",
                    },
                    "smsSettings": {"body": "Du har fått et vedtak.", "sendingTimePolicy": "Anytime"},
                }
            },
        )
        await self._delivered("Person delivered", order.shipment, "email", address, f"{name} ({self._mark})")

    async def _organization(self) -> None:
        number, name, official = COMPANY
        order = await self._order(
            "Organization ordered",
            f"{name} ({number}) and those of its users who have access to {RESOURCE}",
            {
                "recipientOrganization": {
                    "orgNumber": number,
                    "resourceId": RESOURCE,
                    "channelSchema": "Email",
                    "emailSettings": {"subject": f"Til {name} ({self._mark})", "body": "Dere har fått post."},
                }
            },
        )
        ended = await self._ended(order.shipment)
        reached = sorted(each["destination"] for each in ended["recipients"])
        if reached != sorted((official, USERS[0])):
            raise TourError("The organization was reached at other addresses than it should be.")
        self._tell(
            "Organization delivered", f"{official} and {USERS[0]}; not {USERS[1]}, who has no access there"
        )

    async def _bounced(self) -> None:
        order = await self._order(
            "E-mail ordered",
            BOUNCING,
            {"recipientEmail": _email(BOUNCING, f"Vedtak {self._mark}", "Du har fått et vedtak.")},
        )
        ended = await self._ended(order.shipment)
        self._tell("E-mail bounced", f"its notice came back, and the shipment says {_told(ended)}")

    async def _order_unwanted_reminder(self) -> Ordered:
        """A reminder whose sender says, when its time has come, that it is not needed any more."""
        order = await self._order(
            "E-mail ordered",
            EMAIL,
            {"recipientEmail": _email(EMAIL, f"Faktura {self._mark}", "Du har fått en faktura.")},
            {"recipientEmail": _email(EMAIL, f"Purring {self._mark}", "Fakturaen er ikke betalt.")},
            condition=f"{self._url}{BASE}/tests/sendcondition?conditionMet=false",
        )
        await self._delivered("E-mail delivered", order.shipment, "email", EMAIL, f"Faktura {self._mark}")
        return order

    async def _not_reminded(self, order: Ordered) -> None:
        ended = await self._ended(order.reminders[0])
        if ended["status"] != "Order_SendConditionNotMet" or await self._received(
            "email", EMAIL, f"Purring {self._mark}"
        ):
            raise TourError("The reminder was sent against its condition.")
        self._tell(
            "Reminder not sent", "its condition was asked and answered false: Order_SendConditionNotMet"
        )

    async def _order_without_report(self) -> Ordered:
        order = await self._order(
            "SMS ordered", LATE, {"recipientSms": _sms(LATE, f"Uten rapport ({self._mark}).", "Anytime")}
        )

        async def accepted() -> dict[str, Any] | None:
            found = await self._shipment(order.shipment)
            return found if _told(found) == "SMS_Accepted" else None

        await self._until(accepted, f"the SMS {order.shipment} was not accepted")
        self._tell("SMS accepted", "the gateway has taken it, and does not say what became of it")
        return order

    async def _given_up(self, order: Ordered) -> None:
        ended = await self._ended(order.shipment)
        # Only where this machine took longer than the gateway to say something.
        said = (
            "two days and no report" if _told(ended) == "SMS_Failed_TTL" else "its report came just in time"
        )
        self._tell("SMS given up", f"{said}: {_told(ended)}")

    async def _reported_late(self, order: Ordered) -> None:
        async def corrected() -> dict[str, Any] | None:
            found = await self._shipment(order.shipment)
            return found if _told(found) == "SMS_Delivered" else None

        await self._until(corrected, "the late report did not come")
        self._tell("Late report", "it came after all, and the shipment was corrected: SMS_Delivered")

    async def _order(
        self,
        step: str,
        to: str,
        recipient: dict[str, Any],
        reminder: dict[str, Any] | None = None,
        *,
        at: datetime | None = None,
        condition: str | None = None,
    ) -> Ordered:
        body: dict[str, Any] = {
            "idempotencyId": f"tour-{self._mark}-{uuid4()}",
            "sendersReference": f"tour-{self._mark}",
            "recipient": recipient,
        }
        if at is not None:
            body["requestedSendTime"] = at.isoformat()
        if reminder is not None:
            asked = {} if condition is None else {"conditionEndpoint": condition}
            body["reminders"] = [{"delayDays": REMINDER_DAYS, "recipient": reminder, **asked}]
        answer = await self._http.post(f"{BASE}/future/orders", json=body, headers=self._bearer())
        receipt = self._good(answer, 201).json()["notification"]
        reminders = tuple(each["shipmentId"] for each in receipt.get("reminders", ()))
        later = f", with a reminder after {REMINDER_DAYS} days" if reminders else ""
        later += " if a condition holds then" if condition is not None else ""
        self._tell(step, f"to {to}{later} (shipment {receipt['shipmentId']})")
        return Ordered(receipt["shipmentId"], reminders)

    async def _wait_for_morning(self) -> None:
        """A daytime SMS ordered for the evening waits for the morning: the calendar is moved to both."""
        now = ShiftedCalendar(self._machine, await clock.show(self._database)).now()
        evening = _next(now + timedelta(minutes=1), 21)
        order = await self._order(
            "Daytime SMS ordered",
            NUMBER,
            {"recipientSms": _sms(NUMBER, f"Kontoret svarer i morgen ({self._mark}-dag).", "Daytime")},
            at=evening,
        )
        now = await self._advance(evening - now + timedelta(minutes=1))
        await self._until(
            lambda: self._status(order.shipment, ("Order_Processed", "Order_Processing")),
            f"the daytime SMS {order.shipment} was not taken up",
        )
        if await self._received("sms", NUMBER, f"{self._mark}-dag"):
            raise TourError("The daytime SMS arrived in the evening.")
        self._tell("Daytime SMS waits", f"it is {_written(now)} in Oslo; SMS of this kind leave from 09:00")
        now = await self._advance(_next(now, 9) - now + timedelta(minutes=1))
        self._tell("Clock", f"moved to the morning: it is {_written(now)} in Oslo")
        await self._delivered("Daytime SMS delivered", order.shipment, "sms", NUMBER, f"{self._mark}-dag")

    async def _advance(self, by: timedelta) -> datetime:
        shift = await clock.advance(self._database, by)
        return ShiftedCalendar(self._machine, shift).now()

    async def _delivered(self, step: str, shipment: str, channel: str, to: str, text: str) -> None:
        """Wait until the far end has it and the shipment says delivered."""
        begun = self._machine.monotonic()
        message = await self._until(
            lambda: self._received(channel, to, text), f"{step}: nothing came to {to} in {PATIENCE:.0f} s"
        )
        await self._until(
            lambda: self._status(shipment, ("Order_Completed",)),
            f"{step}: shipment {shipment} did not complete in {PATIENCE:.0f} s",
        )
        took = self._machine.monotonic() - begun
        said = message["subject"] if channel == "email" else message["body"]
        self._tell(step, f"“{said}” reached {to} ({took:.1f} s)")

    async def _read_feed(self) -> None:
        answer = await self._http.get(
            f"{BASE}/future/shipment/feed", params={"seq": 0}, headers=self._bearer()
        )
        entries = self._good(answer, 200).json()
        self._tell("Feed", f"{len(entries)} ended shipments, in the order they were committed")

    async def _received(self, channel: str, to: str, text: str) -> dict[str, Any] | None:
        answer = await self._http.get("/sandbox/api/messages", params={"channel": channel, "to": to})
        for message in self._good(answer, 200).json():
            if text in (message.get("subject") or "") or text in message["body"]:
                return dict(message)
        return None

    async def _shipment(self, shipment: str) -> dict[str, Any]:
        answer = await self._http.get(f"{BASE}/future/shipment/{shipment}", headers=self._bearer())
        return dict(self._good(answer, 200).json())

    async def _status(self, shipment: str, wanted: tuple[str, ...]) -> dict[str, Any] | None:
        found = await self._shipment(shipment)
        if found["status"] not in wanted:
            return None
        if wanted == ("Order_Completed",) and not all(
            each["status"].endswith("_Delivered") for each in found["recipients"]
        ):
            raise TourError(f"Shipment {shipment} ended as {_told(found) or 'nothing'}.")
        return found

    async def _ended(self, shipment: str) -> dict[str, Any]:
        """The shipment once it has ended, however it did."""

        async def ended() -> dict[str, Any] | None:
            found = await self._shipment(shipment)
            return found if found["status"] in ("Order_Completed", "Order_SendConditionNotMet") else None

        return await self._until(ended, f"shipment {shipment} did not end in {PATIENCE:.0f} s")

    async def _until(
        self, condition: Callable[[], Awaitable[dict[str, Any] | None]], otherwise: str
    ) -> dict[str, Any]:
        deadline = self._machine.monotonic() + PATIENCE
        while self._machine.monotonic() < deadline:
            found = await condition()
            if found is not None:
                return found
            await asyncio.sleep(0.05)
        raise TourError(f"The tour stopped: {otherwise}.")

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _good(self, answer: httpx2.Response, status: int) -> httpx2.Response:
        if answer.status_code != status:
            path = answer.request.url.path
            raise TourError(
                f"The tour stopped: {answer.request.method} {path} answered {answer.status_code}."
            )
        return answer


def _email(address: str, subject: str, body: str) -> dict[str, Any]:
    return {"emailAddress": address, "emailSettings": {"subject": subject, "body": body}}


def _sms(number: str, body: str, policy: str) -> dict[str, Any]:
    return {"phoneNumber": number, "smsSettings": {"body": body, "sendingTimePolicy": policy}}


def _told(shipment: dict[str, Any]) -> str:
    """The statuses of a shipment's recipients."""
    return ", ".join(each["status"] for each in shipment["recipients"])


def _next(moment: datetime, hour: int) -> datetime:
    """The next time that clocks in Oslo show this hour."""
    local = moment.astimezone(OSLO)
    found = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if found.astimezone(UTC) <= moment:
        # By calendar day, not by 24 hours: the clock may change in between.
        found = (found.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=OSLO)
    return found.astimezone(UTC)


def _written(moment: datetime) -> str:
    local = moment.astimezone(OSLO)
    return f"{local:%A} {local.day} {local:%B} {local:%H:%M}"
