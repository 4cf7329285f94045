"""What contact registers know (docs/reference/delivery.md 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PersonContact:
    """A person. Addresses are as the register holds them; None: none, or too old to be used."""

    email: str | None = field(default=None, repr=False)
    mobile: str | None = field(default=None, repr=False)
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class OrganizationContact:
    """The official addresses of an organization."""

    emails: tuple[str, ...] = field(default=(), repr=False)
    mobiles: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class UserContact:
    """Addresses that a user registered for an organization. `user` and `party` are what authorization is asked about."""

    user: str = field(repr=False)
    party: str
    email: str | None = field(default=None, repr=False)
    mobile: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class IdentityContact:
    """Somebody known by a URN; there is no reservation for them."""

    email: str | None = field(default=None, repr=False)
    mobile: str | None = field(default=None, repr=False)
