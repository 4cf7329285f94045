"""The tour: what a service owner does, done over HTTP against a running sandbox, and told as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from varsel.identity.registry import create_client, put_keys
from varsel.runtime.clock import ShiftedCalendar, SystemMachine
from varsel.runtime.errors import OperatorError
from varsel.sandbox import clock
from varsel.store.database import Database

BASE: Final = "/notifications/api/v1"
SCOPE: Final = "altinn:serviceowner/notifications.create"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: A synthetic service owner that every sandbox knows.
OWNER: Final = ("312718286", "testkommune", "Testkommune")
EMAIL: Final = "kari.nordmann@example.org"
NUMBER: Final = "+4799999999"
OSLO: Final = ZoneInfo("Europe/Oslo")
REMINDER_DAYS: Final = 7
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


Tell = Callable[[str, str], None]
"""Called with a short name of the step and one sentence of what happened."""


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
        await self._get_token()
        mail = await self._order(
            "E-mail ordered",
            EMAIL,
            {"recipientEmail": _email(f"Vedtak {self._mark}", "Du har fått et vedtak.")},
            {"recipientEmail": _email(f"Påminnelse {self._mark}", "Du har ikke åpnet vedtaket ditt.")},
        )
        sms = await self._order(
            "SMS ordered",
            NUMBER,
            {"recipientSms": _sms(f"Du har fått et vedtak ({self._mark}).", "Anytime")},
            {"recipientSms": _sms(f"Husk vedtaket ditt ({self._mark}).", "Anytime")},
        )
        await self._delivered("E-mail delivered", mail.shipment, "email", EMAIL, f"Vedtak {self._mark}")
        await self._delivered("SMS delivered", sms.shipment, "sms", NUMBER, f"({self._mark})")

        await self._wait_for_morning()

        now = await self._advance(timedelta(days=REMINDER_DAYS))
        self._tell("Clock", f"moved {REMINDER_DAYS} days on: it is {_written(now)} in Oslo")
        await self._delivered(
            "Reminder delivered", mail.reminders[0], "email", EMAIL, f"Påminnelse {self._mark}"
        )
        await self._delivered("Reminder delivered", sms.reminders[0], "sms", NUMBER, "Husk vedtaket")
        await self._read_feed()

    async def _get_token(self) -> None:
        """Key, integration, grant, exchange: the whole road a service owner's system goes."""
        number, code, name = OWNER
        kid = f"tour-{self._mark}"
        key = await asyncio.to_thread(
            RSAKey.generate_key, 2048, {"kid": kid, "use": "sig", "alg": "RS256"}, auto_kid=False
        )
        self._tell("Key", "RSA 2048, made here; only its public half leaves this process")
        client = await create_client(
            self._database,
            self._machine,
            organisation=number,
            name=f"Varsel tour {self._mark}",
            scopes=[SCOPE],
        )
        await put_keys(self._database, self._machine, client, {"keys": [key.as_dict(private=False)]})
        self._tell("Integration", f"{name} ({code}) registered the key and may ask for {SCOPE}")

        now = int(self._machine.time())
        claims = {
            "aud": f"{self._url}/maskinporten/",
            "iss": str(client),
            "scope": SCOPE,
            "iat": now,
            "exp": now + 100,
            "jti": str(uuid4()),
        }
        assertion = jwt.encode({"alg": "RS256", "kid": kid}, claims, key)
        answer = await self._http.post(
            "/maskinporten/token", data={"grant_type": GRANT, "assertion": assertion}
        )
        granted = self._good(answer, 200).json()
        self._tell("Maskinporten token", f"granted for {granted['expires_in']} s against a signed grant")
        answer = await self._http.get(
            "/authentication/api/v1/exchange/maskinporten",
            headers={"Authorization": f"Bearer {granted['access_token']}"},
        )
        self._token = self._good(answer, 200).text.strip().strip('"')
        self._tell("Altinn token", "exchanged; this is what the Notifications API takes")

    async def _order(
        self,
        step: str,
        to: str,
        recipient: dict[str, Any],
        reminder: dict[str, Any] | None = None,
        at: datetime | None = None,
    ) -> Ordered:
        body: dict[str, Any] = {
            "idempotencyId": f"tour-{self._mark}-{uuid4()}",
            "sendersReference": f"tour-{self._mark}",
            "recipient": recipient,
        }
        if at is not None:
            body["requestedSendTime"] = at.isoformat()
        if reminder is not None:
            body["reminders"] = [{"delayDays": REMINDER_DAYS, "recipient": reminder}]
        answer = await self._http.post(f"{BASE}/future/orders", json=body, headers=self._bearer())
        receipt = self._good(answer, 201).json()["notification"]
        reminders = tuple(each["shipmentId"] for each in receipt.get("reminders", ()))
        later = f", with a reminder after {REMINDER_DAYS} days" if reminders else ""
        self._tell(step, f"to {to}{later} (shipment {receipt['shipmentId']})")
        return Ordered(receipt["shipmentId"], reminders)

    async def _wait_for_morning(self) -> None:
        """A daytime SMS ordered for the evening waits for the morning: the calendar is moved to both."""
        now = ShiftedCalendar(self._machine, await clock.show(self._database)).now()
        evening = _next(now + timedelta(minutes=1), 21)
        order = await self._order(
            "Daytime SMS ordered",
            NUMBER,
            {"recipientSms": _sms(f"Kontoret svarer i morgen ({self._mark}-dag).", "Daytime")},
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

    async def _status(self, shipment: str, wanted: tuple[str, ...]) -> dict[str, Any] | None:
        answer = await self._http.get(f"{BASE}/future/shipment/{shipment}", headers=self._bearer())
        found = dict(self._good(answer, 200).json())
        recipients = found["recipients"]
        if found["status"] not in wanted:
            return None
        if wanted == ("Order_Completed",) and not all(
            each["status"].endswith("_Delivered") for each in recipients
        ):
            raise TourError(
                f"Shipment {shipment} ended as {', '.join(each['status'] for each in recipients) or 'nothing'}."
            )
        return found

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


def _email(subject: str, body: str) -> dict[str, Any]:
    return {"emailAddress": EMAIL, "emailSettings": {"subject": subject, "body": body}}


def _sms(body: str, policy: str) -> dict[str, Any]:
    return {"phoneNumber": NUMBER, "smsSettings": {"body": body, "sendingTimePolicy": policy}}


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
