"""Opening the channels that the settings name, in their order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from varsel.channels.email.acs import AcsChannel, AcsEndpoint
from varsel.channels.email.acs_rest import AccessKey, AccessKeyError
from varsel.channels.email.bounces import ReturnAddress
from varsel.channels.email.connect import SmtpEndpoint, Tls
from varsel.channels.email.smtp import Sign, SmtpChannel
from varsel.channels.model import MOST_OPEN_HANDOFFS, Channel
from varsel.channels.sms.link import LinkChannel, LinkEndpoint
from varsel.channels.sms.parts import LINK, PartLimits
from varsel.channels.urls import ProviderUrl, ProviderUrlError, read_provider_url, whole_number

_SMTP: dict[str, tuple[Tls, int]] = {
    "smtp": ("offered", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("implicit", 465),
}
_ACS = {"acs": ("https", 443), "acs+http": ("http", 80)}
_LINK = {"link+https": ("https", 443), "link+http": ("http", 80)}


def open_channels(
    email_urls: str,
    sms_urls: str,
    now: Callable[[], datetime],
    *,
    wall: Callable[[], datetime] | None = None,
    smtp_connections: int = 8,
    message_id_domain: str | None = None,
    returning: ReturnAddress | None = None,
    ask_success: bool = True,
    sign: Sign | None = None,
    hello: str | None = None,
    sms_limits: PartLimits = LINK,
) -> list[Channel]:
    """The channels of both settings, e-mail first; several URLs are separated by white space and used in that order.

    `now` is the calendar (Date headers), `wall` the machine clock (HTTP dates). No connection is made yet, so a
    provider that is down stops nothing. Raises ProviderUrlError, one sentence without secrets.

    Options in the query of a URL: SMTP takes `connections=1..32` and `ca_file=PATH`, ACS needs `key_file=PATH` and takes
    `slots=1..32`, LINK takes `slots=1..32` and `batch=1..32`.
    """
    channels: list[Channel] = []
    for text in email_urls.split():
        if text.partition("://")[0].lower() in _ACS:
            url = read_provider_url(text, frozenset({"key_file", "slots"}))
            slots = whole_number(url, "slots", 16, 1, MOST_OPEN_HANDOFFS)
            channels.append(AcsChannel(_acs_endpoint(url), wall or now, slots=slots))
            continue
        url = read_provider_url(text, frozenset({"connections", "ca_file"}))
        channels.append(
            SmtpChannel(
                _smtp_endpoint(url),
                now,
                slots=whole_number(url, "connections", smtp_connections, 1, MOST_OPEN_HANDOFFS),
                domain=message_id_domain,
                returning=returning,
                ask_success=ask_success,
                sign=sign,
                hello=hello,
            )
        )
    for text in sms_urls.split():
        url = read_provider_url(text, frozenset({"slots", "batch"}))
        channels.append(
            LinkChannel(
                _link_endpoint(url),
                slots=whole_number(url, "slots", MOST_OPEN_HANDOFFS, 1, MOST_OPEN_HANDOFFS),
                batch=whole_number(url, "batch", 8, 1, MOST_OPEN_HANDOFFS),
                limits=sms_limits,
                wall=wall,
            )
        )
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise ProviderUrlError(f"The provider {name} is named twice.")
    return channels


def _smtp_endpoint(url: ProviderUrl) -> SmtpEndpoint:
    if url.scheme not in _SMTP:
        known = ", ".join(f"{scheme}://" for scheme in (*_SMTP, *_ACS))
        raise ProviderUrlError(
            f"The e-mail provider for {url.shown_host} has an unknown scheme; known are {known}."
        )
    if url.path not in ("", "/"):
        raise ProviderUrlError(
            f"The e-mail provider URL for {url.shown_host} has a path; %-encode a / in a password."
        )
    tls, port = _SMTP[url.scheme]
    return SmtpEndpoint(
        url.host, url.port or port, tls, url.user, url.password, url.options.get("ca_file", "")
    )


def _acs_endpoint(url: ProviderUrl) -> AcsEndpoint:
    if url.path not in ("", "/") or url.user:
        raise ProviderUrlError(
            f"The e-mail provider URL for {url.shown_host} takes no path and no user; its key stands in key_file."
        )
    path = url.options.get("key_file", "")
    if not path:
        raise ProviderUrlError(f"The e-mail provider URL for {url.shown_host} needs ?key_file=PATH.")
    try:
        key = AccessKey.read(Path(path).read_text("ascii"))
    except (OSError, UnicodeDecodeError, AccessKeyError):
        raise ProviderUrlError(
            f"The key file of the e-mail provider {url.shown_host} cannot be read, or holds no access key."
        ) from None
    scheme, port = _ACS[url.scheme]
    address = f"{url.shown_host}:{url.port or port}"
    shown = url.shown_host if (url.port or port) == port else address
    return AcsEndpoint(f"{scheme}://{shown}", f"acs:{address}", key)


def _link_endpoint(url: ProviderUrl) -> LinkEndpoint:
    if url.scheme not in _LINK:
        known = ", ".join(f"{scheme}://" for scheme in _LINK)
        raise ProviderUrlError(
            f"The SMS provider for {url.shown_host} has an unknown scheme; known are {known}."
        )
    if not url.user:
        raise ProviderUrlError(f"The SMS provider URL for {url.shown_host} needs a user and a password.")
    scheme, port = _LINK[url.scheme]
    address = f"{url.shown_host}:{url.port or port}"
    return LinkEndpoint(f"{scheme}://{address}{url.path}", f"link:{address}", url.user, url.password)
