"""The sandbox as composition sees it: a mail server and an SMS gateway that keep what they receive."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Final, Self

import structlog

from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import BY_NAME, Settings
from varsel.sandbox.gateway import ReceivedSms, SmsGateway
from varsel.sandbox.inbox import ReceivedEmail, SmtpInbox
from varsel.sandbox.messages import Arrival, Messages, number
from varsel.sandbox.routes import ENDPOINTS, Routes
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

log = structlog.get_logger("varsel.sandbox")

Keep = Callable[[ReceivedEmail], Awaitable[None]]

HOST: Final = "127.0.0.1"
REPORT_USER: Final = "sandbox"
REPORTS: Final = "/notifications/sms/api/v1/reports"


class PortTaken(OperatorError):
    """A port of the sandbox is taken by another program."""


def with_report_credentials(settings: Settings, master_key: MasterKey) -> Settings:
    """The settings, with the gateway's report credentials of this data directory unless some are set.

    The API checks reports against these, and the gateway simulator sends them; nobody has to type them.
    """
    if settings.sms_report_user and settings.sms_report_password:
        return settings
    password = master_key.mac("sandbox/sms-report", b"").hex()[:32]
    return settings.replace(
        sms_report_user=settings.sms_report_user or REPORT_USER,
        sms_report_password=settings.sms_report_password or password,
    )


class SandboxRoom:
    """Listens for mail and SMS on loopback; `bound` serves what came in.

    `email_url` and `sms_url` are the provider URLs with which Varsel sends here.
    """

    def __init__(
        self, messages: Messages, inbox: SmtpInbox, gateway: SmsGateway, bound: tuple[Bound, ...]
    ) -> None:
        self.messages = messages
        self.bound = bound
        self._inbox = inbox
        self._gateway = gateway

    @classmethod
    async def open(
        cls,
        settings: Settings,
        database: Database,
        calendar: Calendar,
        machine: Machine,
        *,
        report_url: str | None = None,
        bounces: str | None = None,
    ) -> Self:
        """Open both listeners; PortTaken, in one sentence, when a port that was asked for is not free.

        `settings` carry the report credentials (`with_report_credentials`). `report_url` is where delivery reports go, by default
        to Varsel's own port; `bounces` is host:port of Varsel's bounce receiver, which gets the delivery notices of mail.
        """
        messages = Messages(database)

        async def keep_mail(mail: ReceivedEmail) -> None:
            details = {"envelopeId": mail.envelope_id, "returnPath": mail.sender}
            await messages.keep(
                [
                    Arrival("email", to, mail.sender, calendar.now(), raw=mail.content, details=details)
                    for to in mail.recipients
                ]
            )

        async def keep_sms(sms: ReceivedSms) -> None:
            details = {"reference": sms.reference, "minutes": sms.minutes, "ucs2": sms.ucs2}
            await messages.keep(
                [Arrival("sms", number(sms.to), sms.sender, calendar.now(), body=sms.text, details=details)]
            )

        inbox = await _open_inbox(settings.smtp_inbox_port, keep_mail, bounces)
        gateway = SmsGateway(
            HOST,
            settings.sms_gateway_port,
            keep_sms,
            report_url or f"http://{HOST}:{settings.port}{REPORTS}",
            settings.sms_report_user,
            settings.sms_report_password,
            now=calendar.now,
            # References may never come twice, and the calendar may go back: the machine's clock does not.
            references=f"{int(machine.time() * 1000):x}",
        )
        try:
            await gateway.start()
        except OSError as error:
            await inbox.close()
            raise _refusal(error, settings.sms_gateway_port, "sms_gateway_port") from None
        messages.read_soon()
        return cls(messages, inbox, gateway, bind(ENDPOINTS, Routes(messages)))

    @property
    def smtp_port(self) -> int:
        return self._inbox.port

    @property
    def email_url(self) -> str:
        return f"smtp://{HOST}:{self._inbox.port}"

    @property
    def sms_url(self) -> str:
        return self._gateway.url

    def with_providers(self, settings: Settings) -> Settings:
        """The settings, with this sandbox as provider of every channel that has none set."""
        return settings.replace(
            email_url=settings.email_url or self.email_url, sms_url=settings.sms_url or self.sms_url
        )

    def report_to(self, url: str) -> None:
        """Send delivery reports to this address from now on."""
        self._gateway.report_url = url

    async def close(self) -> None:
        """Close both ports; what was taken is kept."""
        await self._inbox.close()
        await self._gateway.close()
        await self.messages.close()


async def _open_inbox(port: int, keep: Keep, bounces: str | None) -> SmtpInbox:
    """The inbox on `port`. Where nobody chose a port and the usual one is taken, a free one: sandboxes run side by side."""
    inbox = SmtpInbox(HOST, port, keep, bounces=bounces)
    try:
        await inbox.start()
        return inbox
    except OSError as error:
        if error.errno != errno.EADDRINUSE or port != BY_NAME["smtp_inbox_port"].default:
            raise _refusal(error, port, "smtp_inbox_port") from None
    inbox = SmtpInbox(HOST, 0, keep, bounces=bounces)
    await inbox.start()
    log.warning(
        "the usual SMTP inbox port is taken; a free one serves", action="sandbox.port", port=inbox.port
    )
    return inbox


def _refusal(error: OSError, port: int, setting: str) -> OperatorError:
    variable = BY_NAME[setting].variable
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Port {port} is taken by another program; set {variable} to another one, or to 0 for a free one."
        )
    return PortTaken(f"Port {port} ({variable}) cannot be opened: {error.strerror}.")
