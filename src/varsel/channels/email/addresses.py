"""Addresses as a mail server takes them (RFC 5321 4.1.2, RFC 5890, RFC 6531).

The front door checks an address only loosely (docs/reference/notifications-api.md 2.10); here it must be safe to
write on an SMTP command line and in a header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

import idna

_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_PLAIN = re.compile(rf"({_DOT_ATOM})@({_DOMAIN})\Z")
_HOST = re.compile(rf"{_DOMAIN}\Z")
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f.:]{2,45}\]\Z")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"\Z')
_NOT_LOCAL = re.compile(r'[\s\x00-\x20\x7f()<>\[\]:;@\\,"]')
_NAMED = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<>"]*?))\s*<([^<>]*)>\s*\Z')

LOCAL_PART_OCTETS = 64  # RFC 5321 4.5.3.1.1
PATH_OCTETS = 254  # RFC 5321 4.5.3.1.3, without the angle brackets


class AddressError(ValueError):
    """The address cannot be written on an SMTP command line."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address with its domain in ASCII. `utf8` says that the local part needs SMTPUTF8 (RFC 6531)."""

    local: str = field(repr=False)
    domain: str
    utf8: bool

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a message is from: an address, and the name shown with it (may be empty)."""

    name: str
    address: Address


@lru_cache(maxsize=2048)
def ascii_domain(domain: str) -> str:
    """The domain as ASCII labels (IDNA 2008 with the UTS 46 mapping, so that upper case and full width work)."""
    if _LITERAL.match(domain) or _HOST.match(domain):
        return domain
    try:
        encoded = idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("the domain is not a host name") from error
    if not _HOST.match(encoded):
        raise AddressError("the domain is not a host name")
    return encoded


def read_address(text: str) -> Address:
    """An address from its text, blanks around it ignored. Raises AddressError, whose text never holds the address."""
    text = text.strip()
    plain = _PLAIN.match(text)
    if plain is not None:
        local, domain = plain.group(1, 2)
        utf8 = False
    else:
        local, at, domain = text.rpartition("@")
        if not at or not local or not domain:
            raise AddressError("the address has no local part or no domain")
        if not _QUOTED.match(local) and _NOT_LOCAL.search(local):
            raise AddressError("the local part holds characters that must be quoted")
        if any(0xD800 <= ord(character) <= 0xDFFF for character in local):
            raise AddressError("the local part is not a text")
        domain = ascii_domain(domain)
        utf8 = not local.isascii()
    octets = len(local.encode()) if utf8 else len(local)
    if octets > LOCAL_PART_OCTETS or octets + 1 + len(domain) > PATH_OCTETS:
        raise AddressError("the address is too long")
    return Address(local, domain, utf8)


@lru_cache(maxsize=1024)
def read_sender(text: str) -> Sender:
    """A sender from `address` or `Name <address>`; cached, since installations have few."""
    named = _NAMED.match(text)
    if named is None:
        return Sender("", read_address(text))
    quoted, bare, address = named.group(1, 2, 3)
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
    return Sender(" ".join(name.split()), read_address(address))
