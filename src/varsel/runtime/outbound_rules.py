"""Where the guarded client may go: rules for URLs, host names and addresses, without I/O (docs/reference/identity.md 10.5, row 79)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

from varsel.runtime.errors import VarselError

Address = IPv4Address | IPv6Address


class OutboundError(VarselError):
    """The outgoing request failed."""


class ForbiddenAddress(OutboundError):
    """The address is one that Varsel does not call."""


class ResponseTooLarge(OutboundError):
    """The response is larger than allowed."""


class OutboundTimeout(OutboundError):
    """The response did not come in time."""


class TooManyRedirects(OutboundError):
    """The response redirects too often."""


#: Never a destination, in the sandbox neither: nothing that a caller may name lives there.
_NEVER: Final = (
    IPv4Network("0.0.0.0/8"),  # this network; 0.0.0.0 reaches loopback on Linux
    IPv4Network("169.254.0.0/16"),  # link-local, and the metadata service of most clouds
    IPv4Network("168.63.129.16/32"),  # Azure's host
    IPv4Network("192.0.0.0/24"),  # protocol assignments, Oracle's metadata
    IPv4Network("192.0.2.0/24"),
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("198.18.0.0/15"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("100.64.0.0/10"),  # carrier-grade NAT, Alibaba's metadata
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved and broadcast
    IPv6Network("fd00:ec2::/32"),  # Amazon's metadata
)
#: Ours or a neighbour's: the sandbox lives there, production does not go there.
_PRIVATE: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
#: Of IPv6 only this is the public internet, except what stands below: mapped, compatible, NAT64, link-local, site-local and
#: multicast addresses lie outside it.
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),
)

_LOCAL_NAMES: Final = (
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "home.arpa",
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_UNWANTED: Final = re.compile(r"[\x00-\x20\x7f\\]")


def permitted(address: Address, *, sandbox: bool) -> bool:
    """Whether the guarded client may connect to an address."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if sandbox and any(address in network for network in _PRIVATE if network.version == 6):
            return not any(address in network for network in _NEVER if network.version == 6)
        return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)
    if any(address in network for network in _NEVER if network.version == 4):
        return False
    return sandbox or not any(address in network for network in _PRIVATE if network.version == 4)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the rules. `literal` is the address when the host is one."""

    url: URL
    host: str
    port: int
    literal: Address | None

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.url.scheme, self.host, self.port

    def __str__(self) -> str:
        # Never path or query: they may carry names, numbers and signatures.
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.url.scheme}://{host}:{self.port}"

    @property
    def takes_token(self) -> bool:
        """Whether a token may be sent there: over TLS, or to this machine."""
        if self.url.scheme == "https":
            return True
        if self.literal is not None:
            return self.literal.is_loopback
        return self.host == "localhost" or self.host.endswith(".localhost")


def _number_like(host: str) -> bool:
    # As in the WHATWG URL standard, "ends in a number": resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses.
    last = host.rpartition(".")[2]
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def _loose_ipv4(host: str) -> Address | None:
    """The address that inet_aton reads in `host`: one to four numbers, decimal, octal or hexadecimal."""
    parts = host.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers = []
    for part in parts:
        try:
            if part.startswith("0x"):
                numbers.append(int(part[2:] or "0", 16))
            elif len(part) > 1 and part.startswith("0"):
                numbers.append(int(part, 8))
            else:
                numbers.append(int(part))
        except ValueError:
            return None
    *heads, tail = numbers
    if any(head > 255 for head in heads) or tail >= 256 ** (5 - len(numbers)):
        return None
    value = tail
    for index, head in enumerate(heads):
        value += head << (24 - 8 * index)
    return IPv4Address(value)


def target_of(text: str, *, sandbox: bool, plain: bool = False) -> Target:
    """The target of a URL; ForbiddenAddress when scheme, host or address break the rules. `plain` allows http, as the sandbox does.

    Path and query stay as they are, byte for byte: signed URLs live by that.
    """
    if _UNWANTED.search(text):
        raise ForbiddenAddress("The URL has characters that a URL cannot have.")
    try:
        if not text.isascii():
            text = str(
                URL(text)
            )  # a name with letters beyond ASCII becomes its IDNA form and is judged as that
        parsed = URL(text, encoded=True)
        host = (parsed.raw_host or "").lower()
        port = parsed.port
        given = urlsplit(text)
    except ValueError:
        raise ForbiddenAddress("The URL cannot be read.") from None
    if parsed.scheme != "https" and not ((sandbox or plain) and parsed.scheme == "http"):
        raise ForbiddenAddress("The URL must begin with https://.")
    if "@" in given.netloc or parsed.raw_user is not None or parsed.raw_password is not None:
        raise ForbiddenAddress("The URL carries a user name or password.")
    if not host or port is None or not 0 < port < 65536:
        raise ForbiddenAddress("The URL has no usable host or port.")
    if (given.hostname or "") != host:
        # Two readings of one URL: the trick by which a check and a connection see different hosts.
        raise ForbiddenAddress("The host of the URL is ambiguous.")
    literal = _literal(host)
    if ("[" in given.netloc) != isinstance(literal, IPv6Address):
        raise ForbiddenAddress("The host of the URL is ambiguous.")
    if literal is None:
        host = _checked_name(host, sandbox=sandbox)
    elif not permitted(literal, sandbox=sandbox):
        raise ForbiddenAddress
    url = URL.build(
        scheme=parsed.scheme,
        host=f"[{host}]" if isinstance(literal, IPv6Address) else host,
        port=parsed.explicit_port,
        path=parsed.raw_path or "/",
        query_string=parsed.raw_query_string,
        encoded=True,
    )
    return Target(url, host, port, literal)


def _literal(host: str) -> Address | None:
    if "%" in host:
        raise ForbiddenAddress
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host or _number_like(host.rstrip(".")):
            raise ForbiddenAddress("The URL writes an address in an unusual way.") from None
        return None


def _checked_name(host: str, *, sandbox: bool) -> str:
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ForbiddenAddress("The host of the URL is no host name.")
    if not sandbox and (
        len(labels) == 1 or any(name == local or name.endswith("." + local) for local in _LOCAL_NAMES)
    ):
        raise ForbiddenAddress("The host of the URL is a local name.")
    return name


def literal_private(url: str) -> bool:
    """Whether the URL's host is itself, in any spelling, an address or name that production does not call.

    For the moment of registration: nothing is resolved. A URL that cannot be read counts as not private; other rules refuse it.
    """
    try:
        host = (urlsplit(url.strip()).hostname or "").rstrip(".")
        host = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except (ValueError, UnicodeError):
        return False
    if not host:
        return False
    host, _, scope = host.partition("%")
    if any(host == local or host.endswith("." + local) for local in ("localhost",)):
        return True
    try:
        address: Address | None = ip_address(host)
    except ValueError:
        address = _loose_ipv4(host)
    return address is not None and (bool(scope) or not permitted(address, sandbox=False))
