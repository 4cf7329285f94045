"""Making a connection to a mail server: TCP, TLS, EHLO, log-on. aiosmtplib does the talking (RFC 5321, 3207, 4954)."""

from __future__ import annotations

import asyncio
import platform
import ssl
from dataclasses import dataclass, field
from typing import Final, Literal, cast

import aiosmtplib

from varsel.channels.email.bounces import without_addresses
from varsel.channels.email.session import Session
from varsel.channels.model import Temporary

Tls = Literal["offered", "starttls", "implicit"]

#: Hosts to which a password may go without encryption.
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class SmtpEndpoint:
    """Where and how to log on. `tls`: STARTTLS when offered, always, or TLS from the first octet."""

    host: str
    port: int
    tls: Tls = "offered"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def name(self) -> str:
        """The provider name, without secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"smtp:{host}:{self.port}"


class NoConnection(Exception):
    """There is no connection to be had; `outcome` is what that means for the messages."""

    def __init__(self, outcome: Temporary) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class Connector:
    """Opens sessions with one mail server; `seconds` bounds each step, `hello` is the name given in EHLO."""

    def __init__(self, endpoint: SmtpEndpoint, hello: str | None, seconds: float) -> None:
        self._endpoint = endpoint
        self._hello = hello or _host_name()
        self._seconds = seconds
        self._tls: ssl.SSLContext | None = None
        self._making = asyncio.Lock()  # a context reads every certificate of the system: some 20 ms

    async def open(self) -> Session:
        """A session that is logged on. Raises NoConnection; whatever happened, no message was at risk."""
        endpoint = self._endpoint
        client: aiosmtplib.SMTP | None = None
        try:
            async with self._making:
                if self._tls is None:
                    self._tls = await asyncio.to_thread(_tls_context, endpoint)
            client = aiosmtplib.SMTP(
                hostname=endpoint.host,
                port=endpoint.port,
                use_tls=endpoint.tls == "implicit",
                start_tls={"offered": None, "starttls": True, "implicit": False}[endpoint.tls],
                local_hostname=self._hello,
                timeout=self._seconds,
                tls_context=self._tls,
            )
            await self._log_on(client)
            if client.transport is None or client.transport.is_closing():
                raise ConnectionResetError("closed after the log-on")
            # uvloop's transports do not inherit from asyncio's.
            return Session(cast("asyncio.Transport", client.transport), client.esmtp_extensions)
        except BaseException as error:
            if client is not None:
                client.close()
            if isinstance(error, (OSError, aiosmtplib.SMTPException, ValueError)):
                raise NoConnection(self._outcome(error)) from None
            raise

    async def _log_on(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        if not self._endpoint.user:
            return
        secure = client.get_transport_info("sslcontext") is not None
        if not secure and self._endpoint.host not in LOOPBACK:
            said = "the server offers no TLS, and the password is not sent in clear"
            raise NoConnection(Temporary(None, "", said, "provider"))
        await client.login(self._endpoint.user, self._endpoint.password)

    def _outcome(self, error: BaseException) -> Temporary:
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return Temporary(None, str(error.code), "the mail server refused the log-on", "provider")
        if isinstance(error, aiosmtplib.SMTPResponseException):
            said = f"the mail server refused the connection: {without_addresses(error.message)}"
            return Temporary(None, str(error.code), said, "provider")
        return Temporary(None, "", f"no connection to {self._endpoint.name}: {_reason(error)}", "provider")


def _tls_context(endpoint: SmtpEndpoint) -> ssl.SSLContext:
    """Certificates are checked, except for TLS that is only taken because it was offered and guards no password.

    Such a connection would else go in clear; an unchecked certificate is still better (RFC 7435).
    """
    context = ssl.create_default_context(cafile=endpoint.ca_file or None)
    if endpoint.tls == "offered" and not endpoint.user and not endpoint.ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate does not hold ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.strerror:
        return without_addresses(cause.strerror)
    return type(cause).__name__


def _host_name() -> str:
    name = platform.node()
    return (
        name
        if name.isascii() and name and not any(character.isspace() for character in name)
        else "localhost"
    )
