"""What the room thinks in: orders about to be stored, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec

Family: TypeAlias = Literal["chain", "instant", "composed"]


def _octets(text: str | None) -> int:
    return 0 if text is None else len(text) if text.isascii() else 4 * len(text)


class NewOrder(msgspec.Struct, gc=False):
    """One row of `orders` with its content. Times are UTC calendar time; `content` is an encoded OrderContent."""

    id: UUID
    chain_id: UUID | None
    position: int
    creator: str
    kind: str
    channel: str
    sending_policy: str | None
    senders_reference: str | None
    resource_id: str | None
    resource_action: str | None
    dialog_id: str | None
    transmission_id: str | None
    requested_at: datetime
    created_at: datetime
    content: bytes

    @property
    def size(self) -> int:
        """Octets of its texts, about."""
        return (
            len(self.content)
            + _octets(self.senders_reference)
            + _octets(self.resource_id)
            + _octets(self.resource_action)
            + _octets(self.dialog_id)
            + _octets(self.transmission_id)
        )


class Key(msgspec.Struct, gc=False):
    """The idempotency key of a request, with what a repeat is answered. `hash` is SHA-256 of the id, `mac` tells other bodies."""

    creator: str
    family: Family
    hash: bytes
    mac: bytes
    receipt: bytes
    chain_id: UUID


class Entry(msgspec.Struct, gc=False):
    """What one request stores, all or nothing. Without a key (v1) every request is a new one."""

    orders: list[NewOrder]
    key: Key | None = None
    #: Octets of texts and receipt, about.
    size: int = 0

    def __post_init__(self) -> None:
        self.size = sum(order.size for order in self.orders) + (len(self.key.receipt) if self.key else 0)


class Stored(msgspec.Struct, frozen=True, gc=False):
    """`first`: this request made the orders. Otherwise receipt and mac are those of the request that did."""

    first: bool
    receipt: bytes
    mac: bytes


class Digest(Protocol):
    """Keyed digests and sealing; `varsel.store.secrets.MasterKey`."""

    def mac(self, purpose: str, data: bytes) -> bytes: ...

    def seal(self, plain: bytes) -> bytes: ...
