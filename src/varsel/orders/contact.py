"""The contact check at registration (docs/reference/notifications-api.md 2.1 and 2.10; docs/reference/delivery.md 3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from varsel.orders.model import NewOrder
from varsel.orders.wire_v1 import RecipientLookup
from varsel.recipients.lookup import Reachability, Right, reachability
from varsel.recipients.registers import Registers
from varsel.recipients.resolve import identifier_of
from varsel.runtime.errors import CodedProblem, RegisterUnavailable
from varsel.store.content import OrderContent

#: Orders of a chain looked at in one go.
_AT_ONCE: Final = 1000


def unavailable(error: RegisterUnavailable) -> CodedProblem:
    """A register outage while ordering: 503 NOT-00004, and when to come again."""
    return CodedProblem("NOT-00004", ((b"retry-after", b"%d" % error.retry_after),))


def needs_registers(content: OrderContent) -> bool:
    """Whether some recipient is named by an identity instead of an address."""
    return any(identifier_of(recipient)[1] is not None for recipient in content.recipients)


async def check_chain_contacts(
    registers: Registers, orders: Sequence[NewOrder], contents: Sequence[OrderContent]
) -> None:
    """CodedProblem NOT-00001 when a recipient of any of the orders has no usable address; a reserved person is not missing."""
    known: set[tuple[object, ...]] = set()
    for number, (order, content) in enumerate(zip(orders, contents, strict=True)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)  # a chain of 100,000 keeps nobody waiting
        if not needs_registers(content):
            continue
        right = Right.of(order.resource_id, order.resource_action)
        question = (order.channel, content.recipients, content.use_stale, right)
        if question in known:  # reminders mostly go to the recipient of the main order
            continue
        found = await _ask(registers, order, content)
        if found.missing:
            raise CodedProblem("NOT-00001")
        known.add(question)


async def look_up_contacts(registers: Registers, order: NewOrder, content: OrderContent) -> RecipientLookup:
    """What a v1 receipt says of its recipients, of whom some need a lookup."""
    found = await _ask(registers, order, content)
    if found.failed == found.asked:
        return RecipientLookup("Failed", found.reserved, found.missing)
    return RecipientLookup("PartialSuccess" if found.failed else "Success", found.reserved, found.missing)


async def _ask(registers: Registers, order: NewOrder, content: OrderContent) -> Reachability:
    try:
        return await reachability(
            registers,
            order.channel,
            content.recipients,
            use_stale=content.use_stale,
            right=Right.of(order.resource_id, order.resource_action),
        )
    except RegisterUnavailable as error:
        raise unavailable(error) from error
