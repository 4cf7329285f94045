"""From recipients to addresses at processing time, through the recipients room (docs/reference/delivery.md 3)."""

from __future__ import annotations

from varsel.delivery.model import Addressee, DueOrder
from varsel.recipients.registers import Registers
from varsel.runtime.errors import RegisterUnavailable
from varsel.store.content import OrderContent


class RegisterResolver:
    """Asks the registers for the recipients that carry no address of their own."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    async def resolve(self, order: DueOrder, content: OrderContent) -> list[Addressee]:
        """The messages of an order; RegisterUnavailable when a register does not answer."""
        raise RegisterUnavailable
