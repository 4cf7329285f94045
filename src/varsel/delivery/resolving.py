"""From recipients to addresses at processing time, through the recipients room (docs/reference/delivery.md 3.6, 4)."""

from __future__ import annotations

from varsel.delivery.keywords import wants_names
from varsel.delivery.model import Addressee, DueOrder
from varsel.recipients.lookup import Right, addresses_of, names_of
from varsel.recipients.registers import Registers
from varsel.store.content import OrderContent


class RegisterResolver:
    """Asks the registers for the recipients that carry no address of their own, and for names where texts want them."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    async def resolve(self, order: DueOrder, content: OrderContent) -> list[Addressee]:
        """The messages of an order; RegisterUnavailable when a register does not answer."""
        found = await addresses_of(
            self._registers,
            order.channel,
            content.recipients,
            use_stale=content.use_stale,
            right=Right.of(order.resource_id, order.resource_action),
            ignore_reservation=content.ignore_reservation is True,
        )
        names = await names_of(self._registers, content.recipients) if wants_names(content) else {}
        return [
            Addressee(
                one.channel,
                one.recipient_kind,
                one.recipient,
                one.address,
                one.status,
                names.get(one.recipient, "") if one.recipient else "",
                one.recipient or "" if one.recipient_kind == "organization" else "",
            )
            for one in found
        ]
