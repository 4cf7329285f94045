"""What would become of an order, for dry runs: the same resolution and plan as the worker's, and nothing stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from varsel.delivery.model import Addressee, DueOrder, Planned
from varsel.delivery.plan import plan
from varsel.delivery.resolving import RegisterResolver
from varsel.delivery.window import Window
from varsel.recipients.registers import Registers
from varsel.store.content import OrderContent
from varsel.store.long_texts import LARGE


def masked_name(name: str) -> str:
    """`Kari Nordmann` becomes `K… N…`."""
    return " ".join(f"{word[0]}…" for word in name.split())


class Forecaster:
    """Plans orders that are not stored. Names in texts are masked; parts are those of the text with the real name."""

    def __init__(self, registers: Registers, window: Window) -> None:
        self._resolver = RegisterResolver(registers)
        self._window = window

    async def messages(
        self,
        *,
        order_id: UUID,
        creator: str,
        kind: str,
        channel: str,
        sending_policy: str | None,
        requested_at: datetime,
        resource_id: str | None,
        resource_action: str | None,
        content: OrderContent,
        now: datetime,
    ) -> Sequence[Planned]:
        """The messages of an order as they would be planned now. Raises RegisterUnavailable."""
        order = DueOrder(
            order_id,
            creator,
            kind,
            channel,
            sending_policy,
            requested_at,
            resource_id,
            resource_action,
            requested_at,
            0,
            asked=False,
            content=content,
        )
        found = await self._resolver.resolve(order, content)
        planned = await self._plan(order, content, found, now)
        if not any(one.name for one in found):
            return planned
        hidden = [replace(one, name=masked_name(one.name)) for one in found]
        shown = await self._plan(order, content, hidden, now)
        for message, real in zip(shown, planned, strict=True):
            message.sms_parts = real.sms_parts
        return shown

    async def _plan(
        self, order: DueOrder, content: OrderContent, addressees: Sequence[Addressee], now: datetime
    ) -> list[Planned]:
        made = partial(plan, order, content, addressees, window=self._window, now=now, key=_no_key)
        # Filling keywords into a large text takes long.
        return await asyncio.to_thread(made) if content.octets > LARGE else made()


def _no_key(recipient: str) -> bytes:
    del recipient
    return b""
