"""The sandbox as composition sees it: mail server, SMS gateway and REST provider that keep what they receive, and a blob host."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlencode

import structlog

from varsel.recipients.registers import BuiltinRegisters
from varsel.runtime.clock import Calendar, Machine
from varsel.runtime.endpoints import Bound, bind
from varsel.runtime.errors import OperatorError
from varsel.runtime.settings import BY_NAME, Settings
from varsel.sandbox.acs import AcsMail, AcsSimulator
from varsel.sandbox.callers import Callers
from varsel.sandbox.files import FileHost
from varsel.sandbox.gateway import ReceivedSms, SmsGateway
from varsel.sandbox.inbox import ReceivedEmail, SmtpInbox
from varsel.sandbox.messages import Arrival, Messages, number
from varsel.sandbox.registers import RegisterSimulator
from varsel.sandbox.routes import ENDPOINTS, Routes
from varsel.store.database import Database
from varsel.store.secrets import MasterKey

log = structlog.get_logger("varsel.sandbox")

Keep = Callable[[ReceivedEmail], Awaitable[None]]

HOST: Final = "127.0.0.1"
REPORT_USER: Final = "sandbox"
REPORTS: Final = "/notifications/sms/api/v1/reports"
EMAIL_REPORTS: Final = "/notifications/email/api/v1/reports"
ACS_KEY: Final = "acs.key"


class PortTaken(OperatorError):
    """A port of the sandbox is taken by another program."""


def with_report_credentials(settings: Settings, master_key: MasterKey) -> Settings:
    """The settings, with the gateway's report credentials of this data directory unless some are set.

    The API checks reports against these, and the simulators send them; nobody has to type them.
    """
    password = master_key.mac("sandbox/sms-report", b"").hex()[:32]
    secret = master_key.mac("sandbox/email-report", b"").hex()[:32]
    return settings.replace(
        sms_report_user=settings.sms_report_user or REPORT_USER,
        sms_report_password=settings.sms_report_password or password,
        email_report_secret=settings.email_report_secret or secret,
    )


class SandboxRoom:
    """Listens for mail and SMS on loopback, and holds files; `bound` serves what came in.

    `email_url` and `sms_url` are the provider URLs with which Varsel sends here.
    """

    def __init__(  # noqa: PLR0917 - what `open` has opened
        self,
        messages: Messages,
        inbox: SmtpInbox,
        gateway: SmsGateway,
        files: FileHost,
        acs_url: str,
        registers: RegisterSimulator | None,
        close: contextlib.AsyncExitStack,
        bound: tuple[Bound, ...],
    ) -> None:
        self.messages = messages
        self.bound = bound
        self._inbox = inbox
        self._gateway = gateway
        self._files = files
        self._acs_url = acs_url
        self._registers = registers
        self._close = close

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
        folder: Path | None = None,
    ) -> Self:
        """Open the listeners; PortTaken, in one sentence, when a port that was asked for is not free.

        `settings` carry the report credentials (`with_report_credentials`). `report_url` is where delivery reports go, by default
        to Varsel's own port; `bounces` is host:port of Varsel's bounce receiver, which gets the delivery notices of mail.
        `folder` takes the access key of the simulated e-mail provider, where VARSEL_ACS_PORT asks for one.
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

        async def keep_acs(mail: AcsMail) -> None:
            details = {"operationId": mail.operation_id}
            await messages.keep(
                [Arrival("email", mail.to, mail.sender, calendar.now(), raw=as_mail(mail), details=details)]
            )

        own = f"http://{HOST}:{settings.port}"
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(messages.close)
            inbox = await _open_inbox(settings.smtp_inbox_port, keep_mail, bounces)
            stack.push_async_callback(inbox.close)
            gateway = SmsGateway(
                HOST,
                settings.sms_gateway_port,
                keep_sms,
                report_url or own + REPORTS,
                settings.sms_report_user,
                settings.sms_report_password,
                now=calendar.now,
                # References may never come twice, and the calendar may go back: the machine's clock does not.
                references=f"{int(machine.time() * 1000):x}",
            )
            files = FileHost(HOST, settings.file_host_port, beside=Callers().routes())
            await _start(gateway.start(), "sms_gateway_port", settings)
            stack.push_async_callback(gateway.close)
            await _start(files.start(), "file_host_port", settings)
            stack.push_async_callback(files.close)
            acs_url = ""
            if settings.acs_port and folder is not None:
                reports = f"{own}{EMAIL_REPORTS}?{urlencode({'code': settings.email_report_secret})}"
                key = await asyncio.to_thread(_access_key, folder / ACS_KEY)
                acs = AcsSimulator(HOST, settings.acs_port, key, keep_acs, reports, now=calendar.now)
                await _start(acs.start(), "acs_port", settings)
                stack.push_async_callback(acs.close)
                acs_url = f"acs+http://{HOST}:{acs.port}?key_file={quote(str(folder / ACS_KEY))}"
            registers = None
            if settings.register_port:
                known = BuiltinRegisters(database, sandbox=True)
                registers = RegisterSimulator(HOST, settings.register_port, known)
                await _start(registers.start(), "register_port", settings)
                stack.push_async_callback(registers.close)
            messages.read_soon()
            bound = bind(ENDPOINTS, Routes(messages, calendar, files.port))
            return cls(messages, inbox, gateway, files, acs_url, registers, stack.pop_all(), bound)
        raise AssertionError("unreachable")  # pragma: no cover - the stack does not swallow errors

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
        """The settings, with this sandbox as provider of every channel that has none set, and its files allowed."""
        if self._registers is not None:
            settings = settings.replace(
                profile_url=settings.profile_url or self._registers.profile_url,
                register_url=settings.register_url or self._registers.register_url,
                authorization_url=settings.authorization_url or self._registers.authorization_url,
            )
        return settings.replace(
            email_url=settings.email_url or self._acs_url or self.email_url,
            sms_url=settings.sms_url or self.sms_url,
            blob_hosts=(*settings.blob_hosts, self._files.origin),
            file_host_port=self._files.port,
        )

    async def close(self) -> None:
        """Close the ports; what was taken is kept."""
        await self._close.aclose()


async def _start(starting: Awaitable[None], setting: str, settings: Settings) -> None:
    try:
        await starting
    except OSError as error:
        raise _refusal(error, getattr(settings, setting), setting) from None


def _access_key(path: Path) -> bytes:
    """The key of the simulated provider: made once, kept in the data directory."""
    try:
        return base64.b64decode(path.read_text("ascii"))
    except FileNotFoundError:
        key = os.urandom(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(base64.b64encode(key).decode())
    return key


def as_mail(mail: AcsMail) -> bytes:
    """A mail as it would leave the provider, so that it is shown like any other."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = mail.sender, mail.to
    message["Subject"] = mail.content["subject"]
    message.set_content(mail.content["plainText"])
    if mail.content["html"]:
        message.add_alternative(mail.content["html"], subtype="html")
    for name, mime_type, content in mail.attachments:
        main, _, sub = mime_type.partition("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


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
