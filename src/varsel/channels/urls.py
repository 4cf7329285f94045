"""Provider URLs: read once, and never shown again with their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from varsel.runtime.errors import SettingsError


class ProviderUrlError(SettingsError):
    """A provider URL cannot be read. The text is one sentence for the operator and never holds the URL's secrets."""


@dataclass(frozen=True, slots=True)
class ProviderUrl:
    """A provider URL taken apart. `port` is 0 where none was written."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    path: str
    options: Mapping[str, str] = field(repr=False)

    @property
    def shown_host(self) -> str:
        """The host as it stands in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host


def read_provider_url(text: str, options: frozenset[str] = frozenset()) -> ProviderUrl:
    """Take a provider URL apart. Raises ProviderUrlError with a sentence that names the scheme and host only."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ProviderUrlError(
            f"The provider URL {_shown(text)} has a host or port that cannot be read."
        ) from None
    if not parts.scheme or "://" not in text:
        raise ProviderUrlError("A provider URL must start with its scheme, as smtp://mail.example.org:25.")
    if not parts.hostname:
        raise ProviderUrlError(
            f"The provider URL {_shown(text)} names no host; %-encode special characters in passwords."
        )
    if port == 0:
        raise ProviderUrlError(f"The provider URL {_shown(text)} has port 0.")
    if (parts.username or parts.password) and not (parts.username and parts.password):
        raise ProviderUrlError(
            f"The provider URL {_shown(text)} must have both a user and a password, or neither."
        )
    if parts.fragment:
        raise ProviderUrlError(f"The provider URL {_shown(text)} has a #; %-encode it as %23.")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(given) - options)
    if unknown:
        known = ", ".join(sorted(options)) or "none"
        raise ProviderUrlError(f"The provider URL {_shown(text)} has an unknown option; known are: {known}.")
    return ProviderUrl(
        parts.scheme.lower(),
        parts.hostname,
        port or 0,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        _clean_path(parts),
        given,
    )


def whole_number(url: ProviderUrl, option: str, default: int, least: int, most: int) -> int:
    """A numeric option of a provider URL within its bounds."""
    text = url.options.get(option)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ProviderUrlError(
            f"The option {option} of the provider URL for {url.shown_host} must be a whole number from {least} to {most}."
        )
    return int(text)


def _clean_path(parts: SplitResult) -> str:
    return parts.path or "/"


def _shown(text: str) -> str:
    """Scheme and host, without whatever stands before an `@` or after the host."""
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        return "(unreadable)"
    host = rest.rpartition("@")[2] if "@" in rest else rest
    for end in "/?#":
        host = host.partition(end)[0]
    return f"{scheme}://{host}" if "@" in rest or ":" not in host else f"{scheme}://{host.partition(':')[0]}"
